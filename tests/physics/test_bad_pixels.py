"""Bad pixels stand where they are said to stand, in every frame, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruska.errors import SettingsError
from ruska.physics import BadPixels


@given(hot=st.floats(0, 0.5), dead=st.floats(0, 0.5), seed=st.integers(0, 2**31))
def test_as_many_as_stated_and_the_rest_untouched(hot: float, dead: float, seed: int) -> None:
    frames = np.full((3, 17, 19), 0.5, np.float32)
    bad = BadPixels(hot, dead, 9.0, -9.0)
    shown = bad.simulate(frames, seed)
    bright, dark = bad.places((17, 19), seed)
    assert bright.sum() == round(hot * 323)
    assert dark.sum() == min(round(dead * 323), 323 - bright.sum())
    assert not (bright & dark).any()
    for frame in shown:
        np.testing.assert_array_equal(frame, np.where(bright, 9.0, np.where(dark, -9.0, 0.5)))
    assert np.all(frames == 0.5)


@pytest.mark.parametrize(("hot", "dead", "name"), [(-0.1, 0, "hot"), (0, 2, "dead"), (0.6, 0.6, "hot . dead")])
def test_impossible_settings_are_refused(hot: float, dead: float, name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        BadPixels(hot, dead)
