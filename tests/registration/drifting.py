"""Pairs of micrographs with a known displacement between them, made without interpolating at their own resolution.

A micrograph is blurred a little and displaced on a grid at least twice as fine as the pair's, then area-averaged. The
fixed image is the displaced one, with noise; the moving image is clean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import convolve1d, gaussian_filter, map_coordinates

SOURCES = {
    "cells (SBF-SEM)": ("train/hela_sbfsem_crick/ROI_6005_4739_81_z0001.tif", 4),
    "axons (SEM)": ("train/axondeepseg_sem/sub-rat1__micr__sub-rat1_sample-data1_SEM.png", 2),
    "plant (STEM)": ("train/plant_stem_sem/C1-3_A_m06.tif", 2),
    "brain (SBEM)": ("val/cdeep3m_sbem/train_raw_12x1024x1024.tif", 2),
    "particles (SEM)": ("val/kriss_semdenoising/line_clean_010.tif", 1),
}
SCAN_LINE = (0.08, 0.3, 1.0, 0.3, 0.08)  # noise of neighbours along a line: correlation about 0.5, 0.2, 0.05

Field = Callable[[np.ndarray, np.ndarray], tuple[Any, Any]]


def turned(dy: float, dx: float, degrees: float) -> Field:
    """Turned anticlockwise on the screen about the middle, then shifted."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return lambda y, x: (dy + y - (y * cos + x * sin), dx + x - (x * cos - y * sin))


def drifting(size: int) -> Field:
    """A drift of up to 3 pixels that changes its direction twice over ``size`` rows."""

    def field(y: np.ndarray, x: np.ndarray) -> tuple[Any, Any]:
        t = 2 * y / size
        return 1.8 * t + 1.44 * np.sin(2.2 * t + 0.5), -2.5 * t**2 + 1.2 * np.sin(3.0 * t) + 0.8

    return field


def motions(size: int) -> dict[str, tuple[Any, Field]]:
    """The displacements that are tested, and the model that describes each."""
    return {
        "small shift": ("shift", lambda y, x: (0.31, -0.64)),
        "shift": ("shift", lambda y, x: (3.37, -5.71)),
        "large shift": ("shift", lambda y, x: (-7.83, 7.46)),
        "turn": ("rigid", turned(2.3, -1.6, 1.0)),
        "stretch": ("affine", lambda y, x: (1.7 + 0.01 * y + 0.004 * x, -2.2 - 0.006 * y - 0.01 * x)),
        "drift": ("drift", drifting(size)),
    }


@dataclass(frozen=True)
class Pair:
    """fixed : displaced and noisy. moving : clean. truth : (2, Y, X), by how much the fixed one is displaced."""

    fixed: np.ndarray
    moving: np.ndarray
    truth: np.ndarray

    def error(self, displacement: np.ndarray) -> float:
        """Root mean square over axes and pixels of the error of ``displacement``, in pixels."""
        return float(np.sqrt(np.mean((displacement - self.truth) ** 2)))


def load(micrographs: Path, name: str) -> tuple[np.ndarray, int]:
    """The micrograph on a 0-1 scale, and how many times finer it is than the pairs made of it."""
    import tifffile
    from PIL import Image

    path, fine = SOURCES[name]
    file = micrographs / path
    image = tifffile.imread(file) if file.suffix == ".tif" else np.asarray(Image.open(file))
    while image.ndim > 2:
        image = image[..., 0] if image.shape[-1] <= 4 else image[0]
    low, high = np.percentile(image, (0.5, 99.5))
    image = np.clip((image - low) / (high - low), 0, 1)
    if fine == 1:  # smooth enough to be drawn on a finer grid
        image, fine = np.kron(gaussian_filter(image, 0.7), np.ones((2, 2))), 2
        image = gaussian_filter(image, 1.0)
    return gaussian_filter(image, 0.4 * fine), fine


def make_pair(
    micrograph: tuple[np.ndarray, int], field: Field, psnr: float, seed: int = 0, *,
    size: int = 256, scan_line: bool = False, pattern: float = 0.0,
) -> Pair:  # fmt: skip
    """Displace by ``field`` (of y and x in pixels of the pair, from its middle), and add noise and a fixed pattern."""
    random = np.random.default_rng(seed)
    image, fine = micrograph
    corner = [(n - size * fine) // 2 for n in image.shape]
    assert min(corner) >= 0, image.shape
    places = np.mgrid[: size * fine, : size * fine].astype(float)
    y, x = ((p + 0.5) / fine - 0.5 - (size - 1) / 2 for p in places)
    displacement = np.stack([np.broadcast_to(d, y.shape) for d in field(y, x)])
    here = places + np.array(corner)[:, None, None]
    moved = map_coordinates(image, here - displacement * fine, order=3, mode="reflect")
    still = image[corner[0] : corner[0] + size * fine, corner[1] : corner[1] + size * fine]
    fixed, moving, *truth = (average(a, fine) for a in (moved, still, *displacement))
    fixed = 0.7 * fixed + 0.1 + noise(random, fixed.shape, 0.7 * 10 ** (-psnr / 20), scan_line)
    shared = pattern * fixed_pattern(random, fixed.shape)
    return Pair(fixed + 0.7 * shared, moving + shared, np.stack(truth))


def average(image: np.ndarray, factor: int) -> np.ndarray:
    h, w = (n // factor for n in image.shape)
    return image.reshape(h, factor, w, factor).mean((1, 3))


def noise(random: np.random.Generator, shape: tuple[int, int], std: float, scan_line: bool) -> np.ndarray:
    values = random.normal(0, std, shape)
    if scan_line:
        values = convolve1d(values, np.array(SCAN_LINE) / np.linalg.norm(SCAN_LINE), axis=1, mode="wrap")
    return values


def fixed_pattern(random: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    """What a detector leaves at the same place in every image: pixel gains, columns, dust, and a dark frame."""
    pattern = 0.4 * random.normal(0, 1, shape) + 0.2 * random.normal(0, 1, shape[1])
    for _ in range(6):
        y, x = random.integers(0, shape[0], 2)
        pattern[y : y + 3, x : x + 3] -= 6
    pattern[:3] = pattern[-3:] = pattern[:, :3] = pattern[:, -3:] = -12
    return pattern
