"""Aligning the slices of a stack with each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from ruska.errors import GeometryError, SettingsError, did_you_mean
from ruska.image import LazyArray
from ruska.registration.align import LEAST_CONFIDENCE, align
from ruska.registration.alignment import Alignment
from ruska.registration.motion import Motion

if TYPE_CHECKING:
    from numpy.typing import NDArray

Trend = Literal["correct", "keep"]

_LEAST_ERROR = 0.02  # pixels: no measured shift is believed to be better
_OUTLIER = 3.0  # standard errors beyond which a measured shift counts less and less


@dataclass(frozen=True)
class Pair:
    """A measured shift: ``shift`` (dy, dx) moves slice ``second`` onto slice ``first``. ``error_px``: see Alignment."""

    first: int
    second: int
    shift: tuple[float, float]
    error_px: float


@dataclass(frozen=True, eq=False)
class StackAlignment:
    """Where each slice of a stack belongs.

    shifts : (n, 2); row k is the displacement (dy, dx) in pixels that moves slice k to its place.
    errors : (n,) standard error of dy or dx against the reference slice, in pixels; NaN for skipped slices.
    skipped : slices that fit no other; their shift is what their neighbours suggest.
    pairs : the measured shifts it comes from.
    misfit_px : by how much measured shifts contradict each other, root mean square over those that count, in pixels.
    shape : (n, Y, X) of the stack.
    """

    shifts: NDArray[np.float64]
    errors: NDArray[np.float64]
    skipped: tuple[int, ...]
    pairs: tuple[Pair, ...]
    misfit_px: float
    shape: tuple[int, int, int]

    def alignment(self, k: int, *, whole_pixels: bool = False) -> Alignment:
        """The displacement of slice ``k``; rounded to ``whole_pixels`` it needs no interpolation."""
        shift = np.rint(self.shifts[k]) if whole_pixels else self.shifts[k]
        error = float(self.errors[k])
        return Alignment(Motion("shift", self.shape[1:]), shift, np.eye(2) * error**2, error, 1.0, 1.0)

    def common_region(self, *, whole_pixels: bool = False) -> tuple[slice, slice]:
        """Rows and columns that every slice covers once it is in place.

        Raises GeometryError when there are none.
        """
        shifts = np.rint(self.shifts) if whole_pixels else self.shifts
        box = []
        for axis, size in enumerate(self.shape[1:]):
            start = int(np.ceil(max(shifts[:, axis].max(), 0) - 1e-6))
            stop = size + int(np.floor(min(shifts[:, axis].min(), 0) + 1e-6))
            if start >= stop:
                raise GeometryError("stack", "its slices, once aligned, have no region in common",
                                    "Keep the whole field instead.")  # fmt: skip
            box.append(slice(start, stop))
        return box[0], box[1]


@dataclass(eq=False)
class AlignedStack:
    """The slices of ``stack`` (n, Y, X) in place, each moved when it is asked for; a `LazyArray`.

    By cubic splines, or by ``whole_pixels``, which leaves every value and the noise as they are. ``fill`` stands where
    a slice does not reach. Integers are rounded and clipped to their range.
    """

    stack: NDArray[Any] | LazyArray
    alignment: StackAlignment
    fill: float = 0.0
    whole_pixels: bool = False
    _last: tuple[int, NDArray[Any]] | None = field(default=None, init=False, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.alignment.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.stack.dtype)

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        return np.stack([self._slice(k)[box[1], box[2]] for k in range(box[0].start or 0, box[0].stop)])

    def _slice(self, k: int) -> NDArray[Any]:
        last = self._last  # blocks of one slice are usually asked for one after the other
        if last is not None and last[0] == k:
            return last[1]
        moving = read_slice(self.stack, k)
        if self.whole_pixels:
            moved = _rolled(moving, np.rint(self.alignment.shifts[k]).astype(int), self.fill)
        else:
            moved = as_dtype(self.alignment.alignment(k).apply(moving, fill=self.fill), self.dtype)[0]
        self._last = (k, moved)
        return moved


def align_stack(
    stack: NDArray[Any] | LazyArray,
    *,
    neighbours: int = 3,
    reach: float | None = None,
    trend: Trend = "correct",
    reference: int = 0,
    name: str = "stack",
    progress: Callable[[str, int, int], None] | None = None,
) -> StackAlignment:
    """Find the shift of each slice that puts the stack in order. Reads a few slices at a time.

    Parameters
    ----------
    stack : (n, Y, X), in memory or lazy.
    neighbours : slices are compared with those up to this many further on.
    reach : see `align`.
    trend : ``correct`` everything that was measured; or ``keep`` a steady drift (the straight line through the shifts),
        for a specimen whose structures run obliquely through the stack: from the images alone, a steady drift of the
        stage and an oblique specimen are the same.
    reference : the slice that stays where it is.
    progress : called with (stage, done, total).

    A chain of shifts from slice to slice adds up their errors to a walk, and a bias of each to a trend. Here the shifts
    of all pairs up to ``neighbours`` apart are reconciled by weighted least squares, in which a pair counts less the
    more it contradicts the others (Cauchy weights): over a distance of k slices, one error counts and not k, and a pull
    of every pair towards zero (or away from it) is divided by about k. A slice that fits no other is skipped, and
    bridged by the pairs across it.

    Raises GeometryError when the stack falls apart into runs that cannot be linked, naming the slices between which.
    """
    n, height, width = (int(s) for s in stack.shape)
    if n < 2:
        raise GeometryError(name, "has only one slice", "Give the image to align it with as well.")
    if trend not in get_args(Trend):
        raise SettingsError("trend", f"'{trend}' is not one", did_you_mean(trend, get_args(Trend)))
    if not 1 <= neighbours < 100 or not 0 <= reference < n:
        raise SettingsError("neighbours, reference", f"are {neighbours}, {reference}; expected 1 or more, and a slice")
    pairs = []
    window: dict[int, NDArray[Any]] = {}
    for first in range(n):
        if progress is not None:
            progress("aligning slices", first, n)
        window = {k: v for k, v in window.items() if k >= first}
        for second in range(first + 1, min(first + neighbours, n - 1) + 1):
            for k in (first, second):
                if k not in window:
                    window[k] = read_slice(stack, k)
            pair = _measure(window[first], window[second], first, second, reach)
            if pair is not None:
                pairs.append(pair)
    placed = _linked(pairs, n, name)
    shifts, errors, misfit = _reconciled(pairs, placed, n)
    skipped = tuple(k for k in range(n) if k not in placed)
    errors[list(skipped)] = np.nan
    for axis in range(2):
        shifts[:, axis] = np.interp(np.arange(n), placed, shifts[placed, axis])
    if trend == "keep" and len(placed) > 1:
        slope, _ = np.polyfit(placed, shifts[placed], 1)
        shifts = shifts - np.arange(n)[:, None] * slope
    return StackAlignment(shifts - shifts[reference], errors, skipped, tuple(pairs), misfit, (n, height, width))


def read_slice(stack: NDArray[Any] | LazyArray, k: int) -> NDArray[Any]:
    """Slice ``k`` of (n, Y, X) as an array (Y, X)."""
    return np.asarray(stack[slice(k, k + 1), slice(0, stack.shape[1]), slice(0, stack.shape[2])])[0]


def as_dtype(values: NDArray[Any], dtype: np.dtype[Any]) -> tuple[NDArray[Any], int]:
    """``values`` as ``dtype``, rounded and clipped to its range where it is an integer; and how many were clipped."""
    if dtype.kind not in "iub":
        return values.astype(dtype), 0
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    whole = np.rint(np.nan_to_num(values.astype(np.float64)))
    clipped = int(((whole < low) | (whole > high)).sum())
    if dtype.itemsize == 8:  # the largest int64 is no float64
        high = int(np.nextafter(float(high), 0))
    return np.clip(whole, low, high).astype(dtype), clipped


def _measure(fixed: NDArray[Any], moving: NDArray[Any], first: int, second: int, reach: float | None) -> Pair | None:
    try:
        found = align(fixed, moving, reach=reach, strict=False)
    except GeometryError:  # one of them is flat, or they have nothing in common
        return None
    if found.confidence < LEAST_CONFIDENCE:
        return None
    dy, dx = found.parameters
    return Pair(first, second, (float(dy), float(dx)), found.error_px)


def _linked(pairs: list[Pair], n: int, name: str) -> list[int]:
    """The slices that pairs link with each other; single slices may be left out, runs may not."""
    group = list(range(n))
    for pair in pairs:
        old, new = group[pair.second], group[pair.first]
        group = [new if g == old else g for g in group]
    sizes = {g: group.count(g) for g in group}
    most = max(sizes, key=lambda g: sizes[g])
    if sizes[most] < 2:
        raise GeometryError(name, "no two of its slices show the same place", "Check the axes: --axes ZYX.")
    for k in range(n):
        if group[k] != most and sizes[group[k]] > 1:
            edge = next(j for j in range(1, n) if group[j] != group[j - 1] and most in (group[j], group[j - 1]))
            raise GeometryError(name, f"falls apart between slices {edge - 1} and {edge}: nothing links them",
                                "Align both parts on their own, or compare with more neighbours.")  # fmt: skip
    return [k for k in range(n) if group[k] == most]


def _reconciled(pairs: list[Pair], placed: list[int], n: int) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Shifts (n, 2) that fit the pairs best with the first placed slice at zero, their errors (n,), and the misfit."""
    used = [pair for pair in pairs if pair.first in placed]
    table = np.zeros((len(used), n))
    for row, pair in zip(table, used, strict=True):
        row[[pair.first, pair.second]] = -1, 1
    table = table[:, placed[1:]]
    target = np.array([pair.shift for pair in used])
    errors = np.array([max(pair.error_px, _LEAST_ERROR) for pair in used])
    robust = np.ones(len(used))
    for _ in range(30):
        weight = robust / errors**2
        normal = table.T @ (weight[:, None] * table)
        solved = np.linalg.solve(normal, table.T @ (weight[:, None] * target))
        left = table @ solved - target
        far = np.hypot(*left.T) / errors
        robust = 1 / (1 + (far / (_OUTLIER * max(1.0, float(np.median(far))))) ** 2)
    spare = max(1.0, float((robust * far**2).sum() / max(2 * (robust.sum() - len(placed) + 1), 1)))
    shifts, uncertain = np.zeros((n, 2)), np.zeros(n)
    shifts[placed[1:]] = solved
    uncertain[placed[1:]] = np.sqrt(np.diag(np.linalg.inv(normal)) * spare)
    return shifts, uncertain, float(np.sqrt(np.average((left**2).mean(1), weights=robust)))


def _rolled(image: NDArray[Any], shift: NDArray[np.int_], fill: float) -> NDArray[Any]:
    """``image`` (Y, X) moved by whole pixels, ``fill`` where nothing comes from."""
    out = np.full_like(image, fill)
    into = tuple(slice(max(s, 0), n + min(s, 0)) for s, n in zip(shift, image.shape, strict=True))
    out_of = tuple(slice(max(-s, 0), n + min(-s, 0)) for s, n in zip(shift, image.shape, strict=True))
    out[into] = image[out_of]
    return out
