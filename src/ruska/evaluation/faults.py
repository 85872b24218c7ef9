"""Faults that a score alone does not name: a shift, a blur, a wrong grey scale, seams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SHIFT, _BLUR, _GAIN, _OFFSET = 0.1, 0.2, 0.01, 0.01  # px, px, share, share of the range: above, it is said
_STILL = 0.02  # px: below, neither moved nor blurred
_COHERENT = 0.8  # coherence of a ring of frequencies above which it holds the specimen in both images
_SMOOTH = 4.0  # pixels: grey scale is compared where there is hardly any noise or detail
INVERTED = 0.3
"""Correlation below minus this means that the contrast is inverted."""
OTHER_SCALE = 3.0
"""Times the contrast of one of another grey scale is that of the other, or more, or less than one over that."""
_BAND = (2.0, 32.0)  # pixels; of the detail that tells whether contrast is inverted
_CLEARLY = 1.1  # times better that images must fit elsewhere, or inverted: a lattice does both by half a period
_ROUNDING = 1e-9  # of the largest value, that is no contrast
_SEGMENT = 32  # pixels along a border over which a seam keeps its sign
_STRIKING = 10.0  # times the usual spread over all rows or columns
_RINGS = 48


@dataclass(frozen=True)
class Faults:
    """What a result does to the truth, measured at the frequencies that both share.

    shift : (Y, X) in pixels by which the result lies further down and right.
    blur_sigma : pixels; of the Gaussian that the truth would have to be blurred with. 0 for a sharper one.
    gain, offset : result = gain x truth + offset, from what is coarser than 4 pixels; offset in grey levels.
    correlation : see `coarse_correlation`. Where it is clearly negative the contrast is inverted, the gain is negative,
        and the rest is measured on the inverted result.
    seams_y, seams_x : rows and columns after which the result jumps and the truth does not.
    data_range : of the truth, that the limits for ``said`` are shares of.
    """

    shift: tuple[float, float]
    blur_sigma: float
    gain: float
    offset: float
    seams_y: tuple[int, ...]
    seams_x: tuple[int, ...]
    data_range: float
    correlation: float = 1.0

    @property
    def said(self) -> tuple[str, ...]:
        """One sentence for each fault that is large enough to matter; empty for a sound result."""
        words = []
        scale = abs(self.gain)
        if self.correlation < -INVERTED:
            words.append(inverted_words(self.correlation))
        if max(abs(s) for s in self.shift) > _SHIFT:
            words.append(f"shifted by {self.shift[0]:+.2f} px along Y and {self.shift[1]:+.2f} px along X")
        if self.blur_sigma > _BLUR:
            words.append(f"blurred by {self.blur_sigma:.2f} px (standard deviation)")
        if abs(scale - 1) > _GAIN:
            other = not 1 / OTHER_SCALE < scale < OTHER_SCALE
            more = ", another grey scale: read the fitted figures" if other else ""
            words.append(f"contrast is {scale:.3{'g' if other else 'f'}} times that of the truth{more}")
        level = self.offset + (self.gain - 1) * 0.5 * self.data_range
        if abs(self.gain - 1) <= _GAIN and abs(level) > _OFFSET * self.data_range:
            words.append(f"brightness is off by {level:+.3g} grey levels")
        for axis, seams in (("rows", self.seams_y), ("columns", self.seams_x)):
            if seams:
                shown = ", ".join(map(str, seams[:6])) + (", ..." if len(seams) > 6 else "")
                words.append(f"seams after {axis} {shown}")
        return tuple(words)


def find_faults(result: NDArray[Any], truth: NDArray[Any]) -> Faults:
    """Compare two images (Y, X) of one grid, at least 64 pixels each way.

    Noise left in the result is no fault here: all but the seams is measured on what both images share.
    Raises GeometryError when the shapes differ or are too small.
    """
    if result.shape != truth.shape or result.ndim != 2 or min(result.shape) < 64:
        raise GeometryError("faults", f"got shapes {result.shape} and {truth.shape}, expected two equal 2D ones of at "
                            "least 64 pixels")  # fmt: skip
    a, b = (np.asarray(i, dtype=np.float64) for i in (result, truth))
    correlation = coarse_correlation(a, b)
    sign = -1.0 if correlation < -INVERTED else 1.0
    a = sign * a
    shift, blur = _shift_and_blur(a, b)
    low, high = np.percentile(b, (0.1, 99.9))
    # what a shift or a blur brings in over the border was never in the truth
    moved = max(abs(s) for s in shift) >= _STILL or blur >= _STILL
    margin = [
        min(int(np.ceil(abs(s) + 4 * blur)) + 8, n // 4) if moved else 0 for s, n in zip(shift, a.shape, strict=True)
    ]
    inner = tuple(slice(m, n - m) for m, n in zip(margin, a.shape, strict=True))
    a, b = a[inner], (_like(b, shift, blur) if moved else b)[inner]
    gain, offset = grey_scale(a, b)
    error = a - gain * b - offset
    rows, columns = (tuple(i + m for i in _seams(e)) for e, m in zip((error, error.T), margin, strict=True))
    return Faults(shift, blur, sign * gain, sign * offset, rows, columns, float(high - low), correlation)


def _like(truth: NDArray[np.float64], shift: tuple[float, float], blur: float) -> NDArray[np.float64]:
    """The truth moved and blurred as the result is, so that what is left is neither."""
    from scipy.ndimage import fourier_gaussian, fourier_shift

    return np.fft.ifft2(fourier_shift(fourier_gaussian(np.fft.fft2(truth), blur), shift)).real


def _shift_and_blur(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[tuple[float, float], float]:
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in a.shape))
    spectra = [np.fft.rfft2((i - np.average(i, weights=window)) * window) for i in (a, b)]
    cross, power = spectra[0] * spectra[1].conj(), [np.abs(s) ** 2 for s in spectra]
    fy, fx = np.fft.fftfreq(a.shape[0])[:, None], np.fft.rfftfreq(a.shape[1])[None]
    frequency = np.hypot(fy, fx)
    peak = np.unravel_index(np.fft.irfft2(cross, s=a.shape).argmax(), a.shape)
    shift = np.array([p if p <= n // 2 else p - n for p, n in zip(peak, a.shape, strict=True)], dtype=np.float64)
    ring = np.minimum((frequency * 2 * _RINGS).astype(int), _RINGS)
    count = np.maximum(np.bincount(ring.ravel(), minlength=_RINGS + 1), 1)

    def per_ring(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return (np.bincount(ring.ravel(), values.ravel(), _RINGS + 1) / count)[:_RINGS]

    weight = np.zeros_like(frequency)
    for _ in range(4):  # each time nearer, so that fewer phases are wound around
        turned = cross * np.exp(2j * np.pi * (fy * shift[0] + fx * shift[1]))
        common = per_ring(turned.real)
        coherence = common / np.sqrt(np.maximum(per_ring(power[0]) * per_ring(power[1]), 1e-300))
        shared = _first_run(coherence > _COHERENT)
        weight = np.abs(cross) * np.append(shared, False)[ring]
        if not weight.any():
            break
        phase = np.angle(turned)
        terms = [(-2 * np.pi * f * np.ones_like(frequency)) for f in (fy, fx)]
        matrix = np.array([[(weight * s * t).sum() for s in terms] for t in terms])
        shift = shift + np.linalg.lstsq(matrix, [(weight * t * phase).sum() for t in terms], rcond=None)[0]
    return (float(shift[0]), float(shift[1])), _blur(common, per_ring(power[1]), shared)


def _blur(common: NDArray[np.float64], power: NDArray[np.float64], shared: NDArray[np.bool_]) -> float:
    """Standard deviation of the Gaussian whose transfer function is that from truth to result."""
    if shared.sum() < 6:
        return 0.0
    centre = (np.arange(_RINGS) + 0.5) / (2 * _RINGS)
    transfer = np.maximum(common[shared] / np.maximum(power[shared], 1e-300), 1e-6)
    squared = centre[shared] ** 2
    slope = np.polyfit(squared, np.log(transfer), 1, w=np.sqrt(np.arange(1, shared.sum() + 1)))[0]
    return float(np.sqrt(max(-slope, 0.0) / (2 * np.pi**2)))


def _first_run(good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """True from the first ring up to the first that is bad; the lowest two are the window's, and left out."""
    good = good.copy()
    good[:2] = True
    run = np.cumprod(good).astype(bool)
    run[:2] = False
    return run


