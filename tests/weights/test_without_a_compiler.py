"""A model is looked at without PyTorch's compiler, whose import alone takes longer than a small image."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import sys
from ruska.methods.noise_reading import read_noise
import numpy as np
read_noise(np.random.default_rng(0).normal(size=(128, 128)).astype(np.float32))
assert "torch" in sys.modules
print(*(name for name in ("torch._dynamo", "sympy") if name in sys.modules))
"""


def test_the_noise_reader_imports_no_compiler():
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
