"""The command line as a user meets it: results, errors, exit codes, files left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tifffile

import ruska
from ruska.cli import main as cli
from ruska.engine import work_folder
from ruska.image import Image, Quantity
from ruska.physics import cell_phantom

NM = {"Y": Quantity(4.0, "nm"), "X": Quantity(4.0, "nm")}


@pytest.fixture
def noisy(tmp_path):
    values = np.random.default_rng(0).normal(1000, 100, (96, 80)).astype(np.uint16)
    ruska.write(tmp_path / "noisy.tif", Image(values, "YX", NM))
    return tmp_path / "noisy.tif"


def ruska_command(*words, code=0, capsys=None):
    """Run in this process as ``ruska words...`` would; checks the exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ruska", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert stop.value.code == code, capsys.readouterr() if capsys else stop.value.code


def test_a_micrograph_in_a_denoised_micrograph_out(noisy, capsys):
    out = noisy.with_name("clean.tif")
    ruska_command("denoise", noisy, "-o", out, "--json", capsys=capsys)
    record = json.loads(capsys.readouterr().out)
    clean = ruska.read(out)
    assert clean.numpy().std() < 0.6 * ruska.read(noisy).numpy().std()
    assert clean.dtype == np.uint16
    assert clean.voxel_size_nm == {"Y": 4.0, "X": 4.0}
    assert record["method"] != "auto"
    saved = json.loads(noisy.with_name("clean.record.json").read_text())
    assert saved["input"]["hash"].startswith("sha256:")
    assert {p.name for p in noisy.parent.iterdir()} == {
        "noisy.tif", "clean.tif", "clean.record.json", "clean.report.html", "clean.report.png",
    }  # fmt: skip


