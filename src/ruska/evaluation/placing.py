"""Putting the truth onto the grid of the image to be scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError
from ruska.evaluation.summary import Place, Summary, scored_places
from ruska.image import Image, crop
from ruska.registration import Alignment, Model, align, check_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALLEST = 16  # pixels each way that must be left to score


@dataclass(frozen=True)
class Placement:
    """How far the truth was displaced, which is removed before scoring; over the planes that were scored.

    model : what was allowed (see `ruska.registration.align`). fixed : name of the image whose grid was kept.
    shift_y_px, shift_x_px : mean displacement by which the truth was moved down and right.
    largest_px : largest displacement of any pixel. error_px : standard error of the displacement.
    confidence : 0 to 1; roughly, the chance that the displacement is right to half a pixel.
    rows, columns : start and stop of what both images show, and what was scored.
    """

    model: str
    fixed: str
    shift_y_px: Summary
    shift_x_px: Summary
    largest_px: float
    error_px: Summary
    confidence: Summary
    rows: tuple[int, int]
    columns: tuple[int, int]


def place_truth(
    result: Image, truth: Image, noisy: Image | None = None, model: Model = "shift"
) -> tuple[Image, Image, Image | None, Placement]:
    """Result, truth and noisy image on one grid, cut to the pixels that both sides have, and what was found.

    The truth is moved plane by plane onto ``noisy`` where that is given, else onto ``result``, and is the only one
    that is interpolated. Only the planes that `score` looks at can be read from the truth that is returned.

    Raises GeometryError when numbers of planes or pixel sizes differ, the images cannot be aligned, or too little
    is left.
    """
    fixed = result if noisy is None else noisy
    if noisy is not None and noisy.shape != result.shape:
        raise GeometryError(result.name, f"has shape {result.shape}, {noisy.name} has {noisy.shape}",
                            "Leave the noisy image out, or give the one that was restored.")  # fmt: skip
    if truth.shape[:-2] != fixed.shape[:-2]:
        raise GeometryError(truth.name, f"has shape {truth.shape}, {fixed.name} has {fixed.shape}: their planes do "
                            "not correspond", "Pick the same planes of both first.")  # fmt: skip
    check_pixels(fixed, truth)
    found = {place: _aligned(fixed, truth, place, model) for place in scored_places(fixed)}
    moved = _Moved(truth, found, fixed.shape)
    rows, columns = _common(moved, fixed, truth)
    roi = {"Y": rows, "X": columns}
    placed = crop(fixed.with_data(moved, name=truth.name, path=truth.path, mask=None), roi)
    facts = _facts(list(found.values()), fixed.name, rows, columns)
    return crop(result, roi), placed, None if noisy is None else crop(noisy, roi), facts


def _aligned(fixed: Image, truth: Image, place: Place, model: Model) -> Alignment:
    names = [image.name + (f", plane {place}" if place else "") for image in (fixed, truth)]
    return align(_plane(fixed, place), _plane(truth, place), model, names=(names[0], names[1]))


def _facts(found: Sequence[Alignment], fixed: str, rows: slice, columns: slice) -> Placement:
    shifts = np.array([one.shift for one in found])
    return Placement(
        found[0].motion.model, fixed, Summary.of(shifts[:, 0].tolist()), Summary.of(shifts[:, 1].tolist()),
        max(float(np.hypot(*one.displacement()).max()) for one in found),
        Summary.of([one.error_px for one in found]), Summary.of([one.confidence for one in found]),
        (rows.start, rows.stop), (columns.start, columns.stop),
    )  # fmt: skip


@dataclass(frozen=True)
class _Moved:
    """The registered planes of the truth, computed when they are asked for; NaN where it does not reach."""

    truth: Image
    found: Mapping[Place, Alignment]
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        plane = self.plane(tuple(s.start for s in box[:-2]))
        return plane[box[-2:]].reshape(tuple(s.stop - s.start for s in box))

    def plane(self, place: Place) -> NDArray[np.float32]:
        plane = _plane(self.truth, place)
        moved = self.found[place].apply(plane.astype(np.float32))
        # splines overshoot at sharp edges, which would widen the range that scores are measured against
        return np.clip(moved, np.nanmin(plane), np.nanmax(plane)).astype(np.float32)


def _common(moved: _Moved, fixed: Image, truth: Image) -> tuple[slice, slice]:
    """Rows and columns where every scored plane of the truth reaches."""
    valid = np.logical_and.reduce([np.isfinite(moved.plane(place)) for place in moved.found])
    rows, columns = covered(valid)
    left = rows.stop - rows.start, columns.stop - columns.start
    if min(left) < _SMALLEST:
        raise GeometryError(f"{truth.name} and {fixed.name}", f"have {left[0]} x {left[1]} pixels in common, at least "
                            f"{_SMALLEST} each way are needed to score", "Is it the truth of this place?")  # fmt: skip
    return rows, columns


def covered(valid: NDArray[np.bool_]) -> tuple[slice, slice]:
    """A rectangle (rows, columns) without gaps along its edges: the emptiest edge is cut until none is left.

    valid : (Y, X). Gaps inside that touch no edge stay.
    """
    top, bottom, left, right = 0, valid.shape[0], 0, valid.shape[1]
    while bottom > top and right > left:
        part = valid[top:bottom, left:right]
        empty = [1 - float(edge.mean()) for edge in (part[0], part[-1], part[:, 0], part[:, -1])]
        worst = int(np.argmax(empty))
        if empty[worst] == 0:
            break
        top, bottom = top + (worst == 0), bottom - (worst == 1)
        left, right = left + (worst == 2), right - (worst == 3)
    return slice(top, bottom), slice(left, right)


def _plane(image: Image, place: Place) -> NDArray[Any]:
    h, w = image.shape[-2:]
    box = (*(slice(i, i + 1) for i in place), slice(0, h), slice(0, w))
    return np.asarray(image.data[box]).reshape(h, w)
