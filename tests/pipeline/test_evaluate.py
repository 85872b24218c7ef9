"""`ruska.evaluate`: scores of arrays and files, written whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import ruska
from ruska.errors import OutputError, SettingsError
from ruska.image import Image
from ruska.physics import STANDARD_DOSES, cell_phantom
from ruska.report import scores as report_scores

CLEAN = cell_phantom((96, 128), 3)
NOISY = STANDARD_DOSES[1].simulate(CLEAN, 0)


def test_arrays_and_files_score_alike(tmp_path: Path) -> None:
    ruska.write(tmp_path / "clean.tif", Image(CLEAN, "YX"))
    direct = ruska.evaluate(NOISY, CLEAN)
    assert ruska.evaluate(NOISY, tmp_path / "clean.tif").scores == direct.scores
    assert direct.picture is None
    assert direct.scores.registration is None


@pytest.mark.parametrize("given", ["nothing", "truth", "noisy", "both"])
def test_a_picture_can_be_drawn_of_whatever_is_given(tmp_path: Path, given: str) -> None:
    stack = np.stack([NOISY] * 3)
    truth = np.stack([CLEAN] * 3) if given in ("truth", "both") else None
    noisy = stack if given in ("noisy", "both") else None
    found = ruska.evaluate(np.stack([CLEAN] * 3), truth, noisy, tmp_path / "out")
    assert found.picture is not None
    assert found.picture.stat().st_size > 10_000
    assert found.numbers is not None
    kept = json.loads(found.numbers.read_text())["scores"]
    if truth is not None:
        assert kept["truth"]["psnr_db"]["median"] is None  # infinite, which JSON cannot say


def test_a_picture_that_fails_leaves_no_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> bytes:
        raise ZeroDivisionError("by design")

    with monkeypatch.context() as patch:
        patch.setattr(report_scores, "draw_scores", broken)
        with pytest.raises(ZeroDivisionError):
            ruska.evaluate(NOISY, CLEAN, output=tmp_path / "out")
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "scores.png").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        ruska.evaluate(NOISY, CLEAN, output=tmp_path / "taken", overwrite=True)
    with monkeypatch.context() as patch:
        patch.setattr(report_scores, "check_free", lambda files, overwrite: None)  # it came there only afterwards
        with pytest.raises(OutputError, match="could not be written"):
            ruska.evaluate(NOISY, CLEAN, output=tmp_path / "taken", overwrite=True)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="is a file"):
        ruska.evaluate(NOISY, CLEAN, output=tmp_path / "file")
    assert not (tmp_path / "out").exists()
    assert [p.name for p in (tmp_path / "taken").iterdir()] == ["scores.png"]


def test_unknown_models_and_a_missing_truth_are_refused() -> None:
    with pytest.raises(SettingsError, match="Did you mean 'shift'"):
        ruska.evaluate(NOISY, CLEAN, register="shif")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="needs a truth"):
        ruska.evaluate(NOISY, register="shift")
