"""Denoisers at their automatic settings: ``python -m benchmarks.classical``. Prints Markdown tables.

The slow learned ones are asked for by name: ``--methods auto blindspot bm3d --groups kriss "fib25 50"``.

Real: KRISS line pairs 1, 10, 19, 28, scored by the data folder's own ``score_pairs.py``. Semi-synthetic: slices of
fib25 (sample 2), cdeep3m and isbi2012, area-downsampled by 2, scaled to 0-1, 400 x 400 pixels, Poisson-Gaussian noise
at the standard doses; scored against the truth without any fit. The data folder is ``RUSKA_DATA``, by default
``../shared/data``. BM3D (authors' package, non-commercial) is the peer, in the same run on the same input.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ruska
from ruska.image import Image
from ruska.metrics import psnr, ssim
from ruska.physics import STANDARD_DOSES

DATA = Path(os.environ.get("RUSKA_DATA", Path(__file__).parents[2] / "shared" / "data"))
PAIRS = (1, 10, 19, 28)
VOLUMES = {
    "fib25": ("fib25_neuroproof/sample2_raw_250x250x250.tif", (60, 125, 190)),
    "cdeep3m": ("cdeep3m_sbem", (6,)),
    "isbi2012": ("isbi2012", (7,)),  # slices from 15 on are noisy themselves
}


@dataclass(frozen=True)
class Case:
    """A noisy image and how a result is scored: (PSNR in dB, SSIM)."""

    group: str
    noisy: NDArray[Any]
    score: Callable[[NDArray[Any]], tuple[float, float]]
    true_noise: float | None


def cases() -> Iterator[Case]:
    """All cases, group by group."""
    pairs = score_pairs()
    for number in PAIRS:
        noisy, clean = (
            ruska.read(DATA / f"val/kriss_semdenoising/line_{side}_{number:03d}.tif").numpy()
            for side in ("noisy", "clean")
        )
        yield Case("kriss", noisy, lambda r, n=noisy, c=clean: pairs.score(r, n, c), None)
    for name, (place, slices) in VOLUMES.items():
        for z in slices:
            truth = clean_slice(_raw(DATA / "val" / place), z)
            for dose in STANDARD_DOSES:
                noisy = dose.simulate(truth, seed=z)
                error = float(np.sqrt(np.mean((noisy - truth) ** 2)))
                score = lambda r, t=truth: (psnr(r, t, 1.0), ssim(r, t, 1.0))  # noqa: E731
                yield Case(f"{name} {dose.peak_counts:g}", noisy, score, error)


def score_pairs() -> Any:
    """The data folder's own scorer."""
    spec = importlib.util.spec_from_file_location("score_pairs", DATA / "score_pairs.py")
    assert spec is not None
    assert spec.loader is not None
    pairs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pairs)
    return pairs


def _raw(place: Path) -> Path:
    if place.is_file():
        return place
    return next(p for p in sorted(place.iterdir()) if not any(w in p.name.lower() for w in ("label", "mask", "mito")))


def clean_slice(path: Path, z: int) -> NDArray[np.float32]:
    """Slice ``z``, means of 2 x 2 pixels, 0.1-99.9 percentile to 0-1, at most 400 x 400."""
    plane = np.asarray(ruska.read(path).data[z : z + 1], dtype=np.float32)[0]
    h, w = (n // 2 * 2 for n in plane.shape)
    small = plane[:h, :w].reshape(h // 2, 2, w // 2, 2).mean((1, 3))
    low, high = np.percentile(small, (0.1, 99.9))
    return np.clip((small - low) / (high - low), 0, 1)[:400, :400].astype(np.float32)


def restore(case: Case, method: str, settings: Mapping[str, Any]) -> tuple[float, float, float, str]:
    """PSNR, SSIM, seconds per megapixel, and the method that ran."""
    started = time.perf_counter()
    result = ruska.denoise(Image(case.noisy, "YX"), method=method, settings=settings, dtype="float32", workers=1)
    seconds = time.perf_counter() - started
    return *case.score(result.image.numpy()), seconds / case.noisy.size * 1e6, result.record["method"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["auto", "gaussian", "median", "tv", "nlm", "wavelet", "bm3d"])
    parser.add_argument("--groups", nargs="+", help="only these, e.g. kriss 'fib25 50'")
    options = parser.parse_args()
    table: dict[str, dict[str, list[tuple[float, float, float]]]] = {}
    for case in cases():
        if options.groups and case.group not in options.groups:
            continue
        row = table.setdefault(case.group, {})
        row.setdefault("noisy", []).append((*case.score(case.noisy), 0.0))
        for method in options.methods:
            row.setdefault(method, []).append(restore(case, method, {})[:3])
        if case.true_noise and "bm3d" in options.methods:  # as a fraction of the range that Ruska normalises by
            low, high = np.percentile(case.noisy, (0.1, 99.9))
            told = {"noise_std": case.true_noise / (high - low), "strength": 1.0}
            row.setdefault("bm3d, true noise", []).append(restore(case, "bm3d", told)[:3])
    columns = ["noisy", *options.methods, "bm3d, true noise"]
    print("| PSNR dB / SSIM |", " | ".join(columns), "|\n|" + "---|" * (len(columns) + 1))
    for group, row in table.items():
        print(f"| {group} |", " | ".join(_median(row.get(c)) for c in columns), "|", flush=True)
    seconds = [statistics.median(s for row in table.values() for *_, s in row.get(c, [])) for c in columns[1:-1]]
    print("| s per Mpx | |", " | ".join(f"{s:.1f}" for s in seconds), "| |")


def _median(found: list[tuple[float, float, float]] | None) -> str:
    if not found:
        return ""
    return f"{statistics.median(f[0] for f in found):.2f} / {statistics.median(f[1] for f in found):.3f}"


if __name__ == "__main__":
    main()
