"""The memory of a run is what was predicted: never more, and not much less."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = """
import json, resource, sys
import numpy as np, torch
from engine_methods import Identity
from ruska.engine import ArraySource, Budget, Layout, MemoryStore, plan_blocks, run

class Hungry(Identity):
    def change(self, y, random):
        own = torch.ones(int(self.bytes_per_voxel) // 4, *y.shape)
        return y + own[0]

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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc only")
@pytest.mark.parametrize("kept", [False, True])
def test_freed_memory_is_given_back(kept):
    """Also where the process was told to keep it, and what threads freed."""
    program = """
import sys
from threading import Thread
import numpy as np
from ruska.engine.allocator import give_back_freed_memory, keep_freed_memory, share_one_heap
from ruska.engine.memory import resident_memory
if sys.argv[1] == "True":
    assert keep_freed_memory()
assert share_one_heap()
def work():
    arrays = [np.ones(1 << 17) for _ in range(100)]
    pieces = [np.ones(1 << 14) for _ in range(10)]
    del arrays[:]
    held.extend(pieces)
held = []
before = resident_memory()
threads = [Thread(target=work) for _ in range(2)]
[t.start() for t in threads], [t.join() for t in threads]
give_back_freed_memory()
print(resident_memory() - before)
"""
    done = subprocess.run([sys.executable, "-c", program, str(kept)], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20e6  # of 210


def test_the_peak_is_that_of_this_process():
    program = "import numpy as np; from ruska.engine.memory import peak_memory, resident_memory; "
    program += "a = np.ones(25_000_000); full = resident_memory(); del a; print(full, peak_memory(), resident_memory())"
    held = np.ones(50_000_000)  # that a child begins with in some counts
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    full, peak, now = map(int, done.stdout.split())
    assert 0.99 * full < peak < 1.1 * full  # pages are counted in batches
    assert now < full - 150e6
    assert held.all()
