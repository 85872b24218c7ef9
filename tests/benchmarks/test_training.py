"""The work of a training step, as `benchmarks.training` counts it, against PyTorch's own count."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from benchmarks.training import made_up, measured, work_of
from torch.utils.flop_counter import FlopCounterMode

from ruska.training.prior import PRESETS, Lessons, levels_of

TINY = replace(PRESETS["cpu"], widths=(16, 16), blocks=(1, 1), patch=32, batch=2, walks=1, samples=0, restoring=0)


def test_operations_are_those_of_the_convolutions():
    cpu = torch.device("cpu")
    network, lessons = TINY.build(), Lessons(made_up(cpu, 2, 192), TINY, levels_of(TINY))
    work = work_of(network, lessons, cpu)
    with FlopCounterMode(display=False) as counter:
        for step in range(10):
            lessons.loss(network, step).mean().backward()
    assert work.operations == pytest.approx(counter.get_total_flops() / 10, rel=0.06)  # inputs need no gradient
    assert work.moved > 0
    seconds, again = measured(TINY, cpu, 3)
    assert seconds > 0
    assert again == work
