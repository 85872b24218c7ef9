"""The memory of a run is what was predicted: never more, and not much less."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import json, resource, sys
import numpy as np, torch
from engine_methods import Identity
from ruska.engine import ArraySource, Budget, Layout, MemoryStore, plan_blocks, run
from ruska.image import Estimate

class Hungry(Identity):
    def __call__(self, y, random):
        own = torch.ones(int(self.bytes_per_voxel) // 4, *y.shape)
        return Estimate(y + own[0])

values = np.zeros((1024, 1024), np.uint16)
method = Hungry(bytes_per_voxel=600.0, threads="many")
layout = Layout("YX", values.shape, 2)
plan = plan_blocks(layout, method, Budget(4 << 30, workers=2), dtype=values.dtype, out_dtype=values.dtype)
sink = MemoryStore(plan.output_shape, values.dtype)
run(ArraySource(values, "YX"), method, sink, plan)
if sys.platform == "darwin":
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
else:  # not ru_maxrss, which begins at what the parent process held
    peak = next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([plan.size, plan.memory_bytes, peak]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
def test_the_prediction_is_at_most_15_percent_above_what_a_process_took_and_never_below():
    words = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    blocks, predicted, peak = json.loads(done.stdout)
    assert blocks == 1
    assert 1 <= predicted / peak <= 1.15


@pytest.mark.parametrize("told", [False, True])
def test_what_the_allocator_was_told_is_seen(told):
    from ruska.engine.memory import keeps_freed_memory

    if platform.libc_ver()[0] != "glibc":
        assert not keeps_freed_memory()
        return
    program = (
        "from ruska.engine.allocator import keep_freed_memory; from ruska.engine.memory import keeps_freed_memory; "
    )
    program += "keep_freed_memory(); " * told + "print(keeps_freed_memory())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(told)
