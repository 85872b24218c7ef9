"""Positions in a grid of any size, one at a time: a file may declare more than fit into memory, or into 64 bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def corners(shape: Sequence[int], step: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """First voxels of the pieces of size ``step`` that cover ``shape``, the last axis fastest.

    `itertools.product` over ranges would expand every range before it yields the first position.
    """
    if not shape:
        yield ()
        return
    for first in range(0, shape[0], step[0]):
        for rest in corners(shape[1:], step[1:]):
            yield (first, *rest)


def places(shape: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """All indices of an array of ``shape``, the last axis fastest."""
    return corners(shape, (1,) * len(shape))


def place_of(number: int, shape: Sequence[int]) -> tuple[int, ...]:
    """Index of element ``number`` in raster order, like `np.unravel_index` without its limit of 64 bits."""
    place = []
    for n in reversed(shape):
        number, index = divmod(number, n)
        place.append(index)
    return tuple(reversed(place))
