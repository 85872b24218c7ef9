"""A network of any kind on any path is the same denoiser; Gaussian images have a known one."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from tests.diffusion.closed_form import SHAPE, basis, covariance_of, matrix_of, power, relative, smooth_prior
from tests.diffusion.gaussian import DenseCovariance, GaussianPrior

from ruska.diffusion.coordinates import Coordinates
from ruska.diffusion.path import EM_GENERALIST, FlowPath, cosine_path, ddpm_path, zero_terminal_snr
from ruska.diffusion.prediction import Prediction
from ruska.diffusion.prior import broadcast_level
from ruska.errors import GeometryError

PATHS = {
    "flow": FlowPath(),
    "ddpm": ddpm_path(EM_GENERALIST),
    "cosine": cosine_path(),
    "zero terminal": zero_terminal_snr(ddpm_path(EM_GENERALIST)),
}


def images(count=3, seed=0):
    return torch.randn(count, 1, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


@pytest.mark.parametrize("kind", get_args(Prediction))
@pytest.mark.parametrize("name", PATHS)
def test_the_best_prediction_of_any_kind_on_any_path_is_the_same_denoiser(name, kind):
    oracle, own = smooth_prior(), Coordinates(PATHS[name], kind)
    pixels = torch.linspace(0.1, 3, 24, dtype=torch.double).reshape(1, 1, *SHAPE)
    each = torch.tensor([0.1, 2.0, 30.0], dtype=torch.double).view(-1, 1, 1, 1)
    for sigma in (torch.tensor(0.02), torch.tensor(1.0), torch.tensor(60.0), each, pixels.expand(3, 1, *SHAPE)):
        y = images() * (1 + sigma.max())
        best = oracle.denoise(y, sigma)
        said = own.wanted(best, y, sigma)  # what training would end at if the images were ``oracle``
        torch.testing.assert_close(own.clean(said, y, sigma), best, rtol=1e-6, atol=1e-6)


def test_a_level_has_one_number_one_an_image_or_one_a_pixel():
    x = images()
    assert broadcast_level(torch.tensor(2.0), x).shape == (1, 1, 1, 1)
    assert broadcast_level(torch.ones(3), x).shape == (3, 1, 1, 1)
    with pytest.raises(GeometryError, match="sigma"):
        broadcast_level(torch.ones(2), x)


@pytest.mark.parametrize("sigma", [0.3, torch.tensor([0.1, 1.0, 5.0]), 0.1 + torch.rand(3, 1, *SHAPE)])
def test_stationary_and_dense_covariances_agree(sigma):
    smooth = smooth_prior()
    dense = GaussianPrior(DenseCovariance(covariance_of(smooth)), smooth.mean)
    x = images()
    torch.testing.assert_close(smooth.denoise(x, sigma), dense.denoise(x, sigma), rtol=1e-8, atol=1e-8)


def test_the_wiener_filter_is_the_regression_of_the_image_on_the_noisy_one():
    c, noise = covariance_of(smooth_prior()), 0.5 * torch.arange(1, 25, dtype=torch.double) / 24
    expected = c @ torch.linalg.inv(c + torch.diag(noise**2))
    prior = smooth_prior(mean=0.0)
    found = matrix_of(lambda x: prior.denoise(x, noise.reshape(1, 1, *SHAPE)))
    assert relative(found, expected) < 1e-9


def test_samples_have_the_stated_covariance():
    for prior in (smooth_prior(), GaussianPrior(DenseCovariance(covariance_of(smooth_prior())), 0.7)):
        root = (prior.sample(basis()) - 0.7).flatten(1)
        assert relative(root.T @ root, covariance_of(smooth_prior())) < 1e-12
    assert power().min() > 0
