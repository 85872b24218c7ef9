"""What the judge measures: real pairs, and clean micrographs degraded by known operators and noise; fixed seeds."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ruska
from ruska.physics import STANDARD_DOSES, PoissonGaussian
from ruska.physics.operators import Composition, Decimation, GaussianBlur, Identity, Operator

DATA = Path(os.environ.get("RUSKA_DATA", Path(__file__).parents[2] / "shared" / "data"))
PAIRS = tuple(range(1, 29, 3))
OPERATOR_NOISE = 0.02
SCAN_LINE = (0.15, 1.0, 0.6)
TASKS = ("denoise", "deblur", "superres", "isotropic")


@dataclass(frozen=True)
class Dataset:
    """A source of clean images: file, slice (or None), binning that averages its own noise away."""

    name: str
    file: str
    plane: int | None = None
    binning: int = 2
    edge: int = 384


DATASETS = (
    # slices of isbi2012 from 15 on are noisy themselves
    Dataset("isbi2012", "isbi2012/train_raw_30x512x512.tif", 7),
    Dataset("openfibsem", "openfibsem/fibsem__segmentation__test_image.tif", None, 4),
    Dataset("cdeep3m", "cdeep3m_sbem/train_raw_12x1024x1024.tif", 6),
    Dataset("fib25", "fib25_neuroproof/sample2_raw_250x250x250.tif", 125),
    Dataset("neubias_em", "neubias_em/xy_8bit__em_mitochondria_er.tif"),
    Dataset("emdiffuse_demo", "emdiffuse_demo/microns_demo_0.tif"),
)


@dataclass(frozen=True, eq=False)
class Case:
    """One measurement to restore.

    measurement : (Y, X) or (Z, Y, X). truth : on the grid to be restored, 0-1; None for a real pair.
    operator, noise : what made the one from the other. clean : the other side of a real pair, not aligned.
    """

    task: str
    dataset: str
    setting: str
    measurement: NDArray[Any]
    operator: Operator
    noise: PoissonGaussian | float | None
    truth: NDArray[Any] | None = None
    clean: NDArray[Any] | None = None
    quick: bool = False
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.task} {self.dataset} {self.setting}"

    @property
    def digest(self) -> str:
        """Of all that a result depends on."""
        hashed = hashlib.sha256(self.name.encode())
        for part in (self.measurement, self.truth, self.clean):
            if part is not None:
                hashed.update(np.ascontiguousarray(part).tobytes())
        return hashed.hexdigest()[:16]

    @property
    def noise_std(self) -> float | None:
        """True standard deviation of the noise, root mean square over the image; None for a real pair."""
        if isinstance(self.noise, PoissonGaussian):
            import torch

            assert self.truth is not None
            seen = self.operator.forward(torch.from_numpy(self.truth)[None, None].double())[0, 0].numpy()
            return float(np.sqrt(self.noise.variance(seen).mean()))
        return self.noise


def cases(tasks: tuple[str, ...] = TASKS) -> Iterator[Case]:
    """All cases, task by task; a dataset whose file is absent is left out and said."""
    if not (DATA / "MANIFEST.csv").exists():
        raise SystemExit(f"The micrographs are not at {DATA}: set RUSKA_DATA to their folder.")
    makers = {"denoise": _denoise, "deblur": _deblur, "superres": _superres, "isotropic": _isotropic}
    for task in tasks:
        yield from makers[task]()


def _denoise() -> Iterator[Case]:
    for number in PAIRS:
        noisy, clean = kriss(number)
        yield Case("denoise", "kriss", f"pair {number}", noisy, Identity(), None, None, clean, quick=number == 1)
    for dataset in DATASETS:
        truth = clean_image(dataset)
        for dose in STANDARD_DOSES:
            setting = f"{dose.peak_counts:g} e"
            quick = dose.peak_counts == 50 and dataset.name in ("fib25", "cdeep3m")
            yield Case(
                "denoise", dataset.name, setting, dose.simulate(truth, seed=7), Identity(), dose, truth, None, quick
            )
        lines = PoissonGaussian(50, 0.02, SCAN_LINE)
        yield Case("denoise", dataset.name, "50 e, scan line", lines.simulate(truth, seed=7), Identity(), lines, truth)


def _deblur() -> Iterator[Case]:
    for dataset in DATASETS:
        truth = clean_image(dataset)
        for sigma in (1.0, 2.0, 3.0):
            quick = sigma == 2 and dataset.name == "fib25"
            yield _with_noise("deblur", dataset.name, f"sigma {sigma:g}", GaussianBlur((sigma, sigma)), truth, quick)


def _superres() -> Iterator[Case]:
    for dataset in DATASETS:
        truth = clean_image(dataset)
        truth = truth[tuple(slice(0, n // 12 * 12) for n in truth.shape)]
        for factor in (2, 3, 4):
            quick = factor == 2 and dataset.name == "fib25"
            operator = Decimation((Fraction(factor),) * 2)
            yield _with_noise("superres", dataset.name, f"x{factor}", operator, truth, quick)


def _isotropic() -> Iterator[Case]:
    volume = np.asarray(ruska.read(DATA / "val" / DATASETS[3].file).data, dtype=np.float32)
    truth = _scaled(volume[60:180, 60:188, 60:188])
    for factor in (Fraction(5, 2), Fraction(4), Fraction(6), Fraction(8)):
        operator = Decimation((factor, Fraction(1), Fraction(1)))
        yield _with_noise("isotropic", "fib25", f"x{float(factor):g}", operator, truth, factor == 4)


def _with_noise(
    task: str, dataset: str, setting: str, operator: Operator | Composition, truth: NDArray[Any], quick: bool
) -> Case:
    import torch

    seen = operator.forward(torch.from_numpy(truth)[None, None].double())[0, 0].numpy()
    measurement = seen + np.random.default_rng(7).normal(0, OPERATOR_NOISE, seen.shape)
    return Case(task, dataset, setting, measurement.astype(np.float32), operator, OPERATOR_NOISE, truth, None, quick)


@cache
def clean_image(dataset: Dataset) -> NDArray[np.float32]:
    """The dataset's image, area-downsampled, its 0.1-99.9 percentile brought to 0-1."""
    data = np.asarray(ruska.read(DATA / "val" / dataset.file).data)
    plane = data if data.ndim == 2 else data[dataset.plane or 0]
    n = dataset.binning
    h, w = (size // n * n for size in plane.shape)
    small = plane[:h, :w].astype(np.float32).reshape(h // n, n, w // n, n).mean((1, 3))
    return _scaled(small[: dataset.edge, : dataset.edge])


def _scaled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = np.percentile(values, (0.1, 99.9))
    return np.clip((values - low) / (high - low), 0, 1).astype(np.float32)


def kriss(number: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Noisy and clean side of a KRISS line pair."""
    folder = DATA / "val" / "kriss_semdenoising"
    noisy, clean = (ruska.read(folder / f"line_{side}_{number:03d}.tif").numpy() for side in ("noisy", "clean"))
    return noisy, clean


@cache
def score_pairs() -> Any:
    """The data folder's own scorer of drifting pairs; it measures the drift of a pair once, not for every method."""
    spec = importlib.util.spec_from_file_location("score_pairs", DATA / "score_pairs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    measure, known = module.drift, {}

    def drift(noisy: NDArray[Any], clean: NDArray[Any]) -> Any:
        key = (noisy.tobytes(), clean.tobytes())
        if key not in known:
            known[key] = measure(noisy, clean)
        return known[key]

    module.drift = drift
    return module
