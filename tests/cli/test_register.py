"""``ruska register`` as a user meets it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import ruska
from ruska.cli import main as cli
from ruska.image import Image
from ruska.physics import cell_phantom


@pytest.fixture
def files(tmp_path: Path) -> Path:
    scene = np.rint(200 * cell_phantom((120, 120), seed=4, pixel_size_nm=8)).astype(np.uint8)
    grain = np.random.default_rng(0).normal(0, 12, scene.shape)
    ruska.write(tmp_path / "clean.tif", Image(scene[4:-4, 4:-4], "YX"))
    ruska.write(tmp_path / "noisy.tif", Image((scene + grain).astype(np.float32)[2:-6, 7:-1], "YX"))
    ruska.write(tmp_path / "noise.tif", Image(grain.astype(np.float32), "YX"))
    return tmp_path


def command(*words: object, code: int = 0) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ruska", "register", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert stop.value.code == code


def test_it_says_where_the_image_was_put(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = files / "placed.tif"
    command(files / "clean.tif", files / "noisy.tif", "-o", out)
    said = capsys.readouterr().out
    [(down, left)] = re.findall(r"([\d.]+) pixels down, ([\d.]+) pixels left", said)
    assert float(down) == pytest.approx(2, abs=0.1)
    assert float(left) == pytest.approx(3, abs=0.1)
    assert "confidence" in said
    assert "error" in said
    assert (files / "placed.record.json").exists()
    command(files / "clean.tif", files / "noisy.tif", "-o", out, "--overwrite", "--json", "--transform", "rigid")
    record = json.loads(capsys.readouterr().out)
    assert record["alignment"]["model"] == "rigid"
    assert abs(record["alignment"]["angle_deg"]) < 0.2


def test_it_refuses_with_one_line_and_leaves_nothing(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(files.iterdir())
    command(files / "clean.tif", files / "noise.tif", "-o", files / "out.tif", code=3)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "clean.tif and noise.tif: " in said or "clean.tif: " in said
    command(files / "clean.tif", files / "noisy.tif", "-o", files / "out.tif", "--transform", "rigd", code=2)
    assert "Did you mean 'rigid'" in capsys.readouterr().err
    assert sorted(files.iterdir()) == before


def test_the_recorded_command_repeats_a_stack(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shlex

    noisy = ruska.read(files / "noisy.tif").numpy()
    ruska.write(files / "stack.npy", Image(np.stack([noisy[:-2], noisy[2:]]), "ZYX"))
    command(files / "stack.npy", "-o", files / "out.npy", "--axes", "ZYX", "--crop", "--neighbours", "1")
    assert "pixels from slice to slice" in capsys.readouterr().out
    first = ruska.read(files / "out.npy").numpy()
    words = shlex.split(json.loads((files / "out.record.json").read_text())["command"])
    command(*words[2:], "--overwrite")
    assert np.array_equal(first, ruska.read(files / "out.npy").numpy())


def test_what_the_output_cannot_hold_is_said_before_the_work(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stack = np.random.default_rng(1).integers(0, 99, (3, 64, 64)).astype(np.int32)  # which would fail later, too
    ruska.write(files / "whole.tif", Image(stack, "ZYX"))
    command(files / "whole.tif", "-o", files / "whole.mrc", code=4)
    assert "MRC cannot hold int32. Pass --dtype float32" in capsys.readouterr().err
    five = Image(np.zeros((2, 3, 8, 8), np.float32), "TZYX")
    ruska.write(files / "five.ome.tif", five)
    command(files / "five.ome.tif", "-o", files / "five.mrc", code=4)
    assert "MRC holds three axes" in capsys.readouterr().err
    command(files / "clean.tif", files / "noisy.tif", "-o", files / "placed.mrc", "--json")
    said = capsys.readouterr()
    assert said.err == ""
    assert any("16-bit" in line for line in json.loads(said.out)["output"]["not_kept"])
    command(files / "clean.tif", files / "noisy.tif", "-o", files / "again.mrc")
    assert "In the MRC file, uint8 values are stored as 16-bit integers" in capsys.readouterr().err
