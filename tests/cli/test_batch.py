"""Results of a folder of images: each has files of its own, whatever the images are called."""

from __future__ import annotations

import gzip
import json
import random
import sys
from pathlib import Path
from unicodedata import normalize

import numpy as np
import pytest

import ruska
from ruska.cli import main as cli
from ruska.errors import InputError, OutputError
from ruska.image import Image
from ruska.pipeline.output_names import named_apart, said

FOLDER = Path("in")
NFD = normalize("NFD", "é.tif")
CROWDS = [
    ["img.tif", "img.tif.gz"], ["img.tif", "img.tif.gz", "img.tif.gz.tif"], ["a.dm3", "a.tif.gz"], ["a.tif", "a.mrc"],
    ["Img.tif", "img.tif"], ["Img.tif", "img.TIF", "IMG.tif.gz"], ["é.tif", NFD], ["a.png", "a.jpg", "a.tif"],
    ["a.tif", "a.ome.tif", "a.mrc"], ["a.tif", "a.mrc", "a.tif.mrc"], ["b.dm3", "b.report.png"], ["ß.tif", "SS.tif"],
    ["a.ome.tif", "A.ome.tif"],
]  # fmt: skip


def folded(name: str) -> str:
    return normalize("NFC", normalize("NFD", name).casefold())


@pytest.mark.parametrize("samples", [0, 2])
@pytest.mark.parametrize("names", [*CROWDS, ["a.tif", "a_std.tif", "a_sample1.tif"]], ids=" ".join)
def test_no_two_results_share_a_file(names: list[str], samples: int) -> None:
    from ruska.pipeline.samples import companions
    from ruska.report import Beside

    named = named_apart([FOLDER / name for name in names], samples)
    written = []
    for one in named:
        beside = Beside(Path(one.output), one.whole)
        files = [Path(one.output), beside.record, *beside.reports, *companions(beside, samples)]
        written += [folded(file.name) for file in files]
        others = {folded(name) for name in names} - {folded(one.file.name)}
        assert not others & {folded(file.name) for file in files}  # nor the name of another input
    assert len(set(written)) == len(written)
    assert [one.file.name for one in named] == names


@pytest.mark.parametrize("names", CROWDS, ids=" ".join)
def test_names_follow_from_the_set_alone(names: list[str]) -> None:
    files = [FOLDER / name for name in names]
    first = {one.file: one for one in named_apart(files)}
    for seed in range(4):
        random.Random(seed).shuffle(files)
        assert {one.file: one for one in named_apart(files)} == first
    lonely = named_apart([*files, FOLDER / "lonely.mrc", FOLDER / "other.png"])
    assert {one.file: one for one in lonely[:-2]} == first
    assert [(one.output, one.whole) for one in lonely[-2:]] == [("lonely.mrc", False), ("other.tif", False)]


def test_usual_names_stay_and_a_line_says_what_is_unusual() -> None:
    named = named_apart([FOLDER / name for name in ("img.tif.gz", "img.tif", "a.mrc", "a.tif", "b.tif")])
    assert [one.output for one in named] == ["img.tif.gz.tif", "img.tif", "a.mrc", "a.tif", "b.tif"]
    line = said(named)
    assert line is not None
    assert "img.tif.gz -> img.tif.gz.tif" in line
    assert "whole names: a.mrc, a.tif." in line
    assert said(named_apart([FOLDER / "b.tif"])) is None
    many = said(named_apart([FOLDER / f"{n}.{end}" for n in range(9) for end in ("tif", "mrc")]))
    assert many is not None
    assert "and 13 more" in many


def test_what_cannot_be_told_apart_is_refused() -> None:
    names = ["a.tif", "a.mrc", "a.tif.report.png", "a.mrc.report.png", "a.tif.report.png.report.png"]
    with pytest.raises(OutputError, match="share a file"):
        named_apart([FOLDER / name for name in names])


