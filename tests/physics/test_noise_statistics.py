"""The estimator recovers what was added to real micrographs, and tells correlated noise from white."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate1d, gaussian_filter

from ruska.errors import GeometryError
from ruska.physics import PoissonGaussian, cell_phantom, estimate_noise, estimate_noise_std, noise_statistics

SOURCES = (
    "val/fib25_neuroproof/sample2_raw_250x250x250.tif",
    "val/cdeep3m_sbem/train_raw_12x1024x1024.tif",
    "train/hela_sbfsem_crick/*_z0001.tif",
    "train/plant_stem_sem/C1-3_A_m06.tif",
)


@pytest.fixture(scope="module")
def clean(micrographs: Path) -> list[np.ndarray]:
    """Area-downsampled x 4 (the small one x 2), which averages their own noise away, on a 0-1 scale."""
    planes = []
    for pattern in SOURCES:
        data = tifffile.imread(next(iter(sorted(micrographs.glob(pattern))))).astype(np.float64)
        plane = data if data.ndim == 2 else data[len(data) // 2]
        factor = 2 if min(plane.shape) < 512 else 4
        h, w = (n // factor for n in plane.shape)
        plane = plane[: h * factor, : w * factor].reshape(h, factor, w, factor).mean((1, 3))
        planes.append((plane - plane.min()) / np.ptp(plane))
    return planes


@pytest.mark.parametrize("std", [0.05, 0.1, 0.2])
def test_white_noise_on_real_micrographs(clean: list[np.ndarray], std: float) -> None:
    random = np.random.default_rng(3)
    found = [estimate_noise(plane + random.normal(0, std, plane.shape)) for plane in clean]
    ratios = [estimate.std / std for estimate in found]
    assert np.median(ratios) == pytest.approx(1, abs=0.12), ratios
    assert not any(estimate.correlated for estimate in found)
    assert all(estimate.white_equivalent_std == estimate.std for estimate in found)


@pytest.mark.parametrize("index", [1, 10, 19, 28])
def test_scan_line_noise_of_a_real_sem(micrographs: Path, index: int) -> None:
    noisy = tifffile.imread(micrographs / "val" / "kriss_semdenoising" / f"line_noisy_{index:03d}.tif") / 255
    found = estimate_noise(noisy)
    # standard deviation and lag-1 correlation of the registered residual: 0.075 to 0.082, and 0.48 along X
    assert found.std == pytest.approx(0.077, rel=0.12)
    assert found.correlated
    assert found.lag1[1] == pytest.approx(0.48, abs=0.06)
    assert abs(found.lag1[0]) < 0.06
    # what is left of that residual after averaging over 4 x 4 pixels, times 4
    assert found.white_equivalent_std == pytest.approx(0.106, rel=0.15)
    assert "row" in found.reason


def test_noise_correlated_down_the_columns_is_found_too() -> None:
    noisy = PoissonGaussian(100, 0.02, (0.3, 1.0, 0.8)).simulate(cell_phantom((256, 256), 2), 0).T
    found = estimate_noise(noisy)
    assert found.correlated
    assert found.lag1[0] > 0.4 > 0.1 > found.lag1[1]
    assert "column" in found.reason


def test_noise_smoothed_both_ways_is_not_taken_for_structure() -> None:
    phantom = cell_phantom(seed=1)
    noise = gaussian_filter(np.random.default_rng(0).normal(0, 1, phantom.shape), 0.8)
    found = estimate_noise(phantom + 0.06 * noise / noise.std())
    assert found.correlated
    assert (
        0.02 < found.white_equivalent_std < 0.06 * 2 * 0.8 * np.sqrt(np.pi)
    )  # the last is the level at zero frequency
    quiet = estimate_noise(phantom)
    assert not quiet.correlated
    assert quiet.white_equivalent_std < 0.005


@given(gain=st.floats(0.01, 1000), offset=st.floats(-1000, 1000), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_follows_the_grey_scale(gain: float, offset: float, seed: int) -> None:
    noisy = cell_phantom((96, 96), 1) + np.random.default_rng(seed).normal(0, 0.1, (96, 96))
    assert estimate_noise_std(gain * noisy + offset) == pytest.approx(gain * estimate_noise_std(noisy), rel=1e-3)


def test_holes_are_left_out() -> None:
    noisy = np.random.default_rng(0).normal(5, 1, (128, 160))
    noisy[20:50, 30:90] = np.nan
    noisy[100, 100] = np.inf
    assert estimate_noise_std(noisy) == pytest.approx(1, rel=0.1)


@pytest.mark.parametrize("image", [np.zeros((64, 64), np.uint8), np.full((16, 16), 7.0)])
def test_no_noise_where_nothing_varies(image: np.ndarray) -> None:
    assert estimate_noise_std(image) == 0


@pytest.mark.parametrize("image", [np.zeros((3, 32, 32)), np.zeros((8, 200)), np.full((32, 32), np.nan)])
def test_what_is_no_micrograph_is_refused(image: np.ndarray) -> None:
    with pytest.raises(GeometryError, match="noise estimate"):
        estimate_noise(image)


def test_where_everything_is_alike_as_in_labels_no_more_patches_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.zeros((480, 480))
    labels[100:140, 200:260] = 1
    looked = []
    steep = noise_statistics._steep_patches

    def counted(image, side, groups, axes):  # type: ignore[no-untyped-def]
        looked.append(sum(int(g.sum()) for g in groups) * side**2 / image.size)
        return steep(image, side, groups, axes)

    monkeypatch.setattr(noise_statistics, "_steep_patches", counted)
    assert noise_statistics.estimate_noise(labels).std == 0
    assert looked
    assert max(looked) < 0.7


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 1)])
def test_patches_are_high_passed_as_the_whole_image_is(axes: tuple[int, ...]) -> None:
    image = np.random.default_rng(5).normal(size=(50, 67))
    whole = image
    for axis in axes:
        whole = correlate1d(whole, noise_statistics._STEEP, axis=axis, mode="reflect")
    everywhere = np.ones((6, 8), dtype=bool)  # patches of 8 pixels
    (found,) = noise_statistics._steep_patches(image, 8, [everywhere], axes)
    np.testing.assert_allclose(found.reshape(6, 8, 8, 8), noise_statistics._patches(whole, 8), atol=1e-12)


def test_a_small_image_with_two_usable_patches_has_a_finite_noise() -> None:
    image = np.random.default_rng(0).normal(0.0, 1.0, (16, 16)) + 50.0
    image[8:, 8:] += 20.0
    image[:, :8] = np.where(np.indices((16, 8)).sum(0) % 2, 0.0, 255.0)  # both patches on the left are saturated
    estimate = estimate_noise(image)
    assert 0.0 < estimate.std < 20.0


@pytest.mark.parametrize("value", [0, 100])
def test_a_constant_border_is_not_looked_at(value):
    noisy = np.random.default_rng(0).normal(100, 6, (192, 192)).round()
    alone = estimate_noise(noisy[128:])
    noisy[:128] = value
    assert estimate_noise(noisy).std == pytest.approx(alone.std, rel=0.1)
