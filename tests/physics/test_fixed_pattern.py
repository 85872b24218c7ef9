"""How strongly a detector's pattern is in a micrograph: as it was put there, on real ones too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ruska
from ruska.physics import cell_phantom
from ruska.physics.fixed_pattern import strengths


def check(plane: np.ndarray) -> None:
    """Recorded by a detector with a pattern, six frames of at most 66 electrons a pixel."""
    plane, random = plane / np.percentile(plane, 99), np.random.default_rng(0)
    gain = np.clip(random.normal(1, 0.04, plane.shape), 0.5, 2)
    dark = random.normal(100, 2, plane.shape)
    raw = np.mean([random.poisson((60 * plane + 6) / gain) for _ in range(6)], axis=0)
    found = strengths("gain", raw, {"right": gain, "flipped": gain[::-1], "turned": gain[::-1, ::-1]})
    assert found["right"].value == pytest.approx(1, abs=0.1)
    assert found["right"].exceeds(found["flipped"], 6)
    assert all(abs(found[key].value) < 5 * found[key].error for key in ("flipped", "turned"))
    assert strengths("gain", raw * gain, {0: gain})[0].value == pytest.approx(0, abs=0.1)
    assert strengths("gain", raw * gain**2, {0: gain})[0].value == pytest.approx(-1, abs=0.1)
    for times in (0, 1, 5):
        one = strengths("dark", raw + times * dark, {0: dark})[0]
        assert one.value == pytest.approx(times, abs=5 * one.error)
    bad = random.random(plane.shape) < 1e-3
    raw[bad] = 0
    marked = strengths("defects", raw, {"right": bad, "flipped": bad[:, ::-1]})
    assert marked["right"].exceeds(marked["flipped"], 6)


def test_strengths_are_what_was_simulated() -> None:
    check(cell_phantom((300, 320), seed=1))


@pytest.mark.parametrize("name", ["val/hrtem_soot/ExampleImage.tif", "val/isbi2012/train_raw_30x512x512.tif"])
def test_and_on_real_micrographs(name: str, micrographs: Path) -> None:
    pixels = ruska.read(micrographs / name).numpy()
    check(pixels.reshape(-1, *pixels.shape[-2:])[0][:400, :384].astype(np.float64))


def test_where_nothing_can_be_told_nothing_is() -> None:
    random = np.random.default_rng(1)
    frame = random.poisson(50, (64, 64)).astype(float)
    assert strengths("gain", frame, {0: np.ones((64, 64))}) == {}
    assert strengths("dark", frame, {0: np.full((64, 64), 7.0)}) == {}
    assert strengths("defects", frame, {0: np.zeros((64, 64))}) == {}
    assert strengths("gain", np.full((64, 64), np.nan), {0: frame}) == {}
    assert strengths("gain", frame[:20, :20], {0: frame[:20, :20]}) == {}
