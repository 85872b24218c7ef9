"""EM generalist's samplers on Ruska's prior: right where the answer is known, named in the record, alike in blocks."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

import ruska
from ruska.engine.random_field import PlacedRandomField
from ruska.errors import SettingsError
from ruska.image import Image
from ruska.methods import create
from ruska.methods.em_generalist import sampled
from ruska.methods.posterior import PosteriorMethod, PosteriorSettings
from ruska.methods.prior import Told
from ruska.metrics import psnr
from ruska.physics import cell_phantom
from ruska.physics.operators import Decimation, GaussianBlur, Identity


class White(torch.nn.Module):
    """The best denoiser of white images of unit variance."""

    multiple = 1

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(()))

    def forward(self, y, sigma, lags=None, spread=None):
        return y * self.weight / (1 + sigma**2)


def white(sampler, noise, **settings):
    """Intensities with mean 3 and a signal of standard deviation 2."""
    own = PosteriorSettings(sampler=sampler, **settings)
    return PosteriorMethod(White().eval(), Identity(), (0, 0), Told(3.0, 2.0, 2 * noise), own)


def field(shape, origin=(0, 0), seed=0):
    return PlacedRandomField(seed, origin, shape, 2)


def measurement(shape, noise, seed=5):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn((1, 1, *shape), generator=random)
    return 3 + 2 * (x + noise * torch.randn(x.shape, generator=random))


def test_dps_draws_from_the_posterior_of_white_images():
    noise, shape = 0.7, (56, 56)
    y = measurement(shape, noise)
    method = white("dps", noise, steps=500)
    drawn = torch.cat([sampled(method, y, field(shape, seed=seed)) for seed in range(3)])
    mean = 3 + (y - 3) / (1 + noise**2)
    off = drawn - mean
    assert off.mean().abs() < 0.06
    assert off.std().item() == pytest.approx(2 * noise / (1 + noise**2) ** 0.5, rel=0.08)
    assert abs(np.corrcoef(off.flatten(), (y - 3).expand_as(off).flatten())[0, 1]) < 0.06


def test_flow_plug_and_play_ends_between_mean_and_measurement():
    noise, shape = 0.7, (64, 64)
    y = measurement(shape, noise)
    found = sampled(white("flow-pnp", noise), y, field(shape))
    slope = ((found - 3) * (y - 3)).sum() / (y - 3).square().sum()
    assert 1 / (1 + noise**2) * 0.9 < slope < 1
    assert np.corrcoef(found.flatten(), y.flatten())[0, 1] > 0.75


@pytest.mark.parametrize(("sampler", "steps"), [("dps", 500), ("flow-pnp", 20)])
def test_a_part_is_the_same_as_in_the_whole(sampler, steps):
    """Where neither operator nor prior looks at neighbours, all that is left is the noise, which belongs to places."""
    y = measurement((24, 32), 0.5)
    method = white(sampler, 0.5, steps=steps)
    whole = sampled(method, y, field((24, 32)))
    part = sampled(method, y[..., 4:12, 8:30], field((8, 22), (4, 8)))
    torch.testing.assert_close(part, whole[..., 4:12, 8:30], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(whole, sampled(method, y, field((24, 32), seed=1)), atol=0.1)


def test_batch_and_channels_keep_their_places():
    y = torch.stack([measurement((8, 12), 0.5, seed)[0, 0] for seed in range(6)]).reshape(3, 2, 8, 12)
    random = PlacedRandomField(0, (0, 0, 0), (3, 8, 12), 2)
    found = sampled(white("flow-pnp", 0.5, steps=10), y, random)
    assert found.shape == y.shape
    agree = np.corrcoef(found.reshape(6, -1).numpy(), y.reshape(6, -1).numpy())[:6, 6:]
    assert (agree.argmax(1) == np.arange(6)).all()


@pytest.fixture(scope="module")
def truth():
    return cell_phantom((40, 48), seed=9).astype(np.float32)


def seen(operator, truth):
    clean = operator.forward(torch.from_numpy(truth)[None, None])[0, 0].numpy()
    return clean + np.random.default_rng(0).normal(0, 0.02, clean.shape).astype(np.float32)


@pytest.mark.parametrize(("sampler", "steps"), [("flow-pnp", 20), pytest.param("dps", 500, marks=pytest.mark.slow)])
def test_what_is_restored_explains_what_was_measured_and_the_record_says_how(truth, sampler, steps):
    blur = GaussianBlur((1.5, 1.5))
    blurred = seen(blur, truth[:32, :32])
    settings = {"noise_std": 0.02, "sampler": sampler, "steps": steps}
    result = ruska.deblur(Image(blurred, "YX"), sigma=1.5, settings=settings, report=False)
    restored = result.image.numpy()
    again = blur.forward(torch.from_numpy(restored)[None, None])[0, 0].numpy()
    assert np.std(again - blurred) < 0.05
    assert np.std(restored - blurred) > 0.02
    assert f"sampler={sampler}" in result.record["command"]
    assert f"steps={steps}" in result.record["command"]


def test_flow_plug_and_play_undoes_a_blur(truth):
    blurred = seen(GaussianBlur((1.5, 1.5)), truth)
    settings = {"noise_std": 0.02, "sampler": "flow-pnp", "steps": 20}
    restored = ruska.deblur(Image(blurred, "YX"), sigma=1.5, settings=settings, report=False).image.numpy()
    assert psnr(restored, truth, 1.0) > psnr(blurred, truth, 1.0) + 0.5


def test_finer_pixels(truth):
    coarse = seen(Decimation((Fraction(2),) * 2), truth)
    settings = {"noise_std": 0.02, "sampler": "flow-pnp", "steps": 10}
    fine = ruska.superres(Image(coarse, "YX"), settings=settings, report=False).image.numpy()
    assert fine.shape == truth.shape
    assert np.std(fine.reshape(20, 2, 24, 2).mean((1, 3)) - coarse) < 0.05


def test_each_sampler_has_its_own_number_of_passes():
    assert create("deblur", {"sigma": 1, "sampler": "dps"}).settings.steps == 1000
    assert create("deblur", {"sigma": 1, "sampler": "flow-pnp"}).settings.steps == 100
    assert create("deblur", {"sigma": 1, "sampler": "flow-pnp", "steps": "40"}).settings.steps == 40
    assert create("deblur", {"sigma": 1}).settings.steps == 8


def test_wrong_settings_are_named():
    with pytest.raises(SettingsError, match="sampler"):
        create("superres", {"sampler": "ddim"})
    with pytest.raises(SettingsError, match="500 or more"):
        create("superres", {"sampler": "dps", "steps": 50})
    assert create("superres", {"sampler": "dps", "steps": 50, "step_size": 1}).settings.steps == 50
