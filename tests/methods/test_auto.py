"""The automatic choice follows what the data show, on simulated and on real noise."""

from __future__ import annotations

import numpy as np
import pytest

import ruska
from ruska import methods
from ruska.engine import ArraySource
from ruska.methods.looking import planes_to_look_at, typical_noise
from ruska.physics import PoissonGaussian
from ruska.physics.phantom import cell_phantom


def choice(values):
    method, _, reason = methods.choose(ArraySource(values.astype(np.float32), "ZYX"[-values.ndim :]))
    return f"{method}, streaks" if "scan lines" in reason else method


def test_independent_and_scan_line_noise_are_told_apart():
    clean = cell_phantom((256, 256), seed=5)
    assert choice(PoissonGaussian(50, 0.02).simulate(clean, seed=0)) == "prior"
    streaky = PoissonGaussian(50, 0.02, scan_line_kernel=(1.0, 0.7, 0.3)).simulate(clean, seed=0)
    assert choice(streaky) == "prior, streaks"
    assert choice(np.zeros((8, 300))) == "median"


def test_real_scan_line_noise_is_seen(micrographs):
    noisy = ruska.read(micrographs / "val/kriss_semdenoising/line_noisy_001.tif").numpy()
    assert choice(noisy / 255) == "prior, streaks"


def test_samples_are_spread_over_a_stack_and_cheap():
    class Counting(ArraySource):
        voxels = 0

        def read(self, box):
            part = super().read(box)
            Counting.voxels += part.size
            return part

    numbers = np.zeros((100, 1, 3000), np.float32) + np.arange(100, dtype=np.float32)[:, None, None]
    numbers[..., 1500:] += 0.5  # a plane of one grey level would be passed over
    stack = np.broadcast_to(numbers, (100, 3000, 3000))
    planes = planes_to_look_at(Counting(stack, "ZYX"), edge=64, count=5)
    assert [p[0, 0] for p in planes] == [10, 30, 50, 70, 90]
    assert Counting.voxels == 5 * 64 * 64


@pytest.mark.parametrize("std", [0.05, 0.2])
def test_the_typical_noise_is_that_of_the_median_plane(std):
    rng = np.random.default_rng(0)
    stack = np.stack([rng.normal(0, std * f, (128, 128)) for f in (0.1, 1, 1, 1, 10)]).astype(np.float32)
    assert typical_noise(ArraySource(stack, "ZYX")).std == pytest.approx(std, rel=0.1)
    assert typical_noise(ArraySource(stack[:, :10], "ZYX")) is None
