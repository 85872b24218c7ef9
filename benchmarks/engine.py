"""The engine's own time against a network's: ``python -m benchmarks.engine``.

A small U-Net-like stack of convolutions runs over an image once bare (one forward pass on a tensor in memory) and
once through the engine (in memory, and with ledger and blocks on disk). Overhead is what the engine adds: its time
minus the time inside the method, as a share of the latter. Medians of paired runs.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from ruska.engine import ArraySource, BlockStore, Budget, Layout, Ledger, MemoryStore, Normalisation, plan_blocks, run
from ruska.engine.allocator import keep_freed_memory
from ruska.image import Estimate


@dataclass
class Network:
    """Eight 3x3 convolutions with 32 channels: about 147 GFLOP per 1024 x 1024, a light denoiser."""

    halo: tuple[int, ...] = (8, 8)
    multiple: tuple[int, ...] = (8, 8)
    scale: tuple[Fraction, ...] = (Fraction(1), Fraction(1))
    merge: str = "none"
    locality: str = "exact"
    domain: str = "normalised"
    bytes_per_voxel: float = 600.0
    threads: str = "many"
    module: torch.nn.Module = field(init=False)

    def __post_init__(self) -> None:
        torch.manual_seed(0)
        widths = [1, *[32] * 7, 1]
        layers: list[torch.nn.Module] = []
        for inside, outside in zip(widths, widths[1:], strict=False):
            layers += [torch.nn.Conv2d(inside, outside, 3, padding=1), torch.nn.ReLU()]
        self.module = torch.nn.Sequential(*layers[:-1]).eval()

    def __call__(self, y: torch.Tensor, random: object) -> Estimate:
        return Estimate(self.module(y))


def measure(edge: int, repeats: int, on_disk: bool) -> tuple[float, float]:
    """Median overhead and median seconds in the network."""
    values = np.random.default_rng(0).normal(1000, 100, (edge, edge)).astype(np.uint16)
    method = Network()
    layout = Layout("YX", values.shape, 2)
    plan = plan_blocks(layout, method, Budget(8 << 30, 2), dtype=values.dtype, out_dtype=values.dtype)
    shares, inside = [], []
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as name:
            ledger = Ledger(Path(name), {}) if on_disk else None
            sink = (
                BlockStore(Path(name) / "blocks", plan.output_shape, np.uint16, plan.output_extent)
                if on_disk
                else MemoryStore(plan.output_shape, np.uint16)
            )
            started = time.perf_counter()
            outcome = run(ArraySource(values, "YX"), method, sink, plan,
                          normalisation=Normalisation(1000, 500), ledger=ledger)  # fmt: skip
            whole = time.perf_counter() - started
        # Two workers: one reads and writes while the other computes, and both may wait for the network at once.
        bare = outcome.method_seconds if plan.workers == 1 or plan.size == 1 else None
        if bare is None:
            bare = _bare(method, values, plan)
        shares.append((whole - bare) / bare)
        inside.append(bare)
    return statistics.median(shares), statistics.median(inside)


def _bare(method: Network, values: np.ndarray, plan: object) -> float:
    """Seconds of the forward passes alone, over the blocks of the plan, one after the other."""
    total = 0.0
    with torch.inference_mode():
        for index in range(plan.size):  # type: ignore[attr-defined]
            read = plan.block(index).read[-2:]  # type: ignore[attr-defined]
            y = torch.from_numpy(values[read].astype(np.float32))[None, None]
            started = time.perf_counter()
            method.module(y)
            total += time.perf_counter() - started
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--edges", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--keep-freed-memory", action="store_true")
    options = parser.parse_args()
    if options.keep_freed_memory:
        print(f"keeping freed memory: {keep_freed_memory()}")
    print("| image | blocks | network | overhead in memory | overhead with ledger on disk |\n|---|---|---|---|---|")
    for edge in options.edges:
        measure(edge, 1, on_disk=True)  # warm-up
        (memory, seconds), (disk, _) = (measure(edge, options.repeats, on_disk) for on_disk in (False, True))
        plan_size = -(-edge // 1024) ** 2
        print(f"| {edge}² | {plan_size} | {seconds:.2f} s | {memory:+.1%} | {disk:+.1%} |", flush=True)


if __name__ == "__main__":
    main()
