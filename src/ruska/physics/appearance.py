"""What kind of picture a plane is, in four numbers that noise hardly changes: to tell the unfamiliar from the known.

Micrographs of tissue and of materials fill the grey scale and have detail everywhere. Bright spots on black, masks,
drawings, diffraction patterns and noise alone differ from them in one of these numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.physics.noise_level import few_values, noise_level
from ruska.physics.noise_statistics import NoiseEstimate, estimate_noise
from ruska.physics.valid_part import valid_part

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMOOTHING = 2.0  # pixels
_LEFT = 1 / (2 * np.pi**0.5 * _SMOOTHING)  # of white noise after smoothing, as a share of its standard deviation
_FAINTEST = 1 / 30  # signal over noise, below which nothing is told apart
_SMALLEST = 16  # pixels each way
_PATCH = 64  # pixels within which detail is looked for; slower changes are shading
_HALF = 0.5  # correlation at which detail ends


@dataclass(frozen=True)
class Appearance:
    """Numbers of one plane.

    noise : its standard deviation over that of the signal, as both are after smoothing; at most 30.
    skewness : of the grey levels after smoothing, from their percentiles 1, 50 and 99; -1 (dark spots on white) to 1.
    equal : share of neighbouring pixels that are equal, 0 to 1; masks and drawings have 0.9. Of single counts: 0.
    detail : pixels after which the content of a patch of 64 x 64 pixels resembles itself by half only.
    """

    noise: float
    skewness: float
    equal: float
    detail: float


def appearance(plane: NDArray[Any], noise: NoiseEstimate | None = None) -> Appearance:
    """The numbers of ``plane`` (Y, X), any grey levels; of the part that is valid where it has an empty (NaN) border.

    noise : that of the plane, where it was estimated before. Raises GeometryError below 16 pixels each way.
    """
    from scipy.ndimage import gaussian_filter

    found = noise or estimate_noise(plane)
    part = valid_part(plane)
    if min(part.shape) < _SMALLEST:  # what is valid is scattered
        part = np.where(np.isfinite(plane), plane, np.nanmean(plane))
    values = np.asarray(part, dtype=np.float32)
    smooth = gaussian_filter(values, _SMOOTHING)
    strength = max(found.white_equivalent_std, 1e-12)
    signal = np.sqrt(max(float(smooth.var()) - (_LEFT * strength) ** 2, (_FAINTEST * strength) ** 2))
    low, middle, high = (float(q) for q in np.percentile(smooth, (1, 50, 99)))
    return Appearance(
        noise=min(float(strength / signal), 1 / _FAINTEST),
        skewness=(high + low - 2 * middle) / (high - low) if high > low else 0.0,
        equal=0.0 if _counted(part) else float(np.mean(values[:, 1:] == values[:, :-1])),
        detail=_detail(values, found),
    )


def _counted(plane: NDArray[Any]) -> bool:
    """Whether ``plane`` holds single counts: many of its neighbours are equal by chance."""
    return min(plane.shape) >= _PATCH and few_values(plane) and noise_level(plane).counted


def _detail(plane: NDArray[np.float32], noise: NoiseEstimate) -> float:
    """Lag in pixels, mean of both axes, at which the correlation without the noise falls to one half."""
    height, width = (min(n, _PATCH) for n in plane.shape)
    rows, columns = (n // size for n, size in zip(plane.shape, (height, width), strict=True))
    cut = plane[: rows * height, : columns * width].reshape(rows, height, columns, width)
    cut = cut - cut.mean((1, 3), keepdims=True)
    along = [_correlation(cut, axis, noise.std**2, lags) for axis, lags in ((1, noise.lags_y), (3, noise.lags_x))]
    return float(np.mean([_fall(c) for c in along]))


def _correlation(
    patches: NDArray[np.float32], axis: int, variance: float, lags: tuple[float, ...]
) -> NDArray[np.float64]:
    """Correlation at lags 0, 1, .. to half a patch, that of the noise taken away."""
    moved = np.moveaxis(patches, axis, -1)
    size = moved.shape[-1]
    flat = moved.reshape(-1, size)
    power = (np.abs(np.fft.rfft(flat, 2 * size)) ** 2).mean(0, dtype=np.float64)
    found = np.fft.irfft(power)[: size // 2] / (size - np.arange(size // 2))
    of_noise = np.zeros_like(found)
    known = (1.0, *lags)[: len(found)]
    of_noise[: len(known)] = known
    return np.asarray(found - variance * of_noise)


def _fall(correlation: NDArray[np.float64]) -> float:
    """Where the correlation falls below half of that at no lag, between two pixels if need be."""
    level = _HALF * max(correlation[0], 1e-12)
    below = np.flatnonzero(correlation < level)
    if not below.size:
        return float(len(correlation))
    k = int(below[0])
    if k == 0:
        return 0.0
    return float(k - 1 + (correlation[k - 1] - level) / (correlation[k - 1] - correlation[k]))
