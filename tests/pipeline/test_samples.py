"""Samples beside a result: files, record, command; the same bytes after an interruption; the result unchanged."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import ruska
from ruska.engine import plan
from ruska.engine.workshop import Workshop
from ruska.errors import OutputError
from ruska.image import Image, Quantity
from ruska.methods.samples import SampleMethod
from ruska.methods.slices import SliceMethod
from ruska.physics import cell_phantom
from ruska.pipeline import RunOptions
from ruska.pipeline.prepare import _samplers, prepare
from ruska.pipeline.samples import Spread, companions
from ruska.report import Beside

SETTINGS = {"noise_std": 0.1}


@pytest.fixture
def noisy(tmp_path):
    values = 100 + 40 * (cell_phantom((72, 80), seed=1) + np.random.default_rng(0).normal(0, 0.1, (72, 80)))
    nm = Quantity(4.0, "nm")
    ruska.write(tmp_path / "noisy.tif", Image(values.astype(np.uint8), "YX", {"Y": nm, "X": nm}))
    return tmp_path / "noisy.tif"


def denoise(noisy, output, **more):
    return ruska.denoise(noisy, output, method="prior", settings=SETTINGS, **more)


def test_the_spread_is_that_of_numpy_averaged_over_neighbours():
    samples = list(np.random.default_rng(0).normal(5, 2, (6, 30, 40)))
    spread = Spread(samples, (0, 1))
    whole = spread[0:30, 0:40]
    assert whole.dtype == np.float32
    variance = np.var(samples, 0, ddof=1)
    weights = np.exp(-0.5 * ((np.indices((30, 40)) - np.array([15, 20])[:, None, None]) ** 2).sum(0) / 1.5**2)
    assert whole[15, 20] == pytest.approx(np.sqrt((weights * variance).sum() / weights.sum()), rel=0.01)
    np.testing.assert_allclose(spread[7:19, 11:33], whole[7:19, 11:33], rtol=1e-6)
    alone = Spread(np.array(samples)[:, None], (1, 2))[0:1, 0:30, 0:40]  # not across slices
    np.testing.assert_allclose(alone[0], whole, rtol=1e-6)


def test_voxels_that_are_no_numbers_do_not_spread():
    samples = np.random.default_rng(0).normal(5, 2, (4, 30, 30))
    samples[:, 10, 12], samples[:, 20, 3] = np.nan, np.inf
    std = Spread(list(samples), (0, 1))[0:30, 0:30]
    assert np.argwhere(np.isnan(std)).tolist() == [[10, 12], [20, 3]]
    assert np.nanmin(std) > 1
    assert np.nanmax(std) < 4


def test_where_nothing_is_restored_nothing_is_drawn():
    found, said = _samplers(SliceMethod(lambda plane: plane, (0, 0), 4.0), "deblur", [None], RunOptions(samples=2))
    assert found == ()
    assert "nothing was restored" in said[0]


def test_samples_and_their_standard_deviation_lie_beside_the_result(noisy, tmp_path):
    result = denoise(noisy, tmp_path / "clean.tif", samples=3, seed=4)
    assert result.image.dtype == np.uint8
    assert np.array_equal(result.image.numpy(), denoise(noisy, None).image.numpy())  # the best estimate, as without
    assert {s.path.name for s in result.samples} == {"clean_sample1.tif", "clean_sample2.tif", "clean_sample3.tif"}
    assert result.std.path.name == "clean_std.tif"
    assert result.std.spacing == result.image.spacing
    std, stack = result.std.numpy(), np.stack([s.numpy() for s in result.samples])
    assert std.dtype == stack.dtype == np.float32
    assert np.sqrt(np.mean(std**2)) == pytest.approx(np.sqrt(stack.var(0, ddof=1).mean()), rel=0.05)
    said = json.loads((tmp_path / "clean.record.json").read_text())["samples"]
    assert (said["count"], said["seed"], said["std"]) == (3, 4, "clean_std.tif")
    assert said["files"] == [s.path.name for s in result.samples]
    assert "--samples 3" in result.record["command"]
    assert "--seed 4" in result.record["command"]
    assert "Standard deviation" in result.report.read_text(encoding="utf-8")
    assert not [f for f in tmp_path.iterdir() if f.name.startswith(".")]


def test_the_memory_predicted_is_that_of_the_samples_where_they_take_more():
    image = Image(np.random.default_rng(0).normal(0, 1, (512, 512)).astype(np.float32), "YX")
    job = prepare(image, "prior", SETTINGS, RunOptions(samples=8), in_memory=True)
    assert job.plan.memory_bytes == job.sample_plan.memory_bytes


def test_in_memory_as_on_disk(noisy, tmp_path):
    memory, disk = (denoise(noisy, output, samples=2, report=False) for output in (None, tmp_path / "clean.npy"))
    assert np.array_equal(memory.std.numpy(), disk.std.numpy())
    assert all(np.array_equal(a.numpy(), b.numpy()) for a, b in zip(memory.samples, disk.samples, strict=True))
    assert memory.record["samples"]["count"] == 2


def test_nothing_is_drawn_unless_asked_for(noisy, tmp_path):
    result = denoise(noisy, tmp_path / "clean.tif", report=False)
    assert result.std is None
    assert result.samples == ()
    assert result.record["samples"] is None
    assert "--samples" not in result.record["command"]
    assert not list(tmp_path.glob("clean_*"))


def test_an_interrupted_run_resumes_among_the_samples(noisy, tmp_path, monkeypatch):
    monkeypatch.setitem(plan._PREFERRED_EDGE, 2, 48)
    monkeypatch.setattr(plan, "_LARGEST_OVERHEAD", 1e9)  # small blocks, whatever their halo
    calm = denoise(noisy, tmp_path / "calm.npy", samples=2, report=False, workers=1)
    real, left = Workshop.estimate, [7]

    def interrupted(*given):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return real(*given)

    monkeypatch.setattr(Workshop, "estimate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        denoise(noisy, tmp_path / "killed.npy", samples=2, report=False, workers=1)
    left[0] = 7
    resumed = denoise(
        noisy, tmp_path / "killed.npy", samples=2, report=False, workers=1
    )  # 12 blocks in all: 7 were done
    assert left[0] == 7 - (12 - 7)
    assert resumed.record["blocks"] == {"computed": 0, "resumed": 4}
    assert np.array_equal(resumed.std.numpy(), calm.std.numpy())
    assert np.array_equal(resumed.samples[1].numpy(), calm.samples[1].numpy())
    assert np.array_equal(resumed.image.numpy(), calm.image.numpy())


def test_what_lies_beside_is_not_overwritten_unasked(noisy, tmp_path):
    (tmp_path / "clean_std.tif").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"clean_std\.tif: exists"):
        denoise(noisy, tmp_path / "clean.tif", samples=2)
    assert (tmp_path / "clean_std.tif").read_bytes() == b"mine"
    denoise(noisy, tmp_path / "clean.tif", samples=2, overwrite=True, report=False)
    assert ruska.read(tmp_path / "clean_std.tif").dtype == np.float32


def test_names_keep_double_suffixes_and_pictures_cannot_hold_numbers(tmp_path):
    names = [[f.name for f in companions(Beside(tmp_path / name), 1)] for name in ("a.ome.zarr", "a.b.mrc", "a.png")]
    assert names == [["std", "sample1"], ["a.b_std.mrc", "a.b_sample1.mrc"],
                     ["a_std.tif", "a_sample1.tif"]]  # fmt: skip


def test_finer_pixels_have_a_standard_deviation_on_their_grid(noisy, tmp_path):
    result = ruska.superres(noisy, tmp_path / "fine.ome.zarr", scale="3/2", samples=2, settings=SETTINGS)
    assert result.std.shape == result.image.shape == (108, 120)
    assert result.std.spacing["X"].value == pytest.approx(4 / 1.5)


def test_what_went_wrong_while_samples_were_drawn_is_in_record_and_report(noisy, tmp_path, monkeypatch):
    draw = SampleMethod.__call__

    def full(self, inputs, random):
        if inputs["image"].shape[0] > 1:
            raise torch.OutOfMemoryError("no room for two slices")
        return draw(self, inputs, random)

    monkeypatch.setattr(SampleMethod, "__call__", full)
    plane = ruska.read(noisy).numpy()
    result = denoise(Image(np.stack([plane, plane]), "QYX"), tmp_path / "clean.tif", samples=2)
    said = [line for line in result.record["warnings"] if "while drawing samples" in line]
    assert len(said) == 1  # two samples, one sentence
    assert "no room for two slices" in said[0]
    assert "while drawing samples" in result.report.read_text(encoding="utf-8")
