"""No result is made of two states of an input: it is refused by name, and nothing of it stays."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ruska
from ruska.engine import work_folder
from ruska.errors import ChangedInputError, InputError
from ruska.image import Image
from ruska.pipeline import correct_detector, watch

VALUES = np.random.default_rng(1).integers(40, 60, (3, 120, 120)).astype(np.uint8)


def write(path: Path, more: int) -> Path:
    """A file, a store, or a folder of slices where ``path`` has no suffix."""
    if path.suffix:
        ruska.write(path, Image(VALUES + np.uint8(more), "ZYX"), overwrite=True)
        return path
    path.mkdir(exist_ok=True)
    for number, plane in enumerate(VALUES):
        ruska.write(path / f"{number}.tif", Image(plane + np.uint8(more), "YX"), overwrite=True)
    return path


def during(stage: str, act: Callable[[], Any]) -> Callable[[str, int, int], None]:
    """A ``progress`` that acts once, when something of ``stage`` is done."""
    done = []

    def progress(now: str, count: int, total: int) -> None:
        if now.startswith(stage) and count >= 1 and not done:
            done.append(act())

    return progress


def left(folder: Path, *known: str) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in known)


@pytest.mark.parametrize("name", ["in.npy", "in.tif", "in.mrc", "in.h5", "in.ome.zarr", "in"])
@pytest.mark.parametrize("stage", ["measuring", "restoring"])
def test_rewritten_during_a_run(tmp_path: Path, name: str, stage: str) -> None:
    path = write(tmp_path / name, 0)
    progress = during(stage, lambda: write(path, 100))
    with pytest.raises(ChangedInputError, match="while it was open") as told:
        ruska.denoise(path, tmp_path / "out.npy", method="median", progress=progress)
    assert told.value.subject == str(path)
    assert left(tmp_path, name) == []
    ruska.denoise(path, tmp_path / "out.npy", method="median", report=False)
    assert np.load(tmp_path / "out.npy").min() >= 140


def test_in_memory_too(tmp_path: Path) -> None:
    path = write(tmp_path / "in.tif", 0)
    with pytest.raises(ChangedInputError):
        ruska.denoise(path, method="median", progress=during("restoring", lambda: write(path, 100)))


def test_changed_between_opening_and_the_run(tmp_path: Path) -> None:
    image = ruska.read(write(tmp_path / "in.tif", 0))
    write(tmp_path / "in.tif", 100)
    with pytest.raises(ChangedInputError):
        ruska.denoise(image, tmp_path / "out.npy", method="median")
    assert left(tmp_path, "in.tif") == []


@pytest.mark.parametrize("stage", ["restoring", "drawing", "writing"])
def test_truncated_or_deleted_is_one_line(tmp_path: Path, stage: str) -> None:
    path = write(tmp_path / "in.tif", 0)
    if stage != "writing":  # nothing of the input is read after that
        progress = during(stage, lambda: os.truncate(path, 3000)) if stage == "restoring" else None
        progress = progress or (lambda now, count, total: os.truncate(path, 3000) if now.startswith(stage) else None)
        with pytest.raises(ChangedInputError, match="became shorter"):
            ruska.denoise(path, tmp_path / "out.npy", method="median", progress=progress)
        assert left(tmp_path, "in.tif") == []
        return
    with pytest.raises(InputError, match="can no longer be read"):
        ruska.denoise(path, tmp_path / "out.npy", method="median", progress=during("measuring", path.unlink))
    assert "out.npy" not in left(tmp_path)


def test_a_long_run_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not after the last block, and before what would come next."""
    monkeypatch.setattr(watch, "_EVERY", 0.0)
    monkeypatch.setattr(watch, "_SHARE", 0)
    path, seen = write(tmp_path / "in.npy", 0), []

    def progress(stage: str, done: int, total: int) -> None:
        seen.append(stage)
        if len(seen) == 1:
            write(path, 100)

    with pytest.raises(ChangedInputError):
        ruska.denoise(path, tmp_path / "out.npy", method="median", progress=progress)
    assert len(seen) == 1


def test_glances_are_seldom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = []
    monkeypatch.setattr(watch, "check_unchanged", lambda image, thorough=True, **_: looked.append(thorough))
    ruska.denoise(write(tmp_path / "in.npy", 0), tmp_path / "out.npy", method="median", report=False)
    assert looked == [True]


