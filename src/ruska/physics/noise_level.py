"""How the noise grows with the signal: variance = gain x level + intercept, from one micrograph or from frames.

The line is that of a linear detector: each electron (or photon) counts ``gain`` grey levels, and the intercept holds
the read noise and the offset, which one image cannot tell apart.
Source: Foi, Trimeche, Katkovnik & Egiazarian (2008), IEEE Trans. Image Process. 17, 1737 (the model). Differs: levels
and variances come from the least structured patches, the line through them is the median of slopes (Theil-Sen).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError
from ruska.physics.noise_statistics import column_variances

if TYPE_CHECKING:
    from numpy.typing import NDArray

_GROUPS = 12
_MOST_COUNTS = 64  # different values of an image of counts
_LEAST_COUNTS = 1 / 64  # a pixel
_FEWEST_ZEROS = 0.02  # share of pixels that hold none
_UNEVEN = 0.02  # of a step, that values may be off: those of float32 on another scale are
_POISSON = (0.75, 1.3)  # variance over mean of what counts as such
_CLIPPED = 0.02  # share of pixels at the lowest or highest value above which a group of pixels counts as clipped


@dataclass(frozen=True)
class NoiseLevel:
    """Noise variance as a line over the grey level, in the micrograph's own units.

    gain : grey levels per electron (or photon); 0 when the noise does not grow with the signal, negative where it was
        asked for and the contrast is inverted.
    intercept : variance at grey level 0, in grey levels squared; may be negative where the detector has an offset.
    levels, variances : the points the line was drawn through.
    counted : whether these are single counts, whose variance is their mean: the line is known, and was not fitted.
    """

    gain: float
    intercept: float
    levels: tuple[float, ...]
    variances: tuple[float, ...]
    counted: bool = False

    def std(self, level: NDArray[Any] | float) -> NDArray[np.float64]:
        """Standard deviation of the noise at grey ``level``; never below that of the quietest point measured."""
        line = self.gain * np.asarray(level, dtype=np.float64) + self.intercept
        return np.sqrt(np.maximum(line, min(self.variances)))


def noise_level(image2d: NDArray[Any], *, falling: bool = False) -> NoiseLevel:
    """Fit the line to one micrograph (Y, X), at least 64 pixels each way; NaN and infinite pixels are left out.

    falling : whether the noise may also fall with the grey level, as it does where the contrast is inverted.
    Texture that fills the whole image counts as noise. Raises GeometryError when the image is smaller.
    """
    if image2d.ndim != 2 or min(image2d.shape) < 64:
        raise GeometryError("noise level", f"got shape {image2d.shape}, expected a 2D image of at least 64 pixels")
    levels, variances = column_variances(image2d, _GROUPS)
    counts = _poisson(image2d, levels, variances)
    return counts if counts is not None else _line(levels, variances, falling=falling)


def _poisson(image2d: NDArray[Any], levels: Sequence[float], variances: Sequence[float]) -> NoiseLevel | None:
    """The line of a counting detector, where ``image2d`` holds its counts on whatever scale; else None.

    There are few different values, a step apart or several; the lowest is frequent, and stands for no count; and in
    dark and bright parts alike the variance is the step times the level above it.
    """
    if not few_values(image2d):
        return None
    values = image2d[np.isfinite(image2d)]
    found, often = np.unique(values, return_counts=True)
    found = found.astype(np.float64)
    if not 1 < found.size <= _MOST_COUNTS or often[0] < _FEWEST_ZEROS * values.size:
        return None
    step, zero = float(np.diff(found).min()), float(found[0])
    counts = (found - zero) / step
    if np.abs(counts - np.rint(counts)).max() > _UNEVEN:
        return None
    level = np.asarray(levels) - zero
    dispersion = np.asarray(variances)[level > 0] / (step * level[level > 0])
    halves = [half for half in np.array_split(dispersion, 2) if half.size]
    if not halves or not all(_POISSON[0] < np.median(half) < _POISSON[1] for half in halves):
        return None
    least = _LEAST_COUNTS * step  # no place is darker: fewer counts than this cannot be told from none
    return NoiseLevel(step, -step * zero, (zero + least, *map(float, levels)), (step * least, *map(float, variances)),
                      counted=True)  # fmt: skip


def few_values(image2d: NDArray[Any]) -> bool:
    """Whether some thousands of pixels of ``image2d`` hold so few different values that they may be single counts."""
    return np.unique(image2d.ravel()[:: max(1, image2d.size // 4096)]).size <= _MOST_COUNTS


def noise_level_of_frames(frames: NDArray[Any]) -> NoiseLevel:
    """Fit the line to repeated frames (N, Y, X) of one place, N >= 2: no assumption about the specimen.

    Slow brightness changes between neighbouring frames are removed; drift is not, and counts as noise.
    """
    if frames.ndim != 3 or len(frames) < 2:
        raise GeometryError("noise level", f"got shape {frames.shape}, expected at least two frames (N, Y, X)")
    from scipy.ndimage import uniform_filter

    stack = np.asarray(frames, dtype=np.float64)
    # Grouped by a smoothed mean: grouped by their own, the brightest pixels would be those with the most noise.
    smooth = uniform_filter(stack.mean(0), 5, mode="reflect").ravel()
    mean = stack.mean(0).ravel()
    step = np.diff(stack, axis=0)
    step -= step.mean((1, 2), keepdims=True)
    variance = (step**2).mean(0).ravel() / 2
    clipped = ((stack == stack.min()) | (stack == stack.max())).mean(0).ravel() > _CLIPPED
    usable = ~clipped if (~clipped).sum() >= 100 else np.ones_like(clipped)
    mean, variance, smooth = mean[usable], variance[usable], smooth[usable]
    group = np.searchsorted(np.quantile(smooth, np.linspace(0, 1, _GROUPS + 1)[1:-1]), smooth)
    found = np.unique(group)
    return _line([mean[group == i].mean() for i in found], [variance[group == i].mean() for i in found])


def _line(levels: Sequence[float], variances: Sequence[float], *, falling: bool = False) -> NoiseLevel:
    """The Theil-Sen line; level when it does not rise, and may not fall."""
    x, y = np.asarray(levels, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    apart = [(i, j) for i, j in combinations(range(len(x)), 2) if abs(x[j] - x[i]) > 1e-12 * max(1.0, abs(x).max())]
    gain = float(np.median([(y[j] - y[i]) / (x[j] - x[i]) for i, j in apart])) if apart else 0.0
    if not falling:
        gain = max(0.0, gain)
    return NoiseLevel(gain, float(np.median(y - gain * x)), tuple(map(float, x)), tuple(map(float, y)))
