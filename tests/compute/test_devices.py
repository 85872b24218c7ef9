"""The device that is chosen is one that works."""

from __future__ import annotations

import pytest
import torch

from ruska.compute.devices import device_of_choice


@pytest.fixture
def a_gpu(monkeypatch):
    """As far as torch says; what is allocated there goes to the processor, or fails."""
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    asked = []

    def empty(size, dtype, device):
        asked.append((size, str(device)))

    monkeypatch.setattr(torch, "empty", empty)
    return asked


def test_a_gpu_with_room_is_used(a_gpu):
    assert str(device_of_choice()) == "cuda:0"
    assert a_gpu == [(64 << 20, "cuda:0")]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("driver too old\nmore")])
def test_a_gpu_that_is_full_or_broken_leaves_the_work_to_the_processor(a_gpu, monkeypatch, error):
    def empty(size, dtype, device):
        raise error

    monkeypatch.setattr(torch, "empty", empty)
    with pytest.warns(UserWarning, match=r"the processor is used, because cuda:0 .*(out of memory|too old)$"):
        assert str(device_of_choice()) == "cpu"
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert str(device_of_choice()) == "cuda:0"
