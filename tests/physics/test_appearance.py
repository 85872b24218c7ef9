"""Four numbers tell what kind of picture a plane is, with and without noise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ruska.physics import PoissonGaussian, cell_phantom, estimate_noise
from ruska.physics.appearance import appearance

TISSUE = cell_phantom((256, 256), seed=0)


def spots():
    found = np.zeros((256, 256))
    found[32::48, 32::48] = 1
    found = gaussian_filter(found, 5)
    return found / found.max()


@pytest.mark.parametrize("kind", ["white", "counts", "scan line"])
def test_noise_alone_is_told_by_its_strength(kind):
    random = np.random.default_rng(0)
    plane = random.normal(0, 1, (200, 204))
    if kind == "counts":
        plane = random.poisson(5, (200, 204)).astype(float)
    if kind == "scan line":
        plane = 0.15 * plane[:, :-2] + plane[:, 1:-1] + 0.6 * plane[:, 2:]
    assert appearance(plane).noise > 8
    assert appearance(TISSUE + 0.1 * TISSUE.std() * random.normal(0, 1, TISSUE.shape)).noise < 0.3


@pytest.mark.parametrize("level", [0, 0.05, 0.2])
def test_spots_on_black_are_skew_and_tissue_is_not(level):
    noise = np.random.default_rng(0).normal(0, level, (256, 256))
    assert appearance(spots() + noise).skewness > 0.8
    assert appearance(1 - spots() + noise).skewness < -0.8
    assert abs(appearance(TISSUE + noise).skewness) < 0.75


def test_masks_have_equal_neighbours():
    assert appearance((TISSUE > 0.5).astype(np.uint8)).equal > 0.9
    assert appearance(PoissonGaussian(50, 0.02).simulate(TISSUE, seed=0)).equal < 0.05


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.6])
def test_detail_grows_with_magnification_whatever_the_noise(noise):
    random = np.random.default_rng(0)
    texture = gaussian_filter(random.normal(0, 1, (512, 512)), 1.5)
    texture /= texture.std()
    # of smoothed white noise the correlation is exp(-d^2 / 4 sigma^2)
    for magnified, expected in ((1, 2 * np.log(2) ** 0.5 * 1.5), (2, 2 * 2 * np.log(2) ** 0.5 * 1.5)):
        plane = np.kron(texture[: 512 // magnified, : 512 // magnified], np.ones((magnified, magnified)))
        found = appearance(plane + random.normal(0, noise, plane.shape))
        assert found.detail == pytest.approx(expected, rel=0.15)


def test_a_noise_estimate_that_is_there_is_taken():
    plane = PoissonGaussian(20, 0.02).simulate(TISSUE, seed=0)
    assert appearance(plane, estimate_noise(plane)) == appearance(plane)


def test_an_even_plane_has_numbers_too():
    found = appearance(np.full((40, 40), 7.0))
    assert (found.equal, found.skewness) == (1, 0)
    assert np.isfinite([found.noise, found.detail]).all()


def test_neighbours_of_single_counts_are_equal_by_chance():
    counts = np.random.default_rng(0).poisson(0.7, (96, 96)).astype(np.float32)
    assert (counts[:, 1:] == counts[:, :-1]).mean() > 0.3
    assert appearance(counts).equal == 0
    assert appearance((counts > 0).astype(np.float32).repeat(8, 0).repeat(8, 1)).equal > 0.8


def test_an_empty_border_does_not_change_what_a_picture_looks_like():
    plane = cell_phantom((128, 192), seed=0) + np.random.default_rng(1).normal(0, 0.05, (128, 192))
    bordered = np.vstack([np.full((60, 192), np.nan), plane])
    whole, part = appearance(plane), appearance(bordered)
    for name in ("noise", "skewness", "detail"):
        assert getattr(part, name) == pytest.approx(getattr(whole, name), rel=0.15, abs=0.02)
