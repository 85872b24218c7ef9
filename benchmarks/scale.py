"""Peak memory of a volume larger than the limit: ``python -m benchmarks.scale [--gigabytes 16] [--memory 2GB]``.

Makes an OME-Zarr volume in a temporary folder, runs ``ruska denoise`` on it in a process of its own and samples that
process's memory, while blocks are computed and while the pyramid is written. The volume takes little disk: one layer of
shards is written and linked as all the others. What is written takes as much as its compressed size.

``--blocks 64`` stops after so many blocks: for networks, whose memory is the same in every block.

``--plane 60000 --output out.tif`` is one plane of 8 bits instead, from ``.npy`` to a file of that suffix, which is
written when all blocks are done.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import zarr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from ruska.engine import parse_memory
from ruska.image import Image, Quantity
from ruska.io import read
from ruska.io.ngff import multiscales
from ruska.io.pyramid import halve
from ruska.io.zarr_store import ZarrSink

_SIDE = 2048
_SECONDS_BETWEEN = 0.1


def make_volume(path: Path, gigabytes: float) -> tuple[int, ...]:
    """A uint16 volume (z, 2048, 2048) of a specimen and noise, all its layers of shards alike; returns its shape."""
    depth = max(1, round(gigabytes * 1e9 / (_SIDE * _SIDE * 2)))
    sink = ZarrSink(path, (depth, _SIDE, _SIDE), np.uint16, "ZYX")
    thick, tall, wide = sink.grain
    for y in range(0, _SIDE, tall):
        for x in range(0, _SIDE, wide):
            box = (slice(0, min(thick, depth)), slice(y, y + tall), slice(x, x + wide))
            sink.write(box, _values(tuple(s.stop - s.start for s in box), seed=y * _SIDE + x))
    for layer in range(1, -(-depth // thick)):
        _link(path / "0" / "c" / "0", path / "0" / "c" / str(layer))
    nm = Quantity(8.0, "nm")
    image = Image(sink, "ZYX", {"Z": nm, "Y": nm, "X": nm})
    levels = multiscales(image, [{"Z": 1, "Y": 1, "X": 1}], "0.5")
    zarr.open_group(path, mode="r+").attrs.put({"ome": {"version": "0.5", "multiscales": levels}})
    return sink.shape


def _values(shape: tuple[int, ...], seed: int) -> NDArray[np.uint16]:
    rng = np.random.default_rng(seed)
    specimen = gaussian_filter(rng.standard_normal(shape, np.float32), 3, mode="wrap") * 3000
    return (2000 + specimen + 100 * rng.standard_normal(shape, np.float32)).clip(0, 65535).astype(np.uint16)


def _link(layer: Path, copy: Path) -> None:
    """The shards of ``layer`` under the name ``copy`` as well."""
    shutil.copytree(layer, copy, copy_function=os.link)


@dataclass
class Peaks:
    """What one run took. Bytes of resident memory; seconds, and those of the processor.

    blocks : of ``total`` that were done; all of them, unless the run was stopped. ``itemsize``: bytes of a voxel.
    """

    shape: tuple[int, ...]
    limit: int
    itemsize: int = 2
    computing: int = 0
    finishing: int = 0
    seconds_computing: float = 0.0
    seconds_finishing: float = 0.0
    processor_computing: float = 0.0
    processor_finishing: float = 0.0
    blocks: int = 0
    total: int = 0

    @property
    def bytes_done(self) -> float:
        return self.itemsize * math.prod(self.shape) * self.blocks / max(1, self.total)

    @property
    def highest(self) -> int:
        return max(self.computing, self.finishing)


def watch(command: Sequence[str], output: Path, found: Peaks, stop_after: int | None = None) -> None:
    """Run ``command``, which writes ``output``, and fill in what it takes; stop after so many blocks."""
    work = output.with_name(f".{output.name}.ruska-work")
    started = time.perf_counter()
    process, begun = psutil.Popen(command), 0.0
    ledger, coarse, partial = (
        work / "ledger.jsonl",
        work / "blocks.zarr" / "1",
        f".{output.name.split('.')[0]}.*.partial*",
    )
    looked = 0.0
    while process.poll() is None:
        now = time.perf_counter()
        held, spent = _peak(process), sum(process.cpu_times()[:2])
        finishing = bool(begun) or coarse.exists() or any(output.parent.glob(partial))
        if finishing and not begun:
            begun = now
            found.computing = max(found.computing, held)
            _forget_peak(process)
        elif finishing:
            found.finishing, found.processor_finishing = max(found.finishing, held), spent - found.processor_computing
        else:
            found.computing, found.processor_computing = max(found.computing, held), spent
        if not finishing and now - looked > 1:
            looked = now
            found.blocks, found.total = _blocks(ledger, found.shape)
            if stop_after is not None and found.blocks >= stop_after:
                process.terminate()
        time.sleep(_SECONDS_BETWEEN)
    ended = time.perf_counter()
    found.seconds_computing = (begun or ended) - started
    found.seconds_finishing = ended - begun if begun else 0.0
    if process.wait() != 0 and (stop_after is None or found.blocks < stop_after):
        raise SystemExit(f"failed: {' '.join(command)}")


def _peak(process: psutil.Process) -> int:
    """Most bytes of ``process`` since `_forget_peak`, where the system counts them (Linux), else those of now."""
    try:
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return int(process.memory_info().rss)


def _forget_peak(process: psutil.Process) -> None:
    with contextlib.suppress(OSError):
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")


def _blocks(ledger: Path, shape: tuple[int, ...]) -> tuple[int, int]:
    """How many blocks of a volume (z, y, x) are done, and how many there are."""
    if not ledger.exists():
        return 0, 0
    lines = [json.loads(line) for line in ledger.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
    extent = next((line["extent"] for line in lines if line.get("key") == "plan"), None)
    if extent is None:
        return 0, 0
    sizes = (
        [extent[0], *extent[2:]] if extent[1] == 1 else extent[1:]
    )  # (z, c, y, x) slice by slice, (c, z, y, x) in 3D
    total = math.prod(-(-n // e) for n, e in zip(shape, sizes, strict=True))
    return sum(str(line.get("key")).startswith("block ") for line in lines), total


def measured(gigabytes: float, memory: str, words: Sequence[str], folder: str | None, blocks: int | None) -> Peaks:
    """One run on a volume of ``gigabytes`` with ``memory`` allowed; ``words`` name the method and its settings."""
    with tempfile.TemporaryDirectory(prefix="ruska-scale-", dir=folder) as name:
        source, output = Path(name) / "volume.ome.zarr", Path(name) / "out.ome.zarr"
        found = Peaks(make_volume(source, gigabytes), parse_memory(memory))
        base = [sys.executable, "-m", "ruska.cli.main", "denoise", str(source), "-o", str(output)]
        command = [*base, *words, "--memory", memory, "--no-report"]
        watch(command, output, found, blocks)
        if blocks is None:
            found.blocks = found.total
            _check(output, found.shape)
    return found


def make_plane(path: Path, side: int) -> None:
    """A square of 8 bits, noise around 120 grey levels, as ``.npy``."""
    rows = np.random.default_rng(0).normal(120, 12, (min(side, 512), side)).astype(np.uint8)
    with path.open("wb") as file:
        head = {"descr": "|u1", "fortran_order": False, "shape": (side, side)}
        np.lib.format.write_array_header_1_0(file, head)
        for top in range(0, side, len(rows)):
            file.write(np.roll(rows, 37 * top, 1)[: side - top].tobytes())


def measured_plane(side: int, output: str, memory: str, words: Sequence[str], folder: str | None) -> Peaks:
    """One run on a plane; ``output`` is the name of what is written."""
    with tempfile.TemporaryDirectory(prefix="ruska-scale-", dir=folder) as name:
        source, target = Path(name) / "plane.npy", Path(name) / output
        make_plane(source, side)
        found = Peaks((side, side), parse_memory(memory), itemsize=1)
        base = [sys.executable, "-m", "ruska.cli.main", "denoise", str(source), "-o", str(target)]
        watch([*base, *words, "--memory", memory, "--no-report"], target, found)
        found.blocks = found.total
        _check_plane(target, side)
    return found


def _check_plane(target: Path, side: int) -> None:
    """SystemExit unless every corner and the middle of the result are the plane with less noise."""
    image = read(target)
    for top, left in itertools.product((0, side // 2, side - 64), repeat=2):
        part = np.asarray(image.data[top : top + 64, left : left + 64], np.float64)
        if image.shape != (side, side) or abs(part.mean() - 120) > 2 or not 0 < part.std() < 10:
            raise SystemExit(f"{target}: {image.shape}, {part.mean():.1f} +- {part.std():.1f} at {top}, {left}")


def _check(output: Path, shape: tuple[int, ...]) -> None:
    """SystemExit unless the result has all its levels, and each is the mean over the one before."""
    group = zarr.open_group(output, mode="r")
    levels = [group[one["path"]] for one in group.attrs["ome"]["multiscales"][0]["datasets"]]
    for fine, coarse in itertools.pairwise(levels):
        step = tuple(round(n / m) for n, m in zip(fine.shape, coarse.shape, strict=True))
        box = tuple(slice(m // 2, min(m, m // 2 + 32)) for m in coarse.shape)
        finer = tuple(slice(b.start * f, min(b.stop * f, n)) for b, f, n in zip(box, step, fine.shape, strict=True))
        if not np.array_equal(coarse[box], halve(fine[finer], step)):
            raise SystemExit(f"{output}: level {coarse.path} is not the mean over {fine.path}")
    if levels[0].shape != shape or max(levels[-1].shape[1:]) >= 512:
        raise SystemExit(f"{output}: levels of {[level.shape for level in levels]}")


def table(rows: Sequence[Peaks]) -> str:
    """MB/s, and in brackets MB in a second of the processor, which others' work does not change."""
    head = ["| done | blocks | limit | peak, computing | peak, finishing | computing, MB/s | finishing, MB/s |"]
    head.append("|---" * 7 + "|")
    for r in rows:
        sizes = [f"{n / 1e9:.2f} GB" for n in (r.limit, r.computing, r.finishing)]
        pairs = (r.seconds_computing, r.processor_computing), (r.seconds_finishing, r.processor_finishing)
        rates = [f"{_rate(r, wall)} ({_rate(r, processor)})" for wall, processor in pairs]
        head.append(f"| {r.bytes_done / 1e9:.2f} GB | {r.blocks} of {r.total} | {' | '.join([*sizes, *rates])} |")
    return "\n".join(head)


def _rate(found: Peaks, seconds: float) -> str:
    return f"{found.bytes_done / seconds / 1e6:.3g}" if seconds else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=16.0)
    parser.add_argument("--memory", default="2GB")
    parser.add_argument("--method", default="gaussian")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the method")
    parser.add_argument("--blocks", type=int, help="stop after so many")
    parser.add_argument("--folder", help="where the files go; default: the system's temporary folder")
    parser.add_argument("--plane", type=int, metavar="SIDE", help="one plane of so many pixels each way")
    parser.add_argument("--output", default="out.tif", help="of a plane")
    options = parser.parse_args()
    words = ["--method", options.method, *(word for pair in options.set for word in ("--set", pair))]
    if options.plane:
        found = measured_plane(options.plane, options.output, options.memory, words, options.folder)
    else:
        found = measured(options.gigabytes, options.memory, words, options.folder, options.blocks)
    print(table([found]))
    if found.highest > found.limit:
        raise SystemExit("the limit was not kept")


if __name__ == "__main__":
    main()
