"""Spectra, whiteness and Fourier ring correlation against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from ruska.errors import GeometryError
from ruska.metrics import frc, radial_spectrum, residual_whiteness


def white(shape: tuple[int, ...], seed: int = 0, std: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, std, shape)


@given(height=st.integers(8, 70), width=st.integers(8, 70))
@settings(max_examples=20, deadline=None)
def test_rings_reach_from_lowest_to_nyquist_in_any_shape(height: int, width: int) -> None:
    frequency, power = radial_spectrum(white((height, width)) + 50)
    assert frequency.shape == power.shape == (min(height, width) // 2,)
    assert frequency[-1] == 0.5
    assert np.all(power >= 0)


@pytest.mark.parametrize("shape", [(256, 256), (255, 301)])
def test_white_noise_has_its_variance_at_every_frequency(shape: tuple[int, int]) -> None:
    frequency, power = radial_spectrum(white(shape, std=3.0) + 100)
    np.testing.assert_allclose(power[frequency > 0.1], 9, rtol=0.35)
    assert power[frequency > 0.1].mean() == pytest.approx(9, rel=0.03)


def test_a_wave_peaks_at_its_own_frequency() -> None:
    y, x = np.mgrid[:200, :200]
    frequency, power = radial_spectrum(np.sin(2 * np.pi * (0.12 * x + 0.16 * y)))
    assert frequency[np.argmax(power)] == pytest.approx(0.2, abs=0.005)


def test_a_gaussian_multiplies_the_spectrum_by_its_transfer() -> None:
    noise = white((400, 400))
    frequency, power = radial_spectrum(noise)
    _, blurred = radial_spectrum(gaussian_filter(noise, 1.2, mode="wrap"))
    low = (frequency > 0.03) & (frequency < 0.25)
    np.testing.assert_allclose((blurred / power)[low], np.exp(-((2 * np.pi * 1.2 * frequency[low]) ** 2)), rtol=0.2)


def test_whiteness_of_white_and_of_averaged_noise() -> None:
    noise = white((300, 301))
    np.testing.assert_allclose(residual_whiteness(noise), 0, atol=0.02)
    averaged = noise[:, 1:] + noise[:, :-1]
    np.testing.assert_allclose(residual_whiteness(averaged), (0, 0.5), atol=0.02)
    assert residual_whiteness(np.full((4, 1), 3.0)) == (0.0, 0.0)
    assert len(residual_whiteness(white((4, 5, 6)))) == 3


def test_frc_of_equal_and_of_unrelated_images() -> None:
    noise = white((128, 128))
    same = frc(noise, 3 * noise + 7)
    np.testing.assert_allclose(same.correlation, 1)
    assert same.resolution_px is None
    unrelated = frc(noise, white((128, 128), 1))
    assert np.abs(unrelated.correlation[10:]).mean() < 0.1
    assert unrelated.resolution_px is not None
    assert unrelated.resolution_px > 10


def test_frc_of_a_blurred_scene_with_noise_follows_its_signal_to_noise_ratio() -> None:
    # FRC = S / (S + N) for two recordings with independent noise; it falls to 1/7 where S = N / 6
    sigma, noise_std = 1.5, 0.1
    scene = gaussian_filter(white((512, 512)), sigma, mode="wrap")
    result = frc(scene + white(scene.shape, 1, noise_std), scene + white(scene.shape, 2, noise_std))
    signal = np.exp(-((2 * np.pi * sigma * result.frequency) ** 2))
    middle = result.frequency > 0.02
    np.testing.assert_allclose(result.correlation[middle], (signal / (signal + noise_std**2))[middle], atol=0.12)
    crossing = np.sqrt(np.log(6 / noise_std**2)) / (2 * np.pi * sigma)
    assert result.resolution_px == pytest.approx(1 / crossing, rel=0.04)


@pytest.mark.parametrize("call", [
    lambda: radial_spectrum(np.zeros((7, 30))), lambda: radial_spectrum(np.zeros((3, 30, 30))),
    lambda: frc(np.zeros((30, 30)), np.zeros((30, 31))), lambda: frc(np.zeros((3, 30, 30)), np.zeros((3, 30, 30))),
])  # fmt: skip
def test_other_shapes_are_refused(call) -> None:
    with pytest.raises(GeometryError):
        call()
