"""The verdict calls good what is good, and notices blur, bias, clipping and nothing at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from skimage.restoration import denoise_nl_means

from ruska.errors import GeometryError
from ruska.physics import STANDARD_DOSES, PoissonGaussian, cell_phantom, estimate_noise, particle_phantom
from ruska.report import judge
from ruska.report.verdict import measure

CLEAN = cell_phantom(seed=0).astype(np.float64)
NOISY = [dose.simulate(CLEAN, 3).astype(np.float64) for dose in STANDARD_DOSES]


@pytest.mark.parametrize("dose", [0, 1, 2])
def test_the_truth_is_good_at_every_dose(dose: int) -> None:
    verdict = judge(NOISY[dose], CLEAN)
    assert verdict.level == "good", verdict
    assert verdict.headline == "Noise was removed; no lost structure was found."
    assert any("What one image cannot tell" in line for line in verdict.lines)


def test_the_truth_is_good_with_scan_line_noise_and_with_particles() -> None:
    noisy = PoissonGaussian(50, 0.02, (0.15, 1.0, 0.6)).simulate(CLEAN, 1)
    verdict = judge(noisy, CLEAN)
    assert verdict.level == "good", verdict
    assert any("in a row share noise" in line for line in verdict.lines)
    particles = particle_phantom(seed=2)
    assert judge(STANDARD_DOSES[1].simulate(particles, 0), particles).level == "good"


def test_of_single_counts_noise_is_what_their_mean_says() -> None:
    y, x = np.mgrid[:128, :128] - 64
    disc = 3 * np.exp(-(y**2 + x**2) / 400) + 0.002  # most of the frame holds nothing, its noise is in the disc
    frame = np.random.default_rng(0).poisson(disc).astype(np.float64)
    assert judge(frame, disc).level == "good"
    assert judge(frame, gaussian_filter(frame, 12)).level == "warning"


@pytest.mark.parametrize("dose", [0, 1, 2])
def test_a_wide_blur_is_not_good_at_any_dose(dose: int) -> None:
    verdict = judge(NOISY[dose], gaussian_filter(NOISY[dose], 4))
    assert verdict.level == "warning", verdict
    assert verdict.headline.startswith("Real structure was probably removed")


def test_a_denoiser_is_good_at_the_right_strength_and_not_at_twice_of_it() -> None:
    clean = cell_phantom(seed=5).astype(np.float64)
    noisy = STANDARD_DOSES[0].simulate(clean, 3).astype(np.float64)
    std = estimate_noise(noisy).white_equivalent_std
    weak, strong = (
        denoise_nl_means(noisy, 5, 6, h=factor * std, sigma=factor * std, fast_mode=True) for factor in (0.65, 1.8)
    )
    assert judge(noisy, weak).level == "good", judge(noisy, weak)
    assert judge(noisy, strong).level == "warning"


def test_blur_on_a_real_micrograph(micrographs: Path) -> None:
    plane = tifffile.imread(micrographs / "val/fib25_neuroproof/sample2_raw_250x250x250.tif")[125]
    assert judge(plane, gaussian_filter(plane.astype(float), 3)).level == "warning"
    sem = tifffile.imread(micrographs / "val/kriss_semdenoising/line_noisy_010.tif")
    assert judge(sem, gaussian_filter(sem.astype(float), 4)).level == "warning"


@given(gain=st.floats(1e-3, 1e4), offset=st.floats(-1e4, 1e4))
@settings(max_examples=8, deadline=None)
def test_the_grey_scale_does_not_matter(gain: float, offset: float) -> None:
    noisy, result = NOISY[1][:200, :200], CLEAN[:200, :200]
    verdict = judge(gain * noisy + offset, gain * result + offset)
    assert (verdict.headline, verdict.level) == (judge(noisy, result).headline, judge(noisy, result).level)


def test_identity_says_that_nothing_was_removed() -> None:
    verdict = judge(NOISY[1], NOISY[1].copy())
    assert verdict.headline.startswith("Nothing was removed")
    assert verdict.level == "caution"
    flat = judge(np.zeros((64, 64)), np.zeros((64, 64)))
    assert flat.headline.startswith("Nothing was removed")


def test_changed_brightness_clipping_and_warnings_are_told() -> None:
    biased = judge(NOISY[1], CLEAN - 0.08)
    assert biased.level == "warning"
    assert "brightness" in biased.headline
    clipped = judge(NOISY[1], CLEAN, clipped=12, warnings=["pixel size outside the trained range."])
    assert clipped.level == "caution"
    assert any("12 voxels" in line for line in clipped.lines)
    assert any("pixel size outside the trained range." in line for line in clipped.lines)


def test_measures_of_a_known_residual() -> None:
    m = measure(NOISY[1], CLEAN, estimate_noise(NOISY[1]))
    assert m.residual_std == pytest.approx((NOISY[1] - CLEAN).std())
    assert m.coarse_ratio == pytest.approx(1, abs=0.1)
    assert m.kept_power is not None
    assert 0.7 < m.kept_power < 1.2
    assert m.bias == pytest.approx(CLEAN.mean() - NOISY[1].mean())


def test_other_shapes_are_refused() -> None:
    with pytest.raises(GeometryError, match="verdict"):
        judge(NOISY[1], CLEAN[1:])
    with pytest.raises(GeometryError, match="verdict"):
        judge(NOISY[1][:31, :31], CLEAN[:31, :31])


def test_a_result_that_is_no_better_than_its_input_is_told_so() -> None:
    good = judge(NOISY[1], CLEAN)
    assert good.better is True
    assert any("probably closer to the specimen" in line for line in good.lines)
    same = judge(NOISY[1], NOISY[1].copy())
    weak = judge(NOISY[1], NOISY[1] + 0.01 * (CLEAN - NOISY[1]))
    assert (same.better, weak.better) == (False, False)
    blurred = judge(NOISY[0], gaussian_filter(NOISY[0], 4))
    assert blurred.better is False
    assert "worse than its input" in blurred.headline
    assert any("further from the specimen" in line for line in blurred.lines)
    assert blurred.numbers["break_even_noise"] > estimate_noise(NOISY[0]).std
    deblurred = judge(NOISY[0], gaussian_filter(NOISY[0], 4), denoised=False)
    assert deblurred.better is None
    assert not any("nearer" in line or "further" in line for line in deblurred.lines)
