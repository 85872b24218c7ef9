"""GPUs that run out of memory, and several of them: blocks in parts, on the processor, on every device."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from threading import Barrier

import numpy as np
import pytest
import torch
from engine_methods import BoxFilter, Diffusion, Identity, Noise, box_filter, run_whole

from ruska.engine import devices
from ruska.engine.devices import device_of, moved, networks_of, out_of_memory, twin
from ruska.errors import ResourceError


class Weights(torch.nn.Module):
    """On a GPU that this machine need not have, until it is moved."""

    def __init__(self, device="cuda:0"):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1, device="meta"))
        self.told = torch.device(device)

    def parameters(self, recurse=True):
        yield self

    @property
    def device(self):
        return self.told

    def to(self, device):
        self.told = torch.device(device)
        return self


def full(device):
    if device.type == "mps":
        raise RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB). Tried to allocate 2 GB\nmore")
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB\nmore")


@dataclass
class Small(BoxFilter):
    """A box filter on a device with room for so many voxels."""

    room: int = 3000
    network: Weights = field(default_factory=Weights)
    threads: str = "many"
    seen: list = field(default_factory=list)

    def __post_init__(self):
        self.halo = (2 * self.radius,) * 2  # of which half is blended over

    def change(self, y, random):
        device = self.network.device
        if device.type != "cpu" and y.numel() > self.room:
            full(device)
        self.seen.append((device.type, y.numel()))
        return super().change(y, random)


VALUES = np.random.default_rng(0).normal(0.5, 0.2, (3, 90, 110)).astype(np.float32)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.mps, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


@pytest.mark.parametrize("device", ["cuda:0", "mps"])
@pytest.mark.parametrize("multiple", [1, 4])
@pytest.mark.parametrize(("merge", "workers"), [("cut", 1), ("cut", 2), ("mean", 1)])
def test_a_block_that_does_not_fit_is_computed_in_parts(device, multiple, merge, workers):
    options = {"multiple": (multiple, multiple), "merge": merge}
    whole, *_ = run_whole(BoxFilter(**options), VALUES, "ZYX", edge=200)
    method = Small(network=Weights(device), **options)
    out, outcome, _ = run_whole(method, VALUES, "ZYX", edge=64, workers=workers)
    np.testing.assert_allclose(out, whole, rtol=1e-5)
    assert {d for d, _ in method.seen} == {torch.device(device).type}
    assert max(n for _, n in method.seen) <= 3000
    assert len(outcome.notes) == 1
    assert device in outcome.notes[0]
    assert "Tried to allocate" in outcome.notes[0]
    assert "\n" not in outcome.notes[0]


def test_what_did_not_fit_is_not_tried_again():
    calls = []

    class Counting(Small):
        def change(self, y, random):
            calls.append(y.numel())
            return super().change(y, random)

    _, _, plan = run_whole(Counting(), np.tile(VALUES, (4, 1, 1)), "ZYX", edge=24)
    assert plan.size > 8
    assert sum(n > 3000 for n in calls) <= 5


def test_what_fits_is_the_same_bytes_as_ever():
    plain, *_ = run_whole(BoxFilter(), VALUES, "ZYX", edge=32)
    fits, outcome, _ = run_whole(Small(room=10**6), VALUES, "ZYX", edge=32)
    np.testing.assert_array_equal(fits, plain)
    assert outcome.notes == []


@pytest.mark.parametrize("device", ["cuda:0", "mps"])
def test_where_no_part_fits_the_processor_goes_on(device):
    whole, *_ = run_whole(BoxFilter(), VALUES, "ZYX", edge=200)
    method = Small(network=Weights(device), room=20)
    out, outcome, _ = run_whole(method, VALUES, "ZYX", edge=32)
    np.testing.assert_allclose(out, whole, rtol=1e-5)
    assert {d for d, _ in method.seen} == {"cpu"}
    assert "the CPU was used" in outcome.notes[-1]
    assert len(outcome.notes) == 2


def test_parts_see_the_noise_of_their_place():
    @dataclass
    class SmallNoise(Noise):
        network: Weights = field(default_factory=Weights)
        threads: str = "many"

        def change(self, y, random):
            if y.numel() > 900:
                full(self.network.device)
            return super().change(y, random)

    values = np.zeros((2, 3, 50, 60), np.float32)
    whole, *_ = run_whole(Noise(), values, "TCYX", edge=100, seed=5)
    parts, outcome, _ = run_whole(SmallNoise(), values, "TCYX", edge=100, seed=5)
    np.testing.assert_array_equal(whole, parts)
    assert outcome.notes


def test_parts_of_a_finer_grid_and_of_a_volume():
    @dataclass
    class Deeper(Identity):
        """Three slices of each two, with a random number in each voxel, on a GPU with little room."""

        halo: tuple[int, ...] = (2, 4, 4)
        multiple: tuple[int, ...] = (2, 1, 1)
        scale: tuple[Fraction, ...] = (Fraction(3, 2), Fraction(2), Fraction(1))
        merge: str = "mean"
        room: int = 10**9
        network: Weights = field(default_factory=Weights)
        threads: str = "many"

        def change(self, y, random):
            if y.numel() > self.room:
                full(self.network.device)
            finer = torch.nn.functional.interpolate(y, scale_factor=(1.5, 2, 1), mode="nearest")
            return finer + random.finer(self.scale).normal(2)[:, None]

    volume = np.random.default_rng(1).normal(0, 1, (12, 20, 24)).astype(np.float32)
    whole, *_ = run_whole(Deeper(), volume, "ZYX", edge=100)
    parts, outcome, _ = run_whole(Deeper(room=2500), volume, "ZYX", edge=100)
    assert whole.shape == (18, 40, 24)
    np.testing.assert_allclose(parts, whole, atol=1e-6)
    assert outcome.notes


def test_sweeps_go_on_with_the_processor():
    @dataclass
    class SmallDiffusion(Diffusion):
        network: Weights = field(default_factory=Weights)

        def sweep(self, state, inputs, k, random):
            if k == 3 and self.network.device.type != "cpu":
                full(self.network.device)
            return super().sweep(state, inputs, k, random)

    whole, *_ = run_whole(Diffusion(), VALUES[0], edge=100)
    out, outcome, _ = run_whole(SmallDiffusion(), VALUES[0], edge=30)
    np.testing.assert_allclose(out, whole, rtol=1e-5)
    assert "the CPU was used" in outcome.notes[0]


def test_a_processor_without_memory_is_said():
    method = Small(room=0)
    method.network = None
    method.network = type("Full", (), {"device": torch.device("cuda")})()
    with pytest.raises(ResourceError, match="ran out of memory"):
        run_whole(method, VALUES, "ZYX", edge=32)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    assert not out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))

    class Broken(Small):
        def change(self, y, random):
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        run_whole(Broken(), VALUES, "ZYX", edge=32)


def test_every_gpu_gets_blocks_at_the_same_time(monkeypatch):
    """Two blocks meet on two devices: one after the other, they would wait for each other for ever."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    meeting = Barrier(2, timeout=30)
    seen = []

    @dataclass
    class Meeting(BoxFilter):
        network: Weights = field(default_factory=Weights)
        threads: str = "many"

        def change(self, y, random):
            meeting.wait()
            seen.append(str(self.network.device))
            return box_filter(y, self.radius)

    whole, *_ = run_whole(BoxFilter(), VALUES[0], edge=200)
    out, outcome, plan = run_whole(Meeting(), VALUES[0], edge=64, workers=4)
    np.testing.assert_allclose(out, whole, rtol=1e-5)
    assert plan.workers == 3
    assert plan.size == outcome.blocks == len(seen) == 4
    assert sorted(set(seen)) == ["cuda:0", "cuda:1"]


@pytest.mark.parametrize(("variable", "expected"), [(None, ["cuda:0", "cuda:2"]), ("LOCAL_RANK", [])])
def test_other_devices_are_those_of_the_same_kind(monkeypatch, variable, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if variable:
        monkeypatch.setenv(variable, "0")
    assert [str(d) for d in devices.other_devices(Small(network=Weights("cuda:1")))] == expected
    assert devices.other_devices(Small(network=Weights("cpu"))) == []
    assert devices.other_devices(BoxFilter()) == []


def test_a_twin_has_networks_of_its_own():
    @dataclass(frozen=True)
    class Outer:
        inner: Small

    method = Outer(Small())
    other = moved(twin(method), "cuda:1")
    assert str(device_of(other)) == "cuda:1"
    assert str(device_of(method)) == "cuda:0"
    assert len(list(networks_of(other))) == 1
    assert other.inner.seen is method.inner.seen
