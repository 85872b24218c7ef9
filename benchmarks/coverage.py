"""How far a standard deviation is to be believed: ``python -m benchmarks.coverage`` prints, by task and dataset, how
often the truth lies within one standard deviation of the result (68 % if errors were normal and known).

The factor by which a task's standard deviation is multiplied (none is in use) is what makes that 68 % on
the median image of `FIT`, which is training data; it is judged on the judge's images, which are not. Truths are
area-downsampled micrographs, which keep a little noise of their own: where they are flat, no standard deviation can
cover it. Stopped, it goes on where it was; other weights, or other code of the methods, are measured anew. All of it
takes about seven minutes of one core.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ruska
from benchmarks.cases import (
    DATA,
    DATASETS,
    OPERATOR_NOISE,
    SCAN_LINE,
    TASKS,
    Case,
    Dataset,
    clean_image,
)
from benchmarks.notes import Notes, source_digest
from ruska.image import Image
from ruska.metrics import psnr
from ruska.physics import PoissonGaussian
from ruska.physics.operators import Decimation, GaussianBlur, Identity, Operator
from ruska.weights import load_model
from ruska.weights.embedded import EMBEDDED

VERSION = 2
SAMPLES, DEPTH = 8, 40
EDGE = {"denoise": 192, "deblur": 128, "superres": 128}
ROOMS = ("physics", "networks", "diffusion", "methods")  # whose code a result depends on
CORNERS = ((100, 100, 100), (20, 150, 60))  # of the volumes that are cut out
NORMAL = 0.6827  # share of normal errors within one standard deviation
_TRAIN = str(DATA / "train")
FIT = (
    Dataset("fib25 sample 1", _TRAIN + "/fib25_neuroproof/sample1_raw_250x250x250.tif", 125),
    Dataset("hela", _TRAIN + "/hela_sbfsem_crick/ROI_6005_4739_81_z0028.tif", None, 4),
    Dataset("axondeepseg", _TRAIN + "/axondeepseg_sem/sub-rat3__micr__sub-rat3_sample-data9_SEM.png"),
    Dataset("plant stem", _TRAIN + "/plant_stem_sem/C4-1_m01.tif", None, 3),
    Dataset("muvis", _TRAIN + "/muvis_crick/S000_000_000.tif"),
)
VOLUMES = {"val": ("fib25", "val/fib25_neuroproof/sample2_raw_250x250x250.tif"),
           "fit": ("fib25 sample 1", "train/fib25_neuroproof/sample1_raw_250x250x250.tif")}  # fmt: skip
NOISES = {"50 e": PoissonGaussian(50, 0.02), "12 e": PoissonGaussian(12, 0.04),
          "50 e, scan line": PoissonGaussian(50, 0.02, SCAN_LINE)}  # fmt: skip
Row = dict[str, Any]


def cases(task: str, split: str) -> Iterator[tuple[Case, dict[str, Any]]]:
    """Cases of a task, and what the method is told."""
    if task == "isotropic":
        yield from _volumes(split)
        return
    for dataset in DATASETS if split == "val" else FIT:
        truth = _middle(clean_image(dataset), EDGE[task])
        if task == "denoise":
            for name, noise in NOISES.items():
                yield Case(task, dataset.name, name, noise.simulate(truth, seed=7), Identity(), noise, truth), {}
        elif task == "deblur":
            yield _degraded(task, dataset.name, "sigma 2", GaussianBlur((2.0, 2.0)), truth), {"sigma": 2}
        else:
            yield _degraded(task, dataset.name, "x2", Decimation((Fraction(2),) * 2), truth), {"scale": 2}


def _volumes(split: str) -> Iterator[tuple[Case, dict[str, Any]]]:
    name, file = VOLUMES[split]
    whole = np.asarray(ruska.read(DATA / file).data, dtype=np.float32) / 255
    operator = Decimation((Fraction(4), Fraction(1), Fraction(1)))
    for corner in CORNERS:
        truth = whole[tuple(slice(start, start + DEPTH) for start in corner)]
        place = ",".join(map(str, corner))
        yield _degraded("isotropic", name, f"x4 at {place}", operator, truth), {"factor": 4}


def _middle(values: NDArray[Any], edge: int) -> NDArray[Any]:
    """The central part, sizes multiples of 4."""
    sizes = [min(n, edge) // 4 * 4 for n in values.shape]
    return values[tuple(slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(values.shape, sizes, strict=True))]


def _degraded(task: str, dataset: str, setting: str, operator: Operator, truth: NDArray[Any]) -> Case:
    import torch

    seen = operator.forward(torch.from_numpy(truth)[None, None].double())[0, 0].numpy()
    noisy = seen + np.random.default_rng(7).normal(0, OPERATOR_NOISE, seen.shape)
    return Case(task, dataset, setting, noisy.astype(np.float32), operator, OPERATOR_NOISE, truth)


def measured(case: Case, told: dict[str, Any]) -> Row:
    """Restore and compare; the standard deviation is that of the samples, without its factor."""
    given = dict(told, method="prior") if case.task == "denoise" else told
    image = Image(case.measurement, "ZYX"[-case.measurement.ndim :])
    result = getattr(ruska, case.task)(image, samples=SAMPLES, **given)
    assert case.truth is not None
    mean = np.mean([sample.numpy() for sample in result.samples], 0)
    restored, std = (i.numpy().astype(np.float64) for i in (result.image, result.std))
    _keep(case, restored, std)
    return {
        "dataset": case.dataset, "setting": case.setting,
        "psnr": psnr(restored, case.truth, 1.0), "psnr_of_mean": psnr(mean, case.truth, 1.0),
        **compared(np.abs(restored - case.truth), std),
    }  # fmt: skip


def compared(error: NDArray[np.float64], std: NDArray[np.float64]) -> Row:
    """error : absolute. ``quantiles`` : of error over standard deviation, at every percent, for `coverage`."""
    ratio = (error / np.maximum(std, 1e-12)).ravel()
    return {
        "quantiles": [float(q) for q in np.quantile(ratio, np.linspace(0, 1, 101))],
        "rms_ratio": float(np.sqrt(np.mean(error**2) / np.mean(std**2))),
        "correlation": float(np.corrcoef(std.ravel(), error.ravel())[0, 1]),
        "fit": float(np.quantile(ratio, NORMAL)),
    }


def coverage(row: Row, width: float) -> float:
    """Share of pixels whose error is at most ``width`` standard deviations."""
    return float(np.interp(width, row["quantiles"], np.linspace(0, 1, 101)))


def factor(rows: Sequence[Row]) -> float:
    """What brings the median image to 68 %."""
    return statistics.median(row["fit"] for row in rows)


def table(rows: Sequence[Row], scale: float) -> str:
    """Means over the settings, by dataset and over all."""
    head = (f"| dataset | within 1, as sampled | within 1, times {scale:.2f} | within 2, then | rms error / std, then "
            "| correlation with the error | PSNR dB | PSNR dB of the samples' mean |")  # fmt: skip
    lines = [head, "|---" * 8 + "|"]
    for name in (*dict.fromkeys(row["dataset"] for row in rows), "all"):
        chosen = [row for row in rows if name in ("all", row["dataset"])]
        cells = [
            f"{statistics.mean(coverage(r, 1) for r in chosen):.0%}",
            f"{statistics.mean(coverage(r, scale) for r in chosen):.0%}",
            f"{statistics.mean(coverage(r, 2 * scale) for r in chosen):.0%}",
            f"{statistics.geometric_mean(r['rms_ratio'] / scale for r in chosen):.2f}",
            f"{statistics.mean(r['correlation'] for r in chosen):.2f}",
            f"{statistics.mean(r['psnr'] for r in chosen):.2f}",
            f"{statistics.mean(r['psnr_of_mean'] for r in chosen):.2f}",
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _keep(case: Case, restored: NDArray[Any], std: NDArray[Any]) -> None:
    """A picture: truth, result, error, standard deviation."""
    from matplotlib.figure import Figure

    assert case.truth is not None
    cut = [v[v.shape[0] // 2] if v.ndim == 3 else v for v in (case.truth, restored, np.abs(restored - case.truth), std)]
    figure = Figure(figsize=(16, 4.4), layout="constrained")
    most = 2.5 * float(np.sqrt(np.mean(cut[2] ** 2)))
    for axes, plane, name, top in zip(figure.subplots(1, 4), cut, ("truth", "result", "error", "std"),
                                      (1, 1, most, most), strict=True):  # fmt: skip
        axes.imshow(plane, cmap="gray", vmin=0, vmax=top)
        axes.set_title(name)
        axes.set_axis_off()
    folder = Path(__file__).parent / "work" / "coverage"
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / f"{case.name.replace(' ', '_').replace(',', '')}.png", dpi=60)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--splits", nargs="+", choices=("fit", "val"), default=("fit", "val"))
    options = parser.parse_args()
    notes, weights = Notes(Path(__file__).parent / "work" / "results"), load_model(EMBEDDED).card.sha256
    about = f"coverage {VERSION} {weights} {source_digest(ROOMS)}"
    for task in options.tasks:
        started = time.process_time()
        found: dict[str, list[Row]] = {}
        for split in options.splits:
            found[split] = [
                notes.recall(f"{about} {case.digest}", lambda c=case, t=told: measured(c, t))
                for case, told in cases(task, split)
            ]
        scale = factor(found["fit"]) if "fit" in found else 1.0
        seconds = time.process_time() - started
        print(f"## {task}: factor {scale:.3f}, in use 1; {seconds:.0f} s of processor\n")
        for split, rows in found.items():
            print(f"{split}\n\n{table(rows, scale)}\n", flush=True)


if __name__ == "__main__":
    main()
