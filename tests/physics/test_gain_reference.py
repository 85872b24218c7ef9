"""The reference evens out the detector it was made from, and marks what cannot be evened out."""

from __future__ import annotations

import numpy as np
import pytest

from ruska.errors import GeometryError
from ruska.physics import gain_reference


def detector(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.uniform(0.8, 1.2, (40, 50)), random.uniform(90, 110, (40, 50))


def test_flat_frames_become_flat() -> None:
    response, dark = detector()
    frames = np.random.default_rng(1).poisson(1000 * response, (25, 40, 50)) + dark
    gain = gain_reference(frames, dark)
    assert gain.dtype == np.float32
    # relative noise of the reference: 1 / sqrt(25 frames x 1000 electrons) = 0.6 %
    np.testing.assert_allclose(gain * response, np.mean(response), rtol=0.03)
    assert np.std(gain * response) < 0.008
    again = (frames - dark) * gain
    assert again.mean() == pytest.approx((frames - dark).mean(), rel=1e-3)  # the grey level is kept
    np.testing.assert_array_equal(gain_reference(frames[:1], dark), gain_reference(frames[0], dark))


def test_dead_and_missing_pixels_are_marked() -> None:
    response, _ = detector()
    frames = np.stack([100 * response] * 3)
    frames[:, 2, 3] = 0
    frames[:, 4, 5] = 3  # a few per cent of the others: amplified noise
    frames[:, 6, 7] = np.nan
    frames[0, 8, 9] = np.inf
    gain = gain_reference(frames)
    np.testing.assert_array_equal(np.argwhere(np.isnan(gain)), [[2, 3], [4, 5], [6, 7]])
    assert gain[8, 9] == pytest.approx(np.nanmean(response) / response[8, 9], rel=0.01)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(GeometryError, match="brighter"):
        gain_reference(np.full((2, 4, 4), 5), np.full((4, 4), 5))
    with pytest.raises(GeometryError, match="dark reference"):
        gain_reference(np.ones((2, 4, 4)), np.zeros((4, 5)))
    with pytest.raises(GeometryError, match="shape"):
        gain_reference(np.zeros((0, 4, 4)))
