"""Peers without a network, with settings as recommended: BM3D in several ways, scikit-image's, interpolation."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import Case
from benchmarks.scoring import score
from ruska.physics import (
    NoiseEstimate,
    NoiseLevel,
    PoissonGaussian,
    anscombe,
    estimate_noise,
    inverse_anscombe,
    noise_level,
)
from ruska.physics.operators import data_step

_BACK_PROJECTIONS = 10
_LEAST_FOR_GAIN = 64  # pixels each way, to see how noise grows with the signal
_TV_ITERATIONS, _TV_WEIGHT = 30, 0.08
_STRENGTHS = (1.1, 1.3, 1.45)  # of the noise that BM3D is told, of which the truth chooses


def _bm3d(values: NDArray[Any], noise: Any) -> NDArray[Any]:
    import bm3d

    if values.ndim == 3:
        return np.stack([_bm3d(plane, noise) for plane in values])
    if not hasattr(np, "trapz"):  # of a spectrum bm3d takes the integral by the name it had before NumPy 2
        setattr(np, "trapz", np.trapezoid)  # noqa: B010  # the linter knows the name as one that is gone
    return np.asarray(bm3d.bm3d(values.astype(np.float64), noise))


def _white(case: Case) -> float:
    """Ruska's estimate of the white noise as strong as the case's."""
    plane = case.measurement if case.measurement.ndim == 2 else case.measurement[len(case.measurement) // 2]
    return estimate_noise(plane).white_equivalent_std


def bm3d_own(case: Case) -> NDArray[Any]:
    """Told skimage's estimate, as its users do."""
    from skimage.restoration import estimate_sigma

    return _bm3d(case.measurement, float(estimate_sigma(case.measurement.astype(np.float64))))


def bm3d_true(case: Case) -> NDArray[Any]:
    return _bm3d(case.measurement, true_noise(case))


@cache
def noise_of(case: Case) -> NoiseEstimate:
    """What Ruska finds of a case's noise and tells those peers that can be told."""
    return estimate_noise(case.measurement)


@cache
def level_of(case: Case) -> NoiseLevel | None:
    """How the noise grows with the signal, as Ruska fits it; None for an image that is too small."""
    return noise_level(case.measurement) if min(case.measurement.shape) >= _LEAST_FOR_GAIN else None


