"""Shrinkage knows the noise of every subband, whatever its correlation, and leaves the grey scale alone."""

from __future__ import annotations

import numpy as np
import pytest
import pywt

from ruska.methods.shrinkage import measure, subband_stds, white
from ruska.metrics import psnr
from ruska.physics import PoissonGaussian, cell_phantom, estimate_noise

LINES = (0.15, 1.0, 0.6)
CELL = cell_phantom((320, 320), seed=4)


@pytest.mark.parametrize("kernel", [(1.0,), LINES])
def test_the_noise_of_every_subband_is_found(kernel):
    noise = PoissonGaussian(1000, 0.1, kernel).simulate(np.full((512, 512), 0.5), seed=3) - 0.5
    expected = [[band.std() for band in bands] for bands in pywt.wavedec2(noise, "db2", "periodization", 5)[:0:-1]]
    found = subband_stds(estimate_noise(noise), "db2")
    np.testing.assert_allclose(found[:3], expected[:3], rtol=0.12)
    if len(kernel) > 1:  # smeared along X: least in what changes along X fastest
        horizontal, vertical, _ = found[0]
        assert horizontal > 1.3 * vertical


@pytest.mark.parametrize("kernel", [(1.0,), LINES])
def test_it_beats_one_threshold_for_all(kernel):
    noise = PoissonGaussian(25, 0.02, kernel)
    noisy = noise.simulate(CELL, seed=0)
    shrink, _ = measure(noisy, "db2", 2)
    assert shrink.gain == pytest.approx(1 / 25, rel=0.35)
    even = white(estimate_noise(noisy).white_equivalent_std, "db2", 2)
    ours, other = (psnr(s(noisy), CELL, 1.0) for s in (shrink, even))
    assert ours > other - (0.05 if len(kernel) == 1 else -0.3)
    assert ours > psnr(noisy, CELL, 1.0) + 5


def test_grey_levels_are_kept_on_any_scale():
    noisy = PoissonGaussian(25, 0.02).simulate(CELL, seed=0)
    first = measure(noisy, "db2", 1)[0](noisy)
    assert first.mean() == pytest.approx(CELL.mean(), abs=0.003)
    scaled = (3000 * noisy.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(measure(scaled, "db2", 1)[0](scaled), 3000 * first, atol=3)


def test_pure_noise_becomes_flat_and_no_noise_changes_nothing():
    noise = np.random.default_rng(0).normal(0.5, 0.1, (256, 256)).astype(np.float32)
    assert measure(noise, "db2", 1)[0](noise).std() < 0.02
    clean = CELL.astype(np.float64)
    np.testing.assert_allclose(white(0.0, "db2", 1)(clean), clean, atol=1e-9)


@pytest.mark.parametrize("shape", [(16, 16), (16, 90), (33, 47), (65, 64)])
def test_small_and_odd_planes(shape):
    plane = np.random.default_rng(0).normal(1, 0.1, shape).astype(np.float32)
    for shifts in (0, 3):
        shrink, _ = measure(plane, "db2", shifts)
        assert shrink(plane).shape == shape
        assert shrink(plane).dtype == np.float32
        assert np.isfinite(shrink(plane)).all()
