"""Peak memory of a volume larger than the limit: ``python -m benchmarks.scale [--gigabytes 4] [--memory 1GB]``.

Writes a synthetic OME-Zarr volume into a temporary folder, runs ``ruska denoise`` on it in a process of its own and
samples that process's memory. Needs about twice the volume's size on disk.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import psutil

from ruska.engine import parse_memory
from ruska.image import Image, Quantity
from ruska.io.zarr_store import ZarrSink, finish_store


def make_volume(path: Path, gigabytes: float) -> None:
    """A uint16 volume of 256 x 256 smooth tiles with noise, written shard by shard."""
    depth = max(1, round(gigabytes * 1e9 / (2048 * 2048 * 2)))
    shape = (depth, 2048, 2048)
    sink = ZarrSink(path, shape, np.uint16, "ZYX")
    rng = np.random.default_rng(0)
    plane = rng.normal(1000, 100, (2048, 2048)).astype(np.uint16)
    for z in range(0, depth, sink.grain[0]):
        stop = min(depth, z + sink.grain[0])
        block = np.stack([np.roll(plane, 37 * k, 1) for k in range(z, stop)])
        for y in range(0, 2048, sink.grain[1]):
            for x in range(0, 2048, sink.grain[2]):
                box = (slice(z, stop), slice(y, y + sink.grain[1]), slice(x, x + sink.grain[2]))
                sink.write(box, block[:, box[1], box[2]])
    nm = Quantity(8.0, "nm")
    finish_store(path, Image(sink, "ZYX", {"Z": nm, "Y": nm, "X": nm}))


def peak_of(command: list[str]) -> tuple[float, float]:
    """Run ``command``; returns its peak resident memory in bytes (sampled every 20 ms) and seconds."""
    started = time.perf_counter()
    process = psutil.Popen(command)
    peak = 0
    while process.poll() is None:
        try:
            peak = max(peak, process.memory_info().rss)
        except psutil.Error:
            break
        time.sleep(0.02)
    if process.wait() != 0:
        raise SystemExit(f"failed: {' '.join(command)}")
    return peak, time.perf_counter() - started


def measured(gigabytes: float, memory: str, dimensions: str = "3") -> dict[str, float]:
    """Sizes in bytes and seconds of one run on a volume of ``gigabytes``, with ``memory`` allowed."""
    with tempfile.TemporaryDirectory(prefix="ruska-scale-") as name:
        source = Path(name) / "volume.ome.zarr"
        make_volume(source, gigabytes)
        output = Path(name) / "out.ome.zarr"
        command = [sys.executable, "-m", "ruska.cli.main", "denoise", str(source), "-o", str(output)]
        command += ["--method", "gaussian", "--set", f"dimensions={dimensions}", "--memory", memory, "--no-report"]
        peak, seconds = peak_of(command)
    return {"volume": gigabytes * 1e9, "limit": parse_memory(memory), "peak": peak, "seconds": seconds}


def table(rows: Sequence[Mapping[str, float]]) -> str:
    head = ["| volume | limit | peak | share of the limit | seconds | MB/s |", "|---" * 6 + "|"]
    for r in rows:
        sizes = [f"{r[name] / 1e9:.2f} GB" for name in ("volume", "limit", "peak")]
        rates = f"{r['peak'] / r['limit']:.0%} | {r['seconds']:.0f} | {r['volume'] / r['seconds'] / 1e6:.0f}"
        head.append(f"| {' | '.join(sizes)} | {rates} |")
    return "\n".join(head)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=4.0)
    parser.add_argument("--memory", default="1GB")
    parser.add_argument("--dimensions", default="3")
    options = parser.parse_args()
    found = measured(options.gigabytes, options.memory, options.dimensions)
    print(table([found]))
    if found["peak"] > found["limit"]:
        raise SystemExit("the limit was not kept")


if __name__ == "__main__":
    main()
