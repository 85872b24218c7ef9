"""Indices are reflected at the ends; the mean over orientations is that of what was seen in each."""

from __future__ import annotations

import pytest
import torch

from ruska.compute.mirroring import averaged, mirrored


@pytest.mark.parametrize(("index", "size", "place"), [(-1, 5, 1), (5, 5, 3), (0, 5, 0), (9, 3, 1), (-7, 1, 0)])
def test_mirrored(index, size, place):
    assert mirrored(index, size) == place


def test_the_mean_over_orientations_undoes_each():
    image, seen = torch.arange(12.0).reshape(1, 1, 3, 4), []

    def kept(x):
        seen.append(x)
        return x

    torch.testing.assert_close(averaged(image, 8, kept, kept), image, rtol=0, atol=1e-6)
    assert len({tuple(x.flatten().tolist()) for x in seen}) == 8
