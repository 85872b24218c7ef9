"""Simulated noise has the mean, variance and correlation it states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ruska.errors import SettingsError
from ruska.physics import STANDARD_DOSES, PoissonGaussian

LEVELS = np.linspace(0, 1, 6)
RAMP = np.repeat(LEVELS, 40_000).reshape(6, 200, 200)
SCAN_LINE = (0.15, 1.0, 0.6)


@pytest.mark.parametrize("dose", [*STANDARD_DOSES, PoissonGaussian(50, 0.02, SCAN_LINE)])
def test_mean_and_variance_are_the_stated_ones(dose: PoissonGaussian) -> None:
    noisy = dose.simulate(RAMP, seed=5)
    assert noisy.dtype == np.float32
    np.testing.assert_allclose(noisy.mean((1, 2)), LEVELS, atol=0.005)
    np.testing.assert_allclose(noisy.var((1, 2)), dose.variance(LEVELS), rtol=0.04)


def test_scan_line_kernel_correlates_rows_only() -> None:
    noise = PoissonGaussian(200, 0.05, SCAN_LINE).simulate(np.full((300, 300), 0.5), 1) - 0.5
    kernel = np.array(SCAN_LINE) / np.linalg.norm(SCAN_LINE)
    expected = float(kernel[1:] @ kernel[:-1])
    assert np.mean(noise[:, 1:] * noise[:, :-1]) / noise.var() == pytest.approx(expected, abs=0.02)
    assert np.mean(noise[1:] * noise[:-1]) / noise.var() == pytest.approx(0, abs=0.02)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_same_seed_same_noise(seed: int) -> None:
    clean = np.full((9, 7), 0.4)
    dose = STANDARD_DOSES[1]
    np.testing.assert_array_equal(dose.simulate(clean, seed), dose.simulate(clean, seed))
    assert not np.array_equal(dose.simulate(clean, seed), dose.simulate(clean, seed + 1))


@pytest.mark.parametrize(("arguments", "name"), [
    ((0, 0.1), "peak_counts"), ((float("nan"), 0.1), "peak_counts"), ((10, -0.1), "read_noise"),
    ((10, 0.1, (1.0, 1.0)), "scan_line_kernel"), ((10, 0.1, (0.0,)), "scan_line_kernel"),
])  # fmt: skip
def test_impossible_settings_are_refused(arguments: tuple, name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        PoissonGaussian(*arguments)
