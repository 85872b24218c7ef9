"""Interference is taken away slice by slice, the same whoever reads it in whatever pieces, and is recorded."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import ruska
from ruska.image import Image
from ruska.physics import cell_phantom
from ruska.pipeline import Input, Request, RunOptions, run
from ruska.pipeline.conditioning import conditioned
from ruska.pipeline.interference import as_json, cleaned, facts_of, sentence_of
from ruska.report.interference import interference_left
from ruska.report.verdict import judge

AMPLITUDES = (12.0, 0.0, 20.0)


@pytest.fixture(scope="module")
def clean():
    """Three slices of cells with noise of 6 grey levels, uint8."""
    cells = 60 + 100 * cell_phantom((200, 256), seed=3)
    noisy = cells + 6 * np.random.default_rng(0).standard_normal((3, *cells.shape))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def humming(clean):
    """The same with hum of another amplitude and phase in each slice."""
    y, x = np.mgrid[:200, :256]
    hum = [a * np.cos(2 * np.pi * (0.21 * y + 0.004 * x) + k) for k, a in enumerate(AMPLITUDES)]
    return np.clip(np.rint(clean + np.array(hum)), 0, 255).astype(np.uint8)


def stack(values, **more):
    return Image(values, "ZYX", name="stack.tif", **more)


def whole(array):
    return array[tuple(slice(0, n) for n in array.shape)]


def test_each_slice_loses_its_own(clean, humming):
    array = cleaned(stack(humming))
    left = whole(array).astype(float) - clean
    assert left.std(axis=(1, 2)) == pytest.approx([0.5, 0, 0.5], abs=0.4)
    facts = facts_of(array.found)
    assert (facts["planes"], facts["of"], facts["plane"]) == (2, 3, [2])
    assert facts["waves"][0]["amplitude"] == pytest.approx(20, rel=0.03)
    assert "from 2 of 3 slices" in sentence_of(array.found)


def test_any_box_is_what_it_is_in_the_whole_and_the_input_is_not_written_to(humming):
    kept = humming.copy()
    expected = whole(cleaned(stack(humming)))
    array = cleaned(stack(humming))
    for box in ((slice(2, 3), slice(10, 90), slice(33, 200)), (slice(0, 3), slice(150, 200), slice(0, 7))):
        assert np.array_equal(array[box], expected[box])
    assert np.array_equal(humming, kept)
    assert array.dtype == np.uint8


def test_what_was_found_survives_json(humming):
    array = cleaned(stack(humming))
    expected = whole(array)
    again = cleaned(stack(humming), json.loads(json.dumps(as_json(array.found))))
    assert again.found == array.found
    assert np.array_equal(whole(again), expected)


def test_planes_too_large_to_hold_are_read_in_rows(humming, monkeypatch):
    expected = whole(cleaned(stack(humming)))
    monkeypatch.setattr("ruska.pipeline.interference._HELD", 0)
    monkeypatch.setattr("ruska.physics.interference._STRIP", 4000)
    assert np.array_equal(whole(cleaned(stack(humming))), expected)


def test_invalid_pixels_are_not_looked_at(humming):
    mask = np.ones((200, 256), bool)
    mask[:, 200:] = False
    spoiled = humming.copy()
    spoiled[:, :, 200:] = np.random.default_rng(1).integers(0, 255, (3, 200, 56))
    found = cleaned(stack(spoiled, mask=mask)).of((2,))
    assert found.waves[0].amplitude == pytest.approx(20, rel=0.05)


def test_labels_stay(humming):
    assert cleaned(replace(stack(humming), meaning="labels")) is None


def test_it_is_kept_unless_it_is_to_be_removed(humming):
    image, conditions = conditioned(stack(humming), RunOptions(outliers="keep"))
    assert image.data is humming
    assert "interference" not in conditions.facts()
    both, conditions = conditioned(stack(humming), RunOptions(interference="remove"))
    assert both.data.array is not humming  # outliers first
    assert whole(both.data)[2].std() < humming[2].std()
    assert conditions.facts()["interference"]["planes"] == 2


def restored(values, tmp_path, name, **options):
    output = tmp_path / f"{name}.tif"
    request = Request(task="denoise", method="gaussian", inputs={"image": Input(array="image")}, output=str(output),
                      run=RunOptions(report=False, **options))  # fmt: skip
    result = run(request, given={"image": stack(values)})
    return ruska.read(output).numpy(), result.record


def test_threads_processes_and_regions_give_the_same(humming, tmp_path):
    remove = {"interference": "remove"}
    threads, record = restored(humming, tmp_path, "a", **remove)
    assert record["interference"]["planes"] == 2
    assert "--remove-interference" in record["command"]
    assert any("was removed from 2 of 3 slices" in line for line in record["warnings"])
    processes, _ = restored(humming, tmp_path, "b", executor="processes", workers=2, **remove)
    region, _ = restored(humming, tmp_path, "c", roi={"Y": (20, 180)}, **remove)
    assert np.array_equal(processes, threads)
    assert np.array_equal(region[:, 40:120], threads[:, 60:140])
    kept, record = restored(humming, tmp_path, "d")
    assert "interference" not in record
    assert kept[2].std() > threads[2].std()


def test_a_resumed_run_removes_the_same(humming, tmp_path, monkeypatch):
    expected, _ = restored(humming, tmp_path, "whole", interference="remove")

    def stopped(*args, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("ruska.pipeline.restore._open_sinks", stopped)
        with pytest.raises(KeyboardInterrupt):
            restored(humming, tmp_path, "resumed", interference="remove")
    with monkeypatch.context() as patched:  # what was found is remembered
        patched.setattr("ruska.pipeline.interference.find_interference", stopped)
        found, record = restored(humming, tmp_path, "resumed", interference="remove")
    assert np.array_equal(found, expected)
    assert record["interference"]["planes"] == 2


def test_the_verdict_says_what_is_left(clean, humming):
    before, smooth = humming[0].astype(float), clean[0].astype(float)
    said = interference_left(before, before)
    assert said is not None
    assert "a period of 4.76 rows" in said
    assert "--remove-interference" in said
    assert interference_left(before, smooth) is None
    assert interference_left(smooth, smooth) is None
    verdict = judge(before, 0.5 * (before + smooth))
    assert verdict.level != "good"
    assert any(line.startswith("Interference") for line in verdict.lines)
