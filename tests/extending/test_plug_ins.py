"""A method that is one file of another package is found wherever ours are: commands, schema, tables, Python."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import ruska
from ruska import methods, pipeline
from ruska.cli import doctor
from ruska.cli.main import app
from ruska.errors import JobCancelledError, OutputError, SettingsError
from ruska.image import Image, Quantity
from ruska.testing import check_about, check_method

SOURCE = (Path(__file__).parent / "grains.py").read_text(encoding="utf-8")
ENTRY = {"ruska.methods": "grains = grains:GRAINS"}
RUNNER = CliRunner()


def grains(shape=(96, 120)):
    """Bright discs on a dark ground; none is longer than 15 pixels."""
    random = np.random.default_rng(2)
    values = np.full(shape, 40, np.uint8)
    rows, columns = np.indices(shape)
    for y in range(10, shape[0], 18):
        for x in range(9, shape[1], 19):
            dy, dx = random.integers(-2, 3, 2)
            values[(rows - y - dy) ** 2 + (columns - x - dx) ** 2 < 40] = 180
    return values


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "in.tif"
    ruska.write(path, Image(grains(), "YX", {"Y": Quantity(4, "nm"), "X": Quantity(4, "nm")}))
    return path


@pytest.fixture(params=["entry point", "registered"])
def known(request, install):
    """The method is there, either way."""
    if request.param == "entry point":
        install("grains", SOURCE, ENTRY)
        yield methods.about("grains")
        return
    install("grains", SOURCE, {})
    yield methods.register(importlib.import_module("grains").GRAINS)
    methods.unregister("grains")


def run(*words):
    return RUNNER.invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_it_keeps_the_contract(install):
    install("grains", SOURCE, ENTRY)
    method = check_about(methods.about("grains"), {"level": 110})
    check_method(method, grains().astype(np.float32), edge=32, processes=False)
    mask = np.zeros((96, 120), np.uint8)
    mask[:50] = 1
    further = check_about(methods.about("grains"), {"first": "mean"})
    check_method(further, grains().astype(np.float32), edge=32, others={"mask": mask}, processes=False)


def test_it_is_a_command_with_its_basic_setting_and_its_other_input_as_options(known, file, tmp_path):
    assert "segment" in run("--help").output
    told = run("segment", "--help").output
    assert "--level" in told
    assert "--mask" in told
    assert "--first" not in told  # advanced
    found = run("segment", file, "-o", tmp_path / "out.tif", "--level", "110", "--json")
    assert found.exit_code == 0, found.output
    record = json.loads(found.output)
    assert record["method"] == "grains"
    assert record["settings"] == {"level": 110.0, "first": "labels", "seed": 3}
    labels = ruska.read(tmp_path / "out.tif")
    assert labels.dtype == np.uint32
    assert labels.numpy().max() == 30
    assert (tmp_path / "out.record.json").exists()


def test_the_command_of_its_record_repeats_it_with_all_inputs(known, file, tmp_path):
    mask = np.zeros((96, 120), np.uint8)
    mask[:50] = 1
    ruska.write(tmp_path / "mask.tif", Image(mask, "YX"))
    out = tmp_path / "out.tif"
    found = run("segment", file, "-o", out, "--mask", tmp_path / "mask.tif", "--json")
    first = ruska.read(out).numpy()
    assert 0 < first.max() < 30
    assert not first[60:].any()
    words = json.loads(found.output)["command"].split()
    assert run(*words[1:], "--overwrite").exit_code == 0
    np.testing.assert_array_equal(ruska.read(out).numpy(), first)


def test_its_schema_is_printed_and_its_row_is_in_the_tables(known):
    about = json.loads(run("methods", "grains", "--json").output)
    assert about["task"] == "segment"
    assert about["roles"] == ["image", "mask"]
    assert about["settings"]["properties"]["level"]["minimum"] == 0
    assert about["settings"]["properties"]["level"]["level"] == "basic"
    assert "grains" in run("methods").output
    from ruska.methods.tables import table_of

    table = table_of([known])
    assert "| **`level`** | 100 | at least 0 | Grey level above which" in table
    assert table.index("`level`") < table.index("`first`")  # basic ones first


def test_it_runs_in_blocks_and_goes_on_after_it_was_stopped(known, tmp_path):
    image = Image(np.tile(grains(), (12, 12)), "YX")
    ruska.write(tmp_path / "in.tif", image)
    inputs = {"image": pipeline.Input(path=str(tmp_path / "in.tif"))}
    whole = pipeline.run(pipeline.Request(task="segment", method="grains", inputs=inputs))
    assert whole.record["plan"]["blocks"] > 1
    asked = pipeline.Request(task="segment", method="grains", inputs=inputs, output=str(tmp_path / "out.tif"),
                             run=pipeline.RunOptions(workers=1))  # fmt: skip
    blocks = []

    def event(stage, done, total, note=""):
        blocks.append((stage, done))

    stop = pipeline.Here(event=event, cancelled=lambda: ("uniting objects", 2) in blocks)
    with pytest.raises(JobCancelledError):
        pipeline.run(asked, stop)
    done = pipeline.run(asked)
    assert done.record["blocks"]["resumed"] > 0
    np.testing.assert_array_equal(done.image.numpy(), whole.image.numpy())


@pytest.mark.parametrize("first", ["labels", "mean"])
def test_an_ome_zarr_holds_every_output_where_ngff_has_a_place_for_it(known, file, tmp_path, first):
    yaozarrs = pytest.importorskip("yaozarrs")
    out = tmp_path / "out.ome.zarr"
    assert run("segment", file, "-o", out, "--set", f"first={first}").exit_code == 0
    yaozarrs.validate_zarr_store(str(out))
    result = ruska.read(out)
    if first == "labels":
        assert result.meaning == "labels"
        assert result.dtype == np.uint32
        assert result.numpy().max() == 30
        return
    np.testing.assert_array_equal(result.numpy(), grains())
    labels = ruska.read(f"{out}:/labels/labels")
    assert labels.meaning == "labels"
    assert labels.numpy().max() == 30
    assert labels.voxel_size_nm == {"Y": 4.0, "X": 4.0}
    yaozarrs.validate_zarr_store(str(out / "labels" / "labels"))
    std = ruska.read(f"{out}:/std")
    assert std.dtype == np.float32
    np.testing.assert_allclose(std.numpy(), 2.5)


def test_nothing_beside_an_output_is_overwritten_unless_asked(known, file, tmp_path):
    mine = tmp_path / "out_labels.tif"
    ruska.write(mine, Image(np.ones((4, 4), np.uint8), "YX"))
    image = pipeline.Input(path=str(file))
    asked = pipeline.Request(task="segment", method="grains", settings={"first": "mean"}, inputs={"image": image},
                             output=str(tmp_path / "out.tif"))  # fmt: skip
    with pytest.raises(OutputError, match=r"out_labels\.tif.*exists already"):
        pipeline.run(asked)
    assert ruska.read(mine).shape == (4, 4)
    over = asked.model_copy(update={"run": pipeline.RunOptions(overwrite=True)})
    assert set(pipeline.run(over).outputs) == {"labels", "std"}
    assert ruska.read(mine).numpy().max() == 30


BROKEN = {
    "cannot be imported": "raise RuntimeError('no licence')",
    "leaves": "import sys; sys.exit(3)",
    "no About": "GRAINS = 3",
    "another name": SOURCE.replace('"grains", "segment"', '"pebbles", "segment"'),
    "no Settings": SOURCE.replace("(Settings)", "(__import__('pydantic').BaseModel)"),
    "a task that is no word": SOURCE.replace('"segment"', '"--help"'),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_one_that_is_broken_is_left_out_with_a_warning_that_names_it(install, fault):
    install("grains", BROKEN[fault], ENTRY)
    with pytest.warns(UserWarning, match=r"grains \(grains:GRAINS\), of another package, is left out: it "):
        assert "grains" not in methods.names()
    assert methods.about("median").name == "median"
    with pytest.raises(SettingsError, match="'grains' is unknown"):
        methods.about("grains")
    assert "grains" in methods.broken()


def test_no_command_minds_one_that_is_broken_and_says_so_in_a_line(install):
    install("grains", BROKEN["cannot be imported"], ENTRY)
    found = subprocess.run([sys.executable, "-m", "ruska.cli.main", "--help"], capture_output=True, text=True,
                           timeout=120, check=False, encoding="utf-8")  # fmt: skip
    assert found.returncode == 0, found.stderr
    said = [line for line in found.stderr.splitlines() if "grains" in line]
    assert len(said) == 1, found.stderr
    assert "no licence" in said[0]
    assert "Traceback" not in found.stderr
    with pytest.warns(UserWarning, match="no licence"):
        assert "median" in run("methods").output


def test_the_doctor_names_one_that_is_broken(install, monkeypatch):
    monkeypatch.setattr(doctor, "_run_job", lambda: "works")
    install("grains", BROKEN["cannot be imported"], ENTRY)
    with pytest.warns(UserWarning, match="no licence"):
        findings, healthy = doctor.examine()
    assert healthy
    assert findings["plug-in methods"] == {"grains": "left out: cannot be imported (RuntimeError: no licence)"}


def test_a_name_that_is_taken_stays_ours(install):
    source = SOURCE.replace('"grains", "segment"', '"median", "segment"')
    install("grains", source, {"ruska.methods": "median = grains:GRAINS"})
    with pytest.warns(UserWarning, match="has a name that is taken"):
        names = methods.names()
    assert names.count("median") == 1
    assert methods.about("median").task == "denoise"


def test_no_task_of_another_package_stands_before_a_command(install):
    install("grains", SOURCE.replace('"segment"', '"info"'), ENTRY)
    assert "voxel-size" in run("info", "--help").output
    listed = [line.split()[1] for line in run("--help").output.splitlines() if line.startswith("│ ")]
    assert listed.count("info") == 1


def test_a_way_to_train_has_a_group_of_its_own(install):
    source = SOURCE.replace('"segment"', '"train"')
    install("grains", source, {"ruska.trainings": "grains = grains:GRAINS"})
    assert "grains" in methods.trainings()
    assert "grains" not in methods.names()
    check_about(methods.training("grains"), prepare=False)
    with pytest.raises(SettingsError, match="Did you mean 'grains'"):
        methods.training("grain")


def test_a_training_among_the_methods_is_left_out(install):
    install("grains", SOURCE.replace('"segment"', '"train"'), ENTRY)
    with pytest.warns(UserWarning, match="belongs to the other group"):
        assert "grains" not in methods.names()
