"""What methods say they take is what they take."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from ruska.engine.need import _SLACK
from ruska.methods.network_memory import FIRST_CALL

PROGRAM = """
import json, sys
import numpy as np, torch
from ruska import methods
from ruska.engine import ArraySource, Budget

def held(what):
    return next(int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith(what))

name, settings, shape = json.loads(sys.argv[1])
values = np.random.default_rng(0).normal(0.5, 0.1, shape).astype(np.float32)
method = methods.create(name, settings).prepare(ArraySource(values, "ZYX"[-values.ndim:]), None, Budget())
y = torch.from_numpy(values)[None, None]
method({"image": y[(..., *(slice(0, 16),) * values.ndim)]}, None)  # what only a first call takes
before = held("VmRSS")
method({"image": y}, None)
print(json.dumps([method.working_bytes(y.shape, False) / y.numel(), (held("VmHWM") - before) / y.numel()]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="no /proc")
@pytest.mark.parametrize(
    ("name", "settings", "shape"),
    [
        ("deblur", {"sigma": 2}, (384, 384)),
        ("superres", {"scale": "2"}, (192, 192)),
        ("isotropic", {"factor": "4"}, (12, 64, 64)),
    ],
)
def test_passes_take_no_more_memory_than_is_said(name, settings, shape):
    words = json.dumps([name, {**settings, "noise_std": 0.05, "steps": 2}, shape])
    done = subprocess.run([sys.executable, "-c", PROGRAM, words], capture_output=True, text=True, check=True)
    said, took = json.loads(done.stdout)
    assert 0.4 * said < took <= said + (_SLACK + FIRST_CALL) / np.prod(shape)  # which the engine counts
