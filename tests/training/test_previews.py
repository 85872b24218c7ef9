"""Pictures drawn during a training: right numbers, seldom enough, and no need for anything but torch."""

from __future__ import annotations

import sys

import numpy as np
import PIL.Image
import pytest
import torch

from ruska.training import previews as room
from ruska.training.loop import Schedule, train
from ruska.training.previews import LEVELS, Previews

EDGE = 24


def patches(count=3):
    return torch.randn(count, 1, EDGE, EDGE, generator=torch.Generator().manual_seed(1)).clamp(-2, 2)


class Unchanged(torch.nn.Module):
    def forward(self, y, sigma):
        return y


class Nothing(torch.nn.Module):
    def forward(self, y, sigma):
        return torch.zeros_like(y)


class Wiener(torch.nn.Module):
    """Best for white signal of unit variance: it can only be right when told the right noise."""

    def forward(self, y, sigma):
        assert sigma.shape == (len(y), 1, 1, 1)
        return y / (1 + sigma**2)


def pixels(file):
    with PIL.Image.open(file) as picture:
        return np.asarray(picture)


def test_the_numbers_are_errors_in_standard_deviations_of_the_signal(tmp_path):
    clean = patches()
    unchanged = Previews(tmp_path, clean, 5).draw(Unchanged(), 0)
    nothing = Previews(tmp_path, clean, 5).draw(Nothing(), 0)
    for level in LEVELS:
        assert unchanged[f"error_{level:g}"] == pytest.approx(level, rel=0.05)
        assert unchanged[f"invented_{level:g}"] == pytest.approx(level, rel=0.1)
        assert nothing[f"error_{level:g}"] == pytest.approx(clean.std().item(), rel=0.02)
        assert nothing[f"invented_{level:g}"] == 0
    wiener = Previews(tmp_path, clean, 5).draw(Wiener(), 0)
    assert wiener["error_1"] == pytest.approx(0.5**0.5, rel=0.1)
    assert wiener["invented_3"] == pytest.approx(0.3, rel=0.1)


def test_the_picture_has_clean_noisy_and_denoised_side_by_side(tmp_path):
    clean = patches()
    Previews(tmp_path, clean, 5).draw(Nothing(), 1500)
    drawn = pixels(tmp_path / "step-0001500.png")
    assert drawn.shape == (14 + 4 * EDGE, 9 * EDGE)
    cells = drawn[14:].reshape(4, EDGE, 9, EDGE).swapaxes(1, 2)
    wanted = ((clean[:, 0] / 5 + 0.5) * 255).numpy()
    np.testing.assert_allclose(cells[:3, 0], wanted, atol=1)
    assert (np.ptp(cells[:, 2::2], axis=(2, 3)) == 0).all()  # what nothing makes of them
    assert (cells[3, 1::2].std((1, 2)) > 3).all()  # the last row is pure noise
    assert np.ptp(cells[3, 0]) == 0
    assert sorted(file.suffix for file in tmp_path.iterdir() if "event" not in file.name) == [".png"]


def test_the_same_numbers_are_there_for_tensorboard(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    watch = Previews(tmp_path, patches(), 5)
    numbers = watch.draw(Unchanged(), 10)
    watch.draw(Nothing(), 20)
    found = events.EventAccumulator(str(tmp_path))
    found.Reload()
    assert found.Tags()["scalars"] == list(numbers)
    written = found.Scalars("error_0.3")
    assert [event.step for event in written] == [10, 20]
    assert written[0].value == pytest.approx(numbers["error_0.3"])


class Clock:
    """A time that passes when it is told to; drawing takes ``cost`` seconds."""

    def __init__(self, monkeypatch, cost):
        self.now, self.cost, self.drawn = 0.0, cost, []
        monkeypatch.setattr(room.time, "perf_counter", lambda: self.now)
        monkeypatch.setattr(Previews, "draw", lambda *_: self.draw())

    def draw(self):
        self.drawn.append(self.now)
        self.now += self.cost

    def run(self, watch, seconds):
        end = self.now + seconds
        while self.now < end:
            watch(Unchanged(), 0)
            self.now += 1


def test_drawings_are_minutes_apart(tmp_path, monkeypatch):
    clock = Clock(monkeypatch, cost=0.5)
    clock.run(Previews(tmp_path, patches(), 5), 1000)
    assert np.diff(clock.drawn) == pytest.approx(300, abs=2)
    assert len(clock.drawn) == 4


def test_drawings_never_take_a_hundredth_of_the_time(tmp_path, monkeypatch):
    clock = Clock(monkeypatch, cost=20)
    clock.run(Previews(tmp_path, patches(), 5), 40_000)
    assert len(clock.drawn) > 5
    assert 20 * len(clock.drawn) < 0.01 * 40_000


def test_drawings_of_a_long_training_are_further_apart(tmp_path, monkeypatch):
    clock = Clock(monkeypatch, cost=0.1)
    clock.run(Previews(tmp_path, patches(), 5), 200_000)
    assert len(clock.drawn) < 120
    assert clock.drawn[-1] - clock.drawn[-2] > 6000


def test_without_other_packages_nothing_is_drawn_and_nothing_fails(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert Previews(tmp_path / "out", patches(), 5).draw(Unchanged(), 0)["error_1"] > 0.9
    assert list((tmp_path / "out").iterdir()) == []


def test_watching_changes_nothing_and_sees_the_averaged_network(tmp_path):
    def loss(network, step):
        x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(step))
        return (network(x) - 2 * x).square().mean()

    def trained(watch):
        torch.manual_seed(0)
        return train(torch.nn.Conv2d(1, 1, 1), loss, Schedule(steps=5, precision="fp32"), watch=watch).network

    seen = []
    watched = trained(lambda network, step: seen.append((step, network.weight.item())))
    assert [step for step, _ in seen] == [1, 2, 3, 4, 5]
    assert seen[-1][1] == watched.weight.item() == trained(None).weight.item()
