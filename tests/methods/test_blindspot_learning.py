"""What the training aims at: Noise2Void's masks, the likelihood, and the named baselines end to end."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import ruska
from ruska.engine import ArraySource, Budget
from ruska.image import Image
from ruska.methods import create
from ruska.methods.blindspot_learning import Hidden, Learned, _likelihood, masked
from ruska.networks.blindspot import BlindSpotNet
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


def nearer_than_noise_and_mean(restored, noisy, truth):
    """What any denoiser promises, however short its training was."""
    wrong = np.mean((restored - truth) ** 2)
    return wrong < 0.5 * np.mean((noisy - truth) ** 2) and wrong < 0.9 * truth.var()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["noise2void", "shine", "udvd"])
def test_the_baselines_denoise(method):
    truth = np.asarray(cell_phantom((64, 64), seed=1))
    noisy = PoissonGaussian(12, 0.04).simulate(truth, seed=0)
    settings = {**QUICK, "patch": 32, "steps": {"shine": 30, "udvd": 120, "noise2void": 120}[method]}
    settings["learning_rate"] = 1e-3
    if method == "udvd":
        settings["frames"] = 1
    result = ruska.denoise(Image(noisy, "YX"), method=method, settings=settings)
    assert nearer_than_noise_and_mean(result.image.numpy(), noisy, truth)
    assert result.record["method"] == method


def test_a_network_trained_for_the_likelihood_denoises(tmp_path, monkeypatch):
    """Only that: how far it gets differs by the processor's rounding. What folding in gains is held below."""
    monkeypatch.setattr(Hidden.__init__, "__defaults__", (1, 1, (8, 16)))
    truth = np.asarray(cell_phantom((64, 64), seed=1))
    noisy = PoissonGaussian(12, 0.04).simulate(truth, seed=0)
    settings = {**QUICK, "patch": 32, "steps": 150, "loss": "poisson-gaussian"}
    train([Image(noisy, "YX")], tmp_path / "m", settings=settings)
    given = {"model": str(tmp_path / "m")}
    restored = ruska.denoise(Image(noisy, "YX"), method="blindspot", settings=given).image.numpy()
    assert nearer_than_noise_and_mean(restored, noisy, truth)


@pytest.mark.parametrize("dose", [50, 200])
def test_of_a_prediction_whose_error_is_known_the_pixel_makes_the_posterior_mean(monkeypatch, dose):
    """With a network that predicts by construction: trained ones may be right or wrong about their own error."""
    truth = np.asarray(cell_phantom((192, 192), seed=1), np.float64)
    noise = PoissonGaussian(dose, 0.02)
    noisy = noise.simulate(truth, seed=0)
    smooth = gaussian_filter(truth, 1.5)
    predicted = np.polyval(np.polyfit(smooth.ravel(), truth.ravel(), 1), smooth)  # on the grey scale of the image
    error, variance = (predicted - truth) ** 2, gaussian_filter((predicted - truth) ** 2, 2) + 1e-5
    network = BlindSpotNet((1, 1), 1, outputs=2, widths=(4,))
    known = torch.from_numpy(np.stack([predicted, np.log(variance)])[None]).float()
    monkeypatch.setattr(network, "forward", lambda x: known)
    learned = Learned(network, Hidden("halfplane", (1, 1), 1, 2), 1, 0, 0.0, "cpu", [])
    monkeypatch.setattr("ruska.methods.blindspot.learn", lambda *args, **more: learned)

    def left(fold):
        own = {"loss": "poisson-gaussian", "spot": "1x1", "flips": False, "fold": fold}
        method = create("blindspot", own).prepare(ArraySource(noisy, "YX"), None, Budget())
        restored = method({"image": torch.from_numpy(noisy)[None, None]}, None)["mean"][0, 0].numpy()
        return np.mean((restored - truth) ** 2)

    share = variance / (variance + noise.variance(truth))  # of the pixel's news that is taken over
    expected = np.mean((1 - share) ** 2 * error + share**2 * noise.variance(truth))
    assert left(fold=False) == pytest.approx(error.mean(), rel=0.02)
    assert left(fold=True) == pytest.approx(expected, rel=0.05)
    assert expected < 0.8 * error.mean()


@pytest.mark.parametrize(
    ("kind", "outputs"), [("halfplane", 1), ("halfplane", 2), ("shine", 1), ("udvd", 1), ("noise2void", 1)]
)
def test_a_network_is_rebuilt_from_its_facts(kind, outputs):
    hidden = Hidden(kind, (1, 3), 1, outputs, widths=(4, 6))
    again = Hidden.of(hidden.facts())
    assert again == hidden
    first, second = hidden.build(3).state_dict(), again.build(3).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
