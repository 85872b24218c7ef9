"""The variance is stabilised, and the way back has no bias."""

from __future__ import annotations

import numpy as np
import pytest

from ruska.errors import SettingsError
from ruska.physics import PoissonGaussian, anscombe, inverse_anscombe


@pytest.mark.parametrize("peak", [12, 50, 200])
@pytest.mark.parametrize("read_noise", [0.0, 0.04])
def test_the_noise_becomes_one_and_the_mean_comes_back(peak, read_noise):
    for level in (0.2, 0.5, 1.0):
        noisy = PoissonGaussian(peak, read_noise).simulate(np.full(400_000, level), seed=1)
        stabilised = anscombe(noisy, 1 / peak, read_noise**2)
        assert stabilised.std() == pytest.approx(1, abs=0.08 if level * peak < 5 else 0.03)
        back = float(inverse_anscombe(stabilised.mean(), 1 / peak, read_noise**2))
        assert back == pytest.approx(level, rel=0.02 if level * peak < 5 else 0.005)


def test_the_algebraic_inverse_would_be_biased():
    noisy = PoissonGaussian(5, 0).simulate(np.full(400_000, 1.0), seed=1)
    mean = anscombe(noisy, 0.2, 0).mean()
    algebraic = 0.2 * (mean**2 / 4 - 3 / 8)
    assert abs(algebraic - 1) > 0.03
    assert float(inverse_anscombe(mean, 0.2, 0)) == pytest.approx(1, abs=0.01)


def test_what_lies_below_nothing_is_nothing():
    assert (anscombe(np.array([-5.0]), 1.0, 0.1) == 0).all()
    assert inverse_anscombe(np.array([0.0, -1.0]), 1.0, 0.0).tolist() == [0.0, 0.0]
    for gain, read_variance in ((0.0, 0.1), (float("nan"), 0.1), (1.0, -1.0)):
        with pytest.raises(SettingsError):
            anscombe(np.ones(3), gain, read_variance)
