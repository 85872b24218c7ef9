"""``ruska evaluate`` as a user meets it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from scipy.ndimage import fourier_shift

import ruska
from ruska.cli import main as cli
from ruska.image import Image, Quantity
from ruska.physics import STANDARD_DOSES, cell_phantom

NM = {"Y": Quantity(4.0, "nm"), "X": Quantity(4.0, "nm")}


@pytest.fixture
def files(tmp_path: Path) -> Path:
    spectrum = np.fft.fft2(cell_phantom((192, 192), seed=4, pixel_size_nm=8))
    here, there = (np.fft.ifft2(fourier_shift(spectrum, s)).real[16:-16, 16:-16] for s in ((0, 0), (0.4, -1.3)))
    noisy = STANDARD_DOSES[0].simulate(np.clip(here, 0, 1), seed=1)
    result = ruska.denoise(Image(noisy, "YX", NM), method="tv", dtype="float32").image.numpy()
    noise = np.random.default_rng(0).normal(0, 1, here.shape)
    for name, values in (("here", here), ("there", there), ("noisy", noisy), ("result", result), ("noise", noise)):
        ruska.write(tmp_path / f"{name}.tif", Image(values.astype(np.float32), "YX", NM))
    ruska.write(tmp_path / "small.tif", Image(here[:-9].astype(np.float32), "YX", NM))
    return tmp_path


def command(*words: object, code: int = 0) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["ruska", "evaluate", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
    assert stop.value.code == code


def test_a_moved_truth_is_put_in_place_and_it_is_said(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = {}
    for name, words in (("here", ()), ("there", ()), ("there", ("--register", "--noisy", files / "noisy.tif"))):
        command(files / "result.tif", "--truth", files / f"{name}.tif", *words, "--json")
        scores[name, bool(words)] = json.loads(capsys.readouterr().out)
    psnr = {key: found["truth"]["psnr_db"]["median"] for key, found in scores.items()}
    assert psnr["there", True] == pytest.approx(psnr["here", False], abs=0.3)  # splines soften edges as sharp as these
    assert psnr["there", False] < psnr["here", False] - 2
    placed = scores["there", True]["registration"]
    assert placed["fixed"] == "noisy.tif"
    assert placed["shift_y_px"]["median"] == pytest.approx(-0.4, abs=0.05)
    assert placed["shift_x_px"]["median"] == pytest.approx(1.3, abs=0.05)
    command(files / "result.tif", "--truth", files / "small.tif", "--register", "--transform", "rigid")
    said = " ".join(capsys.readouterr().out.split())
    assert "confidence" in said
    assert "were scored" in said


def test_numbers_and_picture_are_written(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = files / "new" / "report"
    words = (files / "result.tif", "--truth", files / "there.tif", "--noisy", files / "noisy.tif", "--register")
    command(*words, "-o", folder, "--json")
    said = json.loads(capsys.readouterr().out)
    kept = json.loads((folder / "scores.json").read_text())
    assert kept["scores"] == said
    assert kept["command"].startswith("ruska evaluate")
    assert sorted(p.name for p in folder.iterdir()) == ["scores.json", "scores.png"]
    with Picture.open(folder / "scores.png") as picture:
        assert picture.width > 1500
    before = (folder / "scores.json").read_bytes()
    command(*words, "-o", folder, code=4)
    assert "exists already" in capsys.readouterr().err
    command(*words, "-o", folder, "--overwrite")
    assert (folder / "scores.json").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("--truth", "small.tif"), 3, "--register"),
        (("--truth", "noise.tif", "--register"), 3, "cannot be aligned"),
        (("--truth", "here.tif", "--noisy", "small.tif", "--register"), 3, "has shape"),
        (("--register",), 2, "--truth"),
        (("--truth", "here.tif", "--transform", "rigid"), 2, "Add --register"),
        (("--truth", "here.tif", "--register", "--transform", "rigd"), 2, "Did you mean 'rigid'"),
        (("--truth", "absent.tif"), 3, "absent.tif"),
    ],
)
def test_it_refuses_with_one_line_and_leaves_nothing(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...], code: int, says: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(files)
    before = sorted(files.iterdir())
    command("result.tif", *words, "-o", "out", code=code)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert says in said
    assert sorted(files.iterdir()) == before


def test_repeated_frames_are_compared_as_far_apart_as_the_record_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean = cell_phantom((96, 96), 3)
    movie = np.stack([STANDARD_DOSES[1].simulate(clean, seed=k) for k in range(7)]).astype(np.float32)
    ruska.write(tmp_path / "movie.tif", Image(movie, "TYX"))
    command(tmp_path / "movie.tif", "--frames", "-o", tmp_path / "scores", "--json")
    said = json.loads(capsys.readouterr().out)
    assert (said["apart"], said["channels"]["1"]["pairs"]) == (1, 6)
    assert json.loads((tmp_path / "scores" / "scores.json").read_text())["scores"] == said
    with Picture.open(tmp_path / "scores" / "scores.png") as picture:
        assert picture.width > 1000
    record = {"output": {"path": "movie.tif"}, "plan": {"halo": [2, 8, 8]}}  # as of a method that looks at five frames
    (tmp_path / "movie.record.json").write_text(json.dumps(record))
    command(tmp_path / "movie.tif", "--frames")
    shown = " ".join(capsys.readouterr().out.split())
    assert "; frames 5 apart were compared" in shown
    assert "looked at 5 frames" in shown
    command(tmp_path / "movie.tif", "--frames", "--truth", tmp_path / "movie.tif", code=2)
    assert "Leave out --truth" in capsys.readouterr().err
    command(tmp_path / "movie.tif", "--apart", 2, code=2)
    assert "Add --frames" in capsys.readouterr().err
    command(tmp_path / "movie.tif", "--frames", "--apart", 7, code=3)
    assert "too few" in capsys.readouterr().err


def test_each_number_is_explained_and_inverted_contrast_named(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inverted = files / "inverted.tif"
    ruska.write(inverted, Image(60000 - 1000 * ruska.read(files / "result.tif").numpy(), "YX", NM))
    command(inverted, "--truth", files / "here.tif", "--noisy", files / "noisy.tif")
    said = " ".join(capsys.readouterr().out.split())
    assert "faults the contrast is inverted" in said
    assert "PSNR -" in said
    assert "higher is better" in said
    command(inverted, "--truth", files / "here.tif", "--json")
    found = json.loads(capsys.readouterr().out)
    assert set(found["meaning"]) >= {"psnr_db", "ssim", "gmsd", "resolution_px", "correlation", "noise_after"}
    ruska.write(files / "movie.tif", np.stack([ruska.read(files / "noisy.tif").numpy()] * 3), axes="TYX")
    command(files / "movie.tif", "--frames")
    assert "r between two frames" in " ".join(capsys.readouterr().out.split())
