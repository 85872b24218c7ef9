"""Smoothing for the comparison of two images. Nothing filtered here ever reaches a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

TILE = 64  # pixels, of the spectra: details wider than this are shading, not structure
_FLOOR = 1e-12
_FRAME = 4  # pixels along the edges that are replaced by what lies inside: detectors and scans leave lines there


def filled(image: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The image (Y, X) scaled to zero median and unit spread, and where it is finite; other pixels become 0.

    A frame of four pixels is replaced by a mirror image of what lies inside: what stands at the edge of every image
    must not hold two of them together.
    """
    inner = np.asarray(image, dtype=np.float32)[_FRAME:-_FRAME, _FRAME:-_FRAME]
    values = np.pad(inner, _FRAME, mode="symmetric")
    valid = np.isfinite(values)
    if not valid.any():
        return np.zeros_like(values), valid
    low, middle, high = np.percentile(values[valid], (1, 50, 99)).astype(np.float32)
    spread = high - low if high > low else max(float(values[valid].std()), 1.0)
    return np.where(valid, (values - middle) / spread, 0).astype(np.float32), valid


def binned(image: NDArray[Any], factor: int) -> NDArray[Any]:
    """Means over ``factor`` x ``factor`` pixels; what is left over at the end is dropped."""
    if factor == 1:
        return image
    h, w = (n // factor for n in image.shape)
    return image[: h * factor, : w * factor].reshape(h, factor, w, factor).mean((1, 3), dtype=np.float32)


def band_pass(image: NDArray[Any], sigma: float, wide: float) -> NDArray[np.float32]:
    """Difference of two Gaussians (standard deviations in pixels): neither noise nor shading."""
    from scipy.ndimage import gaussian_filter

    values = np.asarray(image, dtype=np.float32)
    return gaussian_filter(values, sigma, mode="reflect") - gaussian_filter(values, wide, mode="reflect")


def coherence_kernel(
    fixed: NDArray[np.float32], warped: NDArray[np.float32], valid: NDArray[np.bool_]
) -> NDArray[np.float32] | None:
    """The symmetric kernel that, applied to both images, makes their comparison most precise.

    fixed, warped : (Y, X), aligned already as well as is known. valid : where both are.

    Its squared transfer function is ``c / ((1 - c) |S|)``, with the squared coherence ``c`` and the cross-spectrum
    ``S`` of the two, averaged over tiles: frequencies count by what they share over what they do not, whether the
    noise is white or runs along scan lines, and in one image or in both. None where too little is valid to tell.

    Source: Knapp & Carter (1976), IEEE Trans. ASSP 24, table I ("HT"). Differs: two dimensions; only the in-phase part
    of the cross-spectrum counts, less what chance would give.
    """
    from scipy.ndimage import gaussian_filter

    ff, mm, fm = (np.zeros((TILE, TILE)) for _ in range(3))
    count = 0
    for f, m in tiles((fixed, warped), valid):
        ff += np.abs(f) ** 2
        mm += np.abs(m) ** 2
        fm += (f * m.conj()).real
        count += 1
    if not count:
        return None
    ff, mm, fm = (gaussian_filter(a, 1.0, mode="wrap") for a in (ff, mm, fm))
    chance = 2.0 / (count * 4 * np.pi * 0.5)  # overlapping tiles are half independent, bins are averaged over 4 pi
    shared = np.clip(np.where(fm > 0, fm**2 / (ff * mm + _FLOOR), 0) - chance, 0, 0.98)
    weight = shared / ((1 - shared) * (np.abs(fm) + _FLOOR * float(ff.max())))
    weight[0, 0] = 0.0
    if not weight.any():
        return None
    transfer = np.sqrt(weight)
    kernel = kernel_of(transfer / transfer.max())
    return kernel - kernel.mean()


def tiles(
    images: tuple[NDArray[np.float32], ...], valid: NDArray[np.bool_]
) -> Iterator[list[NDArray[np.complexfloating]]]:
    """Spectra of the images (Y, X) tile by tile, under a Hann window; of tiles that are wholly valid."""
    window = np.outer(*(np.hanning(TILE + 2)[1:-1],) * 2).astype(np.float32)
    for y in _starts(valid.shape[0]):
        for x in _starts(valid.shape[1]):
            box = np.s_[y : y + TILE, x : x + TILE]
            if valid[box].all():
                yield [np.fft.fft2((image[box] - image[box].mean()) * window) for image in images]


def kernel_of(transfer: NDArray[np.float64]) -> NDArray[np.float32]:
    """The odd, symmetric kernel with about this real transfer function (of a tile), fading to nothing at its rim."""
    kernel = np.fft.fftshift(np.fft.ifft2(transfer).real)[1:, 1:]
    taper = np.hanning(TILE + 1)[1:-1]
    return (kernel * np.outer(taper, taper)).astype(np.float32)


def convolved(image: NDArray[np.float32], kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """``image`` (Y, X) convolved with an odd ``kernel``, mirrored at the edges."""
    from scipy.signal import oaconvolve

    pad = tuple((n // 2, n // 2) for n in kernel.shape)
    return oaconvolve(np.pad(image, pad, mode="symmetric"), kernel, mode="valid").astype(np.float32)


def _starts(size: int) -> NDArray[np.int64]:
    """Where tiles begin so that they cover ``size`` pixels and overlap by half."""
    if size < TILE:
        return np.array([], dtype=np.int64)
    return np.unique(np.linspace(0, size - TILE, max(1, round(2 * size / TILE) - 1)).astype(np.int64))
