"""Noise for a prior: as strong, as correlated and as brightness-dependent as it says."""

from __future__ import annotations

import pytest
import torch

from ruska.training.noising import Brightness, add_noise, correlate, growth


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def test_correlated_noise_has_the_lags_it_is_said_to_have():
    noise, lags = correlate(torch.randn(16, 1, 256, 256, generator=random()), random(3))
    assert noise.std(dim=(2, 3)).flatten().tolist() == pytest.approx([1] * 16, abs=0.03)
    shifts = [(0, 1), (0, 2), (1, 0), (2, 0)]
    measured = torch.stack([(noise * noise.roll(shift, (2, 3))).mean((2, 3))[:, 0] for shift in shifts], 1)
    assert (measured - lags[..., 0, 0]).abs().max() < 0.03
    assert lags.max() > 0.4
    assert (lags[:, 0] == 0).any()


def test_noise_is_as_strong_as_it_says_and_stronger_than_what_is_in_the_target():
    x = torch.zeros(8, 1, 64, 64)
    for seed in range(12):
        found = add_noise(x, torch.full((8,), 0.1), random(seed))
        measured = (found.y - x).std(dim=(1, 2, 3))
        told = found.sigma.square().mean((1, 2, 3)).sqrt()
        assert (measured / told - 1).abs().max() < 0.12
        assert told.min() > 0.2


def test_the_same_seed_gives_the_same_noise():
    x = torch.randn(4, 1, 32, 32)
    one, other = (add_noise(x, torch.zeros(4), random(5)) for _ in range(2))
    assert torch.equal(one.y, other.y)
    assert not torch.equal(one.y, add_noise(x, torch.zeros(4), random(6)).y)


def test_some_noise_grows_with_brightness_and_some_does_not():
    x = torch.cat([torch.full((8, 1, 64, 64), -1.0), torch.full((8, 1, 64, 64), 1.0)], -1)
    grows = []
    for seed in range(20):
        found = add_noise(x, torch.zeros(8), random(seed))
        dark, bright = ((found.y - x)[..., half].std((1, 2, 3)) for half in (slice(0, 64), slice(64, 128)))
        grows.append(bool(((bright / dark).log().abs() > 0.3).any()))
        assert grows[-1] <= (found.sigma.shape[-1] > 1)
    assert 0.1 < sum(grows) / 20 < 0.8


def test_the_typical_pixel_has_the_typical_noise():
    brightness = Brightness(torch.full((1, 1, 1, 1), -2.0), torch.ones(1, 1, 1, 1))
    x = torch.randn(1, 1, 256, 256, generator=random()) / 3
    variance = growth(brightness(x), torch.full((1, 1, 1, 1), 0.8)) ** 2
    assert variance.mean().item() == pytest.approx(1, abs=0.02)
    assert growth(brightness(torch.full((1, 1, 1, 1), -5.0)), torch.tensor(0.8)).item() == pytest.approx(0.2**0.5)


def test_no_noise_fainter_than_a_prior_is_told_is_made_or_told():
    dark = torch.full((8, 1, 32, 32), -10.0)  # where noise grows with the signal, hardly any is left
    at_the_limit = 0
    for seed in range(60):
        found = add_noise(dark, torch.zeros(8), random(seed))
        assert found.sigma.min() >= 0.06
        made, told = (found.y - dark).std(dim=(1, 2, 3)), found.sigma.mean((1, 2, 3))
        at_the_limit += int((told < 0.0601).sum())
        if found.lags.abs().max() == 0:
            assert (made > 0.05).all()
    assert at_the_limit > 3
