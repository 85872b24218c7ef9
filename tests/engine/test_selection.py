"""A channel, or some planes, of a source read like the same part of its array."""

from __future__ import annotations

import numpy as np

from ruska.engine import ArraySource, OneChannel, SomePlanes

VALUES = np.arange(2 * 3 * 4 * 5 * 6).reshape(2, 3, 4, 5, 6)


def test_one_channel_keeps_its_axis():
    channel = OneChannel(ArraySource(VALUES, "TCZYX"), 2)
    assert channel.shape == (2, 1, 4, 5, 6)
    box = (slice(0, 2), slice(0, 1), slice(1, 3), slice(0, 5), slice(2, 6))
    np.testing.assert_array_equal(channel.read(box), VALUES[:, 2:3, 1:3, :, 2:])


def test_some_planes_are_a_stack():
    planes = SomePlanes(OneChannel(ArraySource(VALUES, "TCZYX"), 1), ((0, 0, 3), (1, 0, 0)))
    assert (planes.shape, planes.axes) == ((2, 5, 6), "QYX")
    expected = np.stack([VALUES[0, 1, 3], VALUES[1, 1, 0]])
    np.testing.assert_array_equal(planes.read((slice(0, 2), slice(0, 5), slice(1, 4))), expected[..., 1:4])
    np.testing.assert_array_equal(planes.read((slice(1, 2), slice(0, 5), slice(0, 6))), expected[1:])
