"""A network of any kind on any path is the same denoiser; Gaussian images have a known one."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from tests.diffusion.closed_form import SHAPE, basis, covariance_of, matrix_of, power, relative, smooth_prior

from ruska.diffusion.gaussian import DenseCovariance, GaussianPrior
from ruska.diffusion.path import EM_GENERALIST, FlowPath, cosine_path, ddpm_path, level_at, zero_terminal_snr
from ruska.diffusion.prediction import Prediction, convert
from ruska.diffusion.prior import NetworkPrior
from ruska.errors import GeometryError, SettingsError

PATHS = {
    "flow": FlowPath(),
    "ddpm": ddpm_path(EM_GENERALIST),
    "cosine": cosine_path(),
    "zero terminal": zero_terminal_snr(ddpm_path(EM_GENERALIST)),
}


def images(count=3, seed=0):
    return torch.randn(count, 1, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.double)


def perfect_network(prior, path, kind, seen=None):
    """What training would end at if the images were ``prior``: the best prediction of ``kind`` on ``path``."""

    def network(x_t, t):
        if seen is not None:
            seen.append(t)
        t = t.reshape(-1, *(1,) * (x_t.dim() - 1)) if t.dim() == 1 else t
        alpha, sigma = path.alpha(t), path.sigma(t)
        clean = prior.denoise(x_t / alpha, level_at(path, t))
        return convert(clean, x_t, alpha, sigma, "x0", kind)

    return network


@pytest.mark.parametrize("kind", get_args(Prediction))
@pytest.mark.parametrize("name", PATHS)
def test_a_network_of_any_kind_on_any_path_is_the_same_denoiser(name, kind):
    oracle, path = smooth_prior(), PATHS[name]
    prior = NetworkPrior(perfect_network(oracle, path, kind), path, kind, sigma_maps=True)
    pixels = torch.linspace(0.1, 3, 24, dtype=torch.double).reshape(1, 1, *SHAPE)
    for sigma in (0.02, 1.0, 60.0, torch.tensor([0.1, 2.0, 30.0], dtype=torch.double), pixels.expand(3, 1, *SHAPE)):
        x_t = images() * (1 + torch.as_tensor(sigma).max())
        torch.testing.assert_close(prior.denoise(x_t, sigma), oracle.denoise(x_t, sigma), rtol=1e-7, atol=1e-7)


def test_the_network_is_asked_at_its_own_time():
    seen, path = [], ddpm_path(EM_GENERALIST)
    network = perfect_network(smooth_prior(), path, "epsilon")
    prior = NetworkPrior(lambda x, n: (seen.append(n), network(x, (n + 1) / 1000))[1], path, "epsilon",
                         clock=lambda t: 1000 * t - 1)  # fmt: skip
    prior.denoise(images(), float(level_at(path, 0.25)))
    torch.testing.assert_close(seen[0], torch.full((3,), 249.0, dtype=torch.double))


def test_a_condition_reaches_the_network():
    prior = NetworkPrior(lambda x, t, condition: condition - x, FlowPath(), "velocity")
    guide = images(seed=1)
    x = 0.5 * images()
    torch.testing.assert_close(prior.denoise(2 * x, 1.0, guide), x - 0.5 * (guide - x))


def test_without_noise_nothing_is_changed():
    prior = NetworkPrior(lambda x, t: torch.full_like(x, 7.0), FlowPath(), "x0")
    x = images()
    assert prior.denoise(x, 0.0).equal(x)
    mixed = prior.denoise(x, torch.tensor([0.0, 1.0, 0.0]))
    assert mixed[::2].equal(x[::2])
    assert (mixed[1] == 7).all()


def test_levels_the_network_never_saw_are_refused():
    prior = NetworkPrior(lambda x, t: x, ddpm_path(EM_GENERALIST), "epsilon")
    with pytest.raises(SettingsError, match="trained with 0 to 157"):
        prior.denoise(images(), 158.0)
    with pytest.raises(SettingsError, match="one level per image"):
        prior.denoise(images(), torch.ones(3, 1, *SHAPE))
    with pytest.raises(GeometryError, match="sigma"):
        prior.denoise(images(), torch.ones(2))
    with pytest.raises(SettingsError, match="prediction"):
        NetworkPrior(lambda x, t: x, FlowPath(), "noise")


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
