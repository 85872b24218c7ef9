"""Draw the pictures of docs/images.

``python docs/make_pictures.py demo ruska-demo`` draws demo.png from what ``ruska demo`` wrote;
``python docs/make_pictures.py micrographs ../shared/data`` draws the others by restoring micrographs that no
weights were trained on. Their licences allow it; the captions name them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import ruska
from ruska.registration import align

IMAGES = Path(__file__).parent / "images"
GAP = 6  # white columns between pictures


def demo(folder: Path) -> None:
    """Noisy, denoised, truth side by side: the same 320 x 320 pixels, one grey window, 8 bit."""
    window = (slice(60, 380), slice(430, 750))
    pictures = [ruska.read(folder / f"{name}.tif").numpy()[window] for name in ("noisy", "denoised", "truth")]
    ruska.write(IMAGES / "demo.png", ruska.Image(_row(pictures, gap=8), "YX"), overwrite=True)


def micrographs(data: Path) -> None:
    """Before, after and truth of each task."""
    from scipy.ndimage import gaussian_filter

    unseen = data / "val"
    low = ruska.read(unseen / "kriss_semdenoising" / "line_noisy_001.tif").numpy()
    high = ruska.read(unseen / "kriss_semdenoising" / "line_clean_001.tif").numpy()
    window = (slice(100, 292), slice(100, 292))
    placed = align(low.astype(np.float32), high.astype(np.float32)).apply(high.astype(np.float32))
    _save("denoise", [low[window], _denoised(low)[window], placed[window]])

    soft = _noisy(gaussian_filter(high.astype(float), 2), seed=0)
    _save("deblur", [soft[window], ruska.deblur(soft, sigma=2).image.numpy()[window], high[window]])

    brain = ruska.read(unseen / "fib25_neuroproof" / "sample2_raw_250x250x250.tif").numpy()
    fine = brain[125, :240, :240]
    coarse = _noisy(_averaged(fine, 3), seed=1)
    finer = ruska.superres(coarse, scale=3).image.numpy()
    window = (slice(24, 216), slice(24, 216))
    _save("superres", [np.kron(coarse, np.ones((3, 3)))[window], finer[window], fine[window]])

    brain = brain[:160, :32, :160]
    thick = _noisy(brain.reshape(40, 4, 32, 160).mean(1), seed=1)
    deep = ruska.isotropic(ruska.Image(thick, "ZYX"), factor=4).image.numpy()
    _save("isotropic", [np.repeat(thick[:, 16], 4, axis=0), deep[:, 16], brain[:, 16]])


def _denoised(pixels: np.ndarray) -> np.ndarray:
    return ruska.denoise(pixels).image.numpy()


def _averaged(pixels: np.ndarray, n: int) -> np.ndarray:
    rows, columns = pixels.shape[0] // n, pixels.shape[1] // n
    return pixels.astype(float).reshape(rows, n, columns, n).mean((1, 3))


def _noisy(pixels: np.ndarray, seed: int) -> np.ndarray:
    """With noise of two grey levels, as a file of 8 bits holds it."""
    return _bytes(pixels + np.random.default_rng(seed).normal(0, 2, pixels.shape))


def _bytes(pixels: np.ndarray) -> np.ndarray:
    return np.clip(pixels.round(), 0, 255).astype(np.uint8)


def _row(pictures: list[np.ndarray], gap: int) -> np.ndarray:
    """Side by side in the grey window of the last."""
    low, high = np.percentile(pictures[-1][np.isfinite(pictures[-1])], (0.3, 99.7))
    white = np.full((pictures[0].shape[0], gap), high)
    parts = [part for picture in pictures for part in (white, np.nan_to_num(picture, nan=high))]
    return _bytes((np.concatenate(parts[1:], axis=1) - low) / (high - low) * 255)


def _save(name: str, pictures: list[np.ndarray]) -> None:
    from PIL import Image

    Image.fromarray(_row(pictures, GAP)).save(IMAGES / f"{name}.jpg", quality=82, optimize=True)


if __name__ == "__main__":
    {"demo": demo, "micrographs": micrographs}[sys.argv[1]](Path(sys.argv[2]))
