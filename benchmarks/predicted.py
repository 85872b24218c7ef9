"""Memory as it was predicted and as it was: ``python -m benchmarks.predicted [METHOD ...] [--shell] [--list]``.

Each run is a process of its own, whose largest resident memory counts, with the interpreter and its libraries. The
report is drawn, as it is unless told otherwise. The prediction, that of the record, must not be below the measurement:
it is what ``--memory`` is held to. Ends with an error where it is below, or more than 15 % above.

With ``--shell`` freed memory stays in the process, as the command line has it for networks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ruska.image import Image, Quantity
from ruska.io import write

MOST = 1.15  # times what was measured


@dataclass(frozen=True)
class Run:
    """One run on an image of blobs of this shape.

    counted : noise that grows with the signal, else the same everywhere. task : name of the function of `ruska`.
    """

    method: str
    shape: tuple[int, ...]
    workers: int = 1
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    counted: bool = False
    source: str = "noise.mrc"
    output: str = "out.npy"

    @property
    def task(self) -> str:
        return self.method if self.method in ("deblur", "superres", "isotropic") else "denoise"

    def __str__(self) -> str:
        said = ", ".join(f"{name}={value}" for name, value in {**self.settings, **self.options}.items())
        formats = f"{self.source.partition('.')[2]} to {self.output.partition('.')[2]}"
        parts = [said, "counted" * self.counted, formats * (formats != "mrc to npy")]
        return "; ".join(part for part in parts if part)


_TOLD = {"noise_std": 0.1}
_BRIEF = {**_TOLD, "steps": 2}
_TRAINED = {"steps": 3, "network": "small"}
RUNS = (
    Run("gaussian", (512, 512), 2),
    Run("gaussian", (4096, 4096), 2),
    Run("gaussian", (4096, 4096), 2, source="noise.tif", output="out.tif"),
    Run("gaussian", (4096, 4096), 2, source="noise.ome.zarr", output="out.ome.zarr"),
    Run("gaussian", (4096, 4096), 2, output="out.mrc"),
    Run("gaussian", (128, 512, 512), 2, {"dimensions": 3}),
    Run("gaussian", (128, 512, 512), 2, {"dimensions": 3}, source="noise.ome.zarr", output="out.ome.zarr"),
    Run("gaussian", (128, 512, 512), 2, source="noise.tif", output="out.tif"),
    Run("median", (4096, 4096)),
    Run("median", (64, 256, 256), 2, {"dimensions": 3}),
    Run("tv", (2048, 2048), 1, {"iterations": 5, **_TOLD}),
    Run("tv", (96, 256, 256), 1, {"iterations": 5, "dimensions": 3, **_TOLD}),
    Run("wavelet", (2048, 2048), 2),
    Run("wavelet", (2048, 2048), 2, counted=True),
    Run("nlm", (1024, 1024)),
    Run("nlm", (24, 128, 128), 1, {"dimensions": 3, "patch_distance": 2, **_TOLD}),
    Run("bm3d", (256, 256)),
    Run("bm3d", (512, 512)),
    Run("prior", (512, 512)),
    Run("prior", (1024, 1024)),
    Run("prior", (1024, 1024), counted=True),
    Run("prior", (2048, 2048), 2),
    Run("prior", (2048, 2048), 2, counted=True),
    Run("prior", (2048, 2048), 2, options={"memory": "1200MB"}),
    Run("prior", (1024, 1024), options={"samples": 2}),
    Run("deblur", (768, 768), 1, {"sigma": 2, **_BRIEF}),
    Run("deblur", (1536, 1536), 1, {"sigma": 2, **_BRIEF}),
    Run("superres", (384, 384), 1, {"scale": "2", **_BRIEF}),
    Run("superres", (700, 700), 1, {"scale": "2", **_BRIEF}),
    Run("isotropic", (16, 128, 128), 1, _BRIEF, {"factor": "4"}),
    Run("isotropic", (40, 192, 192), 1, _BRIEF, {"factor": "4"}),
    Run("blindspot", (1024, 1024), 1, {"steps": 3}),
    Run("noise2void", (1024, 1024), 1, {"steps": 3}),
)
_PROGRAM = """
import json, sys, ruska
from benchmarks.memory import peak_of_this_process
task, source, output, options, shell = sys.argv[1:]
if shell == "shell":
    from ruska.engine.allocator import keep_freed_memory
    keep_freed_memory()
seen, stage = {}, "before"
def watch(now, done, total):
    global stage
    seen[stage], stage = peak_of_this_process(), now
image = ruska.read(source)
run = getattr(ruska, task)
done = run(image, output, progress=watch, **json.loads(options))
plan, peak = done.record["plan"], peak_of_this_process()
where = next((name for name, most in seen.items() if most > 0.98 * peak), stage)
print(json.dumps([plan["memory_bytes"], peak, plan["blocks"], where]))
"""


def picture(shape: tuple[int, ...], counted: bool) -> np.ndarray:
    """Blobs with noise: enough of a micrograph that every method finds something to do."""
    rng = np.random.default_rng(0)
    waves = [np.sin(np.arange(n) / 9 + rng.random()) for n in shape[-2:]]
    clean = 1000 + 400 * np.multiply.outer(*waves).astype(np.float32)
    out = np.empty(shape, np.uint16)
    for index in np.ndindex(*shape[:-2]):
        out[index] = 10 * rng.poisson(clean / 10) if counted else clean + rng.normal(0, 100, clean.shape)
    return out


def measured(run: Run, shell: bool = False) -> tuple[int, int, int, str]:
    """Predicted and measured bytes, the number of blocks, and the stage in which the most was held."""
    axes = "ZYX"[-len(run.shape) :]
    with tempfile.TemporaryDirectory(prefix="ruska-predicted-") as name:
        source = Path(name) / run.source
        write(source, Image(picture(run.shape, run.counted), axes, {a: Quantity(8.0, "nm") for a in axes}))
        options = {"settings": run.settings, "workers": run.workers, "memory": "4GB", **run.options}
        options |= {"method": run.method} if run.task == "denoise" else {}
        words = [run.task, str(source), f"{name}/{run.output}", json.dumps(options), "shell" if shell else "python"]
        done = subprocess.run([sys.executable, "-c", _PROGRAM, *words], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{run.method} {run}: {done.stderr}")
    predicted, peak, blocks, where = json.loads(done.stdout.splitlines()[-1])
    return predicted, peak, blocks, where


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", help="only these")
    parser.add_argument("--shell", action="store_true", help="freed memory stays, as on the command line")
    options = parser.parse_args()
    print("| method | shape | workers | said | blocks | predicted | measured | ratio | most at | seconds |")
    print("|---" * 10 + "|")
    wrong = 0
    for run in RUNS:
        if options.methods and run.method not in options.methods:
            continue
        started = time.perf_counter()
        predicted, peak, blocks, where = measured(run, options.shell)
        ratio = predicted / peak
        wrong += not 1 <= ratio <= MOST
        shape = " x ".join(map(str, run.shape))
        print(f"| {run.method} | {shape} | {run.workers} | {run} | {blocks} | {predicted / 1e6:.0f} MB | "
              f"{peak / 1e6:.0f} MB | {ratio:.2f} | {where} | {time.perf_counter() - started:.0f} |",
              flush=True)  # fmt: skip
    if wrong:
        raise SystemExit(f"{wrong} below what was measured, or more than {MOST - 1:.0%} above")


if __name__ == "__main__":
    main()
