"""The noise as a line over the grey level, recovered from what was simulated."""

from __future__ import annotations

import numpy as np
import pytest

import ruska
from ruska.errors import GeometryError
from ruska.physics import PoissonGaussian, cell_phantom, estimate_noise, noise_level, noise_level_of_frames


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


def blobs(size=192):
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(np.random.default_rng(0).standard_normal((size, size)), 8, mode="wrap")
    return np.clip(smooth / smooth.max(), 0, 1)  # half of it black


@pytest.mark.parametrize(("mean", "dtype"), [(0.2, np.uint8), (0.8, np.int16), (3.0, np.float32)])
def test_single_counts_have_the_variance_of_their_mean_on_any_scale(mean, dtype):
    counts = np.random.default_rng(1).poisson(0.05 + 3 * mean * blobs()).astype(dtype)
    for scale, offset in ((1.0, 0.0), (0.13, -0.4)):
        found = noise_level((counts * np.float32(scale) + np.float32(offset)).astype(np.float32))
        assert found.counted
        assert found.gain == pytest.approx(scale, rel=1e-4)
        assert found.std(2 * scale + offset) == pytest.approx(np.sqrt(2) * scale, rel=1e-3)


@pytest.mark.parametrize("kind", ["continuous", "few levels", "no zeros", "overdispersed", "labels"])
def test_what_is_not_poisson_is_not_taken_for_counts(kind):
    rng = np.random.default_rng(2)
    counts = rng.poisson(0.1 + 3 * blobs())
    image = {
        "continuous": counts + rng.normal(0, 0.05, counts.shape),
        "few levels": np.clip(np.rint(2 + rng.normal(0, 0.7, counts.shape)), 0, 9),
        "no zeros": rng.poisson(20 + 3 * blobs()),
        "overdispersed": counts + 2 * rng.poisson(2 * blobs()),
        "labels": np.rint(3 * blobs()),
    }[kind]
    assert not noise_level(image).counted


def test_the_line_of_fluorescence_whose_black_is_cut_off():
    """Half of it lies below zero now and then: the noise of the bright structures alone would be told."""
    truth, rng = blobs(), np.random.default_rng(3)
    truth[:96, :96] = 0
    noisy = np.clip(rng.poisson(12 * truth) / 12 + rng.normal(0, 0.04, truth.shape), 0, None)
    found = noise_level(noisy)
    assert found.gain == pytest.approx(1 / 12, rel=0.2)
    assert 0.7 < estimate_noise(noisy).std / np.sqrt(np.mean((noisy - truth) ** 2)) < 1.15
    bright = np.array([0.2, 0.5, 0.8])
    np.testing.assert_allclose(found.std(bright), np.sqrt(bright / 12 + 0.04**2), rtol=0.15)
