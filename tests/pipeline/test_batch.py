"""Many images with one request: what is meant, what is done before, what fails, and where results go."""

from __future__ import annotations

import csv
import errno
from pathlib import Path

import numpy as np
import pytest

import ruska
from ruska.errors import InputError, JobBusyError, JobCancelledError, OutputError, SettingsError
from ruska.image import Image
from ruska.pipeline import Here, Input, Request, RunOptions
from ruska.pipeline.batch import Batch, Outcome, foresee, plan, run
from ruska.pipeline.summary import FIELDS, write_summary


def request(method: str = "gaussian", **options: object) -> Request:
    run_options = RunOptions.model_validate({"report": False, **options})
    return Request(task="denoise", method=method, run=run_options)


def noisy(file: Path, shape: tuple[int, int] = (40, 48), level: float = 100) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    ruska.write(file, Image(np.random.default_rng(len(file.name)).normal(level, 9, shape).astype("f4"), "YX"))
    return file


def outputs(batch: Batch, root: Path) -> dict[str, str]:
    return {
        Path(file).relative_to(root).as_posix(): Path(str(asked.output)).relative_to(root).as_posix()
        for file, asked in batch.each
    }


def states(outcomes: list[Outcome]) -> list[str]:
    return [outcome.state for outcome in outcomes]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("day1/a.tif", "day1/b10.mrc", "day1/b9.tif", "day2/a.tif", "day2/deep/c.tif"):
        noisy(tmp_path / name)
    (tmp_path / "day2" / "notes.txt").write_text("no image")
    (tmp_path / "empty").mkdir()
    return tmp_path


def test_names_patterns_and_folders(tree: Path) -> None:
    one, two, out = str(tree / "day1" / "a.tif"), str(tree / "day1" / "b10.mrc"), tree / "out"
    assert outputs(plan(request(), [two, one, one], out), tree) == {
        "day1/b10.mrc": "out/b10.mrc", "day1/a.tif": "out/a.tif"
    }  # fmt: skip
    assert outputs(plan(request(), [one, two]), tree) == {
        "day1/a.tif": "day1/a_denoised.tif", "day1/b10.mrc": "day1/b10_denoised.mrc"
    }  # fmt: skip
    pattern = plan(request(), [str(tree / "day1" / "*")], out)
    assert list(outputs(pattern, tree)) == ["day1/a.tif", "day1/b9.tif", "day1/b10.mrc"]
    folder = plan(request(), [str(tree / "day1")], folders=True)
    assert set(outputs(folder, tree).values()) == {f"day1_denoised/{n}" for n in ("a.tif", "b9.tif", "b10.mrc")}
    stack = plan(request(), [str(tree / "day1"), one], out)  # a folder is a stack where nobody says --batch
    assert outputs(stack, tree) == {"day1": "out/day1.tif", "day1/a.tif": "out/a.tif"}
    recursive = plan(request(), [str(tree)], out, folders=True, recursive=True)
    assert outputs(recursive, tree) == {
        name: f"out/{name}" for name in ("day1/a.tif", "day1/b9.tif", "day1/b10.mrc", "day2/a.tif", "day2/deep/c.tif")
    }
    assert not out.exists()
    with pytest.raises(InputError, match="matches no file"):
        plan(request(), [str(tree / "*.dm3")], out)
    with pytest.raises(OutputError, match="name of a file"):
        plan(request(), [one, two], tree / "out.tif")
    with pytest.raises(SettingsError, match="sigmaa"):
        plan(request().model_copy(update={"settings": {"sigmaa": 3}}), [one, two], out)


def test_images_of_one_name_keep_their_folders(tree: Path) -> None:
    files = [str(tree / name) for name in ("day1/a.tif", "day1/b9.tif", "day2/a.tif")]
    assert set(outputs(plan(request(), files, tree / "out"), tree).values()) == {
        "out/day1/a.tif", "out/day1/b9.tif", "out/day2/a.tif"
    }  # fmt: skip
    assert set(outputs(plan(request(), files), tree).values()) == {
        "day1/a_denoised.tif", "day1/b9_denoised.tif", "day2/a_denoised.tif"
    }  # fmt: skip
    np.savez(tree / "f.npz", raw=np.zeros((40, 48)), other=np.zeros((40, 48)))
    inner = plan(request(), [f"{tree / 'f.npz'}:raw", f"{tree / 'f.npz'}:other"], tree / "out")
    assert [Path(str(asked.output)).name for _, asked in inner.each] == ["f_raw.npz", "f_other.npz"]


