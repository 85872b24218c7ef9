"""Folding the noisy pixel back in: never worse than the prediction where its assumptions hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ruska.methods.folding import Folding
from ruska.physics import PoissonGaussian, cell_phantom


def blurred_prediction(kernel, seed=0):
    """Truth, noisy image and a prediction that is too smooth, its error independent of the noise."""
    truth = cell_phantom((256, 256), seed=seed)
    truth = np.asarray(getattr(truth, "image", truth), dtype=np.float64)
    noisy = PoissonGaussian(200, 0.01, kernel).simulate(truth, seed=5)
    return truth, noisy, gaussian_filter(truth, 1.2)


@pytest.mark.parametrize(("kernel", "spot"), [((1.0,), (1, 1)), ((0.3, 1.0, 0.5), (1, 5)), ((0.3, 1.0, 0.5), (3, 5))])
def test_it_brings_back_what_the_prediction_lost(kernel, spot):
    truth, noisy, predicted = blurred_prediction(kernel)
    folding = Folding.fit([(predicted, noisy)], spot)
    assert folding is not None
    before, after = (np.mean((p - truth) ** 2) for p in (predicted, folding.apply(predicted, noisy)))
    assert after < 0.9 * before


def test_weights_of_independent_noise_are_those_of_the_posterior_mean():
    _, noisy, predicted = blurred_prediction((1.0,))
    folding = Folding.fit([(predicted, noisy)], (1, 1))
    for level, weight in ((2, 0.05 / 1.05), (5, 0.4 / 1.4)):
        assert folding.filters[level].item() == pytest.approx(weight, rel=0.01)


def test_the_noise_level_is_found_where_the_prediction_is_flat():
    _, noisy, predicted = blurred_prediction((1.0,))
    folding = Folding.fit([(predicted, noisy)], (1, 1))
    expected = PoissonGaussian(200, 0.01).variance(folding.brightness)
    # The darkest group is membranes, which are nowhere flat: its level is too high, which folds in less.
    np.testing.assert_allclose(folding.noise_variance[1:], expected[1:], rtol=0.2)


def test_nothing_is_folded_into_a_perfect_prediction():
    truth, noisy, _ = blurred_prediction((1.0,))
    folding = Folding.fit([(truth, noisy)], (1, 1))
    after = truth if folding is None else folding.apply(truth, noisy)
    assert np.sqrt(np.mean((after - truth) ** 2)) < 0.05 * np.sqrt(np.mean((noisy - truth) ** 2))


def test_a_constant_prediction_of_pure_noise_stays_constant():
    noise = np.random.default_rng(0).normal(0.5, 0.1, (128, 128))
    folding = Folding.fit([(np.full_like(noise, 0.5), noise)], (1, 1))
    assert folding is None or np.ptp(folding.apply(np.full_like(noise, 0.5), noise)) < 0.02
