"""Every number of a score is explained in one plain line, and what makes numbers meaningless is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ruska.evaluation import MEANING, OF_FRAMES, score, score_frames
from ruska.evaluation.score import ResidualScores, TruthScores
from ruska.image import Image
from ruska.physics import cell_phantom

CLEAN = (1000 * cell_phantom((96, 96), seed=2)).astype(np.float64)
NOISY = CLEAN + np.random.default_rng(0).normal(0, 40, CLEAN.shape)


def plane(values: np.ndarray) -> Image:
    return Image(values, "YX")


def test_every_number_has_a_meaning() -> None:
    numbers = {*TruthScores.__dataclass_fields__, *ResidualScores.__dataclass_fields__, "noise_after", "noise_before"}
    assert numbers <= set(MEANING)
    found = score(plane(CLEAN), plane(CLEAN), plane(NOISY)).as_dict()["meaning"]
    assert set(found) == numbers
    assert all("\n" not in text and len(text) < 110 for text in found.values())
    frames = score_frames(Image(np.stack([NOISY, CLEAN]), "TYX")).as_dict()["meaning"]
    assert frames["correlation"] == OF_FRAMES["correlation"].text != MEANING["correlation"].text
    assert {"snr_db", "resolution_px"} <= set(frames)
    docs = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text("utf-8")
    assert [name for name in numbers if f"`{name}`" not in docs] == []


def test_inverted_and_scaled_results_are_named_whatever_they_are_compared_with() -> None:
    small = slice(0, 48)  # too small for faults
    inverted = score(plane(1000 - CLEAN), plane(CLEAN))
    assert inverted.truth is not None
    assert inverted.truth.correlation.median < -0.99
    assert inverted.truth.resolution_px.median == 2
    assert inverted.faults is not None
    assert "inverted" in inverted.faults[0]
    assert "inverted" in " ".join(score(plane(-CLEAN[small, small]), plane(CLEAN[small, small])).notes)
    against_noisy = score(plane(1000 - CLEAN), noisy=plane(NOISY)).notes
    assert "Against the noisy image the contrast is inverted" in against_noisy[-1]
    assert "times that of the noisy image" in score(plane(CLEAN * 65), noisy=plane(NOISY)).notes[-1]
    assert len(score(plane(CLEAN), noisy=plane(NOISY)).notes) == 1
    assert len(score(plane(CLEAN), plane(NOISY), plane(NOISY)).notes) == 0