def test_an_image_in_several_files_is_taken_once(tmp_path: Path) -> None:
    import tifffile

    frames = np.random.default_rng(0).integers(0, 99, (2, 40, 48)).astype("u2")
    uuids = [f"urn:uuid:{n}0000000-0000-4000-8000-000000000000" for n in (1, 2)]
    parts = "".join(f'<TiffData FirstZ="{n}" IFD="0" PlaneCount="1"><UUID FileName="z{n}.ome.tif">{uuid}</UUID>'
                    "</TiffData>" for n, uuid in enumerate(uuids))  # fmt: skip
    for n, uuid in enumerate(uuids):
        xml = (f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="{uuid}">'
               '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="48" SizeY="40" '
               f'SizeZ="2" SizeC="1" SizeT="1"><Channel ID="Channel:0:0"/>{parts}</Pixels></Image></OME>')  # fmt: skip
        tifffile.imwrite(tmp_path / f"z{n}.ome.tif", frames[n], description=xml, metadata=None)
    noisy(tmp_path / "single.tif")
    batch = plan(request(), [str(tmp_path / "*.tif")], tmp_path / "out")
    assert sorted(outputs(batch, tmp_path)) == ["single.tif", "z0.ome.tif"]
    assert "image in several files" in batch.notes[0]


def test_a_batch_goes_on_where_it_stopped(tmp_path: Path) -> None:
    files = [str(noisy(tmp_path / f"{n}.tif", level=100 + n)) for n in range(3)]
    straight = list(run(plan(request(), files, tmp_path / "straight")))
    assert states(straight) == ["done"] * 3
    seen: list[str] = []
    batch = plan(request(), files, tmp_path / "out")
    stopped = Here(event=lambda stage, *_: seen.append(stage), cancelled=lambda: "file 2 of 3: restoring" in seen)
    outcomes: list[Outcome] = []
    with pytest.raises(JobCancelledError):
        outcomes.extend(run(batch, stopped))
    foreseen = list(foresee(batch))
    assert states(foreseen) == ["skipped", "foreseen", "foreseen"]
    again = list(run(batch))
    assert states(again) == ["skipped", "done", "done"]
    assert again[0].record["method"] == "gaussian"
    assert states(list(run(batch))) == ["skipped"] * 3
    for one, other in zip(straight, again, strict=True):
        assert np.array_equal(ruska.read(one.output).numpy(), ruska.read(other.output).numpy())


def test_only_what_would_be_made_again_counts_as_done(tmp_path: Path) -> None:
    files = [str(noisy(tmp_path / f"{name}.tif", level=100 + n)) for n, name in enumerate("abcdef")]
    out = tmp_path / "out"
    assert states(list(run(plan(request(), files, out)))) == ["done"] * 6
    noisy(tmp_path / "new" / "a.tif", level=500).replace(tmp_path / "a.tif")  # another input
    noisy(tmp_path / "new" / "b.tif").replace(out / "b.tif")  # somebody's own
    (out / "c.record.json").unlink()
    (out / "d.record.json").write_text("[]")
    (out / "e.tif").unlink()
    kept = {name: (out / f"{name}.tif").read_bytes() for name in "abcd"}
    found = list(run(plan(request(), files, out)))
    assert states(found) == ["failed", "failed", "failed", "failed", "done", "skipped"]
    for outcome, words in zip(found, ("another image", "changed after", "no record", "no record"), strict=False):
        assert isinstance(outcome.error, OutputError)
        assert words in str(outcome.error)
    assert kept == {name: (out / f"{name}.tif").read_bytes() for name in "abcd"}
    other = plan(request().model_copy(update={"settings": {"sigma": 4}}), files[5:], out)
    assert "other settings (settings)" in str(next(run(other)).error)
    assert "--dtype" in str(next(run(plan(request(dtype="float32"), files[5:], out))).error)
    assert "report is missing" in str(next(run(plan(request(report=True), files[5:], out))).error)
    assert states(list(foresee(plan(request(overwrite=True), files, out)))) == ["foreseen"] * 4 + ["skipped"] * 2
    assert states(list(run(plan(request(overwrite=True), files, out)))) == ["done"] * 4 + ["skipped"] * 2
    assert states(list(run(plan(request(), files, out)))) == ["skipped"] * 6


