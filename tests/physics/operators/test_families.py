"""Families of blurs: physical, as wide as they say, told and repeated by their settings."""

from __future__ import annotations

import numpy as np
import pytest

from ruska.errors import SettingsError
from ruska.physics.operators import BlurShape, blur_shape, disc_psf, free_shape, gaussian_psf

SHAPES = [BlurShape("gaussian", (1.7,)), BlurShape("defocus", (3.3,)), BlurShape("astigmatic", (2.6, 1.4, 30.0))]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.family)
def test_a_blur_is_as_wide_as_it_says(shape):
    psf = shape.psf()
    y, x = np.indices(psf.shape) - psf.shape[0] // 2
    assert psf.sum() == pytest.approx(1)
    assert psf.min() >= 0
    # pixels and sampling add a twelfth of a pixel squared
    assert (psf * (y**2 + x**2)).sum() / 2 == pytest.approx(shape.width**2, abs=0.12)
    assert shape.scaled(2).width == pytest.approx(2 * shape.width)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.family)
def test_the_transfer_function_is_the_transform_of_the_kernel(shape):
    size = 64
    padded = np.zeros((size, size))
    psf = shape.psf()
    padded[: psf.shape[0], : psf.shape[1]] = psf
    padded = np.roll(padded, [-(n // 2) for n in psf.shape], (0, 1))
    fy, fx = np.broadcast_arrays(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    slow = np.hypot(fy, fx) < 0.15  # beyond, the mean over a pixel tells
    assert np.abs(np.fft.fft2(padded).real - shape.transfer(fy, fx))[slow].max() < 0.03


@pytest.mark.parametrize("shape", [*SHAPES, free_shape(gaussian_psf(1.2))], ids=lambda shape: shape.family)
def test_settings_repeat_a_blur(shape):
    (text,) = shape.settings().values()
    again = blur_shape(shape.family, text)
    assert again.width == pytest.approx(shape.width, rel=0.01)
    assert blur_shape(shape.family, *again.settings().values()).operator() is not None
    assert str(again)


def test_a_free_kernel_is_made_physical():
    weights = np.roll(np.pad(disc_psf(4.0), 8), 2, axis=1) - 0.001
    shape = free_shape(weights, smooth=True)
    psf = shape.psf()
    y, x = np.indices(psf.shape) - psf.shape[0] // 2
    assert psf.min() >= 0
    assert psf.sum() == pytest.approx(1)
    assert abs((psf * x).sum()) < 0.1
    assert abs((psf * y).sum()) < 0.1
    assert max(psf.shape) <= 33
    assert shape.width == pytest.approx(2, abs=0.3)
    assert shape.scaled(2) == shape


@pytest.mark.parametrize(("family", "text", "said"), [
    ("gausian", 1, "gaussian"),
    ("astigmatic", "2,1", "2 numbers"),
    ("astigmatic", "1,2,0", "short <= long"),
    ("astigmatic", "2,one,0", "not a number"),
    ("free", "1,2;3,4", "4 numbers"),
    ("free", "-1", "negative"),
    ("defocus", 0, "radius"),
])  # fmt: skip
def test_what_is_no_blur_is_refused(family, text, said):
    with pytest.raises(SettingsError, match=said):
        blur_shape(family, text)
