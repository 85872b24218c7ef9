"""Point spread functions on a pixel grid, odd-sized, centred, summing to 1."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import SettingsError
from ruska.physics.operators.blur import gaussian_kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FINE = 5  # sampling points per pixel and axis, for functions that change within a pixel


def gaussian_psf(sigma: float) -> NDArray[np.float64]:
    """Round Gaussian of ``sigma`` pixels, (Y, X)."""
    kernel = np.array(gaussian_kernel(sigma))
    return np.outer(kernel, kernel)


def astigmatic_psf(sigma_long: float, sigma_short: float, angle_degrees: float) -> NDArray[np.float64]:
    """Elliptic Gaussian, (Y, X): a probe with astigmatism.

    angle_degrees : of the long axis, from X towards Y (downwards).
    """
    if not 0 < sigma_short <= sigma_long <= 200:
        raise SettingsError(
            "astigmatism", f"sigmas are {sigma_long} and {sigma_short}, expected 0 < short <= long <= 200"
        )
    y, x = _grid(4 * sigma_long)
    angle = np.deg2rad(angle_degrees)
    along, across = x * np.cos(angle) + y * np.sin(angle), -x * np.sin(angle) + y * np.cos(angle)
    return _binned(np.exp(-((along / sigma_long) ** 2 + (across / sigma_short) ** 2) / 2))


def disc_psf(radius: float) -> NDArray[np.float64]:
    """Even disc of ``radius`` pixels, (Y, X): a lens out of focus, seen as rays."""
    if not 0 < radius <= 100:
        raise SettingsError("radius", f"is {radius}, expected more than 0 and at most 100 pixels")
    y, x = _grid(radius)
    # the edge falls off over one sampling point, so that the disc grows evenly with its radius
    return _binned(np.clip((radius - np.hypot(y, x)) * _FINE + 0.5, 0, 1))


def airy_psf(first_zero: float) -> NDArray[np.float64]:
    """Airy pattern of a round aperture, (Y, X): a fluorescence microscope in focus.

    first_zero : radius of the first dark ring in pixels: 0.61 wavelength / (numerical aperture x pixel size).
    Ends at the fifth dark ring, outside of which lies about 6 % of the light.
    """
    if not 0 < first_zero <= 100:
        raise SettingsError("first_zero", f"is {first_zero}, expected more than 0 and at most 100 pixels")
    from scipy.special import j1

    y, x = _grid(4.3 * first_zero)
    radius = np.hypot(y, x) / first_zero * 3.8317
    small = radius < 1e-9
    amplitude = np.where(small, 1.0, 2 * j1(radius) / np.where(small, 1.0, radius))
    return _binned(amplitude**2)


def measured_psf(values: NDArray[Any], source: str | Path = "psf") -> NDArray[np.float64]:
    """A recorded point spread function made usable: background subtracted, centred on its centre of mass.

    values : (Y, X) or (Z, Y, X). The background is the median of the outermost pixels; what is negative then is set to
    zero. Even lengths lose their last pixel. The shift to the centre is by whole pixels, so nothing is interpolated.
    Raises SettingsError when nothing is left.
    """
    psf = np.asarray(values, dtype=np.float64)
    if psf.ndim not in (2, 3) or min(psf.shape) < 3 or not np.isfinite(psf).all():
        raise SettingsError(
            str(source), f"has shape {psf.shape}, expected a finite 2D or 3D array of at least 3 pixels"
        )
    border = np.ones(psf.shape, dtype=bool)
    border[(slice(1, -1),) * psf.ndim] = False
    psf = np.maximum(psf - np.median(psf[border]), 0)
    if psf.sum() <= 0:
        raise SettingsError(str(source), "holds nothing above its background", "Is it the right file?")
    middle = [float((np.arange(n) * psf.sum(tuple(a for a in range(psf.ndim) if a != axis))).sum() / psf.sum())
              for axis, n in enumerate(psf.shape)]  # fmt: skip
    half = [int(min(round(m), n - 1 - round(m))) for m, n in zip(middle, psf.shape, strict=True)]
    psf = psf[tuple(slice(round(m) - h, round(m) + h + 1) for m, h in zip(middle, half, strict=True))]
    return psf / psf.sum()


def _grid(reach: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fine sampling points (Y, X) in pixels from the centre, over whole pixels up to ``reach``."""
    half = max(1, int(np.ceil(reach)))
    points = (np.arange((2 * half + 1) * _FINE) + 0.5) / _FINE - half - 0.5
    return np.meshgrid(points, points, indexing="ij")


def _binned(fine: NDArray[np.float64]) -> NDArray[np.float64]:
    n = fine.shape[0] // _FINE
    psf = fine.reshape(n, _FINE, n, _FINE).mean((1, 3))
    return psf / psf.sum()
