"""Outliers are mended before an image is restored, alike however it is cut, and nothing else is touched."""

from __future__ import annotations

import json
import pickle
import shlex
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ruska
from ruska.engine import ArraySource, measure_intensities
from ruska.image import Image
from ruska.physics.phantom import cell_phantom
from ruska.pipeline import restore
from ruska.pipeline.conditioning import MendedArray, ValidArray, conditioned
from ruska.pipeline.request import RunOptions

HITS = ((0, 0), (9, 40), (40, 41), (40, 42), (95, 70), (50, 111))
HOW = {"method": "gaussian", "report": False}


def clean_plane(seed=0, noise=40.0):
    values = 1000 + 400 * cell_phantom((96, 112), 3)
    return (values + np.random.default_rng(seed).normal(0, noise, values.shape)).astype(np.uint16)


def hit_plane(seed=0, noise=40.0):
    values = clean_plane(seed, noise)
    for y, x in HITS:
        values[y, x] = 60000
    values[20, 20] = 0
    return values


def mended(image, **options):
    return conditioned(image, RunOptions(**options))


def test_what_was_hit_is_mended_and_nothing_else():
    raw, clean = hit_plane(), clean_plane()
    image, conditions = mended(Image(raw, "YX", name="a"))
    found = image.numpy()
    there = np.zeros(raw.shape, bool)
    there[tuple(np.transpose([*HITS, (20, 20)]))] = True
    np.testing.assert_array_equal(found != raw, there)
    assert np.abs(found[there].astype(float) - clean[there]).max() < 250
    assert image.dtype == raw.dtype
    assert raw[9, 40] == 60000  # the caller's array is as it was
    measure_intensities(conditions.counting(ArraySource(image.data, "YX")))
    facts = conditions.facts()["outliers"]
    assert facts == {"found": 7, "of": raw.size, "hot": 6, "dead": 1, "mended": True}
    assert "6 hot and 1 dead pixels" in conditions.sentences()[0]


@pytest.fixture(scope="module")
def stack():
    """Raw values and mask of (C, Z, Y, X), the mended image, and all that is in it."""
    raw = np.stack([[hit_plane(0), clean_plane(1)], [hit_plane(2, 80), hit_plane(3)]])
    valid = np.random.default_rng(1).random((1, 96, 112)) > 0.2
    image, _ = mended(Image(raw, "CZYX", mask=valid))
    marks = image.data.outliers(tuple(slice(0, n) for n in raw.shape))
    assert marks.any()
    assert not (marks & ~valid).any()
    return image, image.numpy(), marks


@given(st.data())
@settings(max_examples=20)
def test_any_box_is_that_of_the_whole(stack, data):
    image, whole, marks = stack
    box = []
    for n in image.shape:
        start = data.draw(st.integers(0, n - 1))
        box.append(slice(start, data.draw(st.integers(start + 1, n))))
    np.testing.assert_array_equal(image.data[tuple(box)], whole[tuple(box)])
    np.testing.assert_array_equal(image.data.outliers(tuple(box)), marks[tuple(box)])


def test_strips_of_a_large_plane_make_no_seams(monkeypatch):
    image, _ = mended(Image(hit_plane(), "YX"))
    whole = image.numpy()
    monkeypatch.setattr("ruska.pipeline.conditioning._STRIP", 5 * 112)
    np.testing.assert_array_equal(image.numpy(), whole)


@pytest.mark.parametrize(
    "image",
    [
        Image(np.where(hit_plane() > 30000, 7, 1).astype(np.uint8), "YX", meaning="labels"),
        Image(hit_plane() > 30000, "YX"),
        Image(np.where(hit_plane() > 30000, np.uint8(255), np.uint8(0)), "YX"),
        Image(hit_plane()[:60, :60], "YX"),
    ],
    ids=["labels", "mask", "mask of 0 and 255", "small"],
)
def test_what_is_no_picture_or_too_small_is_left_alone(image):
    same, conditions = mended(image)
    assert same is image
    assert conditions.facts() == {"outliers": None}
    assert not conditions.sentences()


def test_kept_outliers_are_kept():
    image = Image(hit_plane(), "YX")
    same, conditions = mended(image, outliers="keep")
    assert same is image
    assert conditions.facts() == {"outliers": {"mended": False}}


def test_each_channel_is_judged_by_its_own_noise():
    """40 grey levels are much in a quiet channel and nothing in a noisy one."""
    quiet, loud = clean_plane(noise=2.0), clean_plane(noise=300.0)
    quiet[50, 50] += 100
    loud[50, 50] += 100
    image, _ = mended(Image(np.stack([quiet, loud]), "CYX"))
    changed = np.argwhere(image.numpy() != np.stack([quiet, loud]))
    np.testing.assert_array_equal(changed, [[0, 50, 50]])


def test_a_noisy_slice_of_a_stack_is_not_shot_full_of_holes():
    stack = np.stack([clean_plane(k, noise=20.0) for k in range(6)] + [clean_plane(7, noise=200.0)])
    image, _ = mended(Image(stack, "ZYX"))
    np.testing.assert_array_equal(image.numpy(), stack)


