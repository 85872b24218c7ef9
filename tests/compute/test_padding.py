"""Padding repeats the edges up to a multiple, and cropping takes it off again."""

from __future__ import annotations

import pytest
import torch

from ruska.compute.padding import cropped, padded


@pytest.mark.parametrize(("shape", "multiple", "whole"), [
    ((2, 1, 5, 8), (4, 4), (8, 8)), ((1, 3, 7, 9), (1, 2), (7, 10)), ((1, 1, 3, 5, 6), (2, 1, 4), (4, 5, 8)),
    ((1, 1, 8, 8), (8, 8), (8, 8)),
])  # fmt: skip
def test_padded_to_a_multiple_and_back(shape, multiple, whole):
    x = torch.rand(shape)
    found = padded(x, multiple)
    assert found.shape == (*shape[:2], *whole)
    assert torch.equal(cropped(found, shape[2:]), x)
    for axis in range(2, len(shape)):
        edge = found.select(axis, shape[axis] - 1)
        assert all(torch.equal(found.select(axis, k), edge) for k in range(shape[axis], whole[axis - 2]))
