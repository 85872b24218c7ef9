"""Memory as it was predicted and as it was.

``python -m benchmarks.predicted [NAME ...] [--shell] [--samples K] [--list]``

Each run is a process of its own, whose largest resident memory counts, with the interpreter and its libraries. The
report is drawn, as it is unless told otherwise. The prediction, that of the record, is what ``--memory`` is held to.
Ends with an error where it is more than 5 % below the measurement, or more than 15 % above. Ten minutes.

NAME is a method, or a run as ``--list`` has it. With ``--shell`` it is the command line that runs, in which networks
keep freed memory. With ``--samples K`` the methods that can draw so many beside their results.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ruska.image import Image, Quantity
from ruska.io import write
from ruska.methods.registry import takes_prior

LEAST, MOST = 0.95, 1.15  # times what was measured
_DEPTH_NM, _PIXEL_NM = 32.0, 8.0


@dataclass(frozen=True)
class Run:
    """One run on an image of blobs of this shape.

    options : of the function of `ruska`. counted : noise that grows with the signal, else the same everywhere.
    output : None keeps the result in memory.
    """

    method: str
    shape: tuple[int, ...]
    workers: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    counted: bool = False
    source: str = "noise.mrc"
    output: str | None = "out.npy"

    @property
    def task(self) -> str:
        return self.method if self.method in ("deblur", "superres", "isotropic") else "denoise"

    @property
    def said(self) -> str:
        """What is not usual about it."""
        said = [f"{name}={value}" for name, value in {**self.settings, **self.options}.items()]
        if self.output is None:
            said.append("in memory")
        elif (self.source, self.output) != ("noise.mrc", "out.npy"):
            said.append(f"{self.source.partition('.')[2]} to {self.output.partition('.')[2]}")
        return ", ".join([*said, "counted"] if self.counted else said)

    @property
    def name(self) -> str:
        """``prior-512x512``, with what is not usual where another run has that name."""
        plain = f"{self.method}-{'x'.join(map(str, self.shape))}"
        alike = [run for run in RUNS if (run.method, run.shape) == (self.method, self.shape)]
        more = [self.said.replace(", ", ",").replace(" ", "-")] if len(alike) > 1 and alike[0] != self else []
        return "-".join([plain, *more])


_TOLD = {"noise_std": 0.1}
_TWO = {**_TOLD, "steps": 2}
_FEW = {**_TOLD, "steps": 4}
_TRAINED = {"steps": 2, "batch": 1}
_VOLUME = {"dimensions": 3}
RUNS = (
    Run("identity", (512, 512)),
    Run("identity", (2048, 2048), 2, source="noise.tif", output="out.tif"),
    Run("gaussian", (512, 512), 2),
    Run("gaussian", (4096, 4096), 2),
    Run("gaussian", (4096, 4096), 2, source="noise.ome.zarr", output="out.ome.zarr"),
    Run("gaussian", (4096, 4096), 2, output=None),
    Run("gaussian", (64, 256, 256), 2, _VOLUME),
    Run("gaussian", (128, 512, 512), 2, _VOLUME, source="noise.ome.zarr", output="out.ome.zarr"),
    Run("median", (2048, 2048)),
    Run("median", (48, 192, 192), 2, _VOLUME),
    Run("tv", (2048, 2048), 1, {"iterations": 3, **_TOLD}),
    Run("tv", (64, 192, 192), 1, {"iterations": 3, **_VOLUME, **_TOLD}),
    Run("tv", (2048, 2048), 1, {"iterations": 3, **_TOLD}, output=None),
    Run("wavelet", (512, 512)),
    Run("wavelet", (2048, 2048), 2, counted=True),
    Run("nlm", (768, 768)),
    Run("nlm", (12, 96, 96), 1, {**_VOLUME, "patch_distance": 2, **_TOLD}),
    Run("bm3d", (128, 128)),
    Run("bm3d", (320, 320)),
    Run("prior", (512, 512)),
    Run("prior", (1024, 1024)),
    Run("prior", (768, 768), output=None),
    Run("prior", (1536, 1536), 2, options={"memory": "1200MB"}),
    Run("prior", (24, 256, 256), 2),
    Run("deblur", (512, 512), 1, {"sigma": 2, **_FEW}),
    Run("deblur", (1280, 1280), 1, {"sigma": 2, **_TWO}),
    Run("superres", (256, 256), 1, {"scale": "2", **_FEW}),
    Run("superres", (512, 512), 1, {"scale": "2", **_TWO}),
    Run("isotropic", (12, 96, 96), 1, _FEW, {"factor": "4"}),
    Run("isotropic", (24, 160, 160), 1, _TWO, {"factor": "4"}),
    Run("blindspot", (256, 256), 1, _TRAINED),
    Run("blindspot", (640, 640), 1, _TRAINED),
    Run("noise2void", (384, 384), 1, _TRAINED),
    Run("noise2void", (1024, 1024), 1, _TRAINED),
    Run("udvd", (6, 96, 96), 1, _TRAINED),
    Run("udvd", (6, 256, 256), 1, _TRAINED),
    Run("shine", (96, 96), 1, _TRAINED),
    Run("shine", (224, 224), 1, _TRAINED),
)
_PROGRAM = """
import json, sys
from contextlib import nullcontext
from benchmarks.memory import peak_of_this_process
how, task, source, output, options = sys.argv[1:]
seen, stage = {}, "before"
def watch(now, done, total):
    global stage
    seen[stage], stage = peak_of_this_process(), now
