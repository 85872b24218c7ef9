"""What a file is: looked at once, and the job on it tried no more often than its time needs."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ruska import physics
from ruska.image import Image, Output
from ruska.physics import noise_statistics
from ruska.pipeline import describe
from ruska.pipeline.inspect import _time_once, noise_facts


def test_the_noise_of_a_plane_is_estimated_once_for_the_method_and_the_facts(monkeypatch):
    seen, estimate = [], noise_statistics.estimate_noise

    def counted(plane):
        seen.append(plane.dtype)
        return estimate(plane)

    monkeypatch.setattr(noise_statistics, "estimate_noise", counted)
    monkeypatch.setattr(physics, "estimate_noise", counted)
    values = np.random.default_rng(0).normal(100, 10, (5, 64, 64)).astype(np.uint8)
    facts = describe(Image(values, "ZYX"), "wavelet")
    assert seen.count(np.dtype(np.uint8)) == 0
    assert seen.count(np.dtype(np.float32)) == 5 + 5  # of the planes that are looked at, and slice by slice
    alone = noise_facts(Image(values, "ZYX"))
    assert facts["noise"].keys() == alone.keys()
    for name in ("std", "white_equivalent_std", "correlation_y", "gain"):
        assert facts["noise"][name] == pytest.approx(alone[name], rel=1e-4, abs=1e-4)
    assert facts["noise"]["std"] == pytest.approx(10, rel=0.1)


def test_voxels_that_are_no_numbers_are_left_out_of_the_noise():
    values = np.random.default_rng(0).normal(100, 10, (128, 128)).astype(np.float32)
    values[:, :40] = np.nan
    facts = describe(Image(values, "YX"), "wavelet")
    assert facts["noise"]["std"] == pytest.approx(10, rel=0.1)


class Slow:
    """Takes ``seconds`` of its own clock, the first time also ``start_up``."""

    threads, halo, multiple, outputs = "one", (0, 0), (1, 1), (Output(),)

    def __init__(self, seconds: float, start_up: float = 0.0) -> None:
        self.seconds, self.start_up, self.calls, self.now = seconds, start_up, 0, 0.0

    def __call__(self, inputs, random):
        self.now += self.seconds + (0 if self.calls else self.start_up)
        self.calls += 1
        return {"mean": inputs["image"]}


def test_a_trial_runs_once_where_that_is_enough(monkeypatch):
    y = {"image": torch.zeros(1, 1, 4, 4)}
    long, short = Slow(0.06), Slow(0.005, start_up=0.02)
    for method, seconds, calls in ((long, 0.06, 1), (short, 0.005, 2)):
        clock = SimpleNamespace(perf_counter=lambda method=method: method.now)
        monkeypatch.setattr("ruska.engine.workshop.time", clock)
        assert _time_once(method, y, None) == pytest.approx(seconds)
        assert method.calls == calls
