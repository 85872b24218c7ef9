"""What the training aims at: Noise2Void's masks, the likelihood, and the named baselines end to end."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ruska
from ruska.image import Image
from ruska.methods.blindspot_learning import Hidden, _likelihood, masked
from ruska.metrics import psnr
from ruska.physics import NoiseLevel, PoissonGaussian, cell_phantom
from ruska.pipeline import train

QUICK = {"precision": "fp32", "patch": 64, "batch": 2, "spot": "1x1"}


@pytest.mark.parametrize("spot", [(1, 1), (1, 5), (5, 1), (3, 3)])
def test_masked_pixels_and_what_shares_their_noise_are_replaced_from_elsewhere(spot):
    noisy = torch.arange(2 * 3 * 64 * 64, dtype=torch.float32).reshape(2, 3, 64, 64)  # every value is unique
    seen, aim = masked(noisy, spot, (0, 7))
    assert torch.equal(seen[:, [0, 2]], noisy[:, [0, 2]])
    changed = seen[:, 1] != noisy[:, 1]
    assert 0.008 < aim.float().mean() < 0.03
    rows, columns = spot[0] // 2, spot[1] // 2
    for image, _, y, x in aim.nonzero():
        around = (slice(max(0, y - rows), y + rows + 1), slice(max(0, x - columns), x + columns + 1))
        hidden = noisy[image, 1][around]
        assert changed[image][around].all()
        assert not (seen[image, 1, y, x] == hidden).any()
    assert not torch.equal(masked(noisy, spot, (0, 8))[1], aim)
    assert torch.equal(masked(noisy, spot, (0, 7))[0], seen)


def test_the_likelihood_is_smallest_at_the_true_mean_and_error():
    level = NoiseLevel(0.02, 0.001, (0.0, 1.0), (0.001, 0.021))
    random = np.random.default_rng(0)
    truth, error = 0.5, 0.1
    noise = random.normal(0, np.sqrt(0.02 * truth + 0.001 + error**2), 200_000)
    target = torch.from_numpy((truth + noise).astype(np.float32))[None, None]

    def at(mean, std):
        found = torch.stack([torch.full_like(target[0], mean), torch.full_like(target[0], 2 * np.log(std))], 1)
        found = found.requires_grad_()
        _likelihood(found, target, level).mean().backward()
        return found.grad.sum((2,))[0].numpy() if found.grad.dim() == 3 else found.grad.sum(-1)[0].numpy()

    slope_of_mean, slope_of_spread = at(truth, error)
    assert abs(slope_of_mean) < 0.02
    assert abs(slope_of_spread) < 0.002
    assert at(0.55, error)[0] > 0.1
    assert at(truth, 0.2)[1] > 0.01
    assert at(truth, 0.05)[1] < -0.005


@pytest.mark.parametrize("method", ["noise2void", "shine", "udvd"])
def test_the_baselines_denoise(method):
    truth = np.asarray(cell_phantom((64, 64), seed=1))
    noisy = PoissonGaussian(12, 0.04).simulate(truth, seed=0)
    settings = {**QUICK, "patch": 32, "steps": {"shine": 30, "udvd": 120, "noise2void": 120}[method]}
    settings["learning_rate"] = 1e-3
    if method == "udvd":
        settings["frames"] = 1
    result = ruska.denoise(Image(noisy, "YX"), method=method, settings=settings)
    assert psnr(result.image.numpy(), truth, 1.0) > psnr(noisy, truth, 1.0) + 6
    assert result.record["method"] == method


def test_the_likelihood_denoises_and_folds_the_pixel_in(tmp_path):
    truth = np.asarray(cell_phantom((96, 96), seed=1))
    noisy = Image(PoissonGaussian(50, 0.02).simulate(truth, seed=0), "YX")
    train([noisy], tmp_path / "m", settings={**QUICK, "patch": 48, "steps": 150, "loss": "poisson-gaussian"})
    scores = {}
    for fold in (False, True):
        settings = {"model": str(tmp_path / "m"), "fold": fold}
        restored = ruska.denoise(noisy, method="blindspot", settings=settings).image.numpy()
        scores[fold] = psnr(restored, truth, 1.0)
    assert scores[True] > scores[False] + 0.3
    assert scores[True] > psnr(noisy.numpy(), truth, 1.0) + 1.5


@pytest.mark.parametrize("kind", ["halfplane", "shine", "udvd", "noise2void"])
def test_a_network_is_rebuilt_from_its_facts(kind):
    hidden = Hidden(kind, (1, 3), 1, widths=(4, 6))
    again = Hidden.of(hidden.facts())
    assert again == hidden
    first, second = hidden.build(3).state_dict(), again.build(3).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
