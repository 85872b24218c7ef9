"""Which chunks of an array are really stored: a store may declare any shape and hold almost nothing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

SPARSE = 1000
"""An array is nearly empty when at most one chunk in this many is stored."""

MOST_LOOKED_AT = 100_000
_MOST_BOXES = 64


@dataclass(frozen=True)
class Held:
    """Which chunks of an array are stored.

    count : stored chunks found so far. chunks : needed for the whole shape. complete : whether all stored chunks were
    counted; counting ends once the array cannot be sparse. boxes : where some of them lie in the array.
    """

    count: int
    chunks: int
    complete: bool
    boxes: tuple[tuple[slice, ...], ...] = ()

    @property
    def is_sparse(self) -> bool:
        return self.complete and self.count * SPARSE <= self.chunks


def count_held(shape: Sequence[int], grain: Sequence[int], places: Iterable[tuple[int, ...] | None]) -> Held:
    """Count chunks of shape ``grain`` by their ``places`` in the grid; None and places outside it do not count.

    ``places`` is read only as far as needed to tell whether the array is sparse.
    """
    grid = [-(-n // g) for n, g in zip(shape, grain, strict=True)]
    chunks, count = math.prod(grid), 0
    boxes: list[tuple[slice, ...]] = []
    for looked_at, place in enumerate(places):
        if count * SPARSE > chunks or looked_at >= MOST_LOOKED_AT:
            return Held(count, chunks, False, tuple(boxes))
        if place is None or any(i >= n for i, n in zip(place, grid, strict=True)):
            continue
        count += 1
        if len(boxes) < _MOST_BOXES:
            boxes.append(tuple(slice(i * g, min((i + 1) * g, n)) for i, g, n in zip(place, grain, shape, strict=True)))
    return Held(count, chunks, True, tuple(boxes))
