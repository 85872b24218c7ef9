"""Denoisers that are told the noise: they reduce it, keep the intensity scale, and do what the library does."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

import ruska
from ruska import methods
from ruska.errors import MissingExtraError
from ruska.image import Image
from ruska.physics import PoissonGaussian
from ruska.physics.phantom import cell_phantom

NAMES = ["tv", "nlm", "wavelet"]


@pytest.fixture(scope="module")
def phantom():
    clean = cell_phantom((192, 192), seed=3)
    return clean, PoissonGaussian(50, 0.02).simulate(clean, seed=1)


def rms(a, b):
    return float(np.sqrt(np.mean((np.asarray(a, float) - b) ** 2)))


@pytest.mark.parametrize("name", [*NAMES, "gaussian", "median", "auto"])
def test_noise_is_reduced_at_automatic_settings(phantom, name):
    clean, noisy = phantom
    result = ruska.denoise(Image(noisy, "YX"), method=name)
    assert rms(result.image.numpy(), clean) < (0.5 if name in ("wavelet", "auto") else 0.75) * rms(noisy, clean)


@pytest.mark.parametrize("name", [*NAMES, "gaussian", "median"])
def test_a_linear_change_of_the_grey_scale_changes_nothing_else(phantom, name):
    _, noisy = phantom
    plain = ruska.denoise(Image(noisy, "YX"), method=name).image.numpy()
    scaled = ruska.denoise(Image(noisy * 4000 - 700, "YX"), method=name).image.numpy()
    np.testing.assert_allclose((scaled + 700) / 4000, plain, atol=2e-4)


@pytest.mark.parametrize("name", [*NAMES, "gaussian", "median"])
def test_constants_stay_constant(name):
    out = ruska.denoise(Image(np.full((64, 64), 1234, np.uint16), "YX"), method=name).image.numpy()
    assert (out == 1234).all()


@pytest.mark.parametrize("name", NAMES)
def test_hot_pixels_far_outside_the_range_are_not_clipped_away(phantom, name):
    """Only the median may remove a spike; a denoiser that clips would also clip saturated structure."""
    _, noisy = phantom
    values = noisy.copy()
    values[90:100, 90:100] = 6.0
    out = ruska.denoise(Image(values, "YX"), method=name).image.numpy()
    assert np.median(out[92:98, 92:98]) > 5.0


@pytest.mark.parametrize("shape", [(5, 5), (1, 40), (17, 3), (1, 1)])
@pytest.mark.parametrize("name", [*NAMES, "gaussian", "median", "auto"])
def test_tiny_images_work(name, shape):
    values = np.random.default_rng(0).normal(100, 10, shape).astype(np.float32)
    out = ruska.denoise(Image(values, "YX"), method=name).image.numpy()
    assert out.shape == shape
    assert np.isfinite(out).all()


def test_nlm_with_its_halo_equals_the_whole():
    values = np.random.default_rng(0).normal(0.5, 0.1, (90, 70)).astype(np.float32)
    method = methods.create("nlm", {"noise_std": 0.1}).prepare(None, None, None)
    halo = method.halo[0]

    def apply(part):
        return method({"image": torch.from_numpy(part[None, None].copy())}, None)["mean"].numpy()[0, 0]

    np.testing.assert_allclose(apply(values[40 - halo : 50 + halo])[halo:-halo], apply(values)[40:50], atol=1e-5)


def test_they_are_the_librarys():
    values = np.random.default_rng(0).normal(0.5, 0.1, (40, 40)).astype(np.float32)
    y = torch.from_numpy(values[None, None])
    tv = methods.create("tv", {"noise_std": 0.1, "strength": 1.5}).prepare(None, None, None)
    expected = denoise_tv_chambolle(values, weight=0.15, eps=0, max_num_iter=tv.settings["iterations"])
    np.testing.assert_allclose(tv({"image": y}, None)["mean"].numpy()[0, 0], expected, atol=1e-6)
    nlm = methods.create("nlm", {"noise_std": 0.1, "strength": 0.5, "patch_size": 3, "patch_distance": 4})
    expected = denoise_nl_means(values, patch_size=3, patch_distance=4, h=0.05, sigma=0.1, fast_mode=True)
    np.testing.assert_allclose(
        nlm.prepare(None, None, None)({"image": y}, None)["mean"].numpy()[0, 0], expected, atol=1e-6
    )


def test_bm3d_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(MissingExtraError, match="non-commercial"):
        methods.create("bm3d", {"noise_std": 0.1}).prepare(None, None, None)