def grey_scale(a: NDArray[np.float64], b: NDArray[np.float64]) -> tuple[float, float]:
    """Gain and offset of ``a`` as one of ``b``, from slopes of what is coarse: uneven brightness is no contrast."""
    from scipy.ndimage import gaussian_filter

    slopes = [np.concatenate([gaussian_filter(i, _SMOOTH, order=o, mode="reflect").ravel() for o in ((0, 1), (1, 0))])
              for i in (a, b)]  # fmt: skip
    power = float((slopes[1] ** 2).sum())
    gain = float((slopes[0] * slopes[1]).sum()) / power if power > 1e-18 * max(1.0, float((b**2).sum())) else 1.0
    return gain, float(a.mean() - gain * b.mean())


def coarse_correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Correlation of what is between 2 and 32 pixels in two images (Y, X), where they are shifted to fit best.

    Negative where they fit best with one of them inverted, which neither noise nor a shift changes. 0 where one is the
    same everywhere.
    """
    from scipy.ndimage import gaussian_filter

    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in a.shape))
    spectra = []
    for image in (np.asarray(i, dtype=np.float64) for i in (a, b)):
        band = gaussian_filter(image, _BAND[0], mode="reflect") - gaussian_filter(image, _BAND[1], mode="reflect")
        band = (band - band.mean()) * window
        norm = float(np.sqrt((band**2).sum()))
        if not norm > _ROUNDING * float(np.abs(image).max()):
            return 0.0
        spectra.append(np.fft.rfft2(band / norm))
    cross = np.fft.irfft2(spectra[0] * spectra[1].conj(), s=a.shape)
    here, highest, lowest = float(cross[0, 0]), float(cross.max()), float(cross.min())
    if _CLEARLY * abs(here) > max(highest, -lowest):
        return here
    return lowest if -lowest > _CLEARLY * highest else highest


def inverted_words(correlation: float) -> str:
    """That bright and dark are exchanged, by this correlation of what is coarse, and the way out."""
    return f"the contrast is inverted: coarse detail correlates by {correlation:.2f}; invert one of the two"


def _seams(error: NDArray[np.float64]) -> tuple[int, ...]:
    """Rows after which the error jumps by the same amount over long stretches."""
    step = np.diff(error, axis=0)
    parts = max(1, step.shape[1] // _SEGMENT)
    segments = step[:, : parts * (step.shape[1] // parts)].reshape(step.shape[0], parts, -1).mean(2)
    jump = np.sqrt((segments**2).mean(1))
    usual = np.median(jump)
    spread = 1.4826 * np.median(np.abs(jump - usual))
    return tuple(int(i) for i in np.flatnonzero(jump > usual + _STRIKING * max(spread, 0.1 * usual, 1e-12)))
