"""Batches made ahead of time are the same batches."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from ruska.engine import ArraySource
from ruska.training import PatchSampler, Schedule, train
from ruska.training.prefetch import Prefetched


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("prefetch")]


@pytest.mark.parametrize("numbers", [range(20), range(37, 50), range(3, 40, 4), [5, 5, 2, 9, 8, 7, 30, 0, 0]])
@pytest.mark.parametrize("ahead", [1, 3])
def test_results_are_those_asked_for(numbers, ahead):
    with Prefetched(lambda n: n * n, ahead) as squares:
        assert [squares(n) for n in numbers] == [n * n for n in numbers]


def test_patches_and_what_is_learned_from_them_stay_the_same():
    image = np.random.default_rng(0).random((64, 64), dtype=np.float32)
    sampler = PatchSampler([ArraySource(image, "YX")], 16)

    def learned(batches):
        torch.manual_seed(0)
        network = torch.nn.Conv2d(1, 1, 3, padding=1)
        schedule = Schedule(steps=30, precision="fp32", accumulate=2)

        def loss(net, batch):
            noisy = batches(batch)[0]
            return (net(noisy) - noisy).abs().mean()

        return train(network, loss, schedule).network.state_dict()

    def make(batch):
        return sampler.batch(batch, 4)

    with Prefetched(make) as batches:
        ahead = learned(batches)
    torch.testing.assert_close(ahead, learned(make), rtol=0, atol=0)


def test_the_next_ones_are_made_meanwhile_but_no_more():
    made = []
    with Prefetched(lambda n: made.append(n) or n, ahead=3) as numbers:
        numbers(10)
        numbers(12)
        deadline = time.monotonic() + 60
        while 18 not in made and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert max(made) == 18
        assert set(range(10, 19, 2)) <= set(made)


def test_an_error_comes_where_its_result_is_asked_for():
    def make(number):
        if number == 3:
            raise OSError("disk")
        return number

    with Prefetched(make) as numbers:
        assert [numbers(n) for n in range(3)] == [0, 1, 2]
        with pytest.raises(OSError, match="disk"):
            numbers(3)
        assert numbers(4) == 4


def test_the_thread_ends_also_after_an_error():
    with Prefetched(lambda n: n) as numbers:
        numbers(0)
        assert threads()
    assert not threads()
    with pytest.raises(KeyboardInterrupt), Prefetched(lambda n: n) as numbers:  # noqa: PT012
        numbers(0)
        raise KeyboardInterrupt
    assert not threads()