def test_sizes_without_a_unit_tell_the_factor_of_isotropic_voxels(tmp_path, capsys):
    values = np.random.default_rng(0).integers(0, 255, (5, 32, 40)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", values, imagej=True, metadata={"axes": "ZYX", "spacing": 3.0})
    words = ["isotropic", tmp_path / "a.tif", "-o", tmp_path / "b.tif", "--dry-run"]
    ruska_command(*words, capsys=capsys)
    assert "15 x 32 x 40" in " ".join(capsys.readouterr().out.split())
    ruska_command(*words, "--voxel-size", "1nm", code=3, capsys=capsys)
    assert "a.tif: has slices 1 apart" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("report", [True, False])
def test_the_verdict_is_told_in_the_terminal_and_in_the_record(noisy, capsys, report):
    words = ["denoise", noisy, "-o", noisy.with_name("blurred.tif"), "--method", "gaussian", "--overwrite"]
    words += [] if report else ["--no-report"]
    ruska_command(*words, "--set", "sigma=0.05", capsys=capsys)
    assert "Nothing was removed: the result is practically the input." in " ".join(capsys.readouterr().out.split())
    kept = json.loads(noisy.with_name("blurred.record.json").read_text())["verdict"]
    assert (kept["level"], kept["objection"], kept["better_than_input"]) == ("caution", True, False)
    ruska_command(*words, "--set", "sigma=3", "--json", capsys=capsys)
    told = json.loads(capsys.readouterr().out)["verdict"]
    assert told["better_than_input"] is True  # there was nothing but noise
    assert told["sentences"]
    assert told["numbers"]["noise_before"] == pytest.approx(100, rel=0.1)
    assert told == json.loads(noisy.with_name("blurred.record.json").read_text())["verdict"]
    assert told == json.loads(
        json.dumps(ruska.denoise(noisy, method="gaussian", settings={"sigma": 3}).record["verdict"])
    )


def test_of_many_files_those_that_are_no_better_are_named(noisy, capsys):
    folder = noisy.parent / "many"
    folder.mkdir()
    noisy.rename(folder / "noisy.tif")
    ruska_command("denoise", folder, "--batch", "--method", "identity", capsys=capsys)
    assert "noisy.tif: Nothing was removed" in capsys.readouterr().out


def test_the_recorded_command_gives_the_same_pixels(noisy, capsys):
    import shlex

    out = noisy.with_name("clean.tif")
    ruska_command("denoise", noisy, "-o", out, "--no-report")
    words = shlex.split(json.loads(noisy.with_name("clean.record.json").read_text())["command"])
    ruska_command(*words[1:], "--overwrite", "--no-report", capsys=capsys)
    first = ruska.denoise(noisy).image.numpy()
    np.testing.assert_array_equal(ruska.read(out).numpy(), first)


def test_python_and_command_line_agree(noisy):
    out = noisy.with_name("clean.npy")
    ruska_command("denoise", noisy, "-o", out, "--method", "gaussian", "--set", "sigma=1.5", "--no-report")
    result = ruska.denoise(ruska.read(noisy), method="gaussian", settings={"sigma": 1.5})
    np.testing.assert_array_equal(np.load(out), result.image.numpy())


def test_a_region_agrees_with_the_whole(noisy):
    for name, extra in (("whole.tif", ()), ("part.tif", ("--roi", "10:60,20:70"))):
        ruska_command("denoise", noisy, "-o", noisy.with_name(name), "--method", "median", "--no-report", *extra)
    whole, part = ruska.read(noisy.with_name("whole.tif")), ruska.read(noisy.with_name("part.tif"))
    np.testing.assert_array_equal(whole.numpy()[15:55, 25:65], part.numpy()[5:45, 5:45])
    assert part.origin["X"].to("nm") == 80.0


def test_nothing_is_overwritten_unless_asked(noisy, capsys):
    out = noisy.with_name("clean.tif")
    out.write_bytes(b"precious")
    ruska_command("denoise", noisy, "-o", out, code=4, capsys=capsys)
    error = capsys.readouterr().err
    assert "exists already" in error
    assert "--overwrite" in error
    assert out.read_bytes() == b"precious"
    ruska_command("denoise", noisy, "-o", out, "--overwrite", "--no-report")
    assert tifffile.imread(out).shape == (96, 80)


def test_the_input_is_never_the_output(noisy, capsys):
    before = noisy.read_bytes()
    ruska_command("denoise", noisy, "-o", noisy, "--overwrite", code=4, capsys=capsys)
    assert "is the input" in capsys.readouterr().err
    assert noisy.read_bytes() == before


def test_a_dry_run_writes_nothing(noisy, capsys):
    ruska_command("denoise", noisy, "-o", noisy.with_name("clean.tif"), "--dry-run", "--memory", "2GB")
    printed = capsys.readouterr().out
    assert "Nothing was done" in printed
    assert "memory" in printed
    assert [p.name for p in noisy.parent.iterdir()] == ["noisy.tif"]


def test_info_says_what_a_file_is(noisy, capsys):
    ruska_command("info", noisy, "--json")
    facts = json.loads(capsys.readouterr().out)
    assert facts["shape"] == [96, 80]
    assert facts["spacing"]["X"] == {"value": 4.0, "unit": "nm"}
    assert facts["job"]["memory_bytes"] > 1e7
    assert facts["job"]["seconds"] > 0
    ruska_command("info", noisy)
    assert "Y 96 x X 80" in capsys.readouterr().out


def test_a_folder_of_unrelated_images(noisy, capsys):
    folder = noisy.parent / "in"
    folder.mkdir()
    noisy.rename(folder / "a.tif")
    ruska.write(folder / "b.tif", Image(np.random.default_rng(1).normal(0, 1, (40, 50)).astype(np.float32), "YX"))
    (folder / "bad.tif").write_bytes(b"II*\0 not really")
    ruska_command("denoise", folder, "-o", noisy.parent / "out", "--batch", "--method", "gaussian", code=3)
    assert "bad.tif" in capsys.readouterr().err
    assert {p.name for p in (noisy.parent / "out").glob("*.tif")} == {"a.tif", "b.tif"}


def test_evaluate_scores_against_a_truth(tmp_path, capsys):
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 1, (64, 64)).astype(np.float32)
    ruska.write(tmp_path / "truth.tif", Image(truth, "YX"))
    ruska.write(tmp_path / "result.tif", Image(truth + 0.1 * rng.choice([-1, 1], truth.shape).astype("f4"), "YX"))
    ruska_command("evaluate", tmp_path / "result.tif", "--truth", tmp_path / "truth.tif", "--json")
    scores = json.loads(capsys.readouterr().out)
    assert scores["truth"]["psnr_db"]["median"] == pytest.approx(20, abs=0.1)


