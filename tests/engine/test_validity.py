"""What stands for invalid voxels comes from beside them, and is the same however an image is cut."""

from __future__ import annotations

import numpy as np
import pytest

from ruska.engine import ArraySource
from ruska.engine.validity import BroadcastMask, ValidSource, invalid_of, read_filled
from ruska.image import Image


def everything(shape):
    return tuple(slice(0, n) for n in shape)


@pytest.mark.parametrize("seed", range(4))
def test_what_is_filled_does_not_depend_on_the_box(seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(2, 150, 170)).astype(np.float32)
    values[:, : rng.integers(20, 120), : rng.integers(20, 170)] = np.nan
    values[rng.random(values.shape) < 0.3] = np.nan
    source = ArraySource(values, "ZYX")
    whole, invalid = read_filled(source.read, None, everything(values.shape), values.shape, 9.0)
    np.testing.assert_array_equal(invalid, np.isnan(values))
    for _ in range(5):
        start = [int(rng.integers(0, n - 20)) for n in values.shape[1:]]
        box = (slice(1, 2), *(slice(s, s + 20) for s in start))
        part, _ = read_filled(source.read, None, box, values.shape, 9.0)
        np.testing.assert_array_equal(part, whole[box])


def test_beside_a_border_stands_the_nearest_voxel_and_far_away_the_mean():
    values = np.arange(200.0)[:, None] + np.zeros((200, 3))
    values[:100] = np.nan
    filled, _ = read_filled(ArraySource(values, "YX").read, None, everything(values.shape), values.shape, -1.0)
    assert (filled[36:100] == 100).all()
    assert (filled[:36] == -1).all()
    np.testing.assert_array_equal(filled[100:], values[100:])


def test_a_mask_is_obeyed_in_any_dtype_and_valid_values_come_as_they_are():
    values = np.array([[5, 255, 7]], np.uint8)
    valid = np.array([[True, False, True]])
    filled, invalid = read_filled(lambda b: values[b], lambda b: valid[b], everything((1, 3)), (1, 3), 0.0)
    assert filled.tolist() == [[5, 5, 7]]
    assert filled.dtype == np.uint8
    assert invalid.tolist() == [[False, True, False]]
    whole, none = read_filled(lambda b: values[b], None, everything((1, 3)), (1, 3), 0.0)
    assert np.shares_memory(whole, values)
    assert none is None


def test_a_mask_of_one_plane_serves_all_and_only_what_is_asked_for_is_read():
    class Lazy:
        shape, dtype = (1, 40, 30), np.dtype(bool)

        def __getitem__(self, box):
            self.asked = tuple((b.start, b.stop) for b in box)
            return np.ones([b.stop - b.start for b in box], bool)

    lazy = Lazy()
    found = BroadcastMask(lazy, (2, 7, 40, 30))[slice(0, 2), slice(3, 5), slice(10, 12), slice(0, 30)]
    assert found.shape == (2, 2, 2, 30)
    assert lazy.asked == ((0, 1), (10, 12), (0, 30))


def test_infinite_nan_and_masked_are_nan_to_who_looks():
    values = np.arange(16, dtype=np.float32).reshape(2, 2, 4)
    values[0, 0, :2] = np.inf, np.nan
    image = Image(values, "ZYX", mask=np.array([[[True, True, True, False]]]))
    seen = ValidSource.of(image).read((slice(0, 1), slice(0, 1), slice(0, 4)))
    np.testing.assert_array_equal(seen, [[[np.nan, np.nan, 2, np.nan]]])
    assert invalid_of(values[1], None) is None
