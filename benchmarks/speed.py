"""The section on speed and scale: time to quality, the prior's pass, the engine, memory of large volumes, start-up."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks import engine, forward, scale, startup
from benchmarks.notes import Notes, source_digest
from benchmarks.peers import PRIOR
from benchmarks.tables import by_peer, cell

VERSION = 1
EDGES, SLOW_EDGES = (512, 1024), (2048,)
SIZES, SLOW_SIZES = (0.25,), (1.0, 4.0)
MEMORY = "1GB"
_ENGINE = (
    "The engine around a bare forward pass of a small network (medians of five runs; overheads are shares of the pass, "
    "so the machine matters little):"
)
_SCALE = "`ruska denoise --method gaussian` on a volume, with the memory it is allowed:"


def passes(notes: Notes, say: Callable[[str], None] = print) -> dict[str, Any]:
    """The prior's pass over 1024 x 1024 pixels; remembered until code, weights or the machine change."""
    say("the network's part")
    found: dict[str, Any] = notes.recall(f"{_here()} forward {forward.VERSION} {PRIOR}", forward.measured)
    return found


def _here() -> str:
    """Ruska's code, and where it runs."""
    return (f"speed {VERSION} {source_digest(())} {platform.node()} {os.cpu_count()} "
            f"{os.environ.get('OMP_NUM_THREADS', '')}")  # fmt: skip


def section(
    rows: Sequence[dict[str, Any]], notes: Notes, pass_times: dict[str, Any], *, slow: bool,
    say: Callable[[str], None] = print,
) -> str:  # fmt: skip
    """Markdown. Remembered until Ruska's code or the machine changes. pass_times : of `passes`."""
    here = _here()
    say("start-up")
    started = notes.recall(f"{here} start-up", startup.measured)
    say("engine")
    edges = EDGES + (SLOW_EDGES if slow else ())
    overhead = notes.recall(f"{here} engine {edges}", lambda: engine.measured(edges))
    volumes = []
    for size in (*SIZES, *(SLOW_SIZES if slow else ())):
        say(f"volume of {size:g} GB")
        volumes.append(notes.recall(f"{here} scale {size} {MEMORY}", lambda size=size: _volume(size)))
    large = scale.table([scale.Peaks(**volume) for volume in volumes])
    parts = ["## Speed and scale", quality_over_time(rows), forward.table(pass_times), _ENGINE, engine.table(overhead),
             _SCALE, large, startup.table(started)]  # fmt: skip
    return "\n\n".join(parts)


def _volume(gigabytes: float) -> dict[str, Any]:
    return asdict(scale.measured(gigabytes, MEMORY, ["--method", "gaussian"], None, None))


def quality_over_time(rows: Sequence[dict[str, Any]]) -> str:
    """Of each task the methods that no other beats in both time and mean PSNR, from fast to good."""
    lines = ["| task | no method is both faster and better: s per Mpx, PSNR dB |", "|---|---|"]
    for task in dict.fromkeys(r["task"] for r in rows):
        chosen = by_peer([r for r in rows if r["task"] == task and not r["real"]])
        most = max((len(found) for found in chosen.values()), default=0)
        points = sorted(
            (statistics.median(r["seconds"] / r["megapixels"] for r in found.values()),
             -statistics.mean(r["psnr"] for r in found.values()), peer)
            for peer, found in chosen.items() if len(found) == most
        )  # fmt: skip
        front, best = [], float("inf")
        for seconds, loss, peer in points:
            if loss < best:
                front.append(f"{peer} ({cell(seconds, 2)} s, {cell(-loss, 2)})")
                best = loss
        lines.append(f"| {task} | {' → '.join(front)} |")
    return "\n".join(lines)
