"""Smoothing keeps what is even."""

from __future__ import annotations

import pytest
import torch

from ruska.compute.smoothing import smooth


def test_smoothing_keeps_the_mean_and_takes_the_noise():
    y = 3 + torch.randn(1, 1, 128, 128, generator=torch.Generator().manual_seed(0))
    found = smooth(y)
    assert found.mean().item() == pytest.approx(3, abs=0.02)
    assert found.std().item() == pytest.approx(1 / (2 * 2 * 3.14159**0.5), rel=0.15)
