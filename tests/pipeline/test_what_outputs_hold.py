"""What the output's format cannot hold is refused before the work, under the name that the user gave."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from ruska.errors import OutputError
from ruska.image import Image
from ruska.methods.blindspot import BlindSpot
from ruska.pipeline import denoise, predict_job

COUNTS = np.random.default_rng(0).poisson(1000, (64, 64)).astype(np.int32)
REFUSED = {"int32": Image(COUNTS, "YX"),
           "axes": Image(COUNTS.astype(np.float32).reshape(2, 2, 32, 32), "CZYX")}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_an_output_that_cannot_be_held_is_refused_in_advance(tmp_path: Path, what: str) -> None:
    target = tmp_path / "out.mrc"
    for work in (lambda: predict_job(REFUSED[what], target, "median"),
                 lambda: denoise(REFUSED[what], target, method="median", report=False)):  # fmt: skip
        with pytest.raises(OutputError, match=r"out\.mrc: MRC (holds|cannot hold)") as caught:
            work()
        assert "partial" not in str(caught.value)
        assert not list(tmp_path.iterdir())


def test_nothing_is_learned_for_an_output_that_cannot_be_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learn = BlindSpot.learn

    def rehearsed(self: Any, sources: Any, budget: Any, *rest: Any) -> Any:
        assert budget.rehearsal, "a network is trained for a result that cannot be written"
        return learn(self, sources, budget, *rest)

    monkeypatch.setattr(BlindSpot, "learn", rehearsed)
    with pytest.raises(OutputError, match="MRC cannot hold int32"):
        denoise(REFUSED["int32"], tmp_path / "out.mrc", method="blindspot", settings={"steps": 1})
    assert not list(tmp_path.iterdir())


def test_what_is_asked_for_decides_not_the_input(tmp_path: Path) -> None:
    denoise(REFUSED["int32"], tmp_path / "out.mrc", method="median", report=False, dtype="float32")
    denoise(REFUSED["axes"], tmp_path / "one.mrc", method="median", report=False, roi={"C": slice(1, 2)})
    with mrcfile.open(tmp_path / "out.mrc") as file, mrcfile.open(tmp_path / "one.mrc") as one:
        assert (file.data.dtype, file.data.shape, one.data.shape) == (np.float32, (64, 64), (2, 32, 32))