def test_doctor_finds_this_installation_sound(capsys):
    ruska_command("doctor", "--json")
    assert json.loads(capsys.readouterr().out)["healthy"] is True


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--method", "gausian"), 2, "gaussian"),
        (("--method", "gaussian", "--set", "sgima=1"), 2, "sigma"),
        (("--method", "gaussian", "--set", "sigma=-1"), 2, "sigma"),
        (("--method", "gaussian", "--set", "sigma"), 2, "NAME=VALUE"),
        (("--set", "sigma=1"), 2, "--method"),
        (("--memory", "lots"), 2, "2GB"),
        (("--memory", "1MB"), 5, "Allow at least"),
        (("--workers", "0"), 2, "must be at least 1"),
        (("--dtype", "float64"), 2, "float32"),
        (("--roi", "0:1000,0:10"), 3, "0:96"),
        (("--roi", "abc"), 2, "100:612"),
        (("--roi", "Y=0:3,y=4:9"), 2, "names Y twice"),
        (("--axes", "ZYX"), 3, "dimensions"),
        (("--axes", "AB"), 3, "axis letter"),
        (("--no-such-option",), 2, "No such option"),
    ],
)
def test_wrong_options_get_one_line_and_leave_nothing(noisy, capsys, words, code, says):
    ruska_command("denoise", noisy, "-o", noisy.with_name("clean.tif"), *words, code=code, capsys=capsys)
    error = capsys.readouterr().err
    assert says in error
    assert len(error.strip().splitlines()) == 1
    assert [p.name for p in noisy.parent.iterdir()] == ["noisy.tif"]


def _insult(folder, kind):
    path = folder / f"{kind}.tif"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not an image")
    elif kind == "truncated":
        tifffile.imwrite(path, np.zeros((200, 200), np.uint16))
        path.write_bytes(path.read_bytes()[:40000])
    elif kind == "all-nan":
        tifffile.imwrite(path, np.full((50, 50), np.nan, np.float32))
    elif kind == "complex":
        tifffile.imwrite(path, np.ones((50, 50), np.complex64))
    elif kind == "object":
        path = path.with_suffix(".npy")
        np.save(path, np.array([[{}, 1]], dtype=object), allow_pickle=True)
    elif kind == "zero-dimensional":
        path = path.with_suffix(".npy")
        np.save(path, np.float32(3))
    elif kind == "no-pixels":
        path = path.with_suffix(".npy")
        np.save(path, np.zeros((0, 5)))
    elif kind == "one-dimensional":
        path = path.with_suffix(".npy")
        np.save(path, np.zeros(5))
    elif kind == "structured":
        path = path.with_suffix(".npy")
        np.save(path, np.zeros((4, 4), dtype=[("a", "f4")]))
    return path  # "missing" is written by nobody


