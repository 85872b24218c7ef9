"""The first guess at a blur: exact on fields whose spectrum is a power of the frequency."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ruska.errors import GeometryError
from ruska.physics.blur_spectrum import blur_of_spectrum, stretched
from ruska.physics.operators import BlurShape


def field(shape, noise=0.02, size=256, seed=0):
    """A random micrograph seen through ``shape``, with noise."""
    random = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.fftfreq(size))
    frequency[0, 0] = 1
    sharp = np.fft.ifft2(np.fft.fft2(random.normal(size=(size, size))) * frequency**-1.25).real
    sharp *= 0.2 / sharp.std()
    seen = sharp if shape is None else shape.operator().forward(torch.from_numpy(sharp)[None, None])[0, 0].numpy()
    return seen + random.normal(0, noise, seen.shape)


@pytest.mark.parametrize("shape", [BlurShape("gaussian", (s,)) for s in (1.0, 2.0, 3.0)] + [BlurShape("defocus", (4,))])
def test_the_width_is_found(shape):
    found = blur_of_spectrum(field(shape), 0.02, shape.family)
    assert found.family == shape.family
    assert found.width == pytest.approx(shape.width, rel=0.1)


def test_an_ellipse_is_found():
    found = blur_of_spectrum(field(BlurShape("astigmatic", (3.0, 1.5, 30.0))), 0.02, "astigmatic")
    assert found.values[0] == pytest.approx(3, rel=0.15)
    assert found.values[1] == pytest.approx(1.5, rel=0.15)
    assert abs((found.values[2] - 30 + 90) % 180 - 90) < 8


def test_a_sharp_field_has_no_blur():
    assert blur_of_spectrum(field(None), 0.02, "gaussian").width < 0.3


def test_a_plane_may_be_too_small():
    with pytest.raises(GeometryError, match="32"):
        blur_of_spectrum(np.zeros((16, 64)), 0.02, "gaussian")


def test_stretching_keeps_the_area():
    shape = stretched(BlurShape("astigmatic", (2.0, 1.0, 10.0)), 2)
    assert shape.values == pytest.approx((2**1.5, 2**-0.5, 10))
    assert stretched(shape, 0.01).values[:2] == pytest.approx((2**0.5,) * 2)
