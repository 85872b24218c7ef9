"""What is there already: outputs and the files beside them replace their own forerunners, and nothing else."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import ruska
from ruska import corpus
from ruska.errors import OutputError
from ruska.image import Image
from ruska.pipeline import RunOptions, as_image, predict_job
from ruska.pipeline.inspect import noise_report
from ruska.report import beside

NOISY = np.random.default_rng(0).normal(100, 9, (40, 36)).astype(np.float32)
MINE = b"mine"
ODD = ("link", "dangling link", "link to a folder", "pipe", "socket")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own, in which ``victim`` must stay as it is and nothing may come to ``elsewhere``."""
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    (tmp_path / "victim").write_bytes(MINE)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "file").write_bytes(MINE)
    ruska.write("noisy.tif", Image(NOISY, "YX"))
    yield tmp_path / "in"
    assert (tmp_path / "victim").read_bytes() == MINE
    assert not (tmp_path / "nowhere").exists()
    assert [file.name for file in (tmp_path / "elsewhere").iterdir()] == ["file"]


def put(kind: str, path: Path) -> None:
    """Something that is neither a file nor a folder, at ``path``."""
    up = Path.cwd().parent
    targets = {"link": up / "victim", "dangling link": up / "nowhere", "link to a folder": up / "elsewhere"}
    if kind in targets:
        try:
            path.symlink_to(targets[kind], target_is_directory=kind == "link to a folder")
        except OSError:
            pytest.skip("no symbolic links here")
    elif kind == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("no pipes here")
        os.mkfifo(path)
    else:
        if not hasattr(socket, "AF_UNIX"):
            pytest.skip("no sockets here")
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(str(path.relative_to(Path.cwd())))