def test_a_bad_image_does_not_stop_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [str(noisy(tmp_path / "a.tif")), str(tmp_path / "broken.tif"), str(tmp_path / "gone.tif"),
             str(noisy(tmp_path / "large.tif", (64, 64)))]  # fmt: skip
    (tmp_path / "broken.tif").write_bytes(b"II*\0")
    out = tmp_path / "out"
    before = list(foresee(plan(request(roi={"Y": (0, 60)}), files, out)))
    assert states(before) == ["failed", "failed", "failed", "foreseen"]
    assert not out.exists()
    outcomes = list(run(plan(request(roi={"Y": (0, 60)}), files, out)))
    assert states(outcomes) == ["failed", "failed", "failed", "done"]
    assert "does not fit into 0:40" in str(outcomes[0].error)
    assert str(outcomes[0].error).endswith("e.g. Y=0:40.")
    assert outcomes[0].error is not None
    assert outcomes[0].error.__traceback__ is None  # nor the image that hangs on it

    def fault(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("ruska.pipeline.restore.restore", fault)
    assert states(list(run(plan(request(), files, tmp_path / "other")))) == ["failed"] * 4

    def full(*_: object) -> None:
        raise OutputError("a.tif", "could not be written") from OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("ruska.pipeline.restore.restore", full)
    assert states(list(run(plan(request(), files, tmp_path / "third")))) == ["failed"]


def test_results_that_lie_among_the_images_are_left_out(tmp_path: Path) -> None:
    noisy(tmp_path / "a.tif")
    words = [str(tmp_path / "*")]
    first = plan(request(report=True), words)
    assert states(list(run(first))) == ["done"]
    again = plan(request(report=True), words)
    assert again.each == first.each
    assert "Left out 2 files" in again.notes[0]  # the result, and the picture of its report
    assert states(list(run(again))) == ["skipped"]
    chained = plan(request(), [str(tmp_path / "*_denoised.*")], tmp_path / "out")
    assert len(chained.each) == 1
    other = Request(task="deblur", method="richardson-lucy", settings={"sigma": 1})
    assert len(plan(other, words, tmp_path / "out").each) == 2  # of the raw one and of the denoised
    noisy(tmp_path / "day2" / "a.tif")
    deep = plan(request(), [str(tmp_path)], tmp_path / "out", folders=True, recursive=True)
    assert len(deep.each) == 2
    with pytest.raises(InputError, match="only images that Ruska made"):
        plan(request(), [str(tmp_path / "*.report.png")])


def test_the_network_is_loaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ruska.methods import prior

    loads: list[str | None] = []
    whole = prior._load

    def counted(folder: str | None) -> object:
        loads.append(folder)
        return whole(folder)

    monkeypatch.setattr(prior, "_load", counted)
    files = [str(noisy(tmp_path / f"{n}.tif", (64, 64))) for n in range(3)]
    assert states(list(run(plan(request("prior"), files, tmp_path / "out"), Here(own_process=True)))) == ["done"] * 3
    assert loads == [None]
    assert prior._kept is None


def test_the_summary_keeps_other_rows_and_other_files(tmp_path: Path) -> None:
    files = [str(noisy(tmp_path / name)) for name in ("a.tif", "=b.tif")]
    out = tmp_path / "out"
    first = list(run(plan(request(), [files[0], str(tmp_path / "gone.tif")], out)))
    summary = write_summary(out, first)
    second = list(run(plan(request(), [files[1]], out)))
    assert write_summary(out, second) == summary == out / "summary.csv"
    with summary.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == FIELDS
    assert [(row["output"], row["state"]) for row in rows] == [
        ("a.tif", "done"), ("gone.tif", "failed"), ("'=b.tif", "done")
    ]  # fmt: skip
    assert float(rows[0]["noise_before"]) == pytest.approx(9, rel=0.3)
    assert float(rows[0]["noise_after"]) < 1
    assert "does not exist" in rows[1]["reason"]
    summary.write_text("my own notes\n")
    assert write_summary(out, second) == out / "summary.2.csv"
    assert summary.read_text() == "my own notes\n"


def test_another_batch_at_work_does_not_turn_what_it_did_into_a_failure(tmp_path: Path) -> None:
    done = list(run(plan(request(), [str(noisy(tmp_path / "a.tif"))], tmp_path / "out")))
    busy = Outcome(done[0].file, done[0].output, "failed", error=JobBusyError(done[0].output, "is being written"))
    other = Outcome("b.tif", tmp_path / "out" / "b.tif", "failed", error=JobBusyError("b.tif", "is being written"))
    write_summary(tmp_path / "out", done)
    with write_summary(tmp_path / "out", [busy, other]).open(newline="") as stream:
        assert [row["state"] for row in csv.DictReader(stream)] == ["done", "failed"]


def test_patterns_do_not_go_round_in_links(tree: Path) -> None:
    (tree / "day1" / "loop").symlink_to("..")
    noisy(tree / ".hidden" / "h.tif")
    expected = ["day1/a.tif", "day1/b9.tif", "day1/b10.mrc", "day2/a.tif", "day2/deep/c.tif"]
    for pattern in ("**/*", "**"):
        assert list(outputs(plan(request(), [str(tree / pattern)], tree / "out"), tree)) == expected
    assert list(outputs(plan(request(), [str(tree / "**/.hidden/*")], tree / "out"), tree)) == [".hidden/h.tif"]


def test_results_in_the_folder_for_results_are_no_images_when_the_command_is_given_again(tmp_path: Path) -> None:
    noisy(tmp_path / "one" / "a.tif")
    noisy(tmp_path / "two" / "b.tif")
    words = [str(tmp_path / "*" / "*.tif")]
    first = plan(request(), words, tmp_path / "out")
    assert states(list(run(first))) == ["done", "done"]
    assert plan(request(), words, tmp_path / "out").each == first.each
    noisy(tmp_path / "out" / "mine.tif")
    assert len(plan(request(), words, tmp_path / "out").each) == 3


def test_what_is_wrong_with_every_image_is_said_once(tree: Path) -> None:
    words, gain = [str(tree / "day1" / "*")], str(noisy(tree / "refs" / "gain.tif"))
    for references, error, says in (
        ({"gain": gain, "gain_as": "rot45"}, SettingsError, "rot90"),
        ({"dark_as": "times10"}, SettingsError, "no effect without --dark"),
        ({"gain": str(tree / "no.tif")}, InputError, "does not exist"),
        ({"defects": str(tree / "day2" / "notes.txt")}, InputError, "line 1"),
    ):
        asked = request().model_copy(update={"inputs": {"image": Input(path="any", **references)}})
        with pytest.raises(error, match=says):
            plan(asked, words, tree / "out")
    with pytest.raises(InputError, match=r"2 folders.*--recursive"):
        plan(request(), [str(_two_folders(tree))], folders=True)
    with pytest.raises(InputError, match="nor do the folders in it"):
        plan(request(), [str(_two_folders(tree))], folders=True, recursive=True)


def _two_folders(tree: Path) -> Path:
    for name in ("x", "y"):
        (tree / "empty" / name).mkdir(exist_ok=True)
    return tree / "empty"


def test_a_dry_run_tells_that_a_folder_cannot_be_made_and_the_input_is_no_output(tmp_path: Path) -> None:
    file = noisy(tmp_path / "a.tif")
    batch = plan(request(), [str(file)], tmp_path / "a.tif.d" / "deep")
    (tmp_path / "a.tif.d").write_text("in the way")
    for found in (*foresee(batch), *run(batch)):
        assert isinstance(found.error, OutputError)
        assert "cannot be made" in str(found.error)
    for overwrite in (False, True):
        onto = next(run(plan(request(overwrite=overwrite), [str(file)], tmp_path)))
        assert "never overwrites" in str(onto.error)
        assert "--overwrite" not in str(onto.error)