def test_a_denoised_image_says_what_was_mended(tmp_path):
    ruska.write(tmp_path / "hit.tif", Image(hit_plane(), "YX"))
    result = ruska.denoise(tmp_path / "hit.tif", tmp_path / "out.npz", **HOW)
    clean = ruska.denoise(Image(clean_plane(), "YX"), **HOW)
    assert result.record["outliers"] == {"found": 7, "of": 96 * 112, "hot": 6, "dead": 1, "mended": True}
    assert any("7" in w or "6 hot" in w for w in result.record["warnings"])
    assert np.abs(result.image.numpy().astype(float) - clean.image.numpy()).max() < 200
    assert clean.record["outliers"]["found"] == 0
    valid = np.asarray(ruska.read(tmp_path / "out.npz").mask)
    np.testing.assert_array_equal(np.argwhere(~valid), sorted([*HITS, (20, 20)]))


@pytest.mark.parametrize("suffix", [".h5", ".ome.zarr"])
def test_the_mask_of_the_result_marks_what_was_mended(tmp_path, suffix):
    mask = np.ones((96, 112), bool)
    mask[:, 60:65] = False
    stack = np.stack([clean_plane(), hit_plane()])
    ruska.write(tmp_path / "hit.h5", Image(stack, "ZYX", mask=mask))
    roi = {"Y": slice(5, 60), "X": slice(10, 112)}
    result = ruska.denoise(tmp_path / "hit.h5", tmp_path / f"out{suffix}", roi=roi, **HOW)
    valid = ruska.read(tmp_path / f"out{suffix}").mask[0:2, 0:55, 0:102]
    expected = np.broadcast_to(mask, stack.shape).copy()
    for y, x in (*HITS, (20, 20)):
        expected[1, y, x] = False
    np.testing.assert_array_equal(valid, expected[:, 5:60, 10:112])
    np.testing.assert_array_equal(result.image.numpy().shape, (2, 55, 102))


def test_a_format_without_masks_loses_nothing_by_it(tmp_path):
    ruska.denoise(Image(hit_plane(), "YX"), tmp_path / "out.tif", **HOW)
    record = json.loads((tmp_path / "out.record.json").read_text())
    assert record["outliers"]["found"] == 7
    assert not any("mask" in line for line in record["output"]["not_kept"])


def test_in_memory_the_mask_is_read_when_it_is_asked_for():
    result = ruska.denoise(Image(hit_plane(), "YX"), **HOW)
    assert isinstance(result.image.mask, ValidArray)
    assert np.count_nonzero(~np.asarray(result.image.mask)) == 7


def test_kept_outliers_give_what_they_gave(tmp_path):
    """Where none are found, mending changes no byte; where they are kept, they are in the result."""
    clean = Image(clean_plane(), "YX")
    usual, kept = (ruska.denoise(clean, outliers=o, **HOW).image.numpy() for o in ("mend", "keep"))
    np.testing.assert_array_equal(usual, kept)
    result = ruska.denoise(Image(hit_plane(), "YX"), outliers="keep", **HOW)
    assert result.record["outliers"] == {"mended": False}
    assert result.image.numpy()[9, 40] > 5000
    assert "--keep-outliers" in shlex.split(result.record["command"])


def test_the_picture_may_be_sent_to_other_processes(tmp_path, monkeypatch):
    monkeypatch.setitem(ruska.engine.plan._PREFERRED_EDGE, 2, 64)
    monkeypatch.setitem(ruska.engine.plan._SMALLEST_EDGE, 2, 32)
    ruska.write(tmp_path / "a.tif", Image(np.stack([hit_plane(), hit_plane(1)]), "ZYX"))
    how = {**HOW, "workers": 2}
    threads = ruska.denoise(tmp_path / "a.tif", tmp_path / "t.npy", **how)
    processes = ruska.denoise(tmp_path / "a.tif", tmp_path / "p.npy", executor="processes", **how)
    np.testing.assert_array_equal(processes.image.numpy(), threads.image.numpy())
    assert processes.record["outliers"]["found"] == threads.record["outliers"]["found"] == 14
    assert processes.record["blocks"]["computed"] > 1


def test_a_mended_array_can_be_pickled():
    image, _ = mended(Image(hit_plane(), "YX"))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(image.data))[10:50, 9:44], image.data[10:50, 9:44])


def test_a_resumed_run_counts_and_mends_alike(tmp_path, monkeypatch):
    """What was measured is kept; nothing is measured again."""
    ruska.write(tmp_path / "a.tif", Image(np.stack([hit_plane(), hit_plane(1)]), "ZYX"))
    calm = ruska.denoise(tmp_path / "a.tif", tmp_path / "calm.npy", **HOW)

    def stopped(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as here:
        here.setattr(restore, "_open_sinks", stopped)
        with pytest.raises(KeyboardInterrupt):
            ruska.denoise(tmp_path / "a.tif", tmp_path / "b.npy", **HOW)
    monkeypatch.setattr("ruska.pipeline.conditioning.outlier_limits", stopped)
    again = ruska.denoise(tmp_path / "a.tif", tmp_path / "b.npy", **HOW)
    assert again.record["outliers"] == calm.record["outliers"]
    assert again.record["outliers"]["found"] == 14
    assert (tmp_path / "b.npy").read_bytes() == (tmp_path / "calm.npy").read_bytes()


def test_an_image_without_outliers_is_read_as_it_is():
    image, conditions = mended(Image(clean_plane(), "YX"))
    measure_intensities(conditions.counting(ArraySource(image.data, "YX")))
    assert conditions.mended.tally.clean
    assert conditions.marks(image) is None
    raw = clean_plane()
    assert isinstance(image.data, MendedArray)
    assert np.shares_memory(replace(image.data, array=raw)[0:9, 0:9], raw)
