"""Wavelet shrinkage that knows the noise of every subband: signal-dependent noise made even, streaks counted as noise.

A detector that smears noise along the scan line puts more of it into some subbands than into others, so one threshold
keeps streaks or takes detail. Here each subband has its own, from the correlation measured on the image.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.physics import NoiseEstimate, anscombe, estimate_noise, inverse_anscombe, noise_level

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEVELS = 5  # scales that are shrunk: structures of up to about 2 ** 5 pixels
_COARSE = 16.0  # pixels: mean grey levels over this are those of the image
_FIELD = 512  # edge of the simulated noise that tells how much of it each subband holds
_SHARED = 0.05  # correlation below which lags are not told from zero
_PLAUSIBLE = (0.7, 1.4)  # noise after stabilisation, which is 1 where the fitted line is right
_SMALLEST_LEVEL = 64  # pixels each way, of a plane that a line over the grey level can be fitted to

Subbands = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Shrinkage:
    """Denoises planes (Y, X).

    wavelet : a PyWavelets name. shifts : the result is the mean over shifts of 0 to this many pixels along Y and X.
    stds : of the noise in the subbands (horizontal, vertical, diagonal) of each scale, finest first.
    gain, intercept : noise variance is gain x level + intercept; gain 0: the same everywhere, nothing to make even.

    Source: Chang, Yu & Vetterli (2000), IEEE Trans. Image Process. 9, 1532, eq. 8 (BayesShrink); Coifman & Donoho
    (1995) (averaging over shifts). Differs: the noise of each subband is its own.
    """

    wavelet: str
    shifts: int
    stds: Subbands
    gain: float = 0.0
    intercept: float = 0.0

    def __call__(self, plane: NDArray[Any]) -> NDArray[Any]:
        if self.gain <= 0:
            return self._shrunk(np.asarray(plane, dtype=np.float64)).astype(plane.dtype)
        from scipy.ndimage import gaussian_filter

        offset = self._offset()
        even = anscombe(plane + offset, self.gain, max(self.intercept, 0.0))
        restored = inverse_anscombe(self._shrunk(even), self.gain, max(self.intercept, 0.0)) - offset
        # Where the line misses the true noise the way back has a bias, to be seen at a scale with hardly any noise.
        return (restored + gaussian_filter(plane - restored, _COARSE, mode="reflect")).astype(plane.dtype)

    def _offset(self) -> float:
        """A detector offset makes the line cross zero above level 0: there, no electron has arrived."""
        return min(0.0, self.intercept / self.gain)

    def _shrunk(self, plane: NDArray[np.float64]) -> NDArray[np.float64]:
        height, width = plane.shape
        # Mirrored to a size with at least one level of every wavelet, and by the shifts: nothing is wrapped around.
        short = [(self.shifts, self.shifts + max(0, 32 - n)) for n in plane.shape]
        padded = np.pad(plane, short, mode="symmetric")
        total = np.zeros_like(plane)
        for down in range(self.shifts + 1):
            for right in range(self.shifts + 1):
                shown = self._once(padded[down:, right:])
                top, left = self.shifts - down, self.shifts - right
                total += shown[top : top + height, left : left + width]
        return total / (self.shifts + 1) ** 2

    def _once(self, plane: NDArray[np.float64]) -> NDArray[np.float64]:
        import pywt

        levels = min(len(self.stds), pywt.dwtn_max_level(plane.shape, self.wavelet))
        if levels < 1:
            return plane
        coarse, *details = pywt.wavedec2(plane, self.wavelet, mode="symmetric", level=levels)
        kept = [
            tuple(_soft(band, std) for band, std in zip(bands, stds, strict=True))
            for bands, stds in zip(reversed(details), self.stds, strict=False)
        ]
        return pywt.waverec2([coarse, *reversed(kept)], self.wavelet, mode="symmetric")


def measure(
    plane: NDArray[Any], wavelet: str, shifts: int, noise: NoiseEstimate | None = None
) -> tuple[Shrinkage, NoiseEstimate]:
    """The shrinkage for noise like that of ``plane`` (Y, X), at least 16 pixels each way, and what it was made from.

    noise : that of ``plane``; estimated when None.
    """
    found = noise or estimate_noise(plane)
    gain = intercept = 0.0
    if min(plane.shape) >= _SMALLEST_LEVEL:
        line = noise_level(plane)
        trial = Shrinkage(wavelet, shifts, (), line.gain, line.intercept)
        if line.gain > 0:
            even = estimate_noise(anscombe(plane + trial._offset(), line.gain, max(line.intercept, 0.0)))
            if _PLAUSIBLE[0] < even.std < _PLAUSIBLE[1]:
                found, gain, intercept = even, line.gain, line.intercept
    return Shrinkage(wavelet, shifts, subband_stds(found, wavelet), gain, intercept), found


def white(std: float, wavelet: str, shifts: int) -> Shrinkage:
    """The shrinkage for independent noise of one level: an orthogonal transform has as much of it in each subband."""
    return Shrinkage(wavelet, shifts, ((std,) * 3,) * _LEVELS)


def subband_stds(noise: NoiseEstimate, wavelet: str) -> Subbands:
    """Standard deviation of noise like ``noise`` in each subband, measured on a simulated field of it."""
    import pywt

    field = np.random.default_rng(0).standard_normal((_FIELD, _FIELD))
    for axis, lags in enumerate((noise.lags_y, noise.lags_x)):
        correlation = np.zeros(_FIELD)
        correlation[0] = 1
        for k, value in enumerate(lags, start=1):
            if abs(value) < _SHARED or not noise.correlated:
                break
            correlation[k] = correlation[-k] = value
        amplitude = np.sqrt(np.maximum(np.fft.fft(correlation).real, 0))
        amplitude /= np.sqrt(np.mean(amplitude**2))
        shape = (-1, 1) if axis == 0 else (1, -1)
        field = np.fft.ifft(np.fft.fft(field, axis=axis) * amplitude.reshape(shape), axis=axis).real
    details = pywt.wavedec2(field * noise.std, wavelet, mode="periodization", level=_LEVELS)[1:]
    return tuple((float(h.std()), float(v.std()), float(d.std())) for h, v, d in reversed(details))


def _soft(band: NDArray[np.float64], std: float) -> NDArray[np.float64]:
    """Soft threshold std^2 / std of the signal; a band without signal becomes 0."""
    if std == 0:
        return band
    signal = np.mean(band**2) - std**2
    if signal <= 0:
        return np.zeros_like(band)
    threshold = std**2 / np.sqrt(signal)
    return np.sign(band) * np.maximum(np.abs(band) - threshold, 0)