def test_unfinished_work_of_a_changed_input_is_thrown_away(tmp_path: Path) -> None:
    """Some of its blocks may be of the new content: they must not be there when the old content comes back."""
    path = write(tmp_path / "in.npy", 0)
    shutil.copy2(path, tmp_path / "kept.npy")

    def stop() -> None:
        write(path, 100)
        raise ValueError("anything that goes wrong meanwhile")

    with pytest.raises(ChangedInputError):
        ruska.denoise(path, tmp_path / "out.npy", method="median", progress=during("restoring", stop))
    with work_folder(tmp_path / "out.npy") as folder:
        assert set(left(folder)) <= {"lock", "owner"}


@pytest.mark.parametrize("changed", ["in.npy", "mask.npy"])
def test_a_large_file_with_another_time_is_another_job(
    changed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its digest is of a part of it."""
    from ruska.io import digest
    from ruska.pipeline import Input, Request
    from ruska.pipeline.record import job_identity

    path, beside = write(tmp_path / "in.npy", 0), write(tmp_path / "mask.npy", 1)
    monkeypatch.setattr(digest, "_WHOLE_BYTES", 0)
    monkeypatch.setattr(digest, "_PIECE", 10)

    def identity() -> str:
        image, mask = ruska.read(path), ruska.read(beside)
        request = Request(task="denoise", method="median", inputs={"image": Input(path=str(path))})
        others = {"mask": (mask, digest.digest_image(mask))}
        found = job_identity(request, image, digest.digest_image(image), others)
        return json.dumps(found, default=str)

    first = identity()
    assert identity() == first
    os.utime(tmp_path / changed, (1e9, 1e9))
    assert identity() != first


def test_an_output_among_the_slices_is_no_change(tmp_path: Path) -> None:
    path = write(tmp_path / "in", 0)
    ruska.denoise(path, path / "out.tif", method="median")
    assert (path / "out.report.html").exists()


def test_detector_references(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = ruska.read(write(tmp_path / "in.npy", 0))
    np.save(tmp_path / "gain.npy", np.ones((120, 120), np.float32))
    correct_detector(image, gain=str(tmp_path / "gain.npy"))
    real = ruska.io.read

    def read_and_change(file: str) -> Image:
        found = real(file)
        np.save(file, np.full((120, 120), 2, np.float32))
        return found

    monkeypatch.setattr(ruska.io, "read", read_and_change)
    with pytest.raises(ChangedInputError, match=r"gain\.npy"):
        correct_detector(image, gain=str(tmp_path / "gain.npy"))


def test_a_truth_and_a_noisy_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write(tmp_path / f"{name}.npy", 0) for name in ("result", "truth", "noisy")]
    real = ruska.evaluation.score
    for changed in paths:

        def score(*images: Image, changed: Path = changed) -> Any:
            write(changed, 0)
            return real(*images)

        monkeypatch.setattr(ruska.evaluation, "score", score)
        with pytest.raises(ChangedInputError, match=changed.name):
            ruska.evaluate(*paths, output=tmp_path / "scores")
    assert not list(tmp_path.glob("scores/*"))


def test_a_stack_that_is_registered(tmp_path: Path) -> None:
    """Its slices are read twice: to align them, and when the result is written."""
    plane = np.kron(np.random.default_rng(0).integers(0, 99, (24, 24)), np.ones((4, 4))).astype(np.uint8)
    for stage in ("aligning", "writing"):
        path = tmp_path / f"{stage}.npy"
        np.save(path, np.stack([plane, plane]))

        def progress(now: str, done: int, total: int, stage: str = stage, path: Path = path) -> None:
            if now.startswith(stage):
                np.save(path, np.stack([plane, plane]))

        with pytest.raises(ChangedInputError, match=path.name):
            ruska.register(path, output=tmp_path / "out.tif", progress=progress)
    assert left(tmp_path) == ["aligning.npy", "writing.npy"]


def test_training_data(tmp_path: Path) -> None:
    path = write(tmp_path / "in.tif", 0)
    progress, own = during("training", lambda: write(path, 0)), {"steps": 1, "batch": 1, "patch": 32}
    with pytest.raises(ChangedInputError):
        ruska.train([path], tmp_path / "model", method="noise2void", settings=own, progress=progress)
    assert not (tmp_path / "model" / "card.json").exists()
