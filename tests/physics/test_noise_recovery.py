"""The grid: dose x correlation x image content. What the estimators say against what was simulated.

The targets are real micrographs, area-downsampled. That averages their own noise away only in part: what is left is
read off the corner of their power spectrum (above 0.6 cycles a pixel, where hardly any probe transfers detail) and
counts as noise too, because the file does hold it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import pytest
import tifffile

from ruska.methods.blindspot import spot_for
from ruska.physics import (
    STANDARD_DOSES,
    NoiseEstimate,
    NoiseLevel,
    PoissonGaussian,
    cell_phantom,
    estimate_noise,
    noise_level,
)

SOURCES = {
    "isbi2012": ("val/isbi2012/train_raw*.tif", 2, 7), "cdeep3m": ("val/cdeep3m_sbem/train_raw*.tif", 2, 6),
    "fib25": ("val/fib25_neuroproof/sample2_raw*.tif", 2, 125), "hela": ("train/hela_sbfsem_crick/*_z0001.tif", 2, 0),
    "muvis": ("train/muvis_crick/S000_000_000.tif", 2, 0), "plant": ("train/plant_stem_sem/C1-3_A_m06.tif", 4, 0),
    "kriss": ("val/kriss_semdenoising/line_clean_001.tif", 2, 0),
}  # fmt: skip
WHITE, SCAN_LINE = (1.0,), (0.3, 1.0, 0.5)
STREAKS = float(np.sum(SCAN_LINE) / np.linalg.norm(SCAN_LINE))  # white-equivalent over standard deviation: 1.55
LAG1 = (0.3 + 0.5) / float(np.dot(SCAN_LINE, SCAN_LINE))  # 0.60; at two pixels 0.11


def plane_of(micrographs, name: str, z: int | None = None) -> np.ndarray:
    pattern, factor, middle = SOURCES[name]
    data = tifffile.imread(next(iter(sorted(micrographs.glob(pattern))))).astype(np.float64)
    plane = data if data.ndim == 2 else data[middle if z is None else z]
    h, w = (n // factor for n in plane.shape)
    plane = plane[: h * factor, : w * factor].reshape(h, factor, w, factor).mean((1, 3))
    low, high = np.percentile(plane, (0.1, 99.9))
    return np.clip((plane - low) / (high - low), 0, 1)[:400, :400]


def own_noise(plane: np.ndarray) -> float:
    """Standard deviation of white noise as strong as the corner of the power spectrum."""
    window = np.outer(np.hanning(plane.shape[0]), np.hanning(plane.shape[1]))
    power = np.abs(np.fft.fft2((plane - plane.mean()) * window)) ** 2 / (window**2).sum()
    frequency = np.hypot(np.fft.fftfreq(plane.shape[0])[:, None], np.fft.fftfreq(plane.shape[1]))
    return float(np.sqrt(power[frequency > 0.6].mean()))


@dataclass(frozen=True)
class Found:
    """One point of the grid: the noisy plane, what is true of it and what was found."""

    name: str
    dose: float
    noisy: np.ndarray
    std: float
    white_equivalent: float
    true_level: np.ndarray
    estimate: NoiseEstimate
    level: NoiseLevel
    levels: np.ndarray

    @property
    def std_ratio(self) -> float:
        return self.estimate.std / self.std

    @property
    def white_ratio(self) -> float:
        return self.estimate.white_equivalent_std / self.white_equivalent

    @property
    def gain_ratio(self) -> float:
        return self.level.gain * self.dose


@pytest.fixture(scope="module")
def grid(micrographs) -> dict[tuple[float, ...], list[Found]]:
    """All points by kernel."""
    planes = {name: plane_of(micrographs, name) for name in SOURCES} | {"cell": cell_phantom((400, 400), 2)}
    points: dict[tuple[float, ...], list[Found]] = {WHITE: [], SCAN_LINE: []}
    for (name, plane), dose, kernel in product(planes.items(), STANDARD_DOSES, points):
        model = replace(dose, scan_line_kernel=kernel)
        noisy = model.simulate(plane, 11).astype(np.float64)
        own, added = own_noise(plane), float(np.sqrt(model.variance(plane).mean()))
        streaks = STREAKS if kernel == SCAN_LINE else 1.0
        levels = np.quantile(plane, (0.1, 0.5, 0.9))
        points[kernel].append(Found(
            name, dose.peak_counts, noisy, float(np.hypot(added, own)), float(np.hypot(added * streaks, own)),
            np.hypot(np.sqrt(model.variance(levels)), own), estimate_noise(noisy), noise_level(noisy), levels,
        ))  # fmt: skip
    return points


def worst(points: list[Found], attribute: str) -> list[tuple[str, float, float]]:
    return sorted(((p.name, p.dose, round(getattr(p, attribute), 2)) for p in points), key=lambda row: row[2])


def test_white_noise(grid) -> None:
    """Within 13 % everywhere (measured 0.89 to 1.03) but on plant cells at 200 electrons, where half is empty: 0.82."""
    ratios = worst(grid[WHITE], "std_ratio")
    for name, dose, ratio in ratios:
        assert (0.78 if (name, dose) == ("plant", 200) else 0.87) < ratio < 1.13, ratios
    assert np.median([ratio for *_, ratio in ratios]) == pytest.approx(1, abs=0.03)
    for point in grid[WHITE]:
        assert not point.estimate.correlated, point.name
        assert spot_for(point.estimate) == (1, 1), point.name


def test_scan_line_noise(grid) -> None:
    """Standard deviation and white equivalent within 15 % at 50 and 12 electrons (measured 0.96 to 1.08).

    At 200 electrons fine structure adds up to a quarter, and half of the white equivalent, on isbi2012 (1.11, 1.44).
    """
    for attribute in ("std_ratio", "white_ratio"):
        ratios = worst(grid[SCAN_LINE], attribute)
        assert all(0.85 < ratio < 1.15 for _, dose, ratio in ratios if dose < 200), ratios
        assert all(0.9 < ratio < 1.5 for _, dose, ratio in ratios if dose == 200), ratios
        assert np.median([ratio for *_, ratio in ratios]) == pytest.approx(1, abs=0.05)
    for point in grid[SCAN_LINE]:
        assert point.estimate.correlated, point.name
        assert point.estimate.lag1[1] == pytest.approx(LAG1, abs=0.06 if point.dose < 200 else 0.12), point.name


def test_the_blind_spot_is_as_wide_as_the_noise(grid) -> None:
    """Five pixels along X, where one lag of 0.11 may pass unseen in a small image (3), and one row.

    Two more rows or columns where structure resembles noise: at 200 electrons, and on isbi2012 at 50.
    """
    for point in grid[SCAN_LINE]:
        rows, columns = spot_for(point.estimate)
        assert columns in (3, 5, 9) if point.dose == 200 else columns in (3, 5), point.name
        assert rows == 1 or ((point.dose == 200 or point.name == "isbi2012") and rows <= 5), point.name
    exact = [spot_for(p.estimate) == (1, 5) for p in grid[SCAN_LINE]]
    assert np.mean(exact) > 0.7


@pytest.mark.parametrize("kernel", [WHITE, SCAN_LINE])
def test_noise_over_the_grey_level(grid, kernel: tuple[float, ...]) -> None:
    """At 50 and 12 electrons the noise at dark, middle and bright levels is found within 40 %, the gain within 45 %.

    Measured 0.79 to 1.35 and 0.66 to 1.37; at 200 electrons the gain of real micrographs is little more than a guess.
    """
    for point in grid[kernel]:
        if point.dose == 200:
            continue
        ratios = point.level.std(point.levels) / point.true_level
        assert np.all((ratios > 0.72) & (ratios < 1.4)), (point.name, point.dose, ratios)
        assert 0.55 < point.gain_ratio < 1.45, (point.name, point.dose)


@pytest.mark.parametrize("kernel", [WHITE, SCAN_LINE])
def test_the_raw_image_would_ask_for_a_far_larger_spot(grid, kernel: tuple[float, ...]) -> None:
    """SHINE sizes its spot by the autocorrelation of the raw image, which is the specimen's with the noise on top.

    Taken for noise, it asks for the largest spot there is, 11 x 11, on every plane at every dose.
    """
    for point in grid[kernel]:
        # the noise's own correlation counts as over below 0.06
        assert min(*raw_lags(point.noisy, 0), *raw_lags(point.noisy, 1)) > 0.06, (point.name, point.dose)
        rows, columns = spot_for(point.estimate)
        assert rows * columns <= 27 < 121


def raw_lags(noisy: np.ndarray, axis: int) -> tuple[float, ...]:
    centred = np.moveaxis(noisy - noisy.mean(), axis, 0)
    return tuple(float((centred[k:] * centred[:-k]).mean() / (centred**2).mean()) for k in range(1, 6))


def test_half_of_isbi2012_is_no_clean_target(micrographs) -> None:
    """From slice 15 on the stack itself is noisy: 0.05 of the range after downsampling, as much as 200 electrons add.

    There `estimate_noise` says 0.085 where 0.053 was added, and is right.
    """
    first, second = (plane_of(micrographs, "isbi2012", z) for z in (7, 15))
    assert own_noise(first) < 0.03 < 0.055 < own_noise(second)
    model = PoissonGaussian(200, 0.01)
    for plane in (first, second):
        held = np.hypot(np.sqrt(model.variance(plane).mean()), own_noise(plane))
        assert estimate_noise(model.simulate(plane, 15)).std == pytest.approx(held, rel=0.08)
