"""The noise's spectrum is that of the noise, and a residual's distance from it says what was removed."""

from __future__ import annotations

import numpy as np
import pytest

from ruska.evaluation import noise_spectrum, score, spectrum_distance
from ruska.image import Image
from ruska.metrics import radial_spectrum
from ruska.physics import PoissonGaussian, cell_phantom, estimate_noise

CLEAN = cell_phantom((256, 256), 3).astype(np.float64)


@pytest.mark.parametrize("kernel", [(1.0,), (0.15, 1.0, 0.6)])
def test_the_estimated_spectrum_is_that_of_the_noise(kernel: tuple[float, ...]) -> None:
    noisy = PoissonGaussian(50, 0.02, kernel).simulate(CLEAN, 0).astype(np.float64)
    frequency, power = radial_spectrum(noisy - CLEAN)
    model = noise_spectrum(estimate_noise(noisy), frequency)
    coarse, fine = (frequency > 0.05) & (frequency < 0.15), frequency > 0.4
    for band in (coarse, fine):
        assert model[band].mean() == pytest.approx(power[band].mean(), rel=0.25)
    assert spectrum_distance(noisy - CLEAN, model) < 1.5


def test_removed_structure_and_noise_left_in_both_cost() -> None:
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(0).normal(0, 0.1, CLEAN.shape)
    frequency, _ = radial_spectrum(noise)
    flat = np.full_like(frequency, 0.01)
    assert spectrum_distance(noise, flat) < 0.7
    assert spectrum_distance(0.5 * noise, flat) == pytest.approx(6, abs=0.5)
    blurred = CLEAN + noise - gaussian_filter(CLEAN + noise, 4)
    assert spectrum_distance(blurred, flat) > 3
    assert spectrum_distance(np.zeros_like(CLEAN), flat) == pytest.approx(30)
    assert spectrum_distance(noise, 0 * flat) == np.inf


def test_it_is_among_the_scores() -> None:
    noisy = Image(PoissonGaussian(50, 0.02).simulate(CLEAN, 0), "YX")
    good, bad = (score(Image(r, "YX"), noisy=noisy).residual for r in (CLEAN, np.full_like(CLEAN, CLEAN.mean())))
    assert good is not None
    assert bad is not None
    assert good.spectrum_db.median < 1.5
    assert bad.spectrum_db.median > 5
