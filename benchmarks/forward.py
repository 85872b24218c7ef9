"""Denoising 1024 x 1024 pixels: the network's part against one bare pass, and the whole command.

``python -m benchmarks.forward`` prints both. The bare pass is the embedded network on the whole image at once, told the
noise as a map where the prior tells it one. The network's part is all that the method does inside the engine, with its
blocks and halos. Both are processor time, taken in turn, five times; what is compared is the median of the ratios.
Freed memory is kept, as on the command line.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSION = 1
EDGE, REPEATS = 1024, 5
LIMIT = 1.2
_CELLS = 256
_COMMAND = "import sys; from ruska.cli.main import main; sys.argv[0] = 'ruska'; main()"


def image(edge: int = EDGE) -> NDArray[np.float32]:
    """Simulated cells, mirrored side by side, with the noise of 50 electrons at most."""
    from ruska.physics import PoissonGaussian, cell_phantom

    cells = cell_phantom((min(edge, _CELLS), min(edge, _CELLS)), seed=3)
    wide = np.pad(cells, (0, edge - len(cells)), mode="symmetric")
    return PoissonGaussian(50, 0.02).simulate(wide, seed=4)


def measured(edge: int = EDGE, repeats: int = REPEATS) -> dict[str, Any]:
    """Seconds by what was timed, medians; ``ratio`` of the network's part to a bare pass."""
    inside = json.loads(_output([sys.executable, "-m", "benchmarks.forward", "--inside", str(edge), str(repeats)]))
    return {**inside, **_commands(image(edge), repeats), "edge": edge}


def _commands(noisy: NDArray[np.float32], repeats: int) -> dict[str, float]:
    """Of ``ruska denoise`` on a TIFF, with all that it writes: by the clock, and of the processor."""
    import ruska
    from ruska.io import write

    clock, work = [], []
    with tempfile.TemporaryDirectory(prefix="ruska-forward-") as name:
        source = Path(name) / "noisy.tif"
        write(source, ruska.Image(noisy, "YX"))
        for k in range(repeats):
            before, started = os.times(), time.perf_counter()
            _output([sys.executable, "-c", _COMMAND, "denoise", str(source), "-o", str(Path(name) / f"{k}.tif")])
            clock.append(time.perf_counter() - started)
            after = os.times()
            spent = after.children_user + after.children_system - before.children_user - before.children_system
            work.append(spent)
    return {"command_clock": statistics.median(clock), "command": statistics.median(work)}


def _output(command: list[str]) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _inside(edge: int, repeats: int) -> dict[str, float]:
    """The network's part and a bare pass in this process, in turn."""
    import torch

    import ruska
    from ruska.methods.prior import PriorMethod

    noisy, parts = ruska.Image(image(edge), "YX"), []
    whole = PriorMethod.__call__
    used: list[PriorMethod] = []

    def timed(method: PriorMethod, y: torch.Tensor, random: object) -> Any:
        used.append(method)
        found, seconds = _seconds(lambda: whole(method, y, random))
        parts.append(seconds)
        return found

    PriorMethod.__call__ = timed  # type: ignore[method-assign]
    bare, inside, everything = [], [], []
    for k in range(repeats + 1):  # the first is to warm up
        parts.clear()
        _, seconds = _seconds(lambda: ruska.denoise(noisy, method="prior", dtype="float32"))
        told = used[-1].told
        x = torch.randn(1, 1, edge, edge)
        level = torch.full((1, 1, edge, edge) if told.level is not None else (1, 1, 1, 1), 0.5)
        lags = torch.tensor(told.lags).view(1, 4, 1, 1)
        with torch.inference_mode():
            _, alone = _seconds(lambda x=x, level=level, lags=lags: used[-1].network(x, level, lags))
        if k:
            bare.append(alone)
            inside.append(sum(parts))
            everything.append(seconds)
    ratio = statistics.median(a / b for a, b in zip(inside, bare, strict=True))
    return {"bare": statistics.median(bare), "inside": statistics.median(inside), "ratio": ratio,
            "python": statistics.median(everything), "blocks": len(parts)}  # fmt: skip


def _seconds(compute: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    found = compute()
    return found, time.process_time() - started


def table(found: dict[str, Any]) -> str:
    """Markdown."""
    edge = found["edge"]
    return "\n".join([
        f"| prior on {edge} x {edge} | seconds (median of {REPEATS}) |", "|---|---|",
        f"| one bare pass of the network | {found['bare']:.2f} |",
        f"| the network's part of `ruska.denoise` ({found['blocks']} blocks) | {found['inside']:.2f} "
        f"({found['ratio']:.2f} times the bare pass; aim: {LIMIT}) |",
        f"| all of `ruska.denoise` in memory, with the noise's estimate | {found['python']:.2f} |",
        f"| the command `ruska denoise`, from start to report | {found['command']:.2f} "
        f"(by the clock of this machine {found['command_clock']:.1f}) |",
    ])  # fmt: skip


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        from ruska.engine.allocator import keep_freed_memory

        keep_freed_memory()
        print(json.dumps(_inside(int(sys.argv[2]), int(sys.argv[3]))))
    else:
        print(table(measured()))