@pytest.mark.parametrize(
    "kind",
    ["empty", "text", "truncated", "all-nan", "complex", "object", "zero-dimensional", "no-pixels", "missing",
     "one-dimensional", "structured"],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_bad_input_gets_one_line_that_names_the_file(tmp_path, capsys, kind):
    path = _insult(tmp_path, kind)
    before = set(tmp_path.iterdir())
    ruska_command("denoise", path, "-o", tmp_path / "clean.tif", code=3, capsys=capsys)
    error = capsys.readouterr().err
    assert path.name in error
    assert len(error.strip().splitlines()) == 1
    assert set(tmp_path.iterdir()) == before


def test_five_channels_are_denoised_each_on_its_own(tmp_path):
    values = np.random.default_rng(0).normal(100, 10, (5, 40, 40)).astype(np.float32)
    ruska.write(tmp_path / "five.tif", Image(values, "CYX"))
    ruska_command("denoise", tmp_path / "five.tif", "-o", tmp_path / "out.tif", "-m", "gaussian", "--no-report")
    out = ruska.read(tmp_path / "out.tif")
    assert out.axes == "CYX"
    alone = ruska.denoise(Image(values[3], "YX"), method="gaussian").image.numpy()
    np.testing.assert_allclose(out.numpy()[3], alone, rtol=1e-6)


@pytest.mark.parametrize("target", ["nowhere/clean.tif", "clean.xyz", "clean.jpg", "clean"])
def test_an_output_that_cannot_be_is_refused_before_the_work(noisy, capsys, target):
    ruska_command("denoise", noisy, "-o", noisy.parent / target, code=4, capsys=capsys)
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert [p.name for p in noisy.parent.iterdir()] == ["noisy.tif"]


def test_a_file_in_place_of_a_folder_is_refused(noisy, capsys):
    ruska_command("denoise", noisy, "-o", noisy / "clean.tif", code=4, capsys=capsys)


def test_start_up_imports_nothing_heavy():
    heavy = {"torch", "scipy", "skimage", "matplotlib", "dask", "zarr", "h5py", "tifffile", "numpy"}
    for program in ("import ruska", "import ruska.cli.main"):
        code = f"{program}; import sys; print(sorted({heavy!r} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['ruska', 'denoise', '--help']\n"
        "from ruska.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'scipy', 'skimage', 'matplotlib', 'dask', 'numpy') if m in sys.modules])"
    )
    env = {**os.environ, "COLUMNS": "100"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env)
    assert "--roi" in done.stdout
    assert done.stdout.strip().endswith("[]")


def test_a_second_run_leaves_the_first_ones_work_alone(noisy, capsys):
    out = noisy.with_name("clean.npy")
    with work_folder(out) as folder:
        (folder / "blocks").mkdir()
        ruska_command("denoise", noisy, "-o", out, code=7, capsys=capsys)
        assert (folder / "blocks").is_dir()
    assert "another run" in capsys.readouterr().err


def test_noise_is_measured_and_drawn(noisy, capsys):
    folder = noisy.parent / "report"
    ruska_command("noise", noisy, "-o", folder, "--json", capsys=capsys)
    found = json.loads(capsys.readouterr().out)
    assert found["std"] == pytest.approx(100, rel=0.15)
    assert found["blind_spot"] == [1, 1]
    assert (folder / "noise.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "noise.json").read_text())["std"] == found["std"]
    ruska_command("noise", noisy, "-o", folder, code=4, capsys=capsys)
    tifffile.imwrite(noisy.parent / "tiny.tif", np.ones((8, 8), np.uint8))
    ruska_command("noise", noisy.parent / "tiny.tif", "-o", noisy.parent / "other", code=3, capsys=capsys)
    assert not (noisy.parent / "other").exists()


def test_a_model_is_trained_listed_verified_and_used(noisy, capsys):
    folder, model = noisy.parent, noisy.parent / "models" / "m"
    quick = ["-s", "steps=2", "-s", "patch=64", "-s", "precision=fp32"]
    ruska_command("train", "blindspot", folder, "-o", model, *quick, capsys=capsys)
    assert "ruska denoise FILE --model" in capsys.readouterr().out
    ruska_command("models", "list", folder)
    assert "m: blindspot, trained on noisy.tif" in capsys.readouterr().out
    ruska_command("models", "info", model, "--json")
    card = json.loads(capsys.readouterr().out)
    assert card["data"][0]["voxel_size_nm"] == {"Y": 4.0, "X": 4.0}
    ruska_command("models", "verify", model)
    assert "intact" in capsys.readouterr().out
    out = folder / "clean.tif"
    ruska_command("denoise", noisy, "-o", out, "--model", model, "--no-report", "--json", capsys=capsys)
    assert json.loads(capsys.readouterr().out)["weights"] == card["sha256"]
    assert ruska.read(out).numpy().std() < ruska.read(noisy).numpy().std()

    ruska_command("denoise", noisy, "-o", folder / "b.tif", "--model", model, "-m", "shine", code=2)
    weights = model / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-7])
    ruska_command("models", "verify", model, code=3)
    ruska_command("denoise", noisy, "-o", folder / "b.tif", "--model", model, code=3)
    assert "does not match its card" in capsys.readouterr().err
    assert not (folder / "b.tif").exists()


