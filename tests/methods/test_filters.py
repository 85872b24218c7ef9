"""Plain filters: equal to the library, exact block by block, truthful about their halo."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from ruska import methods


def ready(name, **options):
    return methods.create(name, options).prepare(None, None, None)


def apply(method, values):
    return method({"image": torch.from_numpy(values[None, None].copy())}, None)["mean"].numpy()[0, 0]


def image(shape, seed=0):
    return np.random.default_rng(seed).normal(100, 20, shape).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["gaussian", "median"]), st.integers(1, 3), st.sampled_from([2, 3]), st.integers(0, 99))
def test_a_crop_with_its_halo_equals_the_whole(name, size, dimensions, seed):
    options = {"sigma": size / 2} if name == "gaussian" else {"radius": size}
    method = ready(name, dimensions=dimensions, **options)
    shape = (30, 40) if dimensions == 2 else (30, 24, 26)
    values = image(shape, seed)
    halo = method.halo[0]
    start, stop = 9, 14
    low, high = max(0, start - halo), stop + halo
    whole = apply(method, values)[start:stop]
    part = apply(method, values[low:high])[start - low : start - low + stop - start]
    np.testing.assert_allclose(part, whole, rtol=1e-6)


def test_they_are_scipys():
    values = image((40, 50))
    expected = ndimage.gaussian_filter(values, 1.7, mode="reflect")
    np.testing.assert_array_equal(apply(ready("gaussian", sigma=1.7), values), expected)
    np.testing.assert_array_equal(apply(ready("median", radius=2), values), ndimage.median_filter(values, 5))


def test_the_identity_is_the_identity():
    values = image((7, 9))
    np.testing.assert_array_equal(apply(ready("identity"), values), values)
