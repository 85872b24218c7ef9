"""How many pixels of real micrographs are taken for outliers, and how many of the hits planted in them are found.

`python -m benchmarks.outliers [FOLDER] [--pictures FOLDER]` looks at the central 1024 x 1024 pixels of every image of
``train/`` and ``val/`` (labels and masks apart) and prints those in which any were found, the most of 10^5 first: few
have any, so what is found may be harm. What is around each goes into the folder of pictures. Then 40 pixels of each are
hit, as bright as its brightest pixel or four times its grey range.
"""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path
from typing import Any

import numpy as np

from ruska import io
from ruska.engine import ArraySource
from ruska.errors import RuskaError
from ruska.methods.looking import planes_to_look_at
from ruska.physics.defects import find_outliers, outlier_limits

DATA = Path(os.environ.get("RUSKA_DATA", Path(__file__).parents[2] / "shared" / "data"))
_AROUND = 12  # pixels of a crop, each way
_HITS = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=DATA)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--only", default="", help="part of a path")
    parser.add_argument("--no-hits", action="store_true")
    asked = parser.parse_args()
    with (asked.folder / "MANIFEST.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] in ("train", "val") and asked.only in row["path"]]
    lines, looked, found = [], 0, 0
    hits = {"as bright as the brightest pixel": [], "four times the grey range": []}
    for row in rows:
        if row["role_suggestion"].startswith("labels") or "[mask]" in row["notes"]:
            continue
        seen = look(asked.folder / row["path"])
        if seen is None:
            continue
        plane, hot, dead = seen
        looked, found = looked + plane.size, found + int(hot.sum() + dead.sum())
        lines.append((1e5 * (hot | dead).mean(), int(hot.sum()), int(dead.sum()), row["path"]))
        for kind in hits if not asked.no_hits else ():
            hits[kind].append(planted(plane, hot | dead, kind))
        if asked.pictures is not None and (hot | dead).any():
            draw(asked.pictures / (row["path"].replace("/", "__") + ".png"), plane, hot | dead)
    lines.sort(reverse=True)
    print(f"{len(lines)} images, {looked / 1e6:.0f} Mpx, {found} pixels found: {1e5 * found / looked:.3f} of 10^5")
    for kind, figures in hits.items() if not asked.no_hits else ():
        shares, others = np.array(figures).T
        print(f"{_HITS} hits, {kind}: {shares.mean():.1%} found (all in {(shares == 1).mean():.0%} of the images), "
              f"{int(others.sum())} other pixels")  # fmt: skip
    print("of 10^5    hot   dead  file")
    for share, hot, dead, path in lines:
        if hot or dead:
            print(f"{share:7.2f} {hot:6d} {dead:6d}  {path}")


def look(file: Path) -> tuple[Any, Any, Any] | None:
    """A plane of the first channel and its outliers, judged by up to five; None without noise."""
    try:
        image = io.read(file)
    except RuskaError:
        return None
    if image.meaning == "labels" or image.dtype.kind not in "iuf":
        return None
    planes = planes_to_look_at(ArraySource(image.data, image.axes))
    limits = outlier_limits(planes)
    if limits is None:
        return None
    plane = planes[len(planes) // 2]
    return plane, *find_outliers(plane, limits)


def planted(plane: Any, known: Any, kind: str) -> tuple[float, int]:
    """Share of planted hits that are found, and how many other pixels are that were not found before."""
    rng = np.random.default_rng(0)
    values = plane.astype(np.float64)
    low, high = np.nanpercentile(values, (0.1, 99.9))
    there = np.zeros(plane.shape, dtype=bool)
    there[tuple(rng.integers(2, n - 2, _HITS) for n in plane.shape)] = True
    values[there] = np.nanmax(values) if kind.startswith("as bright") else low + 4 * (high - low)
    limits = outlier_limits([values])
    found = np.zeros_like(there) if limits is None else np.logical_or(*find_outliers(values, limits))
    return float(found[there].mean()), int((found & ~there & ~known).sum())


def draw(file: Path, plane: Any, found: Any) -> None:
    """Up to 24 crops around what was found, side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    file.parent.mkdir(parents=True, exist_ok=True)
    places = np.argwhere(found)[:24]
    figure = Figure(figsize=(16, 2.8 * -(-len(places) // 8)), layout="constrained")
    FigureCanvasAgg(figure)
    for k, (y, x) in enumerate(places):
        axes = figure.add_subplot(-(-len(places) // 8), 8, k + 1)
        box = tuple(slice(max(0, v - _AROUND), v + _AROUND + 1) for v in (y, x))
        axes.imshow(plane[box], cmap="gray")
        axes.set(title=f"{y}, {x}: {plane[y, x]:.4g}", xticks=[], yticks=[])
    figure.savefig(file)


if __name__ == "__main__":
    main()
