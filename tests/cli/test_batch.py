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
from ruska.errors import OutputError
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


def batch(folder: Path, *words: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ruska", "denoise", str(folder), "-o", str(folder.with_name("out")), "--batch",
                                    "-m", "gaussian", "--no-report", *words])  # fmt: skip
        with pytest.raises(SystemExit) as stop:
            cli.main()
    return int(stop.value.code or 0)


def test_a_crowded_folder_gives_a_result_and_a_record_each(crowd: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = {"img.tif": 33, "img.tif.gz.tif": 34, "a.tif": 35, "a.mrc": 36}
    for words, code in (((), 0), (("--overwrite",), 0), ((), 4)):
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
