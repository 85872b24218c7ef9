"""EM generalist's two methods do what is written of them, without the defects."""

from __future__ import annotations

import math

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

from ruska.diffusion.baselines import PATCH_PIXELS, FlowGuided, GradientGuided, dps, flow_plug_and_play
from ruska.diffusion.consistency import DataTerm
from ruska.diffusion.levels import flow_time, rho_levels, trailing_levels
from ruska.diffusion.path import EM_GENERALIST, ddpm_path
from ruska.diffusion.posterior import restore
from ruska.physics.operators import Identity

OPERATORS = operators()


@pytest.mark.parametrize("name", OPERATORS)
def test_a_sweep_of_dps_is_the_one_of_the_description(name):
    """Written on the variance-preserving path: a step against the gradient of L, then the step of DDPM."""
    prior, operator = smooth_prior(), OPERATORS[name]
    y, std = measure(prior, operator)
    noise, level, following = generator_noise((1, 1, *SHAPE)), 2.0, 1.5
    alpha, alpha_next = (1 / math.hypot(1, s) for s in (level, following))
    x_t = (alpha * 2 * noise(0)).requires_grad_(True)
    guess = prior.denoise(x_t / alpha, level)
    eps = (x_t - alpha * guess) / (1 - alpha**2) ** 0.5
    misfit = (y - operator.forward(guess)).norm()
    gamma = 3.0 * y.numel() / PATCH_PIXELS  # as if the image were a patch of the size gamma is meant for
    moved = x_t - gamma / misfit * torch.autograd.grad(misfit, x_t)[0]
    clean = (moved - (1 - alpha**2) ** 0.5 * eps) / alpha
    beta = 1 - alpha**2 / alpha_next**2
    mean = alpha_next * beta * clean + (1 - beta) ** 0.5 * (1 - alpha_next**2) * moved
    wanted = (mean + ((1 - alpha_next**2) * beta * (1 - alpha**2)) ** 0.5 * noise(1)) / (1 - alpha**2)
    sampler = GradientGuided(prior, DataTerm(operator, std), (level, following), gamma=3.0)
    found = sampler.sweep((x_t / alpha).detach(), y, 0, noise)
    torch.testing.assert_close(found, (wanted / alpha_next).detach())


def test_the_step_of_dps_does_not_depend_on_the_size_of_the_image():
    prior, noise = white_prior(), generator_noise((1, 1, *SHAPE))
    small = noise(0)
    steps = []
    for tiles in (1, 3):

        class Pixelwise:
            def denoise(self, x_t, sigma, condition=None):
                return prior.mean + 0.64 / (0.64 + sigma**2) * (x_t - prior.mean)

        sampler = GradientGuided(Pixelwise(), DataTerm(Identity(), 0.2), (2.0, 1.0), gamma=20.0)
        big, y = small.repeat(1, 1, tiles, tiles), noise(1).repeat(1, 1, tiles, tiles)
        steps.append(sampler.sweep(big, y, 0, lambda k, n=tiles: noise(k).repeat(1, 1, n, n)))
    torch.testing.assert_close(steps[1], steps[0].repeat(1, 1, 3, 3))


@pytest.mark.parametrize("name", OPERATORS)
def test_a_sweep_of_the_flow_is_the_one_of_the_description(name):
    prior, operator = smooth_prior(), OPERATORS[name]
    y, std = measure(prior, operator)
    noise = generator_noise((1, 1, *SHAPE))
    data, x = DataTerm(operator, std), noise(0)
    sampler = FlowGuided(prior, data, passes=5, step_size=0.3, shape=SHAPE)
    t = 1 / 4
    z = x - (1 - t) ** 0.3 * operator.adjoint(operator.forward(x) - y, SHAPE) / data.gain_on(x)
    mixed = t * z + (1 - t) * noise(2)
    torch.testing.assert_close(sampler.sweep(x, y, 1, noise), prior.denoise(mixed / t, (1 - t) / t))
    assert flow_time((1 - t) / t) == t