def denoise(output: str, **more: object) -> None:
    ruska.denoise("noisy.tif", output, **{"method": "gaussian", "report": False, "overwrite": True, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize(
    "name", ["x.tif", "x.record.json", "x.report.html", "x.report.png", "x_std.tif", "x_sample2.tif"]
)
def test_a_run_refuses_odd_things_before_it_begins(name: str, kind: str, here: Path) -> None:
    put(kind, here / name)
    before = sorted(os.listdir())

    def no_work(*args: object) -> None:
        pytest.fail("it had begun")

    options = RunOptions(samples=2)
    for run in (
        lambda: predict_job(as_image("noisy.tif"), Path("x.tif"), "deblur", {"sigma": "1"}, options, overwrite=True),
        lambda: ruska.deblur("noisy.tif", "x.tif", sigma=1, samples=2, overwrite=True, progress=no_work),
    ):
        with pytest.raises(OutputError, match=f"{name}: is a "):
            run()
    assert sorted(os.listdir()) == before


def evaluate() -> None:
    ruska.evaluate("noisy.tif", output="out", overwrite=True)


def noise() -> None:
    noise_report(as_image("noisy.tif"), Path("out"), overwrite=True)


def register() -> None:
    ruska.register("noisy.tif", "noisy.tif", "out/x.tif", overwrite=True)


def train() -> None:
    ruska.train(["noisy.tif"], "out", settings={"steps": "1"}, overwrite=True)


def build() -> None:
    corpus.build(["noisy.tif"], "out")


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize(("command", "name"), [
    (evaluate, "scores.json"), (evaluate, "scores.png"), (noise, "noise.json"), (noise, "noise.png"),
    (register, "x.tif"), (register, "x.record.json"), (train, "training.json"), (train, ".lock"), (train, "log.csv"),
    (train, "weights.safetensors"), (build, "contact.png"), (build, "part000.safetensors"), (build, "statistics.json"),
])  # fmt: skip
def test_other_commands_refuse_them_too(command: Callable[[], None], name: str, kind: str, here: Path) -> None:
    (here / "out").mkdir()
    if command is build:
        (here / "out" / "manifest.json").write_text("{}")
    put(kind, here / "out" / name)
    before = sorted(os.listdir("out"))
    with pytest.raises(OutputError, match=f"{name}: is a "):
        command()
    assert sorted(os.listdir("out")) == before


@pytest.mark.parametrize("kind", ODD[:3])
def test_a_sheet_of_a_corpus_and_a_work_folder(kind: str, here: Path) -> None:
    put(kind, here / ".x.tif.ruska-work")
    with pytest.raises(OutputError, match="symbolic link"):
        denoise("x.tif")
    put(kind, here / "sheet.png")
    (here / "manifest.json").write_text('{"planes": [], "parts": []}')
    with pytest.raises(OutputError, match="symbolic link"):
        corpus.show(here, here / "sheet.png", overwrite=True)
    (here / "mine.png").write_bytes(MINE)
    with pytest.raises(OutputError, match="exists already"):
        corpus.show(here, here / "mine.png")


def test_links_among_the_folders_above_are_fine(here: Path) -> None:
    (here / "out").mkdir()
    try:
        (here / "way").symlink_to(here / "out", target_is_directory=True)
    except OSError:
        pytest.skip("no symbolic links here")
    denoise("way/x.tif")
    assert sorted(os.listdir("out")) == ["x.record.json", "x.tif"]


def test_a_half_written_file_that_is_a_link_is_not_followed(here: Path) -> None:
    put("link", here / ".x.record.json.part")
    denoise("x.tif")
    assert owner("x.record.json") == "x.tif"


def owner(record: str) -> str:
    return str(json.loads(Path(record).read_text())["output"]["path"])


def test_results_of_one_stem_keep_a_record_each() -> None:
    for _ in range(2):
        for name in ("x.mrc", "x.tif", "x.npy"):
            denoise(name)
        assert [owner(f"x{which}.record.json") for which in ("", ".tif", ".npy")] == ["x.mrc", "x.tif", "x.npy"]
    for name in ("x.mrc", "x.record.json"):
        Path(name).unlink()
    denoise("x.tif")  # stays with the names it has
    assert not Path("x.record.json").exists()


def test_reports_follow_the_record(here: Path) -> None:
    denoise("x.npy")
    denoise("x.tif", report=True)
    assert {file.name for file in here.glob("x*.report.*")} == {"x.tif.report.html", "x.tif.report.png"}


@pytest.mark.parametrize("name", ["x.report.html", "x.report.png", "x.record.json"])
def test_files_of_others_are_kept_unless_told(name: str, here: Path) -> None:
    (here / name).write_bytes(MINE)
    if name == "x.record.json":  # no record of ours: ours is called otherwise
        denoise("x.tif", overwrite=False)
        assert owner("x.tif.record.json") == "x.tif"
        assert (here / name).read_bytes() == MINE
        return
    with pytest.raises(OutputError, match="belongs to another output"):
        denoise("x.tif", overwrite=False, report=True)
    assert (here / name).read_bytes() == MINE
    assert not (here / "x.tif").exists()


def test_own_files_of_a_result_that_was_deleted_are_replaced(here: Path) -> None:
    denoise("x.tif", report=True)
    (here / "x.tif").unlink()
    denoise("x.tif", report=True, overwrite=False)
    assert (here / "x.tif").exists()


@pytest.mark.parametrize("name", ["x.report.png", "x_std.tif"])
def test_an_input_is_never_replaced_by_what_is_beside_the_output(name: str, here: Path) -> None:
    ruska.write("y.npy", Image(NOISY, "YX"))
    ruska.write(name, Image(np.clip(NOISY, 0, 255).astype(np.uint8), "YX"))
    before = (here / name).read_bytes()
    with pytest.raises(OutputError, match="is the input"):
        ruska.deblur(name, "x.tif", sigma=1, samples=2, overwrite=True)
    assert (here / name).read_bytes() == before


def test_slices_of_a_stack_and_references_are_inputs(here: Path) -> None:
    (here / "stack").mkdir()
    for n in range(2):
        ruska.write(here / "stack" / f"s{n}.tif", Image(NOISY, "YX"))
    for name in ("s0.tif", "s1.tif"):
        with pytest.raises(OutputError, match="is the input"):
            ruska.denoise("stack", f"stack/{name}", method="gaussian", overwrite=True)
    ruska.write("store.ome.zarr", Image(NOISY, "YX"))
    ruska.write("store.ome.zarr/part.tif", Image(NOISY, "YX"))
    with pytest.raises(OutputError, match="is part of the input"):
        ruska.denoise("store.ome.zarr", "store.ome.zarr/part.tif", method="gaussian", overwrite=True)
    ruska.write("dark.tif", Image(NOISY * 0, "YX"))
    corrected = ruska.pipeline.correct_detector(ruska.read("noisy.tif"), "dark.tif", None)
    with pytest.raises(OutputError, match="is the input file or one of its references"):
        ruska.denoise(corrected, "dark.tif", method="gaussian", overwrite=True)


def test_a_record_that_is_none_is_not_ours(here: Path) -> None:
    for text in (b"", b"{", b"[]", b'{"output": 3}', b'{"output": {"path": 3}}', b"[" * 100_000, b"\xff"):
        (here / "x.record.json").write_bytes(text)
        assert beside(here / "x.tif").whole
