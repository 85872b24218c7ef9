"""Hum that is added to real micrographs and taken away again: ``python -m benchmarks.interference [--seed 0]``.

First every image of the folder as it is: what is found there is a false alarm, or the instrument's own hum. Then hum of
0.3 to 3 times the noise on the scanned ones without a lattice: a frequency along Y between 10 periods a frame and 0.45
cycles a row, up to 3 periods along a row, up to two harmonics. Integers are dithered before they are rounded, as a
detector's noise would. Needs the folder of real micrographs.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import DATA
from ruska import read
from ruska.engine import ArraySource
from ruska.errors import RuskaError
from ruska.methods.looking import planes_to_look_at
from ruska.physics import Interference, estimate_noise, find_interference

STRENGTHS = (0.3, 0.5, 1.0, 3.0)  # amplitude over the standard deviation of the noise
SCANNED = ("sem", "stem", "fibsem")
LATTICES = ("bto_stem", "temul", "graphene", "warwick", "pnnl_pychip", "hyperspy_demos", "SI-Survey", "jeol_example",
            "openncem", "ardagen")  # fmt: skip
_LABELS = ("mask", "label", "_seg", "_instances")
_EDGE = 2048
_MOST = 3  # images of one source
_NOISY = 0.02  # share of the picture's standard deviation that the noise must have, to be what hum is measured by


@dataclass(frozen=True)
class Trial:
    """One hum that was added. left : standard deviation of what removal leaves of all of it, over its own."""

    file: str
    strength: float
    found: bool
    amplitude_error: float = 0.0
    left_of_first: float = 0.0
    left: float = 0.0


def images() -> Iterator[tuple[str, str, list[NDArray[np.generic]]]]:
    """File, modality and up to three planes, at most 2048 pixels each way, of every image that is no label."""
    with (DATA / "MANIFEST.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if any(word in row["path"] for word in _LABELS):
            continue
        try:
            image = read(DATA / row["path"])
            planes = planes_to_look_at(ArraySource(image.data, image.axes), _EDGE, count=3)
        except (RuskaError, OSError):
            continue
        if image.meaning != "labels" and image.dtype.kind in "iuf":
            yield row["path"], row["modality"], planes


def hum_of(shape: tuple[int, ...], amplitude: float, random: np.random.Generator) -> list[NDArray[np.float64]]:
    """A wave and its harmonics, none to two."""
    height, width = shape
    y, x = np.arange(height)[:, None], np.arange(width)[None, :]
    fy, fx = random.uniform(10 / height, 0.45), random.uniform(0, 3) / width
    angle = 2 * np.pi * (fy * y + fx * x) + random.uniform(0, 2 * np.pi)
    further = [random.uniform(0.1, 0.4) * np.cos(k * angle + random.uniform(0, 2 * np.pi)) for k in (2, 3)]
    return [amplitude * wave for wave in (np.cos(angle), *further[: random.integers(0, 3)])]


def tried(file: str, plane: NDArray[np.generic], strength: float, random: np.random.Generator) -> Trial | None:
    """Add hum, find it and take it away; None where the noise is too weak to measure it by."""
    values = np.asarray(plane, dtype=np.float64)
    noise = estimate_noise(values).std
    if noise < _NOISY * values.std():
        return None
    waves = hum_of(values.shape, strength * noise, random)
    hum = np.sum(waves, axis=0)
    if plane.dtype.kind in "iu":
        limits = np.iinfo(plane.dtype.str)
        dithered = values + hum + random.uniform(-0.5, 0.5, values.shape)
        found = find_interference(np.clip(np.rint(dithered), limits.min, limits.max).astype(plane.dtype))
    else:
        found = find_interference((values + hum).astype(plane.dtype))
    if not found.waves:
        return Trial(file, strength, False)
    first = Interference(found.waves[:1], found.rows).values(values.shape)
    return Trial(file, strength, True, abs(found.waves[0].amplitude / (strength * noise) - 1),
                 float((first - waves[0]).std() / waves[0].std()),
                 float((found.values(values.shape) - hum).std() / hum.std()))  # fmt: skip


def table(trials: list[Trial]) -> str:
    """A row for each strength: how many were found, and median / nine tenths of the errors of those."""
    head = "| amplitude / noise | found | amplitude error | left of the first | left of all |\n|---|---|---|---|---|"
    rows = []
    for strength in STRENGTHS:
        of = [t for t in trials if t.strength == strength]
        hits = [t for t in of if t.found]
        cells = [f"{strength:g}", f"{len(hits)} of {len(of)}"]
        for name in ("amplitude_error", "left_of_first", "left"):
            errors = [getattr(t, name) for t in hits] or [np.nan]
            cells.append(f"{np.median(errors):.1%} / {np.quantile(errors, 0.9):.1%}")
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join([head, *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    random = np.random.default_rng(parser.parse_args().seed)
    trials, taken, alarms, count, slowest = [], dict[str, int](), [], 0, 0.0
    for file, modality, planes in images():
        for number, plane in enumerate(planes):
            started = time.process_time()
            found = find_interference(plane)
            count, slowest = count + 1, max(slowest, time.process_time() - started)
            if found.waves:
                alarms.append(f"{file}, plane {number + 1}: {found.amplitude:.3g} grey levels")
        source = "/".join(file.split("/")[:2])
        plane = planes[len(planes) // 2]
        suits = modality in SCANNED and not any(word in file for word in LATTICES) and min(plane.shape) >= 200
        if suits and taken.get(source, 0) < _MOST:
            taken[source] = taken.get(source, 0) + 1
            trials += [one for s in STRENGTHS if (one := tried(file, plane, s, random)) is not None]
    print(f"{count} planes as they are: {len(alarms)} with interference; {slowest:.2f} s of processor time at most.")
    print(*alarms, "", table(trials), sep="\n")


if __name__ == "__main__":
    main()
