"""What is in an image file but not in the micrograph: frames, the strip of data below it, a scale bar.

Found by what no specimen does: one grey level that fills whole rows and ends at one straight line. What is not sure is
kept: noise, clipped backgrounds and straight edges of specimens are no borders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float32]
    Flags = NDArray[np.bool_]

_CLOSE = 0.02  # of the range of grey levels, by which JPEG files change a constant one
_GAP = 4  # rows of a border that are something else: lines of a table, a dashed edge
_MOST = 0.35  # of the height that a border may have
_WHOLE = 0.985  # share of a row that a frame fills, and an empty line between two lines of text
_ALIKE = 0.6  # share of a frame that has one and the same grey level
_MOSTLY = 0.5  # share of a row with text that is background
_EMPTY_LINES = 0.1  # share of the rows of a strip of data that are empty
_LEAST_STRIP = 12  # rows of a strip of data
_INSIDE = 0.3  # share of the micrograph's first rows that may have the border's grey level
_LOOK = 8  # rows of the micrograph that are looked at
_SIDE_STRIP = 0.2  # of the height, in which scale bars lie
_LABEL = 0.08  # of the height: room for the label of a scale bar


class Cut(NamedTuple):
    """``rows`` (or columns) cut at ``side``; kind is ``frame``, ``data bar`` or ``scale bar``."""

    kind: str
    side: str
    rows: int


@dataclass(frozen=True)
class Trimmed:
    """What is left of a plane, and what was cut away."""

    plane: NDArray[np.float32]
    cuts: tuple[Cut, ...] = ()

    def rows(self) -> dict[str, int]:
        """Rows and columns cut, of each kind."""
        kinds = dict.fromkeys(cut.kind for cut in self.cuts)
        return {kind: sum(cut.rows for cut in self.cuts if cut.kind == kind) for kind in kinds}


def trim(plane: NDArray[np.float32]) -> Trimmed:
    """The micrograph in ``plane`` (Y, X), finite, without frames, data bars and rows with a scale bar."""
    cuts: list[Cut] = []
    for _ in range(4):  # a frame may lie around a strip of data, or below it
        found = _next_cut(plane)
        if found is None:
            break
        cuts.append(found)
        plane = _without(plane, found)
    return Trimmed(plane, tuple(cuts))


def _next_cut(plane: NDArray[np.float32]) -> Cut | None:
    spread = float(plane.max() - plane.min())
    if spread == 0 or min(plane.shape) < 2 * _LOOK:
        return None
    close = _CLOSE * spread
    for side in ("bottom", "top", "left", "right"):
        rows, kind = _border(_from_outside(plane, side), close, text=side in ("bottom", "top"))
        if rows:
            return Cut(kind, side, rows)
    for side in ("bottom", "top"):
        rows = _scale_bar(_from_outside(plane, side), close)
        if rows:
            return Cut("scale bar", side, rows)
    return None


def _from_outside(plane: NDArray[np.float32], side: str) -> NDArray[np.float32]:
    """The plane turned so that its row 0 is the outermost at ``side``."""
    turned = plane if side in ("top", "bottom") else plane.T
    return turned[::-1] if side in ("bottom", "right") else turned


def _without(plane: NDArray[np.float32], cut: Cut) -> NDArray[np.float32]:
    inner = slice(cut.rows, None) if cut.side in ("top", "left") else slice(None, -cut.rows)
    return plane[inner] if cut.side in ("top", "bottom") else plane[:, inner]


def _border(rows: NDArray[np.float32], close: float, *, text: bool) -> tuple[int, str]:
    """How many of the outermost rows are a frame or a strip of data, and which of them; 0 when none is."""
    most = int(_MOST * len(rows))
    level = _commonest(rows[: min(_LEAST_STRIP * 2, most)]) if text else _commonest(rows[:1])
    near = np.abs(rows[: most + _LOOK] - level) <= close
    share = near.mean(1)
    frame = _run(share >= _WHOLE)
    if 0 < frame <= most and share[frame : frame + _LOOK].mean() <= _INSIDE:
        alike = (np.abs(rows[:frame] - level) <= close / 4).mean()  # a smooth slope is close to constant only
        return (frame, "frame") if alike >= _ALIKE else (0, "")
    if not text:
        return 0, ""
    strip = _run(share >= _MOSTLY, _GAP)
    if not _LEAST_STRIP <= strip <= most or share[strip : strip + _LOOK].mean() > _INSIDE:
        return 0, ""
    empty = (rows[:strip] == level).mean(1) >= _WHOLE
    return (strip, "data bar") if empty.mean() >= _EMPTY_LINES else (0, "")


def _run(flags: Flags, gap: int = 0) -> int:
    """Length of the run of true values at the start, with up to ``gap`` false ones in a row, ending with a true one."""
    missing, end = 0, 0
    for index, flag in enumerate(flags):
        missing = 0 if flag else missing + 1
        if missing > gap:
            break
        end = index + 1 if flag else end
    return end


def _commonest(values: NDArray[np.float32]) -> float:
    found, counts = np.unique(values, return_counts=True)
    return float(found[counts.argmax()])


def _scale_bar(rows: NDArray[np.float32], close: float) -> int:
    """How many of the outermost rows hold a scale bar and its label; 0 when there is none.

    A scale bar is a rectangle of the brightest or darkest grey level that begins and ends in the same columns in every
    row, wider than high; its label has its grey level and lies next to it.
    """
    height, width = rows.shape
    strip = rows[: int(_SIDE_STRIP * height)]
    for level in (rows.max(), rows.min()):
        near = np.abs(strip - level) <= close
        found = _rectangle(near, max(24, width // 30))
        if found is not None:
            end = found[1] + int(_LABEL * height)
            label = near[found[1] : end].any(1)
            return found[1] + (int(np.flatnonzero(label)[-1]) + 1 if label.any() else 0) + 2
    return 0


def _rectangle(near: Flags, shortest: int) -> tuple[int, int] | None:
    """First and last + 1 row of a rectangle of true values, at least ``shortest`` wide and 3 high."""
    runs = [_longest(row) for row in near]
    start = 0
    while start < len(runs):
        stop = start + 1
        while stop < len(runs) and max(abs(a - b) for a, b in zip(runs[start], runs[stop], strict=True)) <= 1:
            stop += 1
        first, last = runs[start]
        high, wide = stop - start, last - first
        if wide >= shortest and 3 <= high <= wide / 3 and _alone(near, start, stop, first, last):
            return start, stop
        start = stop
    return None


def _alone(near: Flags, start: int, stop: int, first: int, last: int) -> bool:
    """Whether the rectangle stands out: what is 3 pixels above and below it is mostly something else."""
    around = [near[row, first:last].mean() for row in (start - 3, stop + 2) if 0 <= row < len(near)]
    return len(around) == 2 and max(around) < _INSIDE and last - first < 0.6 * near.shape[1]


def _longest(row: Flags) -> tuple[int, int]:
    """Begin and end of the longest run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], row.view(np.int8), [0]])))
    if not len(edges):
        return 0, 0
    lengths = edges[1::2] - edges[::2]
    at = int(lengths.argmax())
    return int(edges[2 * at]), int(edges[2 * at + 1])
