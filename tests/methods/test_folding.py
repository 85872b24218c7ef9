"""Folding the noisy pixel back in: never worse than the prediction where its assumptions hold."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ruska.methods.folding import Folding
from ruska.physics import NoiseEstimate, PoissonGaussian, cell_phantom


def blurred_prediction(kernel, seed=0):
    """Truth, noisy image and a prediction that is too smooth, its error independent of the noise."""
    truth = cell_phantom((256, 256), seed=seed)
    truth = np.asarray(getattr(truth, "image", truth), dtype=np.float64)
    noisy = PoissonGaussian(200, 0.01, kernel).simulate(truth, seed=5)
    return truth, noisy, gaussian_filter(truth, 1.2)


def noise_of(std, lags_x=(0.0, 0.0, 0.0, 0.0)):
    """An estimate that says so much; correlated along X only."""
    return NoiseEstimate(std, std, any(lags_x), (0.0,) * 4, tuple(lags_x), std)


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


@pytest.mark.parametrize("kernel", [(1.0,), (0.3, 1.0, 0.5)])
def test_a_prediction_that_is_wrong_everywhere_is_corrected_by_the_known_noise(kernel):
    """As where fine membranes fill the image: no place is flat, so flat places do not tell noise from error."""
    random = np.random.default_rng(0)
    truth = gaussian_filter(random.normal(size=(256, 256)), 1.5)
    truth = 0.5 + 0.1 * truth / truth.std()
    noisy = PoissonGaussian(50, 0.02, kernel).simulate(truth, seed=5)
    predicted = gaussian_filter(truth, 2.0)
    whitened = (noisy - truth) / np.std(noisy - truth)
    lags = [float(np.mean(whitened[:, k:] * whitened[:, :-k])) for k in range(1, 5)]
    std, spot = float((noisy - truth).std()), (1, 1) if len(kernel) == 1 else (1, 5)
    errors = {}
    for level in (None, std, 0.9 * std):
        known = None if level is None else noise_of(level, lags if len(kernel) > 1 else (0.0,) * 4)
        folding = Folding.fit([(predicted, noisy)], spot, known)
        errors[level] = np.mean(((predicted if folding is None else folding.apply(predicted, noisy)) - truth) ** 2)
    wrong, noise = np.mean((predicted - truth) ** 2), std**2
    least = wrong * noise / (wrong + noise)  # that one pixel alone can bring it to
    assert errors[std] < 1.07 * least
    assert errors[std] < errors[None]
    assert errors[0.9 * std] < 1.17 * least
    if len(kernel) > 1:
        wrong_lags = Folding.fit([(predicted, noisy)], spot, noise_of(std)).apply(predicted, noisy)
        assert np.mean((wrong_lags - truth) ** 2) > 1.02 * errors[std]  # how far noise is shared is believed, too


def test_a_noise_level_estimated_a_little_low_folds_in_almost_nothing():
    truth, noisy, _ = blurred_prediction((1.0,))
    std = float((noisy - truth).std())
    folding = Folding.fit([(truth, noisy)], (1, 1), noise_of(0.9 * std))
    after = truth if folding is None else folding.apply(truth, noisy)
    assert np.sqrt(np.mean((after - truth) ** 2)) < 0.15 * std


def test_invalid_pixels_are_left_out():
    _, noisy, predicted = blurred_prediction((1.0,))
    holed = noisy.copy()
    holed[:40] = np.nan
    holed[100, 100] = np.nan
    whole, part = (Folding.fit([(predicted, n)], (3, 5)) for n in (noisy, holed))
    np.testing.assert_allclose(part.noise_variance, whole.noise_variance, rtol=0.1)
    np.testing.assert_allclose(part.filters[4], whole.filters[4], atol=0.03)
    assert Folding.fit([(predicted, np.full_like(noisy, np.nan))], (3, 5)) is None
