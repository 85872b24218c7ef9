"""Whether a micrograph shows the pattern of a detector, how strongly, and in which orientation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Plane = NDArray[np.float32]

K = TypeVar("K")
_WIDE = 33  # pixels over which the specimen is taken out, and the pattern is not
_FAR_OUT = 8.0  # standard deviations, beyond which a pixel is a defect or an edge and tells nothing of a gain
_DISPLACED = 12  # times that a pattern is laid elsewhere, to see how well it fits by chance
_LEAST = 11  # pixels by which it is displaced
_FEWEST = 1024  # pixels, below which nothing is told
_FLAT = 1e-6  # largest difference of neighbours, relative or in grey levels, up to which a reference has no pattern
_CLIPPED = 8.0  # standard deviations that count at most of a pixel that stands out


@dataclass(frozen=True)
class Strength:
    """How strongly a pattern is in a micrograph.

    value : for a gain or dark reference, 1 if the pattern is there once, 0 if it is absent, negative if it is inverted;
        for defects, by how many standard deviations they stand out from other pixels on average.
    error : standard error, from the same pattern shifted to other places.
    """

    value: float
    error: float

    def exceeds(self, other: Strength | None, times: float) -> bool:
        """Whether it exceeds another (None: zero) by this many standard errors."""
        rest, error = (0.0, 0.0) if other is None else (other.value, other.error)
        return self.value - rest > times * float(np.hypot(self.error, error))


def strengths(kind: str, mean: NDArray[Any], patterns: Mapping[K, NDArray[Any]]) -> dict[K, Strength]:
    """How strongly the micrograph ``mean`` shows each of ``patterns``; those that cannot be measured are left out.

    kind : what the patterns are. ``gain``: of pixels that respond less where it is large, so ``mean`` varies as
        1 / gain where it was not corrected. ``dark``: added to ``mean``. ``defects``: anything but 0 at pixels whose
        values cannot be relied on.
    mean : (Y, X), the mean of frames, in which their noise is weaker, of a gain without the dark level; NaN where it is
        invalid. patterns : (Y, X) each, NaN where they cannot be used.

    Compares the differences of each pixel from its four neighbours (least squares), where the specimen is weakest and a
    detector's pattern is not. For a gain, both are first divided by their mean over 33 pixels.
    """
    seen = np.asarray(mean, np.float32)
    fine = _near(_fine(_relative(seen))) if kind == "gain" else _fine(seen)
    found: dict[K, Strength | None] = {}
    for key, pattern in patterns.items():
        if kind == "gain":
            found[key] = _gain_strength(fine, pattern)
        else:
            found[key] = _slope(fine, pattern) if kind == "dark" else _height(fine, pattern)
    return {key: strength for key, strength in found.items() if strength is not None}


def _gain_strength(fine: Plane, gain: NDArray[Any]) -> Strength | None:
    with np.errstate(divide="ignore", invalid="ignore"):
        response = np.float32(1) / np.asarray(gain, np.float32)
    return _slope(fine, _near(_fine(_relative(response))), fine_already=True)


def _height(fine: Plane, defects: NDArray[Any]) -> Strength | None:
    """By how many standard deviations marked pixels stand out more than others."""
    valid, spread = np.isfinite(fine), _spread(fine)
    marked = np.asarray((defects != 0) & valid, np.float32)
    if valid.sum() < _FEWEST or not marked.any() or not spread > 0:
        return None
    out = np.minimum(np.abs(np.where(valid, fine, 0)) / spread, _CLIPPED)
    out = np.where(valid, out - out[valid].mean(), 0)

    def height(laid: Plane) -> float:
        return float((laid * out).sum()) / max(float((laid * valid).sum()), 1.0)

    return Strength(height(marked), _by_chance(marked, height))


def _slope(fine: Plane, pattern: NDArray[Any], *, fine_already: bool = False) -> Strength | None:
    """Least-squares factor of ``pattern`` in ``fine``; None where nothing can be told."""
    pattern = pattern if fine_already else _fine(np.asarray(pattern, np.float32))
    valid = np.isfinite(fine) & np.isfinite(pattern)
    if valid.sum() < _FEWEST:
        return None
    fine, pattern = (np.where(valid, one - one[valid].mean(), 0) for one in (fine, pattern))
    power = float((pattern**2).sum())
    if not float(np.abs(pattern).max()) > _FLAT:
        return None

    def slope(laid: Plane) -> float:
        return float((fine * laid).sum()) / power

    return Strength(slope(pattern), _by_chance(pattern, slope))


def _by_chance(pattern: Plane, measure: Callable[[Plane], float]) -> float:
    """Root mean square of the strengths measured with the pattern shifted to other places."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(_DISPLACED):
        move = tuple(int(random.integers(_LEAST, max(n - _LEAST, _LEAST + 1))) for n in pattern.shape)
        found.append(measure(np.roll(pattern, move, (0, 1))))
    return float(np.sqrt(np.mean(np.square(found))))


def _fine(plane: Plane) -> Plane:
    """Difference of each pixel from the mean of its four neighbours; NaN at the border and beside invalid pixels."""
    out = np.full_like(plane, np.nan)
    beside = (plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:]) / 4
    out[1:-1, 1:-1] = plane[1:-1, 1:-1] - beside
    return np.where(np.isfinite(out), out, np.nan)


def _relative(plane: Plane) -> Plane:
    """Over the mean around each pixel, of those that are finite."""
    from scipy.ndimage import uniform_filter

    valid = np.isfinite(plane)
    total = uniform_filter(np.where(valid, plane, 0), _WIDE, mode="nearest")
    share = uniform_filter(valid.astype(np.float32), _WIDE, mode="nearest")
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(valid, plane * share / total, np.nan)


def _near(fine: Plane) -> Plane:
    """NaN where a value is far out."""
    return np.where(np.abs(fine) <= _FAR_OUT * _spread(fine), fine, np.nan)


def _spread(fine: Plane) -> float:
    """Standard deviation by the median, which few outliers move."""
    valid = fine[np.isfinite(fine)]
    return float(1.4826 * np.median(np.abs(valid))) if valid.size else 0.0
