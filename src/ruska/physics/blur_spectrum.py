"""How wide a blur is, from the power spectrum of one micrograph: a first guess.

Sharp micrographs of tissue and of materials have nearly the same spectrum, a power of the frequency; the noise adds a
level that is the same everywhere, and a blur takes away what its transfer function says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError
from ruska.physics.operators.families import BlurShape, Family

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EXPONENT = 2.5  # of the power over the frequency; sharp edges alone would have 3, membranes 2 and less
_SLOWEST = 0.015  # cycles per pixel; below, the spectrum is of few large things and of shading
_STARTS = (0.7, 1.5, 3.0)  # pixels
_SMALLEST = 32


def blur_of_spectrum(plane: NDArray[Any], noise_std: float, family: Family) -> BlurShape:
    """The blur of ``family`` (not free) that explains the spectrum of ``plane`` (Y, X) best.

    noise_std : of the noise, in the units of ``plane``, where the search for its level starts: noise that is thought
        weaker than it is would look like fine detail, and there would be no blur.

    The likelihood is that of Whittle (1951): every Fourier coefficient is normal with the model's power as variance.
    Within some 20 % on micrographs. Raises GeometryError on less than 32 pixels each way.
    """
    if plane.ndim != 2 or min(plane.shape) < _SMALLEST:
        raise GeometryError("blur", f"got shape {plane.shape}, expected a plane of at least {_SMALLEST} pixels")
    from scipy.optimize import minimize

    fy, fx, power = _spectrum(plane)
    frequency = np.hypot(fy, fx)
    plain, slow = frequency**-_EXPONENT, frequency < 4 * _SLOWEST

    def misfit(parameters: NDArray[Any]) -> float:
        strength, floor, *shape = np.clip(parameters, -50, 50)
        expected = np.exp(strength) * plain * _shape(family, shape).transfer(fy, fx) ** 2 + np.exp(floor)
        return float((np.log(expected) + power / expected).mean())

    strength = float(np.log(np.mean(power[slow]) * np.mean(frequency[slow]) ** _EXPONENT))
    floor = 2 * float(np.log(max(noise_std, 1e-6)))
    if family == "astigmatic":
        size = blur_of_spectrum(plane, noise_std, "gaussian").width
        starts = [_leaning(size, turn) for turn in (0.0, 45.0, 90.0, 135.0)]
    else:
        starts = [[float(np.log(size))] for size in _STARTS]
    tries = [minimize(misfit, [strength, floor, *start], method="Nelder-Mead",
                      options={"maxiter": 400, "xatol": 1e-3, "fatol": 1e-7}) for start in starts]  # fmt: skip
    return _shape(family, min(tries, key=lambda found: float(found.fun)).x[2:])


def _leaning(size: float, turn: float) -> list[float]:
    """Logarithm of the size and of the elongation, along and across 45 degrees from X, of a slight ellipse."""
    double, lean = 2 * np.deg2rad(turn), 0.2
    return [float(np.log(max(size, 0.05))), lean * float(np.cos(double)), lean * float(np.sin(double))]


def _shape(family: Family, parameters: Sequence[float]) -> BlurShape:
    """A blur of the parameters that are searched: any numbers make one."""
    size = float(np.exp(np.clip(parameters[0], -3, 3)))
    if family != "astigmatic":
        return BlurShape(family, (size * (2 if family == "defocus" else 1),))
    lean = float(np.clip(np.hypot(parameters[1], parameters[2]), 0, 1.5))
    angle = float(np.rad2deg(np.arctan2(parameters[2], parameters[1])) / 2) % 180
    return BlurShape(family, (size * float(np.exp(lean / 2)), size * float(np.exp(-lean / 2)), angle))


def stretched(shape: BlurShape, factor: float) -> BlurShape:
    """An ellipse with ``factor`` times the ratio of its axes, at least round, of the same area."""
    long, short, angle = shape.values
    ratio = max(1.0, long / short * factor)
    size = float(np.sqrt(long * short))
    return replace(shape, values=(size * ratio**0.5, size / ratio**0.5, angle))


def _spectrum(plane: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Frequencies along Y and X, and the power there, of white noise of variance 1 equal to 1; one half, as vectors."""
    height, width = plane.shape
    window = np.hanning(height)[:, None] * np.hanning(width)
    power = np.abs(np.fft.rfft2((plane - plane.mean()) * window)) ** 2 / (window**2).sum()
    fy, fx = np.broadcast_arrays(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    used = (np.hypot(fy, fx) > max(_SLOWEST, 1.5 / min(plane.shape))) & (np.hypot(fy, fx) <= 0.5)
    return fy[used], fx[used], power[used]