def test_a_missing_model_is_one_line(noisy, capsys):
    ruska_command("denoise", noisy, "--model", noisy.parent, code=3)
    ruska_command("models", "info", noisy.parent, code=3)
    assert capsys.readouterr().err.count("card.json") == 2
    ruska_command("models", "list", noisy.parent)
    assert "no model" in capsys.readouterr().out


def test_references_of_the_detector_are_applied_and_recorded(noisy, capsys):
    folder = noisy.parent
    raw = ruska.read(noisy).numpy()
    gain = np.linspace(0.5, 2, raw.size).reshape(raw.shape).astype(np.float32)
    np.save(folder / "gain.npy", gain)
    np.save(folder / "dark.npy", np.full(raw.shape, 100, np.float32))
    words = ["--dark", folder / "dark.npy", "--gain", folder / "gain.npy", "-m", "identity", "--no-report"]
    ruska_command("denoise", noisy, "-o", folder / "a.tif", *words, "--json")
    record = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(ruska.read(folder / "a.tif").numpy(), (raw - 100.0) * gain, rtol=1e-5)
    assert set(record["input"]["detector"]) == {"dark", "gain"}
    assert "--gain" in record["command"]
    np.save(folder / "gain.npy", gain[::-1])
    np.save(folder / "bad.npy", np.eye(*raw.shape, dtype=np.uint8))
    more = ["--gain-as", "flip-y", "--dark-as", "times2", "--defects", folder / "bad.npy", "--defects-as", "keep"]
    ruska_command("denoise", noisy, "-o", folder / "a.tif", *words, *more, "--overwrite", "--json")
    record = json.loads(capsys.readouterr().out)
    good = ~np.eye(*raw.shape, dtype=bool)
    np.testing.assert_allclose(ruska.read(folder / "a.tif").numpy()[good], ((raw - 200.0) * gain)[good], rtol=1e-5)
    assert {name: of["as"] for name, of in record["input"]["detector"].items()} == {
        "dark": "times2", "gain": "flip-y", "defects": "keep"}  # fmt: skip
    for option in ("--gain-as flip-y", "--dark-as times2", "--defects-as keep"):
        assert option in record["command"]
    assert f"{min(raw.shape)} pixels of a frame" in " ".join(record["warnings"])
    ruska_command("noise", noisy, "--gain", folder / "gain.npy", "--gain-as", "keep")
    assert "corrected for the detector" in " ".join(capsys.readouterr().out.split())
    ruska_command("denoise", noisy, "-o", folder / "a.tif", *words, "--gain-as", "rot45", code=2)
    assert "rot90" in capsys.readouterr().err
    ruska_command("denoise", noisy, "-o", folder / "c.tif", *words, "--dry-run")
    assert "corrected for the detector" in " ".join(capsys.readouterr().out.split())
    ruska_command("train", "prior", noisy, "-o", folder / "model", "--gain", folder / "gain.npy", code=2)
    assert "--gain: is not used by train prior" in capsys.readouterr().err
    np.save(folder / "gain.npy", gain[:-1])
    ruska_command("denoise", noisy, "-o", folder / "b.tif", *words, code=3)
    assert "gain reference" in capsys.readouterr().err


