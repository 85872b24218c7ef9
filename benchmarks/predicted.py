"""Memory as it was predicted and as it was: ``python -m benchmarks.predicted [METHOD ...]``.

Each run is a process of its own, whose largest resident memory counts, with the interpreter and its libraries. The
report is drawn, as it is unless told otherwise. The prediction, that of the record, must not be below the measurement:
it is what ``--memory`` is held to.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ruska.image import Image, Quantity
from ruska.io import write


@dataclass(frozen=True)
class Run:
    """One denoising run on noise of this shape."""

    method: str
    shape: tuple[int, ...]
    workers: int = 1
    settings: dict[str, Any] = field(default_factory=dict)


RUNS = (
    Run("gaussian", (4096, 4096), 2),
    Run("gaussian", (128, 512, 512), 2, {"dimensions": 3}),
    Run("median", (4096, 4096)),
    Run("tv", (2048, 2048), 1, {"iterations": 5, "noise_std": 0.1}),
    Run("wavelet", (2048, 2048)),
    Run("nlm", (1024, 1024)),
    Run("prior", (1024, 1024)),
    Run("prior", (2048, 2048), 2),
)
_PROGRAM = """
import json, sys, ruska
from benchmarks.insults import peak_memory
source, output, method, workers, settings = sys.argv[1:]
done = ruska.denoise(source, output, method=method, workers=int(workers), settings=json.loads(settings), memory="4GB")
print(json.dumps([done.record["plan"]["memory_bytes"], peak_memory(), done.record["plan"]["blocks"]]))
"""


def measured(run: Run) -> tuple[int, int, int]:
    """Predicted and measured bytes, and the number of blocks."""
    axes = "ZYX"[-len(run.shape) :]
    noise = np.random.default_rng(0).normal(1000, 100, run.shape).astype(np.uint16)
    with tempfile.TemporaryDirectory(prefix="ruska-predicted-") as name:
        source = Path(name) / "noise.mrc"
        write(source, Image(noise, axes, {a: Quantity(8.0, "nm") for a in axes}))
        words = [str(source), f"{name}/out.npy", run.method, str(run.workers), json.dumps(run.settings)]
        done = subprocess.run([sys.executable, "-c", _PROGRAM, *words], capture_output=True, text=True, check=True)
    predicted, peak, blocks = json.loads(done.stdout.splitlines()[-1])
    return predicted, peak, blocks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", help="only these")
    chosen = parser.parse_args().methods
    print("| method | shape | workers | blocks | predicted | measured | ratio |")
    print("|---" * 7 + "|")
    for run in RUNS:
        if chosen and run.method not in chosen:
            continue
        predicted, peak, blocks = measured(run)
        shape = " x ".join(map(str, run.shape))
        print(f"| {run.method} | {shape} | {run.workers} | {blocks} | {predicted / 1e6:.0f} MB | {peak / 1e6:.0f} MB | "
              f"{predicted / peak:.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
