"""A part of a source, treated on its own: one channel, or some planes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.engine.contracts import Box, Source


@dataclass(frozen=True)
class OneChannel:
    """One channel of a source with axis C; the axis stays, with length 1."""

    source: Source
    channel: int

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(1 if a == "C" else n for a, n in zip(self.axes, self.source.shape, strict=True))

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    @property
    def axes(self) -> str:
        return self.source.axes

    def read(self, box: Box) -> NDArray[Any]:
        own = slice(self.channel, self.channel + 1)
        found = self.source.read(tuple(own if a == "C" else b for a, b in zip(self.axes, box, strict=True)))
        return found[tuple(b if a == "C" else slice(None) for a, b in zip(self.axes, box, strict=True))]


@dataclass(frozen=True)
class SomePlanes:
    """Some planes of a source (.., Y, X) as a stack (planes, Y, X).

    places : the indices of each plane along the axes of ``source`` before Y.
    """

    source: Source
    places: tuple[tuple[int, ...], ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.places), *self.source.shape[-2:])

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    @property
    def axes(self) -> str:
        return "QYX"

    def read(self, box: Box) -> NDArray[Any]:
        window = box[1:]
        planes = [self.source.read((*(slice(i, i + 1) for i in place), *window)) for place in self.places[box[0]]]
        size = tuple(b.stop - b.start for b in window)
        return np.stack([plane.reshape(size) for plane in planes])
