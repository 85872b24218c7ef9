"""The noise as a line over the grey level, recovered from what was simulated."""

from __future__ import annotations

import numpy as np
import pytest

import ruska
from ruska.errors import GeometryError
from ruska.physics import PoissonGaussian, cell_phantom, noise_level, noise_level_of_frames


def simulate(counts, read, kernel=(1.0,), truth=None, seed=0):
    """Grey levels: 1000 per unit, 100 offset; returns them, the model and the truth."""
    truth = np.asarray(cell_phantom((512, 512), seed=2)) if truth is None else truth
    model = PoissonGaussian(counts, read, kernel)
    return 100 + 1000 * model.simulate(truth, seed), model, truth


@pytest.mark.parametrize("kernel", [(1.0,), (0.3, 1.0, 0.5)])
@pytest.mark.parametrize(("counts", "read"), [(200, 0.01), (50, 0.02), (12, 0.04)])
def test_one_phantom(counts, read, kernel):
    noisy, model, truth = simulate(counts, read, kernel)
    found = noise_level(noisy)
    assert found.gain == pytest.approx(1000 / counts, rel=0.3)
    levels = np.quantile(truth, (0.1, 0.5, 0.9))
    np.testing.assert_allclose(found.std(100 + 1000 * levels), 1000 * np.sqrt(model.variance(levels)), rtol=0.1)


def test_one_real_micrograph(micrographs):
    clean = ruska.read(micrographs / "val" / "cdeep3m_sbem" / "train_raw_12x1024x1024.tif")
    plane = np.asarray(clean.data[6:7], dtype=np.float64)[0]
    small = plane[:800, :800].reshape(400, 2, 400, 2).mean((1, 3))
    low, high = np.percentile(small, (0.1, 99.9))
    truth = np.clip((small - low) / (high - low), 0, 1)
    for counts, read in ((50, 0.02), (12, 0.04)):
        noisy, model, _ = simulate(counts, read, truth=truth)
        found = noise_level(noisy)
        assert found.gain == pytest.approx(1000 / counts, rel=0.35)
        levels = np.quantile(truth, (0.1, 0.5, 0.9))
        np.testing.assert_allclose(found.std(100 + 1000 * levels), 1000 * np.sqrt(model.variance(levels)), rtol=0.12)


@pytest.mark.parametrize("kernel", [(1.0,), (0.3, 1.0, 0.5)])
def test_frames_know_it_better(kernel):
    _, model, truth = simulate(50, 0.02, kernel)
    frames = np.stack([simulate(50, 0.02, kernel, seed=k)[0] for k in range(4)])
    found = noise_level_of_frames(frames)
    assert found.gain == pytest.approx(20, rel=0.06)
    levels = np.quantile(truth, (0.1, 0.5, 0.9))
    np.testing.assert_allclose(found.std(100 + 1000 * levels), 1000 * np.sqrt(model.variance(levels)), rtol=0.02)


def test_noise_that_does_not_grow():
    truth = np.asarray(cell_phantom((512, 512), seed=2))
    noisy = 1000 * truth + np.random.default_rng(0).normal(0, 80, truth.shape)
    found = noise_level(noisy)
    np.testing.assert_allclose(found.std(np.array([300.0, 600.0, 900.0])), 80, rtol=0.15)


def test_noise_of_inverted_contrast_falls_where_it_may():
    noisy, *_ = simulate(50, 0.02)
    rising, falling = noise_level(noisy), noise_level(noisy.max() - noisy, falling=True)
    assert falling.gain == pytest.approx(-rising.gain, rel=1e-6)
    level = float(np.median(noisy))
    assert falling.std(noisy.max() - level) == pytest.approx(rising.std(level), rel=1e-3)
    assert noise_level(noisy, falling=True) == rising
    assert noise_level(noisy.max() - noisy).gain == 0


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(GeometryError, match="64"):
        noise_level(np.zeros((63, 100)))
    with pytest.raises(GeometryError, match="two frames"):
        noise_level_of_frames(np.zeros((1, 64, 64)))