if how == "shell":
    from ruska.cli import show
    from ruska.cli.main import app
    show.progress = lambda quiet=False: nullcontext(watch)
    app([task, source, "-o", output, "--json", *json.loads(options)], standalone_mode=False)
    record = json.load(open(output.partition(".")[0] + ".record.json"))
else:
    import ruska
    record = getattr(ruska, task)(ruska.read(source), output or None, progress=watch, **json.loads(options)).record
peak = peak_of_this_process()
where = next((name for name, most in seen.items() if most > 0.98 * peak), stage)
print(json.dumps([record["plan"]["memory_bytes"], peak, record["plan"]["blocks"], where]))
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
    spacing = {a: Quantity(_DEPTH_NM if a == "Z" else _PIXEL_NM, "nm") for a in axes}
    with tempfile.TemporaryDirectory(prefix="ruska-predicted-") as name:
        source = Path(name) / run.source
        write(source, Image(picture(run.shape, run.counted), axes, spacing))
        output = f"{name}/{run.output}" if run.output else ""
        words = ["shell" if shell else "python", run.task, str(source), output]
        options: Any = _shell_words(run) if shell else _arguments(run)
        command = [sys.executable, "-c", _PROGRAM, *words, json.dumps(options)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"{run.name}: {done.stderr}")
    predicted, peak, blocks, where = json.loads(done.stdout.splitlines()[-1])
    return predicted, peak, blocks, where


def _arguments(run: Run) -> dict[str, Any]:
    named = {"method": run.method} if run.task == "denoise" else {}
    return {"settings": dict(run.settings), "workers": run.workers, "memory": "4GB", **run.options, **named}


def _shell_words(run: Run) -> list[str]:
    options: dict[str, Any] = {"memory": "4GB", **run.options}
    options |= {"method": run.method, "workers": run.workers} if run.task == "denoise" else {}
    settings = [word for name, value in run.settings.items() for word in ("--set", f"{name}={value}")]
    return [word for name, value in options.items() for word in (f"--{name}", str(value))] + settings


def chosen(names: Sequence[str], *, shell: bool, samples: int) -> list[Run]:
    """The runs that are asked for; all for no name."""
    unknown = {name for name in names if not any(name in (run.method, run.name) for run in RUNS)}
    if unknown:
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; --list shows all")
    found = [run for run in RUNS if not names or run.method in names or run.name in names]
    if shell:  # which always writes a file
        found = [run for run in found if run.output is not None]
    if samples:
        found = [replace(run, options={**run.options, "samples": samples}) for run in found if takes_prior(run.method)]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="only these methods or runs")
    parser.add_argument("--shell", action="store_true", help="the command line, where freed memory of networks stays")
    parser.add_argument("--samples", type=int, default=0, metavar="K", help="draw so many beside each result")
    parser.add_argument("--list", action="store_true", help="say which runs there are")
    asked = parser.parse_args()
    if asked.list:
        print("\n".join(run.name for run in RUNS))
        return
    print("| method | shape | workers | said | blocks | predicted | measured | ratio | most at | seconds |")
    print("|---" * 10 + "|")
    ratios = []
    for run in chosen(asked.names, shell=asked.shell, samples=asked.samples):
        started = time.perf_counter()
        predicted, peak, blocks, where = measured(run, asked.shell)
        ratios.append(predicted / peak)
        shape = " x ".join(map(str, run.shape))
        print(f"| {run.method} | {shape} | {run.workers} | {run.said} | {blocks} | {predicted / 1e6:.0f} MB | "
              f"{peak / 1e6:.0f} MB | {ratios[-1]:.2f} | {where} | {time.perf_counter() - started:.0f} |",
              flush=True)  # fmt: skip
    print(f"\n{len(ratios)} runs: median {np.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")
    if wrong := sum(not LEAST <= ratio <= MOST for ratio in ratios):
        raise SystemExit(f"{wrong} more than {1 - LEAST:.0%} below what was measured, or {MOST - 1:.0%} above")


if __name__ == "__main__":
    main()
