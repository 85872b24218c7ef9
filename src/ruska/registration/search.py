"""Finding whole-pixel shifts without a first guess, and the chance that such a peak means nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BLOCK = 24  # pixels
_LEAST_OVERLAP = 0.3  # of the smaller image, below which a correlation is not believed


@dataclass(frozen=True)
class Peak:
    """A maximum of the correlation: shift (dy, dx) in pixels of the searched images, and its height, -1 to 1."""

    dy: int
    dx: int
    height: float


def correlations(
    fixed: NDArray[np.float32],
    moving: NDArray[np.float32],
    valid_fixed: NDArray[np.bool_],
    valid_moving: NDArray[np.bool_],
    reach: tuple[int, int],
) -> NDArray[np.float64]:
    """Correlation coefficient of the overlap at each shift: (2 reach_y + 1, 2 reach_x + 1), no shift in the middle.

    Source: Padfield (2012), IEEE Trans. Image Processing 21, eqs. 8 to 12. Shifts with too little overlap are -1.
    """
    from scipy import fft

    shape = tuple(fft.next_fast_len(f + m - 1, real=True) for f, m in zip(fixed.shape, moving.shape, strict=True))

    def spectrum(image: NDArray[Any]) -> NDArray[np.complexfloating]:
        return fft.rfft2(image.astype(np.float64), shape)

    rows, columns = (np.arange(-r, r + 1) % n for r, n in zip(reach, shape, strict=True))

    def correlate(f: NDArray[Any], m: NDArray[Any]) -> NDArray[np.float64]:
        return fft.irfft2(f * m.conj(), shape)[np.ix_(rows, columns)]

    f, m = fixed * valid_fixed, moving * valid_moving
    ones_f, ones_m, f1, m1 = (spectrum(a) for a in (valid_fixed, valid_moving, f, m))
    count = np.maximum(correlate(ones_f, ones_m), 1)
    mean_f, mean_m = correlate(f1, ones_m) / count, correlate(ones_f, m1) / count
    var_f = correlate(spectrum(f**2), ones_m) / count - mean_f**2
    var_m = correlate(ones_f, spectrum(m**2)) / count - mean_m**2
    covariance = correlate(f1, m1) / count - mean_f * mean_m
    least = 1e-6 * max(float(var_f.max()), 1e-30), 1e-6 * max(float(var_m.max()), 1e-30)
    enough = (count >= _LEAST_OVERLAP * min(valid_fixed.sum(), valid_moving.sum())) & (var_f > least[0])
    enough &= var_m > least[1]
    scale = np.sqrt(np.maximum(var_f, least[0]) * np.maximum(var_m, least[1]))
    return np.where(enough, np.clip(covariance / scale, -1, 1), -1.0)


def peaks(correlation: NDArray[np.float64], apart: int, most: int) -> list[Peak]:
    """The highest local maxima of `correlations`, at most ``most``, with no higher one within ``apart`` pixels."""
    from scipy.ndimage import maximum_filter

    top = (correlation == maximum_filter(correlation, 2 * apart + 1, mode="nearest")) & (correlation > 0)
    middle = np.array(correlation.shape) // 2
    found = [Peak(int(y - middle[0]), int(x - middle[1]), float(correlation[y, x])) for y, x in np.argwhere(top)]
    return sorted(found, key=lambda peak: -peak.height)[:most]


def chance_correlation(fixed: NDArray[np.float32], moving: NDArray[np.float32]) -> float:
    """Standard deviation of the correlation coefficient of two unrelated images with these spectra (same shape).

    Source: Bartlett (1946); Brockwell & Davis (1991), Time Series, theorem 11.2.2: the sum of the products of the two
    autocorrelations over the number of samples, here taken in the frequency domain.
    """
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in fixed.shape))
    power_f, power_m = (np.abs(np.fft.fft2((a - a.mean()) * window)) ** 2 for a in (fixed, moving))
    total = float(power_f.sum() * power_m.sum())
    return float(np.sqrt((power_f * power_m).sum() / total)) if total > 0 else 1.0


def block_agreement(fixed: NDArray[np.float32], moving: NDArray[np.float32], valid: NDArray[np.bool_]) -> float:
    """Mean over blocks of the correlation coefficient within each, over its standard error: a z value.

    0 where fewer than four blocks are wholly ``valid``. All arrays are (Y, X).
    """
    found = []
    for y in range(0, fixed.shape[0] - _BLOCK + 1, _BLOCK):
        for x in range(0, fixed.shape[1] - _BLOCK + 1, _BLOCK):
            box = np.s_[y : y + _BLOCK, x : x + _BLOCK]
            if valid[box].all():
                f, m = (a[box] - a[box].mean() for a in (fixed, moving))
                scale = float((f**2).sum() * (m**2).sum())
                found.append(float((f * m).sum()) / np.sqrt(scale) if scale > 0 else 0.0)
    if len(found) < 4:
        return 0.0
    return float(np.mean(found) / max(np.std(found, ddof=1) / np.sqrt(len(found)), 1e-9))
