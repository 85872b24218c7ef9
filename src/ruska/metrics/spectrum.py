"""An image by spatial frequency: power, correlation of neighbours, Fourier ring correlation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def radial_spectrum(image: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean power spectral density over rings of equal spatial frequency.

    image : (Y, X), any real dtype, at least 8 pixels each way. Its mean is removed and a Hann window applied.

    Returns frequency (cycles per pixel, ring centres up to 0.5) and power (grey levels squared per pixel),
    scaled so that white noise of variance v has power v at every frequency.
    """
    window = _window(image)
    centred = np.asarray(image, dtype=np.float64)
    centred = (centred - np.average(centred, weights=window)) * window
    power = np.abs(np.fft.rfft2(centred)) ** 2 / np.sum(window**2)
    ring, count, frequency = _rings(image.shape)
    weight = _both_halves(image.shape)
    total = np.bincount(ring.ravel(), (power * weight).ravel(), len(count))
    return frequency[1:], (total / np.maximum(count, 1))[1 : len(frequency)]


def residual_whiteness(residual: NDArray[Any]) -> tuple[float, ...]:
    """Correlation of neighbouring pixels along each axis (lag 1), in the order of the axes: 0 for white noise.

    residual : any number of axes. Without variation (or neighbours) along an axis the answer is 0.
    """
    r = np.asarray(residual, dtype=np.float64)
    r = r - r.mean()
    variance = float(np.mean(r**2))
    lags = []
    for axis, n in enumerate(r.shape):
        both = np.take(r, range(1, n), axis) * np.take(r, range(n - 1), axis) if n > 1 else np.zeros(1)
        lags.append(float(both.mean()) / variance if variance > 0 else 0.0)
    return tuple(lags)


@dataclass(frozen=True)
class FourierRingCorrelation:
    """Correlation of two images per ring of spatial frequency.

    frequency : (n,), cycles per pixel. correlation : (n,), -1 to 1.
    resolution_px : period in pixels at which the smoothed curve first falls below 1/7; None when it never does,
        then the pixel size limits the resolution (2 pixels).
    """

    frequency: NDArray[np.float64]
    correlation: NDArray[np.float64]
    resolution_px: float | None


def frc(a: NDArray[Any], b: NDArray[Any], threshold: float = 1 / 7) -> FourierRingCorrelation:
    """Fourier ring correlation of two images of one field with independent noise.

    a, b : (Y, X), same shape, at least 16 pixels each way, already aligned. Means are removed, Hann window.
    The two must be independent recordings: halves made from one image after denoising share its errors.

    Raises GeometryError when the shapes differ or are not 2D.
    Source: van Heel and Schatz (2005), Journal of Structural Biology 151, 250, eq. 2. Differs: the threshold is the
    fixed 1/7 in use for independent light and electron micrographs, not their half-bit curve; the curve is
    smoothed over three rings before the crossing is found.
    """
    if a.shape != b.shape or a.ndim != 2:
        raise GeometryError("FRC", f"got shapes {a.shape} and {b.shape}, expected two 2D images of one shape")
    window = _window(a)
    spectra = []
    for image in (np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)):
        spectra.append(np.fft.rfft2((image - np.average(image, weights=window)) * window))
    ring, count, frequency = _rings(a.shape)
    weight = _both_halves(a.shape)

    def per_ring(values: NDArray[np.float64]) -> NDArray[np.float64]:
        total = np.bincount(ring.ravel(), (values * weight).ravel(), len(count))
        return total[1 : len(frequency)].astype(np.float64)

    cross = per_ring((spectra[0] * spectra[1].conj()).real)
    norm = np.sqrt(per_ring(np.abs(spectra[0]) ** 2) * per_ring(np.abs(spectra[1]) ** 2))
    correlation = np.divide(cross, norm, out=np.zeros_like(cross), where=norm > 0)
    return FourierRingCorrelation(frequency[1:], correlation, crossing(frequency[1:], correlation, threshold))


def crossing(frequency: NDArray[np.float64], correlation: NDArray[np.float64], threshold: float) -> float | None:
    """Period in pixels at which a curve, smoothed over three rings, first falls below ``threshold``; None: never."""
    padded = np.pad(correlation, 1, mode="edge")
    smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    below = np.flatnonzero(smooth < threshold)
    if below.size == 0:
        return None
    i = int(below[0])
    if i == 0:
        return float(1 / frequency[0])
    share = (smooth[i - 1] - threshold) / (smooth[i - 1] - smooth[i])
    return float(1 / (frequency[i - 1] + share * (frequency[i] - frequency[i - 1])))


def _window(image: NDArray[Any]) -> NDArray[np.float64]:
    """Hann window over (Y, X), without its zero rows."""
    if image.ndim != 2 or min(image.shape) < 8:
        raise GeometryError("spectrum", f"got shape {image.shape}, expected 2D with at least 8 pixels each way")
    y, x = (np.hanning(n + 2)[1:-1] for n in image.shape)
    return y[:, None] * x


def _rings(shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Ring of each coefficient of the half transform, coefficients per ring, and ring centres in cycles per pixel."""
    y, x = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    n = min(shape) // 2  # rings up to the Nyquist frequency; what lies in the corners beyond is left out
    ring = np.minimum(np.rint(np.hypot(y, x) * 2 * n).astype(np.intp), n + 1)
    count = np.bincount(ring.ravel(), _both_halves(shape).ravel(), n + 2).astype(np.float64)
    return ring, count, np.arange(n + 1) / (2 * n)


def _both_halves(shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Weight 2 for coefficients whose mirror image the half transform leaves out."""
    columns = shape[1] // 2 + 1
    weight = np.full((shape[0], columns), 2.0)
    weight[:, 0] = 1
    if shape[1] % 2 == 0:
        weight[:, -1] = 1
    return weight