@pytest.fixture
def crowd(tmp_path: Path) -> Path:
    """Images of different sizes: img.tif, img.tif.gz, a.tif, a.mrc."""
    folder = tmp_path / "in"
    folder.mkdir()
    for n, name in enumerate(("img.tif", "other.tif", "a.tif", "a.mrc")):
        ruska.write(folder / name, Image(np.random.default_rng(n).normal(100, 9, (33 + n, 40)).astype("f4"), "YX"))
    (folder / "img.tif.gz").write_bytes(gzip.compress((folder / "other.tif").read_bytes()))
    (folder / "other.tif").unlink()
    return folder


def denoise(*words: object) -> int:
    """``ruska denoise words..`` by the quickest method; its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ruska", "denoise", *map(str, words), "-m", "gaussian", "--no-report"])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    return int(stop.value.code or 0)


def batch(folder: Path, *words: str) -> int:
    return denoise(folder, "-o", folder.with_name("out"), "--batch", *words)


def test_a_crowded_folder_gives_a_result_and_a_record_each(crowd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = {"img.tif": 33, "img.tif.gz.tif": 34, "a.tif": 35, "a.mrc": 36}
    for words, code in (((), 0), (("--overwrite",), 0), ((), 0), (("--set", "sigma=3"), 4)):
        assert batch(crowd, *words) == code
        out = crowd.with_name("out")
        records = {json.loads(file.read_text())["output"]["path"]: file.name for file in out.glob("*.record.json")}
        assert {name: ruska.read(out / name).shape[0] for name in records} == expected
        assert records == {"img.tif": "img.record.json", "img.tif.gz.tif": "img.tif.gz.record.json",
                           "a.tif": "a.tif.record.json", "a.mrc": "a.mrc.record.json"}  # fmt: skip
        assert "Named apart: img.tif.gz -> img.tif.gz.tif; " in capsys.readouterr().out


def test_a_folder_that_cannot_be_made_is_one_line(crowd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crowd.with_name("out").write_text("mine")
    assert batch(crowd) == 4
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_several_files_go_into_a_folder_and_a_bad_one_is_told_at_the_end(
    crowd: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, broken = crowd.parent / "results" / "today", crowd / "broken.tif"
    broken.write_bytes(b"II*")
    words = (crowd / "a.tif", broken, crowd / "a.mrc", "-o", out)
    assert denoise(*words, "--dry-run") == 3
    told = capsys.readouterr()
    assert "2 of 3 images would be restored" in told.out
    assert "a.tif: 35 x 40 float32, gaussian, 0.1 s, " in told.out
    assert not out.parent.exists()
    assert denoise(*words) == 3
    told = capsys.readouterr()
    assert "1 of 3  " in told.out
    assert f"2 of 3 images restored into {out}; 1 of 3 failed." in told.out
    assert told.err.startswith(f"ruska: {broken}: ")
    assert len(told.err.splitlines()) == 1
    assert {file.name for file in out.iterdir()} == {"a.tif", "a.tif.record.json", "a.mrc", "a.mrc.record.json",
                                                     "summary.csv"}  # fmt: skip
    assert denoise(*words) == 3
    assert "2 of 3 already done, skipped; 1 of 3 failed" in capsys.readouterr().out
    assert denoise(*words, "--json") == 3
    found = json.loads(capsys.readouterr().out)
    assert [(Path(one["file"]).name, one["state"]) for one in found] == [
        ("a.tif", "skipped"), ("broken.tif", "failed"), ("a.mrc", "skipped")
    ]  # fmt: skip
    assert found[0]["record"]["method"] == found[0]["method"] == "gaussian"


def test_a_quoted_pattern_and_a_folder_that_is_there_mean_a_batch_and_one_file_does_not(
    crowd: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(crowd)
    assert denoise("a.*") == 0
    assert {"a_denoised.tif", "a_denoised.mrc"} <= {file.name for file in crowd.iterdir()}
    assert denoise("a.tif", "-o", "new/") == 0
    assert denoise("a.mrc", "-o", "new") == 0
    assert {"a.tif", "a.mrc", "summary.csv"} <= {file.name for file in (crowd / "new").iterdir()}
    assert denoise("a.tif", "-o", "one.tif") == 0
    assert (crowd / "one.tif").is_file()
    capsys.readouterr()
    for words, code, told in (
        (("a.tif", "a.mrc", "-o", "both.tif"), 4, "Name a folder"),
        (("a.tif", "--recursive"), 2, "Add --batch"),
        (("b*.tif",), 3, "matches no file"),
        ((".",), 3, "--batch"),  # as a stack: its images differ
        (("a.tif", "a.mrc", "-o", "new", "--set", "sigmaa=1"), 2, "Did you mean"),
    ):
        assert denoise(*words) == code
        error = capsys.readouterr().err
        assert told in error
        assert len(error.splitlines()) == 1


def test_an_interrupted_batch_tells_what_was_done(
    crowd: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ruska.pipeline import restore

    whole, calls = restore.restore, []

    def interrupted(*given: object) -> object:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return whole(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(restore, "restore", interrupted)
    assert batch(crowd) == 130
    assert "1 of 4 images restored" in (told := capsys.readouterr().out)
    assert "3 of 4 not begun" in told
    assert len((crowd.with_name("out") / "summary.csv").read_text().splitlines()) == 2
    assert batch(crowd) == 0
    assert "3 of 4 images restored" in (told := capsys.readouterr().out)
    assert "1 of 4 already done, skipped" in told


def test_the_table_fits_the_terminal(
    crowd: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from ruska.cli.batch import _doubts, _draw, _losses, _reasons, _remarks
    from ruska.pipeline.batch import Outcome

    verdict = {"level": "good", "numbers": {"noise_before": 12.345, "noise_after": 0.5}}
    outcomes = [
        Outcome("in/[red]a.tif", Path("out/a.tif"), "done", {"method": "tv", "verdict": verdict}, seconds=2.34),
        Outcome("in/b.tif", Path("out/b.tif"), "failed", error=OutputError("out/b.tif", "exists already")),
    ]
    monkeypatch.setenv("COLUMNS", "100")
    _draw(outcomes, Path("out"), dry_run=False)
    head, first, second = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head == ["file", "method", "noise", "verdict", "time", "output"]
    assert first == ["[red]a.tif", "tv", "12.3", "->", "0.5", "no", "objection", "found", "2.3", "s", "a.tif"]
    assert second == ["b.tif", "failed,", "see", "below"]
    monkeypatch.setenv("COLUMNS", "40")
    _draw(outcomes, Path("out"), dry_run=False)
    assert capsys.readouterr().out.splitlines() == [
        "in/[red]a.tif: tv, noise 12.3 -> 0.5, no objection found, 2.3 s (out/a.tif)", "in/b.tif: failed"
    ]  # fmt: skip
    planned = [Outcome("x", Path(f"out/{n}.mrc"), "foreseen", {"losses": "MRC has no names."}) for n in range(3)]
    assert _losses([*outcomes, *planned]) == ["0.mrc and 2 more: MRC has no names."]
    warned = [Outcome(f"{n}.tif", Path("x"), "done", {"warnings": [f"turned, by {n}.5 of 1"]}) for n in range(3)]
    before = Outcome("old.tif", Path("x"), "skipped", {"warnings": ["turned, by 9.5 of 1"]})
    assert _remarks([before, *warned]) == ["0.tif and 2 more: turned, by 0.5 of 1"]
    none = {"verdict": {"level": "caution", "headline": "Nothing was removed.", "better_than_input": False}}
    assert _doubts([Outcome(f"{n}.tif", Path("x"), "done", none) for n in range(6)]) == [
        "0.tif, 1.tif, 2.tif and 3 more: Nothing was removed."
    ]
    bad = [Outcome(f"in/{n}\n.tif", Path("x"), "failed", error=InputError(f"{n}\n.tif", "is empty")) for n in range(5)]
    assert _reasons([*bad, outcomes[1]]) == [
        "in/0\n.tif, in/1\n.tif, in/2\n.tif and 2 more: is empty.", "in/b.tif: out/b.tif: exists already."
    ]  # fmt: skip
