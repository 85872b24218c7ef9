"""The part of a plane without its empty border, with single invalid pixels mended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WIDE = 5  # pixels: a hole that holds a square of this edge is cut away, a smaller one is filled
_MOST_CELLS = 256  # along an axis, of which a rectangle is made


def valid_part(plane: NDArray[Any]) -> NDArray[Any]:
    """The largest rectangle of ``plane`` (Y, X) without wide holes (NaN); smaller holes become their nearest pixel.

    The plane itself where it has none. A plane with hardly anything valid gives as little, down to (0, 0).
    """
    holes = np.isnan(plane) if plane.dtype.kind == "f" else np.zeros((0, 0), dtype=bool)
    if not holes.any():
        return plane
    from scipy.ndimage import binary_opening, distance_transform_edt

    wide = np.asarray(binary_opening(np.pad(holes, _WIDE, mode="edge"), np.ones((_WIDE, _WIDE))))[_INNER]
    box = largest_rectangle(~wide)
    part, holes = plane[box], holes[box]
    if not part.size or holes.all():
        return plane[:0, :0]
    if not holes.any():
        return part
    near = distance_transform_edt(holes, return_distances=False, return_indices=True)
    return part[tuple(near)]


_INNER = (slice(_WIDE, -_WIDE),) * 2


def largest_rectangle(there: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The box of most pixels in ``there`` (Y, X) that is True throughout; of large planes to within an edge of 1/256.

    Empty slices where there is none.
    """
    step = max(1, -(-max(there.shape) // _MOST_CELLS))
    rows, columns = (n // step for n in there.shape)
    cells = np.asarray(there[: rows * step, : columns * step].reshape(rows, step, columns, step).all((1, 3)))
    best, found = 0, (slice(0, 0), slice(0, 0))
    height = np.zeros(columns, dtype=np.int64)
    for row in range(rows):
        height = np.where(cells[row], height + 1, 0)
        for area, left, right, tall in _under(height):
            if area > best:
                best, found = area, (slice(row + 1 - tall, row + 1), slice(left, right))
    # what the last, partial cells of the plane hold is left out, unless the rectangle is all there is
    y, x = (slice(s.start * step, n if s.stop == k and there.all() else s.stop * step)
            for s, n, k in zip(found, there.shape, cells.shape, strict=True))  # fmt: skip
    return y, x


def _under(height: NDArray[np.int64]) -> list[tuple[int, int, int, int]]:
    """Widest rectangle under each bar of a histogram: (area, left, right, height)."""
    found, stack = [], [(0, 0)]  # starts, and heights that rise
    for at, tall in enumerate([*height.tolist(), 0]):
        start = at
        while stack and stack[-1][1] >= tall:
            start, before = stack.pop()
            found.append(((at - start) * before, start, at, before))
        stack.append((start, tall))
    return found
