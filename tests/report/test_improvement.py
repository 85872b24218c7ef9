"""Whether a result is nearer to the specimen than its input is told from the two, without the truth."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, median_filter

from ruska.physics import STANDARD_DOSES, PoissonGaussian, cell_phantom, estimate_noise
from ruska.report.improvement import Improvement, improvement

CLEAN = cell_phantom(seed=0).astype(np.float64)
NOISY = [dose.simulate(CLEAN, 3).astype(np.float64) for dose in STANDARD_DOSES]


def told(before: np.ndarray, after: np.ndarray) -> Improvement:
    found = improvement(before, after, estimate_noise(before))
    assert found is not None
    return found


def change(before: np.ndarray, after: np.ndarray, clean: np.ndarray) -> float:
    return float(((after - clean) ** 2).mean() / ((before - clean) ** 2).mean() - 1)


def gain_db(before: np.ndarray, after: np.ndarray, clean: np.ndarray) -> float:
    return float(-10 * np.log10(1 + change(before, after, clean)))


@pytest.mark.parametrize("dose", [0, 1, 2])
def test_the_error_of_a_filter_is_told_without_the_truth(dose: int) -> None:
    noisy = NOISY[dose]
    for result in (noisy + 0.2 * (CLEAN - noisy), *(gaussian_filter(noisy, sigma) for sigma in (0.4, 0.7, 1.5, 3)),
                   median_filter(noisy, 3)):  # fmt: skip
        assert told(noisy, result).change == pytest.approx(change(noisy, result, CLEAN), abs=0.18)


def test_noise_shared_along_the_scan_line_is_reckoned_with() -> None:
    noisy = PoissonGaussian(50, 0.02, (0.15, 1.0, 0.6)).simulate(CLEAN, 1).astype(np.float64)
    result = gaussian_filter(noisy, 1)
    assert told(noisy, result).change == pytest.approx(change(noisy, result, CLEAN), abs=0.1)


def test_a_third_of_the_noise_below_break_even_is_worse() -> None:
    found = told(NOISY[0], gaussian_filter(NOISY[0], 4))
    assert found.worse
    assert not found.better
    assert found.break_even > found.noise_std
    good = told(NOISY[0], CLEAN)
    assert good.better
    assert good.break_even == pytest.approx(good.noise_std / np.sqrt(2), rel=0.1)  # noise alone was removed


def test_nothing_taken_is_no_better_and_nothing_there_is_not_judged() -> None:
    same = told(NOISY[1], NOISY[1])
    assert (same.taken, same.removed) == (pytest.approx(0, abs=1e-9), 0)
    assert not same.better
    assert not same.worse
    flat = np.zeros((64, 64))
    assert improvement(flat, flat, estimate_noise(flat)) is None


@given(gain=st.floats(1e-3, 1e4), offset=st.floats(-1e4, 1e4))
@settings(max_examples=5)
def test_the_grey_scale_does_not_matter(gain: float, offset: float) -> None:
    noisy, result = NOISY[1][:160, :160], CLEAN[:160, :160]
    scaled = told(gain * noisy + offset, gain * result + offset)
    assert scaled.change == pytest.approx(told(noisy, result).change, abs=1e-3)


def test_filters_of_real_micrographs_are_told_apart(micrographs: Path) -> None:
    """Of blurs from far too weak to far too strong, what is within 0.3 dB of no gain may be called either way."""
    plane = tifffile.imread(micrographs / "val/cdeep3m_sbem/train_raw_12x1024x1024.tif")[6].astype(np.float64)
    truth = plane.reshape(512, 2, 512, 2).mean((1, 3))[:256, :256] / 255
    wrong, seen = [], set()
    for dose, sigma in product(STANDARD_DOSES, (0.1, 0.3, 0.5, 1, 2, 4, 8)):
        noisy = dose.simulate(truth, 7).astype(np.float64)
        result = gaussian_filter(noisy, sigma)
        true, found = gain_db(noisy, result, truth), told(noisy, result)
        seen.add(true > 0.3)
        if (true > 0.3 and not found.better) or (true < -0.2 and found.better):
            wrong.append((dose, sigma, true, found.change))
    assert seen == {True, False}
    assert not wrong
