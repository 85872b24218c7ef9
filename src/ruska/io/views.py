"""Lazy views of one array or several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.image.grid import places
from ruska.io.lazy import LazyPixels, held_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.image.held import Held


class Beginning(LazyPixels):
    """The first ``shape`` values of an array along each axis, without what it was padded with."""

    def __init__(self, array: Any, shape: tuple[int, ...]) -> None:
        super().__init__(shape, array.dtype)
        self.array, self.chunks = array, getattr(array, "chunks", None)

    def held(self) -> Held | None:
        return held_of(self.array)

    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        return np.asarray(self.array[box])


class Unsigned(LazyPixels):
    """Unsigned integers that were stored as the signed type of the same size."""

    def __init__(self, array: Any) -> None:
        super().__init__(array.shape, np.dtype(f"u{array.dtype.itemsize}"))
        self.array, self.chunks = array, getattr(array, "chunks", None)

    def held(self) -> Held | None:
        return held_of(self.array)

    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        return np.asarray(self.array[box]).view(self.dtype)


class Stacked(LazyPixels):
    """Arrays of one shape and type, in raster order of the axes ``lead`` that they make."""

    def __init__(self, parts: Sequence[Any], lead: tuple[int, ...]) -> None:
        if math.prod(lead) != len(parts):
            raise ValueError(f"{len(parts)} arrays do not make {lead}")
        super().__init__((*lead, *parts[0].shape), parts[0].dtype)
        self.parts, self.lead = tuple(parts), lead
        chunks = getattr(parts[0], "chunks", None)
        self.chunks = None if chunks is None else (*(1 for _ in lead), *chunks)

    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        out = np.empty(tuple(s.stop - s.start for s in box), self.dtype)
        before, inner = box[: len(self.lead)], box[len(self.lead) :]
        for place in places(out.shape[: len(self.lead)]):
            at = [s.start + i for s, i in zip(before, place, strict=True)]
            number = 0
            for i, n in zip(at, self.lead, strict=True):
                number = number * n + i
            out[place] = np.asarray(self.parts[number][inner])
        return out
