"""Phantoms are deterministic, in range, and hold what they say; the detector maps them to grey levels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ruska.errors import SettingsError
from ruska.physics import STANDARD_DOSES, cell_phantom, estimate_noise_std, particle_phantom, simulate_micrograph

PHANTOMS = (cell_phantom, particle_phantom)


@pytest.mark.parametrize("phantom", PHANTOMS)
@given(height=st.integers(16, 90), width=st.integers(16, 90), seed=st.integers(0, 2**31))
@settings(max_examples=12, deadline=None)
def test_any_shape_in_range_and_repeatable(phantom, height: int, width: int, seed: int) -> None:
    image = phantom((height, width), seed)
    assert image.shape == (height, width)
    assert image.dtype == np.float32
    assert 0 <= image.min() < image.max() <= 1
    np.testing.assert_array_equal(image, phantom((height, width), seed))


def test_cells_differ_and_hold_dark_membranes_at_nucleus_and_mitochondria() -> None:
    a, b = cell_phantom(seed=1), cell_phantom(seed=2)
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] < 0.3
    for image in (a, b):
        assert np.mean(image < 0.3) > 0.02  # membranes and stained granules
        assert np.mean((image > 0.4) & (image < 0.75)) > 0.6  # cytosol and matrix
        assert estimate_noise_std(image) < 0.005  # noise-free, and not finer than the probe


def test_particles_are_bright_on_a_dark_film() -> None:
    image = particle_phantom(seed=4)
    assert np.median(image) < 0.35
    assert 0.02 < np.mean(image > 0.45) < 0.5


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
@pytest.mark.parametrize("dose", [0, 1, 2])
def test_detector_gain_and_offset(bits: int, dtype: type, dose: int) -> None:
    clean = np.full((200, 200), 0.5, np.float32)
    image = simulate_micrograph(clean, dose, seed=3, bits=bits)
    top = 2**bits - 1
    assert image.dtype == dtype
    assert image.mean() / top == pytest.approx(0.1 + 0.7 * 0.5, abs=0.005)
    noise = np.sqrt(STANDARD_DOSES[dose].variance(clean).mean())
    assert image.std() / top == pytest.approx(0.7 * noise, rel=0.05)
    np.testing.assert_array_equal(image, simulate_micrograph(clean, STANDARD_DOSES[dose], seed=3, bits=bits))


@pytest.mark.parametrize(("call", "name"), [
    (lambda: cell_phantom((8, 64)), "shape"), (lambda: cell_phantom(pixel_size_nm=0), "pixel_size_nm"),
    (lambda: simulate_micrograph(np.zeros((4, 4)), 3), "dose"),
    (lambda: simulate_micrograph(np.zeros((4, 4)), bits=12), "bits"),
])  # fmt: skip
def test_impossible_settings_are_refused(call, name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        call()
