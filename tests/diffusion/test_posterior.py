"""Samples of images that fit a measurement: exact for white images, within stated bounds for smooth ones."""

from __future__ import annotations

import pytest
import torch
from tests.diffusion.closed_form import (
    SHAPE,
    exact_law,
    generator_noise,
    mean_error,
    measure,
    only,
    operators,
    posterior,
    relative,
    smooth_prior,
    white_prior,
)

from ruska.diffusion import ProximalGuide, ancestral, bounded_error, ddim, heun, solve, start
from ruska.diffusion.consistency import DataTerm
from ruska.diffusion.levels import rho_levels, uniform_levels
from ruska.physics.operators import Identity

OPERATORS = operators()


def data_term(operator, std):
    return DataTerm(operator, std, iterations=40, tolerance=1e-5)


def drawn(prior, data, levels, y, noise, step, signal_std=1.0):
    """A posterior sample a place of the batch, as `methods.samples` draws them."""
    guided = ProximalGuide(prior, data, bounded_error(signal_std), y)
    return solve(guided, start(noise, levels[0], signal_std).to(y), levels, noise, step)


def law(prior, data, levels, y, draws, step, signal_std=1.0):
    return exact_law(
        lambda count, noise: drawn(prior, data, levels, y.expand(count, *y.shape[1:]), noise, step, signal_std), draws
    )


@pytest.mark.parametrize("name", OPERATORS)
def test_for_white_images_samples_are_exact(name):
    prior, operator, levels = white_prior(), OPERATORS[name], rho_levels(200.0, 60, lowest=0.01)
    y, std = measure(prior, operator)
    mean, covariance = posterior(prior, operator, y, std)
    found_mean, found = law(prior, data_term(operator, std), levels, y, 0, heun, 0.8)
    assert mean_error(found_mean, mean, covariance) < 0.01
    assert relative(found, covariance) < 0.03


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("name", OPERATORS)
def test_for_smooth_images_samples_are_near(name, eta):
    """Approximate: within 0.7 posterior standard deviations, spread within a factor of 1.5, at 20 passes."""
    prior, operator, levels = smooth_prior(), OPERATORS[name], rho_levels(200.0, 20, lowest=0.02)
    y, std = measure(prior, operator)
    mean, covariance = posterior(prior, operator, y, std)
    found_mean, found = law(prior, data_term(operator, std), levels, y, 20 if eta else 0, ddim(eta))
    assert mean_error(found_mean, mean, covariance) < 0.7
    assert 0.65 < float((found.trace() / covariance.trace()) ** 0.5) < 1.1


@pytest.mark.parametrize("noise_std", [0.2, 1.0])
def test_denoising_starts_at_the_measurement(noise_std):
    prior = smooth_prior()
    y, std = measure(prior, Identity(), noise_std)
    mean, covariance = posterior(prior, Identity(), y, std)
    torch.testing.assert_close(prior.denoise(y, std), mean)  # one pass is the posterior mean
    levels = rho_levels(std, 120, lowest=0.01 * std)
    found_mean, found = exact_law(
        lambda count, noise: solve(prior, y.expand(count, *y.shape[1:]), levels, noise, ancestral), 120
    )
    assert mean_error(found_mean, mean, covariance) < 0.01
    assert relative(found, covariance) < 0.07


@pytest.mark.parametrize("operator", ["blur", "decimation"])
def test_an_image_does_not_depend_on_its_batch_mates(operator):
    prior, operator, levels = smooth_prior(), OPERATORS[operator], uniform_levels(50.0, 5)
    noise = generator_noise((3, 1, *SHAPE))
    clean = operator.forward(prior.sample(noise(50)))
    y = clean * torch.tensor([1.0, 10.0, 0.01]).reshape(3, 1, 1, 1)
    data = DataTerm(operator, 0.2)
    together = drawn(prior, data, levels, y, noise, ancestral)
    for i in range(3):
        alone = drawn(prior, data, levels, y[i : i + 1], only(noise, i), ancestral)
        torch.testing.assert_close(alone[0], together[i], rtol=1e-10, atol=1e-10)
