"""Streamed statistics equal NumPy's, whatever the dtype and size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ruska.engine import (
    ArraySource,
    ChannelScales,
    Measured,
    Normalisation,
    NormalisedSource,
    measure_channels,
    measure_intensities,
)
from ruska.engine import statistics as module
from ruska.engine.validity import mask_of
from ruska.errors import InputError
from ruska.image import Image


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["uint8", "int16", "uint16", "int32", "float32", "float64"]).flatmap(
        lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=2, max_dims=3, max_side=20),
                             elements=hnp.from_dtype(np.dtype(d), min_value=-1000 if d[0] != "u" else 0,
                                                     max_value=100, allow_nan=False))
    ),
    st.integers(1, 50),
)  # fmt: skip
def test_statistics_equal_numpy_however_the_source_is_boxed(values, box_voxels):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BOX_VOXELS", box_voxels)
        found = measure_intensities(ArraySource(values, "ZYX"[-values.ndim :]))
    wide = values.astype(np.float64)
    assert (found.minimum, found.maximum) == (wide.min(), wide.max())
    np.testing.assert_allclose(found.mean, wide.mean(), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(found.std, wide.std(), rtol=1e-5, atol=1e-4)
    assert found.minimum <= found.low <= found.high <= found.maximum
    assert found.looked_at == 1


def test_mean_and_std_keep_their_digits_far_from_zero():
    values = np.random.default_rng(0).normal(1e7, 1.0, (2100, 2100)).astype(np.float32)
    found = measure_intensities(ArraySource(values, "YX"))
    np.testing.assert_allclose(found.std, values.astype(np.float64).std(), rtol=1e-3)


def test_nan_is_left_out_and_all_nan_is_an_error():
    values = np.ones((10, 10), np.float32)
    values[:5] = np.nan
    found = measure_intensities(ArraySource(values, "YX"))
    assert found.finite_fraction == 0.5
    assert found.mean == 1
    with pytest.raises(InputError, match=r"a\.tif: holds no finite value"):
        measure_intensities(ArraySource(np.full((4, 4), np.nan), "YX"), "a.tif")


def test_saturation_is_seen_only_where_values_pile_up():
    rng = np.random.default_rng(0)
    clipped = np.clip(rng.normal(240, 20, (300, 300)), 0, 255).astype(np.uint8)
    found = measure_intensities(ArraySource(clipped, "YX"))
    assert found.saturated_high == pytest.approx((clipped == 255).mean())
    assert found.saturated_low == 0
    smooth = rng.normal(0, 1, (300, 300)).astype(np.float32)
    assert measure_intensities(ArraySource(smooth, "YX")).saturated_high == 0


def test_a_huge_source_is_sampled_evenly(monkeypatch):
    monkeypatch.setattr(module, "_FULL_VOXELS", 1000)
    monkeypatch.setattr(module, "_BOX_VOXELS", 100)
    values = np.arange(100, dtype=np.float64).repeat(100).reshape(100, 10, 10)
    found = measure_intensities(ArraySource(values, "ZYX"))
    assert found.looked_at == pytest.approx(0.1)
    assert found.mean == pytest.approx(49.5, abs=5)


@settings(max_examples=50, deadline=None)
@given(hnp.arrays(np.uint16, (4, 4)), st.floats(-1e4, 1e4), st.floats(0.01, 1e4))
def test_normalisation_is_undone_exactly_for_integers(values, offset, scale):
    there = Normalisation(offset, scale)
    np.testing.assert_array_equal(np.rint(there.undo(there.apply(values))), values)


def test_a_normalised_source_gives_zero_to_one_and_fills_nan():
    values = np.linspace(50, 150, 10000, dtype=np.float32).reshape(100, 100)
    values[3, 3] = np.nan
    source = ArraySource(values, "YX")
    found = measure_intensities(source)
    inner = NormalisedSource(source, found.normalisation(), found.mean)
    out = inner.read((slice(0, 100), slice(0, 100)))
    assert out.dtype == np.float32
    assert out[3, 3] == out[3, 2]  # the nearest
    assert -0.01 < out.min() < out.max() < 1.01


def test_constant_images_do_not_divide_by_zero():
    found = measure_intensities(ArraySource(np.full((5, 5), 7, np.uint8), "YX"))
    assert found.normalisation() == Normalisation(7.0, 1.0)


@pytest.mark.parametrize("axes", ["CYX", "ZCYX"])
def test_channels_are_measured_in_the_same_pass_as_if_alone(axes):
    values = np.random.default_rng(0).integers(0, 200, [3 if a == "C" else 17 for a in axes]).astype(np.uint16)
    at = axes.index("C")
    values[(slice(None),) * at + (1,)] += 5000
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BOX_VOXELS", 40)
        found = measure_channels(ArraySource(values, axes))
    assert found.whole == measure_intensities(ArraySource(values, axes))
    for channel, own in enumerate(found.channels):
        alone = measure_intensities(ArraySource(values.take(channel, at), axes.replace("C", "")))
        assert (own.minimum, own.low, own.high, own.looked_at) == (alone.minimum, alone.low, alone.high, 1)
    assert Measured.of(found.as_dict()) == found
    assert measure_channels(ArraySource(values.take([0], at), axes)).channels == ()


def test_a_channel_without_a_finite_voxel_is_told_as_the_whole():
    values = np.ones((2, 8, 8), np.float32)
    values[1] = np.nan
    found = measure_channels(ArraySource(values, "CYX"))
    assert found.channels[1] == found.whole


def test_channels_have_grey_scales_of_their_own_there_and_back():
    values = np.random.default_rng(0).normal([[[10]], [[5000]]], [[[1]], [[300]]], (2, 9, 9)).astype(np.float32)
    values[0, 0, 0] = np.nan
    source = ArraySource(values, "CYX")
    measured = measure_channels(source)
    scales = ChannelScales(tuple(c.normalisation() for c in measured.channels))
    fill = np.reshape([c.mean for c in measured.channels], (2, 1, 1))
    normalised = NormalisedSource(source, scales, fill)
    whole = normalised.read((slice(0, 2), slice(0, 9), slice(0, 9)))
    assert whole.min() > -0.1
    assert whole.max() < 1.1
    np.testing.assert_array_equal(normalised.read((slice(1, 2), slice(0, 9), slice(0, 9))), whole[1:])
    back = scales.undo(whole, 0)
    np.testing.assert_allclose(back[1], values[1], rtol=1e-5)
    assert back[0, 0, 0] == pytest.approx(values[0, 0, 1], rel=1e-5)  # beside it, in its own channel


def test_far_from_anything_valid_stands_the_mean_of_the_channel():
    values = np.random.default_rng(0).normal([[[10]], [[5000]]], [[[1]], [[300]]], (2, 9, 90)).astype(np.float32)
    values[:, :, 5:] = np.nan
    source = ArraySource(values, "CYX")
    measured = measure_channels(source)
    scales = ChannelScales(tuple(c.normalisation() for c in measured.channels))
    normalised = NormalisedSource(source, scales, np.reshape([c.mean for c in measured.channels], (2, 1, 1)))
    back = scales.undo(normalised.read((slice(0, 2), slice(0, 9), slice(80, 90))), 0)
    np.testing.assert_allclose(back[:, 0, 0], [c.mean for c in measured.channels], rtol=1e-5)


def test_what_a_mask_calls_invalid_is_not_measured_and_is_nan_to_who_looks():
    values = np.full((2, 8, 8), 40, np.uint8)
    values[:, :, ::2] = 60
    values[:, :3] = 255  # as a field edge that was marked invalid
    mask = np.ones((8, 8), bool)
    mask[:3] = False
    image = Image(values, "ZYX", mask=mask)
    whole = ArraySource(image.data, image.axes)
    found = measure_intensities(whole, mask=mask_of(image))
    assert (found.minimum, found.maximum, found.mean) == (40, 60, 50)
    assert found.finite_fraction == 5 / 8
    source = NormalisedSource(whole, Normalisation(0, 10), found.mean, mask_of(image))
    box = (slice(1, 2), slice(2, 4), slice(0, 2))
    np.testing.assert_array_equal(source.look(box), [[[np.nan, np.nan], [6, 4]]])
    np.testing.assert_array_equal(source.read(box), [[[6, 4], [6, 4]]])
