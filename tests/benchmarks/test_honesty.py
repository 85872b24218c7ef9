"""Noise alone comes out flat, through the same call as a user's; what was removed is measured as it should be."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.honesty import KINDS, left_of_noise, noise_alone, standardised


@pytest.mark.parametrize("level", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("kind", KINDS)
def test_noise_alone_comes_out_flat(kind, level):
    assert left_of_noise(noise_alone(kind, level)) < 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_noise_alone_has_the_level_it_says(kind):
    middle = noise_alone(kind, 0.1)[48:-48, 48:-48]
    assert middle.std() == pytest.approx(0.1, rel=0.05)
    assert middle.mean() == pytest.approx(0.5, abs=0.02)
    alike = np.corrcoef(middle[:, 1:].ravel(), middle[:, :-1].ravel())[0, 1]
    assert alike == pytest.approx(0.55 if kind == "scan line" else 0, abs=0.06)


def test_a_residual_of_noise_alone_has_all_of_its_power():
    random = np.random.default_rng(0)
    noise = random.normal(0, 1, (128, 128))
    assert standardised(noise, noise) == pytest.approx({"variance": 1, "coarse": 1, "middle": 1, "fine": 1}, rel=0.03)
    structure = np.sin(np.arange(128) * 2 * np.pi / 32)[:, None] * np.ones(128)
    found = standardised(noise + structure, noise)
    assert found["coarse"] > 2
    assert found["fine"] == pytest.approx(1, rel=0.02)
