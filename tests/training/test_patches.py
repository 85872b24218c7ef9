"""Random patches."""

from __future__ import annotations

import numpy as np
import pytest

from ruska.engine import ArraySource
from ruska.errors import GeometryError
from ruska.training import PatchSampler
from ruska.training.patches import mirrored


def source(*shape):
    return ArraySource(np.arange(np.prod(shape), dtype=np.float32).reshape(shape), "TZYX"[-len(shape) :])


def test_batches_repeat_and_differ():
    sampler = PatchSampler([source(40, 50)], 16, multiple=8, seed=3)
    first = sampler.batch(0, 4)[0]
    assert first.shape == (4, 1, 16, 16)
    assert (sampler.batch(0, 4)[0] == first).all()
    assert (sampler.batch(1, 4)[0] != first).any()


def test_patches_are_pieces_of_the_image_flipped_but_not_turned():
    for patch in PatchSampler([source(40, 50)], 16).batch(0, 20)[0].numpy():
        values = patch[0]
        assert set(np.abs(np.diff(values, axis=1)).ravel()) == {1.0}
        assert set(np.abs(np.diff(values, axis=0)).ravel()) == {50.0}


def test_frames_are_neighbours_mirrored_at_the_ends():
    stack = ArraySource(np.broadcast_to(np.arange(3, dtype=np.float32)[:, None, None], (3, 20, 20)), "ZYX")
    found = {tuple(p[:, 0, 0]) for p in PatchSampler([stack], 16, frames=3).batch(0, 60)[0].numpy()}
    assert found == {(1, 0, 1), (0, 1, 2), (1, 2, 1)}


def test_small_images_give_small_patches_and_tiny_ones_an_error():
    assert PatchSampler([source(40, 27)], 64, multiple=8).batch(0, 1)[0].shape == (1, 1, 24, 24)
    with pytest.raises(GeometryError, match="7 pixels"):
        PatchSampler([source(7, 40)], 64, multiple=8)


@pytest.mark.parametrize(("index", "size", "place"), [(-1, 5, 1), (5, 5, 3), (0, 5, 0), (9, 3, 1), (-7, 1, 0)])
def test_mirrored(index, size, place):
    assert mirrored(index, size) == place


def test_held_out_pixels_stay_where_they_are_whatever_the_patch():
    image = source(200, 220)
    sampler = PatchSampler([image], 64, seed=2, held_out=0.2)
    judged = sampler.judged(0, 0, 200, 220)
    assert 0.1 < judged.mean() < 0.3
    held = set(image.read((slice(0, 200), slice(0, 220)))[judged])
    for patch, aim in zip(*sampler.batch(0, 20), strict=True):
        assert set(patch[0][~aim[0]].numpy()) <= held
        assert not set(patch[0][aim[0]].numpy()) & held
