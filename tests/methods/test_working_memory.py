"""What methods say that a block takes: of one image at a time, with the gaps between arrays."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ruska.methods.filters import Gaussian
from ruska.methods.network_memory import ITERATED, ONE_PASS
from ruska.methods.samples import _white


def test_slices_are_worked_on_one_at_a_time():
    method = Gaussian.create({}).prepare(None, None, None)
    assert method.working_bytes((16, 1, 256, 256), False) == method.working_bytes((1, 1, 256, 256), False)
    assert method.working_bytes((1, 1, 256, 256), False) == method.bytes_per_voxel * 256**2


@pytest.mark.parametrize("gaps", [ONE_PASS, ITERATED])
@pytest.mark.parametrize("kept", [False, True])
def test_gaps_lie_between_arrays(gaps, kept):
    for edge in (256, 512, 1024, 2048):
        assert 1.1 < gaps.around(edge**2, 275.0, kept) / (275.0 * edge**2) < 2


def test_large_arrays_leave_small_gaps_where_freed_memory_is_given_back():
    small, middle, large = (ONE_PASS.around(edge**2, 1.0, kept=False) / edge**2 for edge in (512, 1024, 2048))
    assert large < middle < small
    assert ONE_PASS.around(2048**2, 1.0, kept=True) / 2048**2 > large


def test_numbers_of_a_step_are_kept_until_the_last_image_of_a_batch():
    class Field:
        asked = 0

        def normal(self, step, sample, channel):
            self.asked += 1
            return torch.full((2, 3, 3), float(step)) + torch.arange(2.0).view(2, 1, 1)

    field, known = Field(), {}
    first = _white(field, 0, 0, 0, known, last=False)(4)
    assert set(known) == {4}
    second = _white(field, 0, 0, 1, known, last=True)(4)
    assert not known
    assert field.asked == 1
    assert np.array_equal([first.mean(), second.mean()], [4.0, 5.0])
