"""Planted faults are named, and nothing else is."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import fourier_gaussian, fourier_shift

from ruska.errors import GeometryError
from ruska.evaluation import find_faults
from ruska.physics import cell_phantom

WIDE = cell_phantom((448, 448), seed=3).astype(np.float64)
INNER = (slice(32, -32), slice(32, -32))
CELL = WIDE[INNER]
NOISE = np.random.default_rng(0).normal(0, 0.01, CELL.shape)


def shifted(dy, dx):
    return fourier(fourier_shift, (dy, dx))


def blurred(sigma):
    return fourier(fourier_gaussian, sigma)


def fourier(filtered, amount):
    """Of the wide image, so that what comes in over the border is cut off."""
    return np.fft.ifft2(filtered(np.fft.fft2(WIDE), amount)).real[INNER]


def tiled(image, edge=128, height=0.02):
    tiles = np.add.outer(np.arange(image.shape[0]) // edge, np.arange(image.shape[1]) // edge) % 2
    return image + height * (tiles - 0.5)


@pytest.mark.parametrize(("fault", "word"), [
    (shifted(0.5, 0.0), "shifted by +0.50 px along Y"),
    (shifted(0.0, -0.5), "-0.50 px along X"),
    (shifted(3.25, -7.5), "shifted by +3.25 px along Y and -7.50 px along X"),
    (blurred(0.3), "blurred by 0.3"),
    (blurred(1.5), "blurred by 1."),
    (1.02 * CELL, "contrast is 1.02"),
    (0.98 * (CELL - 0.5) + 0.5, "contrast is 0.98"),
    (CELL + 0.015, "brightness is off by +0.015"),
    (tiled(CELL), "seams after rows 127, 255"),
    (tiled(CELL, height=0.01), "seams after columns 127, 255"),
])  # fmt: skip
def test_a_planted_fault_is_named(fault, word):
    said = find_faults(fault + NOISE, CELL).said
    assert any(word in sentence for sentence in said), said
    kinds = {sentence.split()[0] for sentence in said}
    assert len(kinds) == 1, said


def test_inverted_contrast_is_named_and_the_rest_is_measured_behind_it():
    (inverted,) = find_faults(1 - CELL + NOISE, CELL).said
    assert inverted.startswith("the contrast is inverted: coarse detail correlates by -1.00")
    scaled, noisier = find_faults(60000 - 200 * shifted(3.25, -7.5), CELL), find_faults(0.1 - CELL + 10 * NOISE, CELL)
    assert "inverted" in scaled.said[0]
    assert "shifted by +3.25 px along Y and -7.50 px along X" in scaled.said[1]
    assert "contrast is 200 times that of the truth, another grey scale" in scaled.said[2]
    assert scaled.gain == pytest.approx(-200, rel=0.02)
    assert "inverted" in noisier.said[0]
    lattice = np.sin(np.arange(320) / 3)[:, None] * np.sin(np.arange(320) / 3)
    assert "inverted" in find_faults(-lattice + NOISE[:320, :320], lattice).said[0]
    other = cell_phantom(CELL.shape, seed=9)
    assert "inverted" not in " ".join((*find_faults(other, CELL).said, *find_faults(-other, CELL).said))


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.05])
def test_a_sound_result_has_no_fault(noise):
    result = CELL + np.random.default_rng(1).normal(0, 1, CELL.shape) * noise
    assert find_faults(result, CELL).said == ()
    assert find_faults(1000 * result - 30, 1000 * CELL - 30).said == ()


def test_the_size_of_faults_is_measured():
    for sigma in (0.3, 0.5, 1.0):
        assert find_faults(blurred(sigma) + NOISE, CELL).blur_sigma == pytest.approx(sigma, abs=0.06)
    found = find_faults(shifted(0.12, -0.34) + NOISE, CELL)
    assert found.shift == pytest.approx((0.12, -0.34), abs=0.02)
    assert find_faults(1.05 * CELL + 0.1, CELL).gain == pytest.approx(1.05, abs=1e-6)


def test_images_with_nothing_in_common_do_not_crash():
    random = np.random.default_rng(0)
    for a, b in ((random.random((64, 80)), random.random((64, 80))), (np.zeros((64, 64)), np.zeros((64, 64)))):
        find_faults(a, b)
    with pytest.raises(GeometryError):
        find_faults(np.zeros((64, 64)), np.zeros((64, 65)))
    with pytest.raises(GeometryError):
        find_faults(np.zeros((32, 64)), np.zeros((32, 64)))
