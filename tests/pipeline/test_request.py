"""A request is everything that is asked for: JSON there and back, and what decides a result decides the job."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ruska
import ruska.engine.plan
from ruska import methods, pipeline
from ruska.errors import JobCancelledError, SettingsError
from ruska.image import Image, parse_quantity
from ruska.pipeline import Blank, Here, Input, Request, RunOptions
from ruska.pipeline.opening import open_inputs
from ruska.pipeline.record import job_identity
from ruska.pipeline.request import PASSING

TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12)
SETTINGS = st.dictionaries(
    TEXTS, st.one_of(st.none(), st.booleans(), st.integers(-9, 9), TEXTS, st.lists(st.integers()))
)
INPUTS = st.one_of(
    st.builds(Input, path=TEXTS, axes=st.one_of(st.none(), TEXTS), dark=st.one_of(st.none(), TEXTS)),
    st.builds(Input, array=TEXTS), st.just(Input(step="@a.mean")), st.just(Input(blank=Blank(shape=(4, 5)))),
)  # fmt: skip
OPTIONS = st.builds(
    RunOptions, dtype=st.sampled_from(["auto", "same", "float32"]), seed=st.integers(0, 9),
    samples=st.sampled_from([0, 2, 100]),
    workers=st.one_of(st.none(), st.integers(1, 9)), roi=st.one_of(st.none(), st.just({"Y": (0, 9)})),
    overwrite=st.booleans(), memory=st.one_of(st.none(), st.just("2GB")),
    executor=st.sampled_from(["threads", "processes"]),
)  # fmt: skip
REQUESTS = st.builds(
    Request, task=TEXTS, method=TEXTS, settings=SETTINGS,
    inputs=st.dictionaries(TEXTS, st.one_of(INPUTS, st.lists(INPUTS, max_size=3).map(tuple)), max_size=3),
    output=st.one_of(st.none(), TEXTS), run=OPTIONS,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(REQUESTS)
def test_a_request_is_json_there_and_back(request):
    assert Request.of(json.loads(json.dumps(request.to_json()))) == request
    assert pickle.loads(pickle.dumps(request)) == request


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"task": "denoise", "metod": "tv"}, "request.metod: is not a setting. Did you mean 'method'"),
        ({"task": "denoise", "run": {"sed": 1}}, "request.run.sed: is not a setting. Did you mean 'seed'"),
        ({"task": "denoise", "inputs": {"image": {"pth": "a"}}}, "is not a setting"),
        ({"task": "denoise", "inputs": {"image": {}}}, "expected one of path, step, array, blank"),
        ({"task": "denoise", "inputs": {"image": {"path": "a", "array": "b"}}}, "names path and array"),
        ({"task": "denoise", "inputs": {"image": {"step": "mean"}}}, "@NAME.OUTPUT"),
        ({"task": "denoise", "run": {"samples": 1}}, "must be 0"),
        ({"task": 3}, "request.task"),
        ({}, "request.task"),
        ({"task": "denoise", "inputs": {"image": {"blank": {"shape": [3], "axes": "YX"}}}}, "blank"),
    ],
)
def test_what_is_wrong_is_told_in_a_line_with_the_nearest_valid_name(given, says):
    with pytest.raises(SettingsError) as error:
        Request.of(given)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


CHANGES = {
    "task": "deblur", "method": "median", "settings": {"strength": 2.0}, "inputs": None, "output": "b.tif",
}  # fmt: skip
RUN_CHANGES = {
    "dtype": "float32", "samples": 4, "seed": 5, "memory": "3GB", "workers": 3, "executor": "processes",
    "roi": {"Y": (0, 9)}, "overwrite": True, "report": False, "whole_names": True, "outliers": "keep",
    "repeated_frames": True,
    "interference": "remove",
}  # fmt: skip


def test_every_field_that_changes_a_result_changes_the_job():
    """Each field of the records is here: one that is added must be said to pass, or to decide."""
    image = Image(np.zeros((20, 20), np.uint8), "YX", name="a")

    def identity(request):
        return json.dumps(job_identity(request, image, "sha256:0"), sort_keys=True, default=str)

    usual = Request(task="denoise", method="tv", inputs={"image": Input(array="image")})
    assert set(CHANGES) | {"run"} == set(Request.model_fields)
    assert set(RUN_CHANGES) == set(RunOptions.model_fields)
    assert set(PASSING) == {"workers", "executor", "overwrite", "report", "whole_names"}
    for name, value in RUN_CHANGES.items():
        changed = usual.model_copy(update={"run": RunOptions(**{name: value})})
        assert (identity(changed) == identity(usual)) == (name in PASSING), name
    for name, value in CHANGES.items():
        if name == "inputs":
            continue
        changed = usual.model_copy(update={name: value})
        if name == "task":
            changed = changed.model_copy(update={"method": "auto"})
        assert (identity(changed) == identity(usual)) == (name == "output"), name
    for name, value in {"axes": "XY", "voxel_size": "3nm", "blank": Blank(shape=(2, 2))}.items():
        other = Input(blank=value) if name == "blank" else Input(array="image", **{name: value})
        assert identity(usual.model_copy(update={"inputs": {"image": other}})) != identity(usual), name


def test_the_same_settings_in_other_words_are_the_same_job():
    image = Image(np.zeros((20, 20), np.uint8), "YX", name="a")
    asked = [Request(task="denoise", method="tv", settings=s) for s in ({}, {"strength": "0.9"}, {"strength": 0.9})]
    assert len({json.dumps(job_identity(r, image, "x"), default=str) for r in asked}) == 1


def test_a_request_names_its_task_and_inputs_or_is_refused():
    given = {"image": Image(np.zeros((20, 20), np.uint8), "YX")}
    inputs = {"image": Input(array="image")}
    for request, says in (
        (Request(task="denise", inputs=inputs), "Did you mean 'denoise'"),
        (Request(task="deblur", method="tv", inputs=inputs), "cannot deblur"),
        (Request(task="denoise", method="tv"), "image"),
        (
            Request(task="denoise", method="tv", inputs={**inputs, "mask": Input(array="image")}),
            "not an input of method",
        ),
        (Request(task="register", inputs={"moving": Input(array="image")}), "Valid: fixed, image"),
    ):
        with pytest.raises(SettingsError, match=says):
            pipeline.run(request, given=given)


def test_what_python_gives_becomes_a_request_that_says_the_same(tmp_path):
    values = np.random.default_rng(0).normal(100, 10, (64, 80)).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    result = ruska.denoise(tmp_path / "a.npy", method="gaussian", settings={"sigma": np.float64(1.5)},
                           roi={"Y": slice(0, 32)}, dtype="float32")  # fmt: skip
    request = Request.of(result.record["request"])
    assert request.run.region == {"Y": slice(0, 32)}
    again = pipeline.run(request)
    np.testing.assert_array_equal(again.image.numpy(), result.image.numpy())


class Watcher:
    """Wants no more after so many events."""

    def __init__(self, left: int) -> None:
        self.left, self.stages = left, []

    def event(self, stage, done, total, note=""):
        self.stages.append(stage)
        self.left -= 1

    def cancelled(self):
        return self.left < 0

    folder, memory_bytes, workers, own_process = None, None, None, False


@pytest.mark.parametrize("after", [0, 3, 5, 6])
@pytest.mark.parametrize("suffix", [".npy", ".ome.zarr"])
def test_a_cancelled_run_goes_on_to_the_same_bytes(tmp_path, monkeypatch, suffix, after):
    monkeypatch.setitem(ruska.engine.plan._PREFERRED_EDGE, 2, 64)
    monkeypatch.setitem(ruska.engine.plan._SMALLEST_EDGE, 2, 32)
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(100, 10, (128, 128)).astype(np.float32))

    def request(name):
        return Request(task="denoise", method="tv", settings={"noise_std": 0.1, "iterations": 5},
                       inputs={"image": Input(path=str(tmp_path / "a.npy"))}, output=str(tmp_path / (name + suffix)),
                       run=RunOptions(report=False, workers=1))  # fmt: skip

    calm = pipeline.run(request("calm")).image.numpy()
    watcher = Watcher(after)
    with pytest.raises(JobCancelledError):
        pipeline.run(request("stopped"), watcher)
    assert not (tmp_path / f"stopped{suffix}").exists()
    result = pipeline.run(request("stopped"))
    np.testing.assert_array_equal(result.image.numpy(), calm)
    if after >= 5:
        assert result.record["blocks"]["resumed"] > 0
    assert not list(tmp_path.glob(".*"))


def test_a_run_is_cancelled_while_the_pyramid_is_written(tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(100, 10, (600, 640)).astype(np.float32))

    def request(name):
        return Request(task="denoise", method="gaussian", inputs={"image": Input(path=str(tmp_path / "a.npy"))},
                       output=str(tmp_path / f"{name}.ome.zarr"), run=RunOptions(report=False))  # fmt: skip

    pipeline.run(request("calm"))
    watcher = Watcher(10**6)
    watcher.cancelled = lambda: watcher.stages.count("writing stopped.ome.zarr") > 1
    with pytest.raises(JobCancelledError):
        pipeline.run(request("stopped"), watcher)
    assert not (tmp_path / "stopped.ome.zarr").exists()
    pipeline.run(request("stopped"))
    for level in ("0", "1"):
        found, wanted = (ruska.read(f"{tmp_path / name}.ome.zarr:/{level}").numpy() for name in ("stopped", "calm"))
        np.testing.assert_array_equal(found, wanted)


def test_processes_restore_a_file_to_the_same_bytes(tmp_path, monkeypatch):
    monkeypatch.setitem(ruska.engine.plan._PREFERRED_EDGE, 2, 64)
    monkeypatch.setitem(ruska.engine.plan._SMALLEST_EDGE, 2, 32)
    values = np.random.default_rng(0).normal(100, 10, (2, 96, 128)).astype(np.float32)
    values[0, 3, 4] = np.nan
    ruska.write(tmp_path / "a.tif", Image(values, "ZYX"))
    options = {"method": "tv", "settings": {"iterations": 5}, "report": False, "workers": 2}
    threads = ruska.denoise(tmp_path / "a.tif", tmp_path / "t.ome.zarr", **options)
    processes = ruska.denoise(tmp_path / "a.tif", tmp_path / "p.ome.zarr", executor="processes", **options)
    np.testing.assert_array_equal(processes.image.numpy(), threads.image.numpy())
    assert processes.record["blocks"]["computed"] > 1


def test_pixels_of_a_file_are_opened_again_where_they_are_sent(tmp_path):
    values = np.random.default_rng(0).integers(0, 255, (3, 20, 30)).astype(np.uint8)
    ruska.write(tmp_path / "a.tif", Image(values, "ZYX"))
    request = Request(task="denoise", inputs={"image": Input(path=str(tmp_path / "a.tif"))},
                      run=RunOptions(executor="processes"))  # fmt: skip
    data = open_inputs(request)["image"].data
    sent = pickle.loads(pickle.dumps(data))
    assert len(pickle.dumps(data)) < 2000
    np.testing.assert_array_equal(sent[1:2, 3:9, 4:8], values[1:2, 3:9, 4:8])


def test_limits_from_outside_are_closer_than_those_of_a_request():
    from ruska.pipeline.prepare import budget_of

    capped = Here(memory_bytes=3 << 30, workers=2)
    assert budget_of(RunOptions(memory="8GB", workers=8), capped).memory_bytes == 3 << 30
    assert budget_of(RunOptions(memory="8GB", workers=8), capped).workers == 2
    assert budget_of(RunOptions(memory="1GB", workers=1), capped).workers == 1


def test_the_json_schema_says_which_settings_name_files():
    schema = methods.about("deblur").schema()
    assert json.loads(json.dumps(schema)) == schema
    properties = schema["settings"]["properties"]
    assert {p.get("format") for p in properties["psf"]["anyOf"]} == {"file", None}
    assert {about["level"] for about in properties.values()} == {"basic", "advanced"}
    assert all(about["description"] for about in properties.values())


def test_an_error_names_the_place_in_words_of_the_request():
    with pytest.raises(SettingsError) as caught:
        Request.of({"task": "denoise", "inputs": {"image": "in.npy"}})
    assert str(caught.value).startswith("request.inputs.image: 'in.npy' is not valid")


def test_a_blank_is_no_larger_than_anything_can_be():
    for shape in ([10**30, 10**30], [10**9, 10**9]):
        with pytest.raises(SettingsError, match="more than"):
            Request.of({"task": "denoise", "inputs": {"image": {"blank": {"shape": shape}}}})


@pytest.mark.parametrize("text", ["1e400nm", "infnm"])
def test_no_voxel_is_infinite(text):
    with pytest.raises(SettingsError, match="not a positive number"):
        parse_quantity(text)


@pytest.mark.parametrize("name", ["path", "array"])
def test_no_input_is_without_a_name(name):
    with pytest.raises(SettingsError, match=f"{name} is empty"):
        Request.of({"task": "denoise", "inputs": {"image": {name: ""}}})
