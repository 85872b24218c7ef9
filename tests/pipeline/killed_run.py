"""A run of 64 slow blocks in a process of its own, to be killed. Usage: killed_run.py INPUT OUTPUT METHOD PAUSE."""

import sys
import time
from importlib import import_module

import ruska
from ruska.engine import plan
from ruska.engine.workshop import Workshop
from ruska.report import write_report  # noqa: F401

for library in (
    "torch",
    "scipy.ndimage",
    "skimage.restoration",
    "zarr",
    "ruska.methods.filters",
    "ruska.methods.denoisers",
):
    import_module(library)  # so that the kills meet the run, not the imports
plan._PREFERRED_EDGE[2], plan._SMALLEST_EDGE[2] = 64, 32
real_estimate = Workshop.estimate


def slow_estimate(*args):
    time.sleep(float(sys.argv[4]))
    return real_estimate(*args)


Workshop.estimate = slow_estimate
print("ready", flush=True)
settings = {"noise_std": 0.1, "iterations": 6} if sys.argv[3] == "tv" else {}
result = ruska.denoise(sys.argv[1], sys.argv[2], method=sys.argv[3], settings=settings, report=False)
print(result.record["blocks"])
