"""Steps with the spread of the reverse process: right for white images however few, and better for smooth ones."""

from __future__ import annotations

import pytest
import torch
from tests.diffusion.closed_form import SHAPE, covariance_of, exact_law, generator_noise, smooth_prior, white_prior

from ruska.diffusion import analytic, ancestral, measure_spreads, solve

LEVELS = (0.6, 0.3, 0.1, 0.0)


def posterior_variance(prior):
    """Mean variance of the image given a measurement with white noise of the first level."""
    covariance = covariance_of(prior)
    noise = LEVELS[0] ** 2 * torch.eye(len(covariance), dtype=torch.double)
    return float((covariance - covariance @ torch.linalg.inv(covariance + noise) @ covariance).diagonal().mean())


def sampled_variance(prior, step):
    """Of what a chain of three passes makes of one measurement."""
    y = torch.zeros(1, 1, *SHAPE, dtype=torch.double)
    covariance = exact_law(lambda n, noise: solve(prior, y.expand(n, -1, -1, -1), LEVELS, noise, step), 3)[1]
    return float(covariance.diagonal().mean())


def spreads(prior, seeds=20):
    """By the probe, averaged over its chance."""
    found = [measure_spreads(prior, torch.zeros(1, 1, *SHAPE, dtype=torch.double), LEVELS,
                             generator_noise((1, 1, *SHAPE), seed)) for seed in range(seeds)]  # fmt: skip
    return torch.tensor(found).mean(0)


def test_the_spread_is_the_trace_of_the_derivative():
    prior = smooth_prior()
    covariance = covariance_of(prior)
    for found, level in zip(spreads(prior), LEVELS[:-1], strict=True):
        kept = covariance @ torch.linalg.inv(covariance + level**2 * torch.eye(len(covariance), dtype=torch.double))
        assert float(found) == pytest.approx(float(kept.diagonal().mean()), rel=0.15)


def test_white_images_have_their_posterior_variance_but_for_what_the_last_pass_does_not_know():
    prior = white_prior()
    power = float(prior.covariance.power.mean())
    exact = [power / (power + level**2) for level in LEVELS[:-1]]
    found = sampled_variance(prior, analytic(exact))
    assert found + exact[-1] * LEVELS[-2] ** 2 == pytest.approx(posterior_variance(prior), rel=1e-6)


def test_smooth_images_lose_less_than_by_ancestral_steps():
    prior = smooth_prior()
    ours, theirs = (sampled_variance(prior, step) for step in (analytic(spreads(prior)), ancestral))
    wanted = posterior_variance(prior)
    assert theirs < 0.5 * wanted
    assert 0.75 * wanted < ours < 1.05 * wanted
