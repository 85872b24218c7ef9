"""Finding an unknown blur: near the true one, said and repeated by the record; a sharp image is left alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ruska
from ruska.errors import GeometryError, SettingsError
from ruska.image import Image
from ruska.methods.blind import Found, Trial, _bottom, find_blur
from ruska.methods.deblur import DeblurSettings
from ruska.methods.posterior import PosteriorMethod
from ruska.methods.prior import Told, load
from ruska.physics import cell_phantom
from ruska.physics.operators import BlurShape

NOISE = 0.02


def power_law(size):
    """As sharp as micrographs are."""
    random = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1]))
    frequency[0, 0] = 1
    sharp = np.fft.ifft2(np.fft.fft2(random.normal(size=size)) * frequency**-1.25).real
    return (0.5 + 0.2 * sharp / sharp.std() + random.normal(0, NOISE, size)).astype(np.float32)


def seen(shape, size=(112, 112)):
    truth = torch.from_numpy(cell_phantom(size, seed=9).astype(np.float32))[None, None]
    clean = shape.operator().forward(truth)[0, 0].numpy()
    return (clean + np.random.default_rng(0).normal(0, NOISE, clean.shape)).astype(np.float32)


def method(model, plane):
    told = Told(float(plane.mean()), float(np.sqrt(plane.var() - NOISE**2)), NOISE)
    own = DeblurSettings(sigma=1, steps=2)
    return PosteriorMethod(load(model)[0].eval(), BlurShape("gaussian", (1.0,)).operator(), (8, 8), told, own)


def test_the_blur_is_found_and_repeated(model):
    image = Image(seen(BlurShape("gaussian", (2.0,))), "YX")
    given = {"model": model, "noise_std": NOISE, "steps": 2}
    stages = []
    blind = ruska.deblur(image, blind="gaussian", settings=given, progress=lambda stage, *_: stages.append(stage))
    assert stages.count("finding the blur") > 5
    sigma = blind.record["settings"]["sigma"]
    assert sigma == pytest.approx(2, rel=0.25)
    assert blind.record["settings"]["blind"] is None
    assert f"sigma={sigma}" in blind.record["command"]
    assert any("Gaussian of" in note for note in blind.record["noise"])
    told = ruska.deblur(image, sigma=sigma, settings=given)
    assert np.array_equal(told.image.numpy(), blind.image.numpy())


def test_a_sharp_image_is_left_alone(model):
    image = Image(power_law((128, 128)), "YX")
    result = ruska.deblur(image, blind="gaussian", settings={"model": model, "noise_std": NOISE})
    assert np.array_equal(result.image.numpy(), image.numpy())
    assert any("No blur was found" in note for note in result.record["noise"])


@pytest.mark.parametrize("shape", [BlurShape("defocus", (3.5,)), BlurShape("astigmatic", (2.6, 1.5, 30.0))])
def test_other_families(model, shape):
    plane = seen(shape, (80, 80))
    found = find_blur(plane, method(model, plane), shape.family)
    assert found.shape.family == shape.family
    assert found.shape.width == pytest.approx(shape.width, rel=0.3)
    assert found.error >= 0.05


def test_a_free_kernel_is_physical_and_every_restoration_is_counted(model):
    plane, told = seen(BlurShape("gaussian", (1.5,)), (64, 64)), []
    found = find_blur(plane, method(model, plane), "free", lambda *step: told.append(step)).shape
    assert [done for _, done, _ in told] == list(range(1, len(told) + 1))
    assert {(what, total) for what, _, total in told if total == 93} == {(what, total) for what, _, total in told[:93]}
    assert 93 <= len(told) == told[-1][2]
    assert found.psf().min() >= 0
    assert found.psf().sum() == pytest.approx(1)
    assert found.width == pytest.approx(1.5, rel=0.3)
    assert "middle row" in str(Found(found, 0.1))


def test_more_blur_than_there_is_predicts_worse(model):
    plane = seen(BlurShape("gaussian", (1.5,)))
    trial = Trial(plane, method(model, plane))
    assert trial.misfit(BlurShape("gaussian", (1.5,))) < trial.misfit(BlurShape("gaussian", (3.0,)))


def test_the_lowest_point_of_a_curve():
    x = np.array([-2.0, -1.0, 0.0, 1.0])
    assert _bottom(x, (x + 0.4) ** 2) == pytest.approx(-0.4)
    assert _bottom(x, x) == -2
    assert _bottom(x, np.array([1.0, 1.0, 1.0, 1.0])) == -2


def test_what_cannot_be_done_is_said(model):
    small = Image(np.zeros((40, 60), np.float32) + np.arange(60, dtype=np.float32), "YX")
    with pytest.raises(GeometryError, match="at least"):
        ruska.deblur(small, blind="gaussian", settings={"model": model, "noise_std": NOISE})
    with pytest.raises(SettingsError, match="exactly one"):
        ruska.deblur(small, blind="gaussian", sigma=1, settings={"model": model})
    with pytest.raises(SettingsError, match="blind"):
        ruska.deblur(small, blind="gausian", settings={"model": model})
