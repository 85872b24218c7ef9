"""A method for each kind of plane: every channel, and slices of other noise, as if they had come alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ruska.image import Output


class Field(Protocol):
    """The part of the engine's ``RandomField`` that is needed here."""

    @property
    def places(self) -> NDArray[np.int64]: ...
    def normal(self, step: int, sample: int = 0, channel: int = 0) -> Tensor: ...
    def finer(self, scale: Sequence[Fraction]) -> Field: ...


@dataclass(frozen=True)
class FieldOfPlanes:
    """The numbers of some images of a batch, of one channel: those that they have in the whole."""

    whole: Field
    rows: NDArray[np.int64]
    channel: int

    @property
    def places(self) -> NDArray[np.int64]:
        return self.whole.places[self.rows]

    def normal(self, step: int, sample: int = 0, channel: int = 0) -> Tensor:
        return self.whole.normal(step, sample, self.channel + channel)[self.rows]

    def finer(self, scale: Sequence[Fraction]) -> FieldOfPlanes:
        return FieldOfPlanes(self.whole.finer(scale), self.rows, self.channel)


@dataclass(frozen=True, eq=False)
class PerPlane:
    """Methods that look at one channel at a time, each for the planes it was prepared for, as one of the engine.

    parts : alike in all but what they were told of their planes. table : (others.., C), number of the part of each
    plane, along the axes that are not spatial.
    """

    parts: tuple[Any, ...]
    table: NDArray[np.int64]
    notes: tuple[str, ...] = ()

    @property
    def first(self) -> Any:
        """The part that says what the whole is like: one with blocks that must be blended, if any."""
        return next((part for part in self.parts if part.locality == "approximate"), self.parts[0])

    @property
    def halo(self) -> tuple[int, ...]:
        return tuple(max(halos) for halos in zip(*(part.halo for part in self.parts), strict=True))

    @property
    def multiple(self) -> tuple[int, ...]:
        return tuple(lcm(*steps) for steps in zip(*(part.multiple for part in self.parts), strict=True))

    @property
    def outputs(self) -> tuple[Output, ...]:
        return cast("tuple[Output, ...]", self.first.outputs)

    @property
    def locality(self) -> Literal["exact", "approximate"]:
        return cast("Literal['exact', 'approximate']", self.first.locality)

    @property
    def domain(self) -> Literal["normalised", "raw"]:
        return cast("Literal['normalised', 'raw']", self.first.domain)

    @property
    def threads(self) -> Literal["one", "many"]:
        return cast("Literal['one', 'many']", self.first.threads)

    @property
    def alone(self) -> bool:
        return bool(getattr(self.first, "alone", False))

    @property
    def stays(self) -> float:
        return max(float(getattr(part, "stays", 0.0)) for part in self.parts)

    @property
    def training_seconds(self) -> float:
        return max(float(getattr(part, "training_seconds", 0.0)) for part in self.parts)

    @property
    def settings(self) -> Mapping[str, Any]:
        """What all parts resolved to alike; what differs is None, so that a run that repeats this one measures it."""
        every = [dict(getattr(part, "settings", {})) for part in self.parts]
        return {k: v if all(s.get(k) == v for s in every) else None for k, v in every[0].items()}

    @property
    def bytes_per_voxel(self) -> float:
        return max(float(part.bytes_per_voxel) for part in self.parts) + 8  # of the planes that wait

    def working_bytes(self, shape: Sequence[int], kept: bool) -> float:
        """Of a call on (b, c, *spatial): the most that any part takes for planes of one channel, and their results."""
        one, voxels = (shape[0], 1, *shape[2:]), float(np.prod(shape))
        scale = max(float(np.prod([float(s) for s in o.grid(len(shape) - 2)])) for o in self.outputs)
        return max(_working(part, one, kept) for part in self.parts) + 8 * voxels * max(1.0, scale)

    def part_of(self, place: Sequence[int]) -> Any:
        """The method of a plane: its indices along (others.., C)."""
        return self.parts[int(self.table[tuple(place)])]

    def __call__(self, inputs: Mapping[str, Tensor], random: Field) -> dict[str, Tensor]:
        """Every image of (b, c, *spatial) by the method of its part."""
        import torch

        count, channels = inputs["image"].shape[:2]
        which = self.table[tuple(random.places.T)].reshape(count, channels)
        out: dict[str, Tensor] = {}
        for channel in range(channels):
            for part in np.unique(which[:, channel]):
                rows = np.flatnonzero(which[:, channel] == part)
                given = {name: _picked(values, rows, channel) for name, values in inputs.items()}
                found = self.parts[part](given, FieldOfPlanes(random, rows, channel))
                for name, values in found.items():
                    if name not in out:
                        out[name] = torch.empty((count, channels, *values.shape[2:]), dtype=values.dtype)
                    out[name][rows, channel] = values[:, 0].to(out[name].device)
        return out


def _picked(values: Tensor, rows: NDArray[np.int64], channel: int) -> Tensor:
    """Some images of one channel, (n, 1, *spatial); of an input with a single channel, that one."""
    at = channel if values.shape[1] > 1 else 0
    return values[rows, at : at + 1].contiguous()


def _working(method: Any, shape: Sequence[int], kept: bool) -> float:
    own = getattr(method, "working_bytes", None)
    return float(own(shape, kept)) if own is not None else float(method.bytes_per_voxel) * float(np.prod(shape))