def bm3d_spectrum(case: Case, strength: float = 1.0) -> NDArray[Any]:
    """Told the noise's spectrum, from the correlation that Ruska measures (what BM3D's authors call a PSD)."""
    found = noise_of(case)
    lags = [np.array([*reversed(side), 1.0, *side]) for side in (found.lags_y, found.lags_x)]
    covariance = np.outer(*lags) * found.std**2
    padded = np.zeros(case.measurement.shape)
    padded[: covariance.shape[0], : covariance.shape[1]] = covariance
    padded = np.roll(padded, [-(n // 2) for n in covariance.shape], (0, 1))
    spectrum = strength**2 * np.maximum(np.fft.fft2(padded).real, 1e-12) * padded.size
    return _bm3d(case.measurement, spectrum)


def bm3d_tuned(case: Case) -> NDArray[Any]:
    """`bm3d_spectrum` at the strength that brings this very image nearest to its truth."""
    tried = [bm3d_spectrum(case, strength) for strength in _STRENGTHS]
    return max(tried, key=lambda restored: score(restored, case)["psnr"])


def anscombe_bm3d(case: Case) -> NDArray[Any]:
    """After a generalised Anscombe transform with the parameters that Ruska fits to the image."""
    line = level_of(case)
    if line is None or line.gain <= 0:
        return bm3d_own(case)
    return _stabilised(case.measurement, line.gain, line.intercept)


def anscombe_bm3d_true(case: Case) -> NDArray[Any]:
    assert isinstance(case.noise, PoissonGaussian)
    return _stabilised(case.measurement, 1 / case.noise.peak_counts, case.noise.read_noise**2)


def _stabilised(values: NDArray[Any], gain: float, intercept: float) -> NDArray[Any]:
    offset = min(0.0, intercept / gain)  # a detector offset makes the line cross zero above level 0
    stable = anscombe(values + offset, gain, max(intercept, 0.0))
    span = np.ptp(stable)
    restored = _bm3d(stable / span, 1 / span) * span
    return inverse_anscombe(restored, gain, max(intercept, 0.0)) - offset


def skimage_nlm(case: Case) -> NDArray[Any]:
    from skimage.restoration import denoise_nl_means, estimate_sigma

    values = case.measurement.astype(np.float64)
    sigma = float(estimate_sigma(values))
    return denoise_nl_means(values, patch_size=5, patch_distance=6, h=0.8 * sigma, sigma=sigma, fast_mode=True)


def skimage_tv(case: Case) -> NDArray[Any]:
    """Weight 0.1 on a 0-1 scale, skimage's own default."""
    from skimage.restoration import denoise_tv_chambolle

    values = case.measurement.astype(np.float64)
    low, high = values.min(), values.max()
    return denoise_tv_chambolle((values - low) / (high - low), weight=0.1) * (high - low) + low


def skimage_wavelet(case: Case) -> NDArray[Any]:
    from skimage.restoration import denoise_wavelet

    return denoise_wavelet(case.measurement.astype(np.float64), rescale_sigma=True)


def richardson_lucy(case: Case, measurement: NDArray[Any] | None = None, iterations: int = 15) -> NDArray[Any]:
    """scikit-image's, with the true point spread function, on mirrored borders."""
    from skimage.restoration import richardson_lucy as skimage_richardson_lucy

    from ruska.physics.operators import gaussian_psf

    values = np.clip(case.measurement if measurement is None else measurement, 1e-3, None).astype(np.float64)
    padded = np.pad(values, 32, mode="symmetric")
    return skimage_richardson_lucy(padded, gaussian_psf(blur_width(case)), num_iter=iterations, clip=False)[
        32:-32, 32:-32
    ]


def bm3d_richardson_lucy(case: Case) -> NDArray[Any]:
    return richardson_lucy(case, _bm3d(case.measurement, true_noise(case)), iterations=30)


def unsupervised_wiener(case: Case) -> NDArray[Any]:
    from skimage.restoration import unsupervised_wiener as skimage_wiener

    from ruska.physics.operators import gaussian_psf

    values = np.pad(case.measurement.astype(np.float64), 32, mode="symmetric")
    # skimage draws its samples from NumPy's global generator unless it is handed one
    found, _ = skimage_wiener(values, gaussian_psf(blur_width(case)), clip=False, rng=0)
    return found[32:-32, 32:-32]


def total_variation(case: Case) -> NDArray[Any]:
    """Least squares with total variation, any operator, by half-quadratic splitting with the true noise level."""
    import torch
    from skimage.restoration import denoise_tv_chambolle

    y = torch.from_numpy(case.measurement.astype(np.float64))[None, None]
    x = torch.from_numpy(cubic(case).astype(np.float64))[None, None]
    sigma = true_noise(case)
    for step in range(_TV_ITERATIONS):
        spread = 0.1 * (sigma / 0.1) ** (step / (_TV_ITERATIONS - 1))  # of the guess's error, falling
        guess = denoise_tv_chambolle(x[0, 0].numpy(), weight=_TV_WEIGHT * spread)
        x = data_step(case.operator, y, torch.from_numpy(guess)[None, None], (sigma / spread) ** 2)
    return guess


def cubic(case: Case) -> NDArray[Any]:
    """Cubic interpolation between the centres of cells."""
    return _enlarged(case.measurement, case)


def nearest(case: Case) -> NDArray[Any]:
    return _enlarged(case.measurement, case, order=0)


def _enlarged(values: NDArray[Any], case: Case, order: int = 3) -> NDArray[Any]:
    from scipy.ndimage import zoom

    if case.truth is None or values.shape == case.truth.shape:
        return np.asarray(values, dtype=np.float64)
    factors = [t / n for t, n in zip(case.truth.shape, values.shape, strict=True)]
    return zoom(values.astype(np.float64), factors, order=order, mode="grid-mirror", grid_mode=True)


def back_projection(case: Case, measurement: NDArray[Any] | None = None) -> NDArray[Any]:
    """Cubic, then corrected until decimating it gives the measurement. Source: Irani & Peleg (1991), CVGIP 53, 231."""
    import torch

    values = (case.measurement if measurement is None else measurement).astype(np.float64)
    x = _enlarged(values, case)
    for _ in range(_BACK_PROJECTIONS):
        missing = values - case.operator.forward(torch.from_numpy(x)[None, None])[0, 0].numpy()
        x = x + _enlarged(missing, case)
    return x


def bm3d_back_projection(case: Case) -> NDArray[Any]:
    return back_projection(case, _bm3d(case.measurement, true_noise(case)))


def true_noise(case: Case) -> float:
    """Standard deviation; Ruska's estimate for a real pair, of which nobody knows it."""
    found = case.noise_std
    return _white(case) if found is None else found


def blur_width(case: Case) -> float:
    """Of a Gaussian blur, in pixels."""
    from ruska.physics.operators import GaussianBlur

    assert isinstance(case.operator, GaussianBlur)
    return case.operator.sigmas[0]
