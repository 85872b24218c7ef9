"""Samplers that are said to be exact draw from the closed-form posterior; the others stay within stated bounds."""

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
    uneven,
    white_prior,
)

from ruska.diffusion.consistency import DataTerm
from ruska.diffusion.levels import rho_levels, uniform_levels
from ruska.diffusion.path import FlowPath
from ruska.diffusion.posterior import (
    PosteriorMean,
    denoising_sampler,
    exact_sampler,
    mean_levels,
    proximal_sampler,
    restore,
)
from ruska.diffusion.prior import NetworkPrior
from ruska.diffusion.solvers import ancestral, ddim, heun
from ruska.engine.random_field import PlacedRandomField
from ruska.errors import SettingsError
from ruska.physics.operators import GaussianBlur, Identity

OPERATORS = operators()
NOISES = {"even noise": 0.2, "noise map": uneven}
LEVELS = rho_levels(200.0, 60, lowest=0.01)


def data_term(operator, std):
    return DataTerm(operator, std, iterations=40, tolerance=1e-5)


def sampled_law(sampler, y, draws):
    return exact_law(lambda count, noise: restore(sampler, y.expand(count, *y.shape[1:]), noise), draws)


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("name", OPERATORS)
def test_the_exact_sampler_draws_from_the_posterior(name, noise):
    prior, operator = smooth_prior(), OPERATORS[name]
    y, std = measure(prior, operator, NOISES[noise])
    mean, covariance = posterior(prior, operator, y, std)
    found_mean, found = sampled_law(exact_sampler(prior, data_term(operator, std), LEVELS), y, 0)
    assert mean_error(found_mean, mean, covariance) < 0.01
    assert relative(found, covariance) < 0.03


@pytest.mark.slow
def test_its_error_is_that_of_the_solver():
    prior, operator = smooth_prior(), OPERATORS["blur"]
    y, std = measure(prior, operator)
    covariance = posterior(prior, operator, y, std)[1]
    errors = [
        relative(sampled_law(exact_sampler(prior, data_term(operator, std), rho_levels(200.0, n, 0.005)), y, 0)[1],
                 covariance)
        for n in (24, 48)
    ]  # fmt: skip
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.15)


def test_a_noise_map_matters():
    """The posteriors of the map and of its mean differ by far more than the tolerance of the test above."""
    prior, operator = smooth_prior(), OPERATORS["blur"]
    y, std = measure(prior, operator, uneven)
    right, wrong = (posterior(prior, operator, y, s) for s in (std, float((std**2).mean() ** 0.5)))
    assert relative(wrong[1], right[1]) > 0.1
    assert mean_error(wrong[0], *right) > 0.1


def test_with_fresh_noise_the_exact_sampler_draws_from_the_same_posterior():
    prior, operator = smooth_prior(), OPERATORS["decimation"]
    y, std = measure(prior, operator)
    mean, covariance = posterior(prior, operator, y, std)
    levels = rho_levels(100.0, 100, lowest=0.02)
    found_mean, found = sampled_law(exact_sampler(prior, data_term(operator, std), levels, step=ancestral), y, 100)
    assert mean_error(found_mean, mean, covariance) < 0.01
    assert relative(found, covariance) < 0.12


def test_a_network_is_guided_like_the_oracle():
    oracle, operator = smooth_prior(), OPERATORS["blur"]
    y, std = measure(oracle, operator)
    network = NetworkPrior(
        lambda x, t: (x - oracle.denoise(x / (1 - t[0]), float(t[0] / (1 - t[0])))) / t[0], FlowPath(), "velocity"
    )
    noise, levels = generator_noise((1, 1, *SHAPE)), uniform_levels(200.0, 10)
    found, wanted = (
        restore(exact_sampler(prior, data_term(operator, std), levels), y, noise) for prior in (network, oracle)
    )
    torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", OPERATORS)
def test_for_white_images_the_proximal_sampler_is_exact(name):
    prior, operator = white_prior(), OPERATORS[name]
    y, std = measure(prior, operator)
    mean, covariance = posterior(prior, operator, y, std)
    sampler = proximal_sampler(prior, data_term(operator, std), LEVELS, step=heun, signal_std=0.8)
    found_mean, found = sampled_law(sampler, y, 0)
    assert mean_error(found_mean, mean, covariance) < 0.01
    assert relative(found, covariance) < 0.03