def test_hot_pixels_are_mended_said_and_kept_where_asked(noisy, capsys):
    values = tifffile.imread(noisy)
    values[30, 40] = values[70, 20] = 60000
    tifffile.imwrite(noisy, values)
    ruska_command("info", noisy, capsys=capsys)
    assert "2 hot and 0 dead" in capsys.readouterr().out
    out = noisy.with_name("clean.tif")
    ruska_command("denoise", noisy, "-o", out, "--method", "gaussian", capsys=capsys)
    assert "2 hot pixels" in capsys.readouterr().out
    assert "2 hot pixels (of 7680) were replaced" in noisy.with_name("clean.report.html").read_text()
    assert ruska.read(out).numpy().max() < 2000
    words = ("--method", "gaussian", "--keep-outliers", "--overwrite", "--json", "--no-report")
    ruska_command("denoise", noisy, "-o", out, *words, capsys=capsys)
    record = json.loads(capsys.readouterr().out)
    assert record["outliers"] == {"mended": False}
    assert "--keep-outliers" in record["command"]
    assert ruska.read(out).numpy()[30, 40] > 5000


@pytest.mark.parametrize("task", ["denoise", "deblur", "superres", "isotropic"])
def test_every_restoration_can_keep_outliers(task, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    ruska_command(task, "--help", capsys=capsys)
    assert "--keep-outliers" in capsys.readouterr().out


def test_hum_is_said_and_removed_where_asked(tmp_path, capsys):
    file, out = tmp_path / "hum.tif", tmp_path / "clean.tif"
    y, x = np.mgrid[:160, :160]
    hum = 400 * np.cos(2 * np.pi * (0.21 * y + 0.004 * x))
    noisy = 3000 + 2000 * cell_phantom((160, 160), seed=1) + np.random.default_rng(0).normal(0, 200, (160, 160))
    tifffile.imwrite(file, (noisy + hum).astype(np.uint16))
    for words in (("info", file), ("noise", file, "-o", tmp_path / "noise")):
        ruska_command(*words, capsys=capsys)
        said = " ".join(capsys.readouterr().out.split())
        assert "with a period of 4.76 rows" in said
        assert "--remove-interference" in said
    words = ("denoise", file, "-o", out, "--method", "gaussian", "--overwrite")
    ruska_command(*words, capsys=capsys)
    assert "the result still has" in out.with_suffix(".report.html").read_text()
    capsys.readouterr()
    ruska_command(*words, "--remove-interference", "--json", capsys=capsys)
    record = json.loads(capsys.readouterr().out)
    assert record["interference"]["waves"][0]["amplitude"] == pytest.approx(400, rel=0.05)
    assert "--remove-interference" in record["command"]
    assert "the result still has" not in out.with_suffix(".report.html").read_text()


@pytest.mark.parametrize("task", ["denoise", "deblur", "superres", "isotropic"])
def test_every_restoration_can_remove_interference(task, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    ruska_command(task, "--help", capsys=capsys)
    assert "--remove-interference" in capsys.readouterr().out


def test_noise_prints_and_writes_only_where_it_is_asked_to(noisy, capsys):
    folder = noisy.with_name("alone")
    folder.mkdir()
    stack = np.stack([np.random.default_rng(k).normal(100, 5 + 10 * (k > 2), (80, 96)) for k in range(5)])
    ruska.write(folder / "stack.tif", stack.astype(np.float32), axes="ZYX")
    ruska_command("noise", folder / "stack.tif")
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("Noise of stack.tif")
    assert "of slice 1: " in said
    assert "picture" not in said
    assert [file.name for file in folder.iterdir()] == ["stack.tif"]
    ruska_command("noise", folder / "stack.tif", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["each_slice"][0]["slices"] == [1, 2, 3, 4, 5]
    assert found["each_slice"][0]["std"] == pytest.approx([5, 5, 5, 15, 15], rel=0.15)
    ruska_command("noise", folder / "stack.tif", "-o", folder / "kept")
    assert sorted(file.name for file in (folder / "kept").iterdir()) == ["noise.json", "noise.png"]
