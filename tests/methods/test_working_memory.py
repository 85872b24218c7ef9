"""What methods say that a block takes: of one image at a time, with the gaps between arrays."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from ruska.methods import create
from ruska.methods.network_memory import ITERATED, ONE_PASS, Arrays
from ruska.methods.samples import _white

EMBEDDED = Arrays.of((48, 96, 128, 192))


def test_slices_are_worked_on_one_at_a_time():
    method = create("gaussian").prepare(None, None, None)
    assert method.working_bytes((16, 1, 256, 256), False) == method.working_bytes((1, 1, 256, 256), False)
    assert method.working_bytes((1, 1, 256, 256), False) == method.bytes_per_voxel * 256**2


@pytest.mark.parametrize("gaps", [ONE_PASS, ITERATED])
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("maps", [False, True])
def test_gaps_lie_between_arrays(gaps, kept, maps):
    for edge in (256, 512, 1024, 2048):
        alive = EMBEDDED.alive(maps) * edge**2
        assert 1.1 < gaps.around(edge**2, EMBEDDED, kept, maps) / alive < 2


def test_large_arrays_leave_small_gaps_where_freed_memory_is_given_back():
    small, middle, large = (ONE_PASS.around(edge**2, EMBEDDED, kept=False) / edge**2 for edge in (512, 1024, 2048))
    assert large < middle < small
    assert ONE_PASS.around(2048**2, EMBEDDED, kept=True) / 2048**2 > large


def test_narrow_networks_leave_the_gaps_of_small_images_up_to_larger_ones():
    narrow = Arrays.of((12, 24))
    assert ONE_PASS.around(1024**2, narrow, kept=False) / narrow.alive(False) == pytest.approx(1.7 * 1024**2)
    assert ONE_PASS.around(1024**2, EMBEDDED, kept=False) / EMBEDDED.alive(False) == pytest.approx(1.35 * 1024**2)


def test_the_largest_arrays_are_not_always_the_first():
    assert (Arrays.of((48, 96, 128)).widest, Arrays.of((48, 96, 128)).next) == (48, 24)
    assert (Arrays.of((16, 128, 192)).widest, Arrays.of((16, 128, 192)).next) == (32, 16)
    assert Arrays.of((16,)).next == 0


PASS = """
import json, sys
import torch
from ruska.networks.denoiser import Denoiser

def held(what):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(what))

widths, blocks, edge, maps = json.loads(sys.argv[1])
network = Denoiser(widths=widths, blocks=blocks).eval()
y, level = torch.randn(1, 1, edge, edge), torch.ones(1, 1, *(edge, edge) if maps else (1, 1))
with torch.inference_mode():
    network(y[..., :64, :64].clone(), level[..., :64, :64].clone())  # what only a first call takes
    before = held("VmRSS")
    network(y, level)
print((held("VmHWM") - before) / edge**2)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
@pytest.mark.parametrize(
    ("widths", "blocks", "edge", "maps"),
    [((24, 48, 64), (1, 1, 2), 1536, False), ((24, 48, 64), (1, 1, 2), 1536, True), ((96, 128), (1, 1), 640, False)],
)
def test_networks_of_other_widths_take_what_is_said(widths, blocks, edge, maps):
    words = json.dumps([widths, blocks, edge, maps])
    took = float(
        subprocess.run([sys.executable, "-c", PASS, words], stdout=subprocess.PIPE, text=True, check=True).stdout
    )
    arrays = Arrays.of(widths)
    assert arrays.alive(maps) == pytest.approx(took, rel=0.25)  # gaps are up to 0.15 here
    assert took <= ONE_PASS.around(edge**2, arrays, False, maps) / edge**2


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
