"""Whole grey levels within the range, the ends outside it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruska.errors import SettingsError
from ruska.physics import Digitiser


@given(bits=st.integers(1, 16), low=st.floats(-100, 100), span=st.floats(0.01, 100))
def test_rounds_to_the_nearest_level_and_cuts_off(bits: int, low: float, span: float) -> None:
    digitiser = Digitiser(bits, low, low + span)
    brightness = np.linspace(low - span, low + 2 * span, 301)
    levels = digitiser.digitise(brightness)
    assert levels.dtype == (np.uint8 if bits <= 8 else np.uint16)
    assert levels.min() == 0
    assert levels.max() == 2**bits - 1
    inside = (brightness >= low) & (brightness <= low + span)
    np.testing.assert_allclose(
        low + levels[inside] * digitiser.step, brightness[inside], atol=digitiser.step / 2 + 1e-9 * (abs(low) + span)
    )
    assert np.all(levels[brightness < low] == 0)
    assert np.all(levels[brightness > low + span] == 2**bits - 1)


@pytest.mark.parametrize(("arguments", "name"), [
    ((0,), "bits"), ((17,), "bits"), ((8, 1.0, 1.0), "low"), ((8, 0.0, float("inf")), "low"),
])  # fmt: skip
def test_impossible_settings_are_refused(arguments: tuple, name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Digitiser(*arguments)
