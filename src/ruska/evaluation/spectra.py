"""What the noise should leave at each spatial frequency, and how far a residual is from that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.metrics import radial_spectrum

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.physics import NoiseEstimate

_BANDS = 16
_DEEPEST = 1e-3  # of the noise's power: less than that is as good as nothing
_ANGLES = 64


def noise_spectrum(noise: NoiseEstimate, frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Power of the noise at each spatial frequency (cycles per pixel), grey levels squared per pixel.

    Mean over all directions of the spectrum that belongs to the correlations along Y and X, which are taken to be
    independent of each other; flat for noise that is not correlated.
    """
    if not noise.correlated:
        return np.full_like(frequency, noise.std**2)
    angle = (np.arange(_ANGLES) + 0.5) * np.pi / (2 * _ANGLES)
    spectrum = np.full((len(frequency), _ANGLES), noise.std**2)
    for lags, along in ((noise.lags_y, np.sin(angle)), (noise.lags_x, np.cos(angle))):
        f = frequency[:, None] * along
        terms = [2 * lag * np.cos(2 * np.pi * (k + 1) * f) for k, lag in enumerate(lags)]
        spectrum *= np.maximum(1 + sum(terms), _DEEPEST)
    return spectrum.mean(1)


def spectrum_distance(residual: NDArray[Any], expected: NDArray[np.float64]) -> float:
    """How far the spectrum of ``residual`` (Y, X) is from ``expected``, in dB: 0 when only noise was removed.

    expected : power at the frequencies of `radial_spectrum`, as `noise_spectrum` gives it. Both are averaged over 16
    bands of equal width; the answer is the root mean square over bands of their ratio in dB, at most 30 a band below.
    A denoiser cannot tell coarse noise from coarse structure and leaves it in, which costs some dB; removed structure
    adds power and costs more the stronger it is.
    """
    frequency, power = radial_spectrum(residual)
    band = np.minimum((frequency * 2 * _BANDS).astype(int), _BANDS - 1)
    count = np.bincount(band, minlength=_BANDS)
    found, model = (np.bincount(band, p, _BANDS)[count > 0] / count[count > 0] for p in (power, expected))
    if not (model > 0).all():
        return 0.0 if not found.any() else float("inf")
    return float(np.sqrt(np.mean((10 * np.log10(np.maximum(found / model, _DEEPEST))) ** 2)))
