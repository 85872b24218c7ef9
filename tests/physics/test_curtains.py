"""Streaks have the stated strength, width, length and direction."""

from __future__ import annotations

import numpy as np
import pytest

from ruska.errors import SettingsError
from ruska.physics import Curtains


@pytest.mark.parametrize("axis", ["Y", "X"])
@pytest.mark.parametrize("length", [120.0, float("inf")])
def test_strength_width_and_direction(axis: str, length: float) -> None:
    flat = np.full((2, 900, 800), 0.5)
    curtains = Curtains(0.1, 6, length, axis)
    shown = curtains.simulate(flat, 3)
    assert shown.dtype == np.float32
    assert shown.shape == flat.shape
    streaks = shown[0] - 0.5 if axis == "Y" else shown[0].T - 0.5
    assert streaks.std() == pytest.approx(0.1, rel=0.2)
    power = float((streaks**2).mean())
    # a Gaussian kernel of full width w gives the correlation 1/4 at a distance of w
    assert (streaks[:, 6:] * streaks[:, :-6]).mean() / power == pytest.approx(0.25, abs=0.15)
    along = (streaks[120:] * streaks[:-120]).mean() / power
    assert along == pytest.approx(1.0 if np.isinf(length) else 0.25, abs=0.15)
    np.testing.assert_array_equal(shown, curtains.simulate(flat, 3))
    assert not np.array_equal(shown[0], shown[1])


@pytest.mark.parametrize(("arguments", "name"), [
    ((-1.0,), "std"), ((0.1, 0.0), "width"), ((0.1, 6.0, 0.0), "length"), ((0.1, 6.0, float("nan")), "length"),
    ((0.1, 6.0, 9.0, "Z"), "axis"),
])  # fmt: skip
def test_impossible_settings_are_refused(arguments: tuple, name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Curtains(*arguments)