@pytest.mark.parametrize("eta", [0.0, 1.0])
@pytest.mark.parametrize("name", OPERATORS)
def test_for_smooth_images_the_proximal_sampler_is_near(name, eta):
    """Approximate: within 0.7 posterior standard deviations, spread within a factor of 1.5, at 20 passes."""
    prior, operator = smooth_prior(), OPERATORS[name]
    y, std = measure(prior, operator)
    mean, covariance = posterior(prior, operator, y, std)
    sampler = proximal_sampler(prior, data_term(operator, std), rho_levels(200.0, 20, lowest=0.02), step=ddim(eta))
    found_mean, found = sampled_law(sampler, y, 20 if eta else 0)
    assert mean_error(found_mean, mean, covariance) < 0.7
    assert 0.65 < float((found.trace() / covariance.trace()) ** 0.5) < 1.1


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("name", OPERATORS)
def test_a_few_passes_reach_the_posterior_mean(name, noise):
    prior, operator = smooth_prior(), OPERATORS[name]
    y, std = measure(prior, operator, NOISES[noise])
    mean, covariance = posterior(prior, operator, y, std)
    data, silent = data_term(operator, std), lambda step: pytest.fail("no chance is involved")
    few, many = (restore(PosteriorMean(prior, data, mean_levels(0.2, n), SHAPE), y, silent) for n in (12, 80))
    assert mean_error(few, mean, covariance) < 0.15
    assert mean_error(many, mean, covariance) < 1e-3


def test_the_posterior_mean_does_not_depend_on_the_levels():
    prior, operator = smooth_prior(), OPERATORS["mask"]
    y, std = measure(prior, operator)
    mean, covariance = posterior(prior, operator, y, std)
    for levels in ([0.3] * 300, [2.0, 0.1] * 150, [0.05] * 20 + [0.3] * 300):
        found = restore(PosteriorMean(prior, data_term(operator, std), levels), y, lambda step: None)
        assert mean_error(found, mean, covariance) < 1e-3
    with pytest.raises(SettingsError, match="above 0"):
        PosteriorMean(prior, data_term(operator, std), [0.3, 0.0])


@pytest.mark.parametrize("noise_std", [0.2, 1.0])
def test_denoising_starts_at_the_measurement(noise_std):
    prior = smooth_prior()
    y, std = measure(prior, Identity(), noise_std)
    mean, covariance = posterior(prior, Identity(), y, std)
    torch.testing.assert_close(prior.denoise(y, std), mean)  # one pass is the posterior mean
    sampler = denoising_sampler(prior, rho_levels(std, 120, lowest=0.01 * std))
    found_mean, found = sampled_law(sampler, y, 120)
    assert mean_error(found_mean, mean, covariance) < 0.01
    assert relative(found, covariance) < 0.07


def samplers(prior, data):
    levels = uniform_levels(50.0, 5)
    return {
        "exact": exact_sampler(prior, data, levels, step=heun),
        "proximal": proximal_sampler(prior, data, levels),
        "mean": PosteriorMean(prior, data, mean_levels(0.2, 5), SHAPE),
    }


@pytest.mark.parametrize("operator", ["blur", "decimation"])
@pytest.mark.parametrize("name", ["exact", "proximal", "mean"])
def test_an_image_does_not_depend_on_its_batch_mates(name, operator):
    prior, operator = smooth_prior(), OPERATORS[operator]
    noise = generator_noise((3, 1, *SHAPE))
    clean = operator.forward(prior.sample(noise(50)))
    y = clean * torch.tensor([1.0, 10.0, 0.01]).reshape(3, 1, 1, 1)
    sampler = samplers(prior, DataTerm(operator, 0.2))[name]
    together = restore(sampler, y, noise)
    for i in range(3):
        alone = restore(sampler, y[i : i + 1], only(noise, i))
        torch.testing.assert_close(alone[0], together[i], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["exact", "proximal", "mean"])
def test_an_engine_that_forbids_derivatives_gets_the_same(name):
    prior, operator = smooth_prior(), OPERATORS["blur"]
    noise = generator_noise((1, 1, *SHAPE))
    y, std = measure(prior, operator)
    sampler = samplers(prior, DataTerm(operator, std))[name]
    wanted = restore(sampler, y, noise)
    with torch.inference_mode():
        found = restore(sampler, y + 0, noise)
    assert found.equal(wanted)
    assert not wanted.requires_grad


class Local:
    """A prior that looks three pixels far."""

    def denoise(self, x_t, sigma, condition=None):
        return GaussianBlur((0.7, 0.7)).forward(x_t) / (1 + 0.1 * sigma)


@pytest.mark.parametrize("name", ["proximal", "mean"])
def test_a_sweep_over_a_block_with_its_halo_is_the_sweep_over_the_whole(name):
    sampler = samplers(Local(), DataTerm(Identity(), 0.2))[name]
    box = (slice(20, 40), slice(24, 52))
    whole, block = (
        lambda step, origin=origin, shape=shape: PlacedRandomField(7, origin, shape, 2).normal(step)[:, None].double()
        for origin, shape in (((0, 0), (64, 64)), ((20, 24), (20, 28)))
    )
    y = 1.0 + whole(99)
    state = sampler.init(y, whole)
    for k in range(sampler.sweeps):
        after = sampler.sweep(state, y, k, whole)
        part = sampler.sweep(state[..., *box], y[..., *box], k, block)
        torch.testing.assert_close(part[..., 3:-3, 3:-3], after[..., 23:37, 27:49], rtol=1e-12, atol=1e-12)
        state = after
