"""Standard normal numbers tied to positions, not to tiles.

Each number is a hash of (seed, step, sample, channel, global voxel position), so a voxel has the same noise in
overlapping blocks, with any block plan and any number of workers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class PlacedRandomField:
    """The field of ``seed``, for one block.

    origin, shape : position and size of the block in voxels, (others..., *spatial); the same axes in every call.
    spatial : how many of these axes are spatial; the others become the batch axis.
    """

    seed: int
    origin: tuple[int, ...]
    shape: tuple[int, ...]
    spatial: int

    @property
    def places(self) -> NDArray[np.int64]:
        """(b, others): indices of each image of the batch along the axes that are not spatial."""
        count = len(self.shape) - self.spatial
        images = math.prod(self.shape[:count])
        found = np.indices(self.shape[:count]).reshape(count, images).T
        return np.asarray(found + np.array(self.origin[:count], np.int64), np.int64)

    def finer(self, scale: Sequence[Fraction]) -> PlacedRandomField:
        """The field over the same region on a grid with ``scale`` times as many voxels along each spatial axis.

        Origin and shape stay whole numbers: blocks begin and end where both grids do.
        """
        factors = (*(Fraction(1),) * (len(self.shape) - self.spatial), *scale)
        origin, shape = (tuple(int(n * f) for n, f in zip(sizes, factors, strict=True))
                         for sizes in (self.origin, self.shape))  # fmt: skip
        return replace(self, origin=origin, shape=shape)

    def normal(self, step: int, sample: int = 0, channel: int = 0) -> Tensor:
        """Return (b, *spatial) float32 standard normal numbers of this (step, sample, channel)."""
        import torch

        key: Any = _GOLDEN
        for part in (self.seed, step, sample, channel):
            key = _mix(key ^ _word(part))
        codes = np.asarray(key)
        # Hash the axes one by one, each while it is still one-dimensional.
        for axis, (start, length) in enumerate(zip(self.origin, self.shape, strict=True)):
            along = np.arange(start, start + length).astype(np.uint64)
            codes = _mix(codes[..., None] ^ _mix(along ^ _mix(_word(axis + 1))))
        values = _box_muller(codes)
        return torch.from_numpy(values.reshape(-1, *self.shape[len(self.shape) - self.spatial :]))


def _word(value: int) -> np.uint64:
    return np.uint64(value & 0xFFFFFFFFFFFFFFFF)


def _mix(x: Any) -> NDArray[np.uint64]:
    """Finaliser of SplitMix64 (Steele, Lea & Flood 2014): every input bit reaches every output bit."""
    with np.errstate(over="ignore"):
        x = x + _GOLDEN
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def _box_muller(codes: NDArray[np.uint64]) -> NDArray[np.float32]:
    """One normal number from the two 32-bit halves of a hash (Box & Muller 1958)."""
    radius = ((codes >> np.uint64(32)).astype(np.float64) + 0.5) * 2.0**-32
    angle = (codes & np.uint64(0xFFFFFFFF)).astype(np.float64) * (2.0 * np.pi * 2.0**-32)
    return (np.sqrt(-2.0 * np.log(radius)) * np.cos(angle)).astype(np.float32)
