"""The engine's own time against a network's: ``python -m benchmarks.engine``.

A small stack of convolutions runs over an image through the engine, in memory and with ledger and blocks on disk.
Overhead is what the engine adds to the seconds spent inside the network, as a share of them. Medians of runs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from ruska.engine import ArraySource, BlockStore, Budget, Layout, Ledger, MemoryStore, Normalisation, plan_blocks, run
from ruska.engine.allocator import keep_freed_memory
from ruska.image import Output


@dataclass
class Network:
    """Eight 3x3 convolutions with 32 channels: about 118 GFLOP per 1024 x 1024, a light denoiser."""

    halo: tuple[int, ...] = (8, 8)
    multiple: tuple[int, ...] = (8, 8)
    outputs: tuple[Output, ...] = (Output(),)
    locality: str = "exact"
    domain: str = "normalised"
    bytes_per_voxel: float = 600.0
    threads: str = "many"
    module: torch.nn.Module = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        widths = [1, *[32] * 7, 1]
        layers: list[torch.nn.Module] = []
        for inside, outside in pairwise(widths):
            layers += [torch.nn.Conv2d(inside, outside, 3, padding=1), torch.nn.ReLU()]
        self.module = torch.nn.Sequential(*layers[:-1]).eval()

    def __call__(self, inputs: Mapping[str, torch.Tensor], random: object) -> dict[str, torch.Tensor]:
        return {"mean": self.module(inputs["image"])}


def measure(edge: int, repeats: int, on_disk: bool) -> tuple[float, float, int]:
    """Median overhead, median seconds in the network, and number of blocks."""
    values = np.random.default_rng(0).normal(1000, 100, (edge, edge)).astype(np.uint16)
    method = Network()
    layout = Layout("YX", values.shape, 2)
    plan = plan_blocks(layout, method, Budget(8 << 30, 2), dtype=values.dtype, out_dtype=values.dtype)
    shares, inside = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as name:
            ledger = Ledger(Path(name), {}) if on_disk else None
            sink = (
                BlockStore(Path(name) / "blocks", plan.output_shape, np.uint16, plan.extent_of(plan.outputs[0]))
                if on_disk
                else MemoryStore(plan.output_shape, np.uint16)
            )
            started = time.perf_counter()
            outcome = run(ArraySource(values, "YX"), method, sink, plan,
                          normalisation=Normalisation(1000, 500), ledger=ledger)  # fmt: skip
            whole = time.perf_counter() - started
        shares.append(whole / outcome.method_seconds - 1)
        inside.append(outcome.method_seconds)
    return statistics.median(shares), statistics.median(inside), plan.size


def measured(edges: Sequence[int] = (512, 1024, 2048), repeats: int = 5) -> list[dict[str, float]]:
    """A row for each size of image: blocks, seconds in the network, overheads in memory and on disk."""
    rows = []
    for edge in edges:
        measure(edge, 1, on_disk=True)  # warm-up
        (memory, inside, blocks), (disk, _, _) = (measure(edge, repeats, on_disk) for on_disk in (False, True))
        rows.append({"edge": edge, "blocks": blocks, "seconds": inside, "memory": memory, "disk": disk})
    return rows


def table(rows: Sequence[Mapping[str, float]]) -> str:
    head = [
        "| image | blocks | bare network | Mpx/s | overhead in memory | overhead with ledger on disk |",
        "|---" * 6 + "|",
    ]
    return "\n".join(head + [
        f"| {r['edge']}² | {r['blocks']} | {r['seconds']:.2f} s | {r['edge'] ** 2 / r['seconds'] / 1e6:.2f} | "
        f"{r['memory']:+.1%} | {r['disk']:+.1%} |" for r in rows
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--edges", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--keep-freed-memory", action="store_true")
    options = parser.parse_args()
    if options.keep_freed_memory:
        print(f"keeping freed memory: {keep_freed_memory()}")
    print(table(measured(options.edges, options.repeats)))


if __name__ == "__main__":
    main()
