"""Posterior samples: they differ as they should, explain the measurement, and are the same in blocks of any size."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

import ruska
from ruska.engine import ArraySource, Budget, MemoryStore, run
from ruska.engine.layout import Layout
from ruska.engine.plan import plan_blocks
from ruska.engine.random_field import PlacedRandomField
from ruska.errors import SettingsError
from ruska.image import Image
from ruska.methods import create
from ruska.methods.samples import correlated, samples_of
from ruska.metrics import psnr
from ruska.physics import PoissonGaussian, cell_phantom
from ruska.physics.operators import Decimation

NOISE = 0.1


@pytest.fixture(scope="module")
def truth():
    return cell_phantom((128, 144), seed=9).astype(np.float32)


@pytest.fixture(scope="module")
def noisy(truth):
    return (truth + np.random.default_rng(0).normal(0, NOISE, truth.shape)).astype(np.float32)


def prepared(name, plane, **settings):
    return create(name, settings).prepare(ArraySource(plane, "YX"), None, Budget())


def drawn(method, plane, count, seed=0):
    """Samples of one plane (Y, X), whole."""
    y, field = torch.from_numpy(plane)[None, None], PlacedRandomField(seed, (0, 0), plane.shape, 2)
    return [
        s({"image": y}, field)[s.outputs[0].name][0, 0].numpy()
        for s in samples_of(method, ArraySource(plane, "YX"), count)
    ]


def test_samples_of_noise_differ_and_their_mean_is_the_result(model, noisy, truth):
    method = prepared("prior", noisy, model=model, noise_std=NOISE)
    samples = drawn(method, noisy, 6)
    best = method({"image": torch.from_numpy(noisy)[None, None]}, None)["mean"][0, 0].numpy()
    one, mean = psnr(samples[0], truth, 1.0), psnr(np.mean(samples, 0), truth, 1.0)
    assert one < mean - 0.5
    assert mean > psnr(best, truth, 1.0) - 1
    spread, error = np.std(samples, 0, ddof=1), best - truth
    assert np.sqrt(np.mean(spread**2)) == pytest.approx(np.sqrt(np.mean(error**2)), rel=0.5)


def test_what_a_sample_leaves_is_as_strong_as_the_noise(model, noisy):
    """Of a draw, y - x is a draw of the noise; the mean of all draws takes away less."""
    method = prepared("prior", noisy, model=model, noise_std=NOISE)
    assert np.std(noisy - drawn(method, noisy, 2)[1]) == pytest.approx(NOISE, rel=0.1)


@pytest.mark.parametrize(("sample", "seed"), [(1, 0), (0, 1)])
def test_other_numbers_other_samples(model, noisy, sample, seed):
    method = prepared("prior", noisy, model=model, noise_std=NOISE)
    first = drawn(method, noisy, 2)
    assert np.array_equal(drawn(method, noisy, 2)[0], first[0])
    assert np.std(drawn(method, noisy, 2, seed)[sample] - first[0]) > 0.2 * NOISE


def test_a_sample_of_finer_pixels_explains_the_measurement(model, truth):
    operator = Decimation((Fraction(2),) * 2)
    clean = operator.forward(torch.from_numpy(truth)[None, None])[0, 0].numpy()
    coarse = (clean + np.random.default_rng(0).normal(0, 0.02, clean.shape)).astype(np.float32)
    samples = drawn(prepared("superres", coarse, model=model, noise_std=0.02), coarse, 2)
    assert samples[0].shape == truth.shape
    again = operator.forward(torch.from_numpy(samples[0])[None, None])[0, 0].numpy()
    assert np.std(again - coarse) < 0.05
    assert np.std(samples[0] - samples[1]) > np.std(again - coarse)  # what was not measured is open


def test_a_step_size_ties_samples_to_the_data(model, truth):
    coarse = truth[::2, ::2] + np.random.default_rng(0).normal(0, 0.05, (64, 72)).astype(np.float32)

    def unexplained(step_size):
        method = prepared("superres", coarse, model=model, noise_std=0.05, step_size=step_size)
        return np.std(method.explained(drawn(method, coarse, 2)[0]) - coarse)

    assert unexplained(0.1) < 0.9 * unexplained(5)


@pytest.mark.parametrize(("name", "settings"), [("prior", {}), ("superres", {"scale": "3/2"})])
def test_blocks_agree_with_the_whole(model, name, settings):
    """Also where noise is shared along scan lines, and on a finer grid."""
    clean = np.tile(cell_phantom((128, 128), seed=2), (2, 3)).astype(np.float32)
    noise = PoissonGaussian(60, 0.03, (0.15, 1, 0.6) if name == "prior" else (1.0,))
    values = noise.simulate(clean, seed=1)
    method = prepared(name, values, model=model, **settings)
    sampler = samples_of(method, ArraySource(values, "YX"), 2)[1]
    whole, parts = (in_blocks(values, sampler, edge) for edge in (1024, 192))
    assert np.abs(whole - parts).max() < 0.02 * np.ptp(whole)
    assert np.std(whole - parts) < 1e-3 * np.std(whole)


def in_blocks(values, method, edge):
    plan = plan_blocks(Layout("YX", values.shape, 2), method, Budget(memory_bytes=8 << 30), dtype="f4", out_dtype="f4",
                       edge=edge)  # fmt: skip
    assert (plan.size == 1) == (edge == 1024)
    sink = MemoryStore(plan.output_shape, np.dtype("f4"))
    run(ArraySource(values, "YX"), method, sink, plan, seed=3)
    return sink.values[0]


def test_channels_and_slices_have_numbers_of_their_own(model, noisy):
    method = prepared("prior", noisy, model=model, noise_std=NOISE)
    sampler = samples_of(method, ArraySource(noisy, "YX"), 2)[0]
    y = torch.from_numpy(noisy)[:64, :64].expand(2, 2, 64, 64).contiguous()
    out = sampler({"image": y}, PlacedRandomField(0, (0, 0, 0), (2, 64, 64), 2))["sample1"].numpy()
    parts = out.reshape(4, -1)
    assert all(np.std(a - b) > 0.2 * NOISE for i, a in enumerate(parts) for b in parts[:i])
    alone = sampler({"image": y[1:, :1]}, PlacedRandomField(0, (1, 0, 0), (1, 64, 64), 2))["sample1"].numpy()
    assert np.allclose(out[1:, :1], alone, atol=1e-5)


def test_noise_is_made_as_correlated_as_it_was_found():
    white = torch.randn((1, 1, 400, 500), generator=torch.Generator().manual_seed(0))
    lags = (0.5, 0.1, 0.2, 0.0)
    noise = correlated(white, lags)[0, 0].numpy()
    assert noise.std() == pytest.approx(1, rel=0.02)
    found = [np.mean(noise[:, 1:] * noise[:, :-1]), np.mean(noise[:, 2:] * noise[:, :-2]),
             np.mean(noise[1:] * noise[:-1]), np.mean(noise[2:] * noise[:-2])]  # fmt: skip
    assert found == pytest.approx(lags, abs=0.02)
    assert correlated(white, (0.0,) * 4) is white


def test_volumes_have_samples(model):
    volume = np.stack([cell_phantom((40, 40), seed=k // 8) for k in range(16)]).astype(np.float32)
    seen = Decimation((Fraction(2), Fraction(1), Fraction(1))).forward(torch.from_numpy(volume)[None, None])[0, 0]
    image = Image(seen.numpy(), "ZYX")
    result = ruska.isotropic(image, factor=2, samples=2, settings={"model": model, "noise_std": 0.02})
    assert result.std.shape == result.samples[1].shape == volume.shape
    assert result.std.numpy().min() > 0


def test_what_draws_no_samples_says_so(noisy, model):
    for method, count, said in (
        ("tv", 4, "cannot be drawn"),
        ("prior", 1, "must be 0"),
        ("prior", 101, "at most 100"),
    ):
        with pytest.raises(SettingsError, match=said):
            ruska.denoise(noisy, method=method, samples=count)