def test_the_clock_of_the_flow_starts_with_noise_and_ends_with_the_image():
    levels = []

    class Spy:
        def denoise(self, x_t, sigma, condition=None):
            levels.append(sigma)
            return x_t / (1 + sigma)

    noise = generator_noise((1, 1, *SHAPE))
    flow_plug_and_play(Spy(), DataTerm(Identity(), 0.2), noise(7), noise, passes=5)
    assert levels == pytest.approx([1000.0, 3.0, 1.0, 1 / 3])


@pytest.mark.parametrize("name", ["identity", "mask", "decimation"])
def test_for_white_images_the_automatic_step_of_dps_is_right(name):
    """Where A A' is one number; for a mask what is not recorded stays untouched."""
    prior, operator = white_prior(mean=0.0), OPERATORS[name]
    y, std = measure(prior, operator)
    mean, covariance = posterior(prior, operator, y, std)
    sampler = GradientGuided(prior, DataTerm(operator, std), rho_levels(100.0, 60, 0.05), 0.0,
                             error=lambda level: 0.8 * level / math.hypot(0.8, level))  # fmt: skip
    found_mean, found = exact_law(lambda count, noise: restore(sampler, y.expand(count, *y.shape[1:]), noise), 60)
    assert mean_error(found_mean, mean, covariance) < 0.02
    assert relative(found, covariance) < 0.25


@pytest.mark.parametrize("step_size", [0.3, 0.0])
@pytest.mark.parametrize("name", OPERATORS)
def test_the_flow_comes_near_the_posterior_mean(name, step_size):
    """Approximate: within half a posterior standard deviation."""
    prior, operator = smooth_prior(), OPERATORS[name]
    y, std = measure(prior, operator)
    mean, covariance = posterior(prior, operator, y, std)
    sampler = FlowGuided(prior, DataTerm(operator, std), 30, step_size, SHAPE)
    found = exact_law(lambda count, noise: restore(sampler, y.expand(count, *y.shape[1:]), noise), 30)[0]
    assert mean_error(found, mean, covariance) < 0.5


def test_dps_comes_near_the_posterior_mean_with_a_fitting_step():
    prior, operator = smooth_prior(), OPERATORS["blur"]
    y, std = measure(prior, operator)
    mean, covariance = posterior(prior, operator, y, std)
    noise = generator_noise((64, 1, *SHAPE))
    levels = trailing_levels(ddpm_path(EM_GENERALIST), 250)
    gamma = 0.01 * PATCH_PIXELS
    found, free = (
        dps(prior, DataTerm(operator, std), y.expand(64, *y.shape[1:]), noise, levels, gamma=g) for g in (gamma, 1e-9)
    )
    near, far = (mean_error(images.mean(0, keepdim=True), mean, covariance) for images in (found, free))
    assert near < 0.5
    assert far > 2 * near


@pytest.mark.parametrize("automatic", [False, True])
@pytest.mark.parametrize("kind", ["dps", "flow"])
def test_an_image_depends_neither_on_its_batch_mates_nor_on_the_engine(kind, automatic):
    prior, operator = smooth_prior(), OPERATORS["blur"]
    noise = generator_noise((3, 1, *SHAPE))
    y = operator.forward(prior.sample(noise(50))) * torch.tensor([1.0, 10.0, 0.01]).reshape(3, 1, 1, 1)
    data = DataTerm(operator, 0.2)
    sampler = (
        GradientGuided(prior, data, rho_levels(50.0, 5), 0.0 if automatic else 2000.0)
        if kind == "dps"
        else FlowGuided(prior, data, 5, 0.0 if automatic else 0.3)
    )
    together = restore(sampler, y, noise)
    for i in range(3):
        with torch.inference_mode():
            alone = restore(sampler, y[i : i + 1] + 0, only(noise, i))
        torch.testing.assert_close(alone[0], together[i], rtol=1e-10, atol=1e-10)
    assert not together.requires_grad
