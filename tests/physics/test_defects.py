"""Planted defects are found, specimens and noise are not taken for them, and repair puts back what stood around."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from ruska.errors import GeometryError
from ruska.physics import (
    BadPixels,
    Digitiser,
    NoiseLevel,
    PoissonGaussian,
    cell_phantom,
    clipped_shares,
    find_defects,
    noise_level,
    particle_phantom,
    repair_defects,
)
from ruska.physics.defects import (
    OUTLIER_REACH,
    REPAIR_REACH,
    OutlierLimits,
    find_outliers,
    mend_outliers,
    outlier_limits,
)

CLEAN = {"cell": cell_phantom((400, 400), 3), "particles": particle_phantom((400, 400), 3)}
KERNELS = [(1.0,), (0.3, 1.0, 0.5)]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", CLEAN)
@pytest.mark.parametrize("dose", [(200, 0.01), (50, 0.02), (12, 0.04), (2, 0.05)])
def test_noise_alone_has_no_defects(name: str, dose: tuple[float, float], kernel: tuple[float, ...]) -> None:
    """Down to two electrons a pixel, where the noise is far from Gaussian."""
    found = find_defects(PoissonGaussian(*dose, kernel).simulate(CLEAN[name], 1))
    assert (found.hot, found.dead) == (0, 0)
    assert not found.mask.any()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", CLEAN)
def test_planted_pixels_are_found(name: str, kernel: tuple[float, ...]) -> None:
    """At 200 electrons: 30 pixels of twice the range, all found; no other pixel is named."""
    bad = BadPixels(hot=30 / 400**2, dead=0, hot_value=2.0)
    found = find_defects(bad.simulate(PoissonGaussian(200, 0.01, kernel).simulate(CLEAN[name], 1), seed=5))
    planted, _ = bad.places((400, 400), seed=5)
    assert found.hot == 30
    assert found.dead == 0
    np.testing.assert_array_equal(found.mask, planted)


def test_dead_pixels_of_a_bright_film_and_pairs() -> None:
    noisy = PoissonGaussian(200, 0.01).simulate(np.full((64, 80), 0.7), 0)
    noisy[10, 10] = noisy[30, 0] = noisy[63, 79] = 0
    noisy[40, 40] = noisy[40, 41] = 1.8
    found = find_defects(noisy)
    assert (found.hot, found.dead) == (2, 3)
    assert found.mask[10, 10] and found.mask[30, 0] and found.mask[63, 79]  # noqa: PT018 (one fact)


@pytest.mark.parametrize("pattern", [
    "val/isbi2012/train_raw*.tif", "val/cdeep3m_sbem/train_raw*.tif", "val/fib25_neuroproof/sample2_raw*.tif",
    "train/hela_sbfsem_crick/*_z0001.tif", "train/shale_fibsem/shale*.tif",
    "train/kriss_semdenoising/dwell_low_017.tif", "val/kriss_semdenoising/line_noisy_010.tif",
    "train/plant_stem_sem/C1-3_A_m06.tif",
])  # fmt: skip
def test_real_micrographs_are_nearly_free_of_them(micrographs, pattern: str) -> None:
    """At most 1 in 100 000 pixels; most of these eight have none, and the exceptions may be real."""
    data = tifffile.imread(next(iter(sorted(micrographs.glob(pattern)))))
    plane = data if data.ndim == 2 else data[len(data) // 2]
    plane = plane[:1024, :1024]
    assert find_defects(plane).mask.sum() <= 1e-5 * plane.size + 1


def test_the_hot_pixels_of_a_real_camera(micrographs) -> None:
    """The soot micrograph shows about ten single bright pixels in its empty part, two of them pairs."""
    plane = tifffile.imread(micrographs / "val" / "hrtem_soot" / "ExampleImage.tif")[..., 1]  # grey, saved as RGB
    found = find_defects(plane)
    assert 8 <= found.hot <= 14
    assert found.dead == 0
    repaired = repair_defects(plane, found.mask)
    assert find_defects(repaired).hot == 0
    assert np.count_nonzero(repaired != plane) == found.hot


def test_frames_know_defects_that_one_frame_hides_and_leave_out_cosmic_rays() -> None:
    frames = np.stack([PoissonGaussian(12, 0.02).simulate(CLEAN["cell"][:128, :128], k) for k in range(24)])
    bad = BadPixels(hot=6 / 128**2, dead=0, hot_value=1.6)
    shown = bad.simulate(frames, seed=2)
    shown[3, 64, 64] = 400.0
    assert find_defects(shown[0]).hot < 6
    found = find_defects(shown)
    np.testing.assert_array_equal(found.mask, bad.places((128, 128), 2)[0])
    assert not find_defects(frames).mask.any()


def test_holes_are_left_out() -> None:
    noisy = PoissonGaussian(200, 0.01).simulate(CLEAN["cell"], 1)
    noisy[50:90, 50:90] = np.nan
    noisy[200, 200] = np.inf
    noisy[70, 95] = 3.0
    found = find_defects(noisy)
    assert (found.hot, found.dead) == (1, 0)
    assert found.mask[70, 95]
    with pytest.raises(GeometryError, match="more than half"):
        find_defects(np.full((20, 20), np.nan))


@given(gain=st.floats(0.01, 1000), offset=st.floats(-1000, 1000))
@settings(max_examples=10, deadline=None)
def test_follows_the_grey_scale(gain: float, offset: float) -> None:
    noisy = PoissonGaussian(200, 0.01).simulate(CLEAN["cell"][:96, :96], 1).astype(np.float64)
    noisy[20, 20], noisy[60, 33] = 3, -3
    found = find_defects(gain * noisy + offset)
    assert found.mask[20, 20]
    assert found.mask[60, 33]
    assert (found.hot, found.dead) == (1, 1)


def test_a_known_noise_level_is_used() -> None:
    noisy = PoissonGaussian(200, 0.01).simulate(CLEAN["cell"], 1)
    noisy[70, 95] = 3.0
    measured = find_defects(noisy)
    np.testing.assert_array_equal(find_defects(noisy, noise_level(noisy)).mask, measured.mask)
    louder = noise_level(10 * noisy)
    assert find_defects(noisy, louder).hot == 0


@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("share", [0.002, 0.02, 0.3])
def test_clipped_shares_are_recovered(bits: int, share: float) -> None:
    """To 0.1 % of the pixels, at either end; the other end, which merely thins out, counts as sound."""
    noisy = PoissonGaussian(50, 0.05).simulate(CLEAN["cell"], 0)
    low, high = np.quantile(noisy, (share, 1 - share))
    top = Digitiser(bits, float(noisy.min()) - 0.1, float(high)).digitise(noisy)
    assert clipped_shares(top) == (0.0, pytest.approx(share, abs=0.001 + 0.02 * share * (bits == 8)))
    bottom = Digitiser(bits, float(low), float(noisy.max()) + 0.1).digitise(noisy)
    assert clipped_shares(bottom) == (pytest.approx(share, abs=0.001 + 0.02 * share * (bits == 8)), 0.0)
    whole = Digitiser(bits, float(noisy.min()), float(noisy.max())).digitise(noisy)
    assert clipped_shares(whole) == (0.0, 0.0)


def test_floats_are_clipped_too_and_a_flat_image_is_not() -> None:
    noisy = PoissonGaussian(50, 0.05).simulate(CLEAN["cell"], 0)
    cut = np.minimum(noisy, np.quantile(noisy, 0.98))
    cut[0, 0] = np.nan
    assert clipped_shares(cut) == (0.0, pytest.approx(0.02, abs=0.001))
    assert clipped_shares(noisy) == (0.0, 0.0)
    assert clipped_shares(np.full((20, 20), 7)) == (0.0, 0.0)
    assert clipped_shares(np.full((4, 4), np.nan)) == (0.0, 0.0)
    assert find_defects(np.minimum(noisy, 0.6)).clipped_high > 0.1


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_repair_takes_the_median_of_valid_neighbours(dtype: type) -> None:
    image = np.arange(30, dtype=dtype).reshape(5, 6)
    spoilt, mask = image.copy(), np.zeros((5, 6), bool)
    mask[2, 2] = mask[2, 3] = True
    spoilt[mask] = 100
    repaired = repair_defects(spoilt, mask)
    assert repaired.dtype == dtype
    np.testing.assert_array_equal(repaired[~mask], image[~mask])
    # seven neighbours each, of rows 6.. to 21..
    assert repaired[2, 2] == np.rint(np.median([7, 8, 9, 13, 19, 20, 21]))
    assert spoilt[2, 2] == 100  # the input is untouched
    np.testing.assert_array_equal(repair_defects(spoilt.T, mask.T), repaired.T)  # not contiguous


def test_repair_reaches_over_large_holes_nan_and_stacks() -> None:
    stack = np.stack([np.full((9, 9), 3.0), np.full((9, 9), 5.0)])
    mask = np.zeros((9, 9), bool)
    mask[2:7, 2:7] = True
    stack[:, mask] = 99
    stack[0, 1, 1] = np.nan
    repaired = repair_defects(stack, mask)
    assert np.all(repaired[0][mask] == 3)
    assert np.all(repaired[1] == 5)
    assert np.isnan(repaired[0, 1, 1])  # not asked for


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(GeometryError, match="defects"):
        find_defects(np.zeros((8, 40)))
    with pytest.raises(GeometryError, match="defects"):
        find_defects(np.zeros((2, 2, 40, 40)))
    with pytest.raises(GeometryError, match="mask"):
        repair_defects(np.zeros((8, 8)), np.zeros((8, 9), bool))
    with pytest.raises(GeometryError, match="no valid pixel"):
        repair_defects(np.zeros((8, 8)), np.ones((8, 8), bool))


def spots(sigma: float, heights: tuple[float, ...], seed: int = 0) -> np.ndarray:
    """Puncta of Gaussian ``sigma``, in heights of the noise (1), centred anywhere between the pixels."""
    rng, around = np.random.default_rng(seed), np.arange(-6, 7)
    image = rng.normal(100, 1, (390, 390))
    for y in range(6, 384, 13):
        for x in range(6, 384, 13):
            dy, dx = rng.uniform(-0.5, 0.5, 2)
            spot = np.exp(-((around[:, None] - dy) ** 2 + (around - dx) ** 2) / (2 * sigma**2))
            image[y - 6 : y + 7, x - 6 : x + 7] += rng.choice(heights) * spot
    return image


def outliers_of(image: np.ndarray) -> int:
    limits = outlier_limits([image])
    return 0 if limits is None else sum(int(found.sum()) for found in find_outliers(image, limits))


@pytest.mark.parametrize("sigma", [0.7, 0.85, 1.0])
@pytest.mark.parametrize("heights", [(8.0, 12.0), (20.0, 40.0), (100.0, 1000.0)])
def test_puncta_at_the_resolution_limit_are_no_outliers(sigma: float, heights: tuple[float, ...]) -> None:
    assert outliers_of(spots(sigma, heights)) == 0


def test_a_hit_beyond_the_puncta_is_one() -> None:
    image = spots(0.7, (10.0, 40.0))
    image[100, 100] += 500
    limits = outlier_limits([image])
    assert limits is not None
    np.testing.assert_array_equal(np.argwhere(find_outliers(image, limits)[0]), [[100, 100]])


@pytest.mark.parametrize("counts", [0.003, 0.03, 0.3, 1.0, 5.0])
@pytest.mark.parametrize("read", [0.0, 0.05, 0.1])
@pytest.mark.parametrize("flat", [True, False])
def test_few_counts_are_no_outliers(counts: float, read: float, flat: bool) -> None:
    rng = np.random.default_rng(2)
    mean = np.full((400, 400), counts) if flat else 2 * counts * CLEAN["cell"]
    image = 30 * (rng.poisson(mean) + rng.normal(0, 1, mean.shape) * read)
    assert outliers_of(image if read else image.astype(np.uint16)) <= 1e-5 * image.size + 1


@pytest.mark.parametrize("share", [3e-4, 1e-2])
def test_many_hits_do_not_hide_each_other(share: float) -> None:
    """Nor their noise: 1 in 100 pixels leaves no patch without one."""
    image = PoissonGaussian(50, 0.02).simulate(CLEAN["cell"], 1)
    hits = np.random.default_rng(0).random(image.shape) < share
    image[hits] = 50
    limits = outlier_limits([image])
    assert limits is not None
    hot, dead = find_outliers(image, limits)
    assert hot[hits].mean() > 0.95
    assert not (hot & ~hits).any()
    assert not dead.any()


def test_the_end_of_a_line_is_no_outlier() -> None:
    image = np.random.default_rng(0).normal(100, 1, (96, 96))
    image[40, :30] += 60
    image[60:, 20] -= 60
    image[10, 70] += 60
    found = np.logical_or(*find_outliers(image, OutlierLimits(NoiseLevel(0, 1.0, (100.0,), (1.0,)))))
    np.testing.assert_array_equal(np.argwhere(found), [[10, 70]])


@pytest.mark.parametrize("value", [1e9, 1e30, 3e38, -3e38])
def test_values_that_are_no_grey_levels_are_found(value: float) -> None:
    noisy = PoissonGaussian(50, 0.02).simulate(CLEAN["cell"], 1).astype(np.float32)
    places = np.random.default_rng(0).permutation(noisy.size)[:40]
    noisy.ravel()[places] = value
    limits = outlier_limits([noisy])
    assert limits is not None
    hot, dead = find_outliers(noisy, limits)
    assert set(np.flatnonzero(hot | dead)) == set(places)


def test_a_slice_of_fewer_electrons_is_judged_by_its_own_noise() -> None:
    limits = outlier_limits([PoissonGaussian(200, 0.01).simulate(CLEAN["cell"], 1)])
    assert limits is not None
    for dose, read in ((50, 0.02), (12, 0.04)):
        noisy = PoissonGaussian(dose, read).simulate(CLEAN["cell"], 2)
        assert not any(found.any() for found in find_outliers(noisy, limits))


@given(st.integers(0, 90), st.integers(0, 90), st.integers(8, 40), st.integers(0, 9))
@settings(max_examples=30)
def test_a_part_is_judged_and_mended_like_the_whole(y: int, x: int, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.normal(100, 5, (120, 130)).astype(np.float32)
    image[rng.integers(0, 120, 90), rng.integers(0, 130, 90)] += rng.choice([-300, 200, np.nan, np.inf], 90)
    limits = OutlierLimits(NoiseLevel(0, 25.0, (100.0,), (25.0,)))

    def mended(part: np.ndarray) -> np.ndarray:
        hot, dead = find_outliers(part, limits)
        out = part.copy()
        mend_outliers(out, hot | dead)
        return out

    margin = OUTLIER_REACH + REPAIR_REACH
    top, left = max(0, y - margin), max(0, x - margin)
    part = mended(image[top : y + size + margin, left : x + size + margin])
    whole = mended(image)
    assert (whole != image).sum() > 20
    inner = part[y - top : y - top + size, x - left : x - left + size]
    np.testing.assert_array_equal(inner, whole[y : y + size, x : x + size])
