"""Patches of two or three dimensions, cut at the same place from one source, a pair, or more."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ruska.compute.mirroring import mirrored
from ruska.errors import GeometryError, InputError
from ruska.training.patches import Readable, in_memory

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ATTEMPTS = 20  # to find a place with something in it


@dataclass(frozen=True)
class Boxes:
    """values : (size, frames or 1, *edge), float32. aim : (size, 1, *edge), bool, where every source has a value."""

    values: torch.Tensor
    aim: torch.Tensor


class BoxSampler:
    """Batches of boxes cut at the same place from every source of a group, mirrored alike.

    Parameters
    ----------
    groups : each as many sources (..., *spatial), normalised, of one field of view: one for a single image or volume,
        two for a pair, such as noisy and clean. Groups may have any shapes together, and are drawn as often as they
        have voxels. The axes before the spatial ones are the same in all sources of a group.
    edge : of a box in voxels of the first source: (Y, X) or (Z, Y, X).
    scales : for each source, its voxels along one of the first's, for each axis of ``edge``; whole numbers. None: 1.
        For super-resolution by 2 of a pair: ``[(1, 1), (2, 2)]``; the boxes of the second are twice as wide.
    frames : neighbours of the first source along its last leading axis, odd, as channels; mirrored at the ends. The
        others show the middle one.
    seed : batch ``step`` is the same whenever it is asked for.

    Boxes are mirrored at random along each axis and never turned, as those of `PatchSampler`. A voxel of the first
    source is aimed at where it, its neighbours in all frames, and all voxels of the others within it are finite; those
    of the others with it. What is not finite is filled with the mean of its box. Places where something is missing, or
    nothing is to be seen, are drawn again a few times.

    Raises GeometryError when sources of a group do not fit each other or the box, and InputError from `batch` when no
    place has a voxel to aim at.
    """

    def __init__(
        self, groups: Sequence[Sequence[Readable]], edge: Sequence[int], *,
        scales: Sequence[Sequence[int]] | None = None, frames: int = 1, seed: int = 0,
    ) -> None:  # fmt: skip
        self.edge, self.frames, self.seed = tuple(edge), frames, seed
        self.scales = [tuple(s) for s in scales or [(1,) * len(edge)] * len(groups[0])]
        for group in groups:
            self._check(group)
        sizes = np.array([math.prod(group[0].shape) for group in groups], dtype=np.float64)
        self.share = sizes / sizes.sum()
        kept = iter(in_memory([source for group in groups for source in group]))
        self.groups = [[next(kept) for _ in group] for group in groups]

    def batch(self, step: int, size: int) -> tuple[Boxes, ...]:
        """One `Boxes` a source of the groups, at the same places."""
        random = np.random.default_rng((self.seed, step))
        drawn = [self._draw(random) for _ in range(size)]
        return tuple(
            Boxes(torch.from_numpy(np.stack(values)), torch.from_numpy(np.stack(aims)))
            for values, aims in (zip(*(boxes[k] for boxes in drawn), strict=True) for k in range(len(self.scales)))
        )

    def _check(self, group: Sequence[Readable]) -> None:
        spatial = len(self.edge)
        if len(group) != len(self.scales):
            raise GeometryError("training", f"a group has {len(group)} sources, for {len(self.scales)} scales",
                                "Give one scale a source.")  # fmt: skip
        first = tuple(group[0].shape)
        if any(n < e for n, e in zip(first[-spatial:], self.edge, strict=True)):
            raise GeometryError("training", f"an image is {_by(first[-spatial:])} voxels, a patch {_by(self.edge)}",
                                "Use smaller patches, or larger images.")  # fmt: skip
        for source, scale in zip(group, self.scales, strict=True):
            wanted = (*first[:-spatial], *(n * s for n, s in zip(first[-spatial:], scale, strict=True)))
            if tuple(source.shape) != wanted:
                raise GeometryError("training", f"the partner of an image of {_by(first)} voxels has "
                                    f"{_by(source.shape)}, expected {_by(wanted)}",
                                    "Give images of the same field of view.")  # fmt: skip

    def _draw(self, random: np.random.Generator) -> list[tuple[NDArray[np.float32], NDArray[np.bool_]]]:
        best = 0.0
        found: list[NDArray[np.float32]] = []
        common: NDArray[np.bool_] = np.zeros(self.edge, bool)
        for _ in range(_ATTEMPTS):
            group = self.groups[int(random.choice(len(self.groups), p=self.share))]
            leading, shape = group[0].shape[: -len(self.edge)], group[0].shape[-len(self.edge) :]
            index = [int(random.integers(n)) for n in leading]
            corner = [int(random.integers(n - e + 1)) for n, e in zip(shape, self.edge, strict=True)]
            values = [self._read(source, k, index, corner) for k, source in enumerate(group)]
            valid = self._valid(values)
            seen = values[0][self.frames // 2][valid]
            worth = float(valid.mean()) * (0.5 if seen.size and seen.min() == seen.max() else 1.0)
            if worth > best:
                best, found, common = worth, values, valid
            if best == 1:
                break
        if best == 0:
            raise InputError("training", f"{_ATTEMPTS} places in a row had no valid voxel",
                             "Crop the images to the part that was recorded.")  # fmt: skip
        flips = [axis for axis in range(len(self.edge)) if random.random() < 0.5]
        return [self._finished(box, _finer(common, scale), flips)
                for box, scale in zip(found, self.scales, strict=True)]  # fmt: skip

    def _read(self, source: Readable, k: int, index: Sequence[int], corner: Sequence[int]) -> NDArray[np.float32]:
        """(frames, *edge) of the first source, (1, *edge) of the others, on the source's own grid."""
        inner = [slice(c * s, (c + e) * s) for c, e, s in zip(corner, self.edge, self.scales[k], strict=True)]
        around = self.frames // 2 if k == 0 else 0
        planes = []
        for step in range(-around, around + 1):  # a single image is its own neighbour
            place = [*index[:-1], mirrored(index[-1] + step, source.shape[len(index) - 1])] if index else []
            box = source.read((*(slice(i, i + 1) for i in place), *inner))
            planes.append(box.reshape([s.stop - s.start for s in inner]))
        return np.stack(planes).astype(np.float32, copy=False)

    def _valid(self, values: Sequence[NDArray[np.float32]]) -> NDArray[np.bool_]:
        """On the first source's grid: where all sources have all their voxels."""
        valid = np.ones(self.edge, bool)
        for box, scale in zip(values, self.scales, strict=True):
            finite = np.logical_and.reduce(np.isfinite(box), axis=0)
            cells = [n for e, s in zip(self.edge, scale, strict=True) for n in (e, s)]
            valid &= finite.reshape(cells).all(axis=tuple(range(1, 2 * len(scale), 2)))
        return valid

    def _finished(
        self, box: NDArray[np.float32], aim: NDArray[np.bool_], flips: Sequence[int]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        finite = np.isfinite(box)
        if not finite.all():
            box = np.where(finite, box, box[finite].mean())
        axes = tuple(axis + 1 for axis in flips)
        return np.flip(box, axes).copy(), np.flip(aim[None], axes).copy()


def _finer(mask: NDArray[np.bool_], scale: Sequence[int]) -> NDArray[np.bool_]:
    for axis, factor in enumerate(scale):
        mask = mask.repeat(factor, axis)
    return mask


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
