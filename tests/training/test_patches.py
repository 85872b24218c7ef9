"""Random patches."""

from __future__ import annotations

import numpy as np
import pytest

from ruska.engine import ArraySource
from ruska.errors import GeometryError, InputError, SettingsError
from ruska.training import PatchSampler


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


def test_held_out_pixels_stay_where_they_are_whatever_the_patch():
    image = source(200, 220)
    sampler = PatchSampler([image], 64, seed=2, held_out=0.2)
    judged = sampler.judged(0, 0, 200, 220)
    assert 0.1 < judged.mean() < 0.3
    held = set(image.read((slice(0, 200), slice(0, 220)))[judged])
    for patch, aim in zip(*sampler.batch(0, 20), strict=True):
        assert set(patch[0][~aim[0]].numpy()) <= held
        assert not set(patch[0][aim[0]].numpy()) & held


def corners(sampler, width, batches=60):
    """Top and left of many patches of one arange image, from their smallest values."""
    smallest = np.concatenate([sampler.batch(k, 50)[0].amin((1, 2, 3)) for k in range(batches)])
    return {(int(v) // width, int(v) % width) for v in smallest}


@pytest.mark.parametrize("ratio", [0.01, 0.25, 0.9, 1.0])
@pytest.mark.parametrize(("height", "width"), [(20, 24), (22, 22)])
def test_a_share_of_the_places_is_used(height, width, ratio):
    image = source(height, width)
    places = {seed: corners(PatchSampler([image], 8, seed=seed, ratio=ratio), width) for seed in (0, 1)}
    assert len(places[0]) == round(ratio * (height - 7) * (width - 7))
    assert places[0] == corners(PatchSampler([image], 8, seed=0, ratio=ratio), width)
    assert (places[0] != places[1]) == (ratio < 1)


@pytest.mark.parametrize("shape", [(100, 100), (128, 128), (64, 200)])
def test_the_share_is_spread_over_the_image(shape):
    found = corners(PatchSampler([source(*shape)], 8, ratio=0.02), shape[1])
    rows, columns = (np.array(list(found)) / (np.array(shape) - 7)).T
    counts = np.histogram2d(rows, columns, 4, [(0, 1), (0, 1)])[0]
    assert counts.min() > 0.3 * counts.mean()


def test_patches_begin_on_a_grid():
    found = corners(PatchSampler([source(40, 50)], 16, stride=7), 50)
    assert found == {(top, left) for top in range(0, 25, 7) for left in range(0, 35, 7)}
    some = corners(PatchSampler([source(40, 50)], 16, stride=7, ratio=0.5), 50)
    assert some < found
    assert len(some) == len(found) / 2


def frames_of(count, **options):
    """The triples of frames that are drawn from a stack whose frame k is k plus a little."""
    stack = np.arange(count, dtype=np.float32)[:, None, None] + np.linspace(0, 0.4, 400).reshape(20, 20)
    sampler = PatchSampler([ArraySource(stack.astype(np.float32), "ZYX")], 16, frames=3, **options)
    return {tuple(p[:, 8, 8].astype(int).tolist()) for p in sampler.batch(0, 100)[0].numpy()}


@pytest.mark.parametrize(("subset", "found"), [
    ("0:7:3", {(1, 0, 1), (2, 3, 4), (5, 6, 5)}),
    ("8:", {(9, 8, 9), (8, 9, 8)}),
    ("-2:", {(9, 8, 9), (8, 9, 8)}),
    ("4:5", {(4, 4, 4)}),
])  # fmt: skip
def test_only_frames_of_the_subset_are_aimed_at(subset, found):
    assert frames_of(10, subset=subset) == found


def test_too_few_frames_are_mirrored():
    stack = ArraySource(np.arange(2, dtype=np.float32)[:, None, None] + np.linspace(0, 0.4, 256).reshape(16, 16), "ZYX")
    found = {tuple(p[:, 8, 8].astype(int)) for p in PatchSampler([stack], 16, frames=5).batch(0, 30)[0].numpy()}
    assert found == {(0, 1, 0, 1, 0), (1, 0, 1, 0, 1)}
    single = PatchSampler([source(20, 20)], 16, frames=3).batch(0, 1)[0][0]
    assert (single == single[0]).all()


@pytest.mark.parametrize("limit", [0, 1 << 30])
def test_sources_of_all_shapes_are_drawn_by_their_pixels(monkeypatch, limit):
    monkeypatch.setattr("ruska.training.patches._IN_MEMORY", limit)  # read each time, or once
    shapes = [(32, 32), (4, 24, 40), (2, 3, 50, 20)]
    ramps = [np.linspace(0, 0.5, np.prod(s), dtype=np.float32).reshape(s) + k for k, s in enumerate(shapes)]
    sampler = PatchSampler([ArraySource(r, "TZYX"[-r.ndim :]) for r in ramps], 16, frames=3)
    batch = sampler.batch(0, 600)[0]
    assert batch.shape == (600, 3, 16, 16)
    drawn = np.bincount(batch[:, 1, 0, 0].int().numpy(), minlength=3) / 600
    pixels = np.array([np.prod(s) for s in shapes])
    np.testing.assert_allclose(drawn, pixels / pixels.sum(), atol=0.06)


def test_places_with_nothing_in_them_are_drawn_again():
    image = np.zeros((100, 100), np.float32)
    image[:50] = np.random.default_rng(0).random((50, 100))
    assert (PatchSampler([ArraySource(image, "YX")], 16).batch(0, 100)[0].flatten(1).std(1) > 0).all()
    empty = PatchSampler([ArraySource(np.ones((100, 100), np.float32), "YX")], 16)
    assert (empty.batch(0, 2)[0] == 1).all()  # there is nothing better


def test_invalid_pixels_are_avoided():
    image = np.random.default_rng(0).random((100, 100)).astype(np.float32)
    image[60:, :] = np.nan
    patches, aims = PatchSampler([ArraySource(image, "YX")], 16).batch(0, 100)
    assert patches.isfinite().all()
    assert aims.all()


def test_invalid_pixels_that_cannot_be_avoided_are_filled_and_not_aimed_at():
    stack = 5 + np.random.default_rng(0).random((4, 60, 60)).astype(np.float32)
    stack[:, ::4, ::4] = np.nan
    stack[:, 1, 1] = np.inf
    patches, aims = PatchSampler([ArraySource(stack, "ZYX")], 16, frames=3).batch(0, 20)
    assert patches.isfinite().all()
    assert patches.min() >= 5
    np.testing.assert_allclose((~aims).float().mean((1, 2, 3)), 1 / 16, atol=1 / 200)
    middle = patches[:, 1:2]
    assert all(len(set(m[~a].tolist())) == 1 for m, a in zip(middle, aims, strict=True))  # each with its mean


def test_an_image_without_a_valid_pixel_is_an_error():
    sampler = PatchSampler([ArraySource(np.full((40, 40), np.nan, np.float32), "YX")], 16)
    with pytest.raises(InputError, match="no valid pixel"):
        sampler.batch(0, 1)


@pytest.mark.parametrize("options", [
    {"ratio": 0.0}, {"ratio": 1.5}, {"ratio": float("nan")}, {"stride": 0}, {"subset": "3"}, {"subset": "a:b"},
    {"subset": "::-1"}, {"subset": "1:2:3:4"}, {"subset": "::0"},
])  # fmt: skip
def test_options_out_of_range_are_errors(options):
    with pytest.raises(SettingsError, match=next(iter(options))):
        PatchSampler([source(5, 40, 40)], 16, **options)


def test_a_subset_that_leaves_nothing_is_an_error():
    with pytest.raises(GeometryError, match="none of the 5 frames"):
        PatchSampler([source(9, 40, 40), source(5, 40, 40)], 16, subset="6:")
