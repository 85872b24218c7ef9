"""Draws posterior samples beside a result, each by its own run of the engine, and measures their spread."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.engine import BlockStore, Chapter, MemoryStore, NativeView
from ruska.io.registry import format_of_name
from ruska.methods.samples import SMOOTHING

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ruska.engine import Box, NoLedger, Progress, Sink
    from ruska.image import LazyArray
    from ruska.pipeline.prepare import Prepared
    from ruska.report import Beside

_REACH = 3.0  # standard deviations at which smoothing is cut off


@dataclass(frozen=True)
class Spread:
    """Standard deviation of ``samples`` as a lazy array in their axes, float32.

    smoothed : axes along which the variance is a mean over neighbours.
    """

    samples: Sequence[NDArray[Any] | LazyArray]
    smoothed: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.samples[0].shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    def __getitem__(self, box: Box) -> NDArray[np.float32]:
        margin = int(_REACH * SMOOTHING + 0.5)
        wide = tuple(
            slice(max(0, part.start - margin), min(n, part.stop + margin)) if axis in self.smoothed else part
            for axis, (part, n) in enumerate(zip(box, self.shape, strict=True))
        )
        inside = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box, wide, strict=True))
        variance = self._averaged(self._variance(wide))[inside]
        return np.sqrt(np.maximum(variance, 0)).astype(np.float32)

    def _variance(self, box: Box) -> NDArray[np.float64]:
        """Of each voxel; one sample in memory at a time. Source: Welford (1962), Technometrics 4, 419."""
        mean = power = np.zeros([part.stop - part.start for part in box])
        with np.errstate(invalid="ignore"):  # NaN stays NaN
            for count, sample in enumerate(self.samples, 1):
                values = np.asarray(sample[box], dtype=np.float64)
                change = values - mean
                mean = mean + change / count
                power = power + change * (values - mean)
        return power / (len(self.samples) - 1)

    def _averaged(self, variance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean over the neighbours that have a variance; NaN stays NaN."""
        from scipy.ndimage import gaussian_filter

        def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
            return gaussian_filter(values, SMOOTHING, axes=self.smoothed, mode="nearest", truncate=_REACH)

        known = np.isfinite(variance)
        if known.all():
            return smooth(variance)
        total, share = smooth(np.where(known, variance, 0.0)), smooth(known.astype(np.float64))
        return np.where(known, total / np.maximum(share, 1e-12), np.nan)


@dataclass(frozen=True)
class Drawn:
    """Samples of a result as lazy arrays in the image's axes, and their standard deviation.

    notes : what did not go as planned while drawing, each once.
    """

    samples: tuple[NativeView, ...]
    std: Spread
    seconds: float
    notes: tuple[str, ...] = ()

    def facts(self, seed: int) -> dict[str, Any]:
        """For the record."""
        return {
            "count": len(self.samples),
            "seed": seed,
            "std_smoothing_px": SMOOTHING,
            "seconds": self.seconds,
        }


def draw(job: Prepared, ledger: NoLedger, progress: Progress | None) -> Drawn | None:
    """Draw the samples that ``job`` was prepared for; None if there are none. Resumes with the ledger."""
    plan, started = job.sample_plan, time.perf_counter()
    if plan is None:
        return None
    views, notes = [], dict[str, None]()
    for number, sampler in enumerate(job.samplers):
        name = f"sample{number + 1}"
        own = Chapter(ledger, name)
        store: Sink = (
            MemoryStore(plan.output_shape, np.float32) if own.folder is None
            else BlockStore(own.folder / "blocks", plan.output_shape, np.float32, plan.extent_of(plan.outputs[0]))
        )  # fmt: skip
        outcome = job.run(store, own, _renamed(progress, f"{name} of {len(job.samplers)}"), sampler)
        notes |= dict.fromkeys(f"while drawing samples: {note}" for note in outcome.notes)
        views.append(NativeView(store, job.layout))
    smoothed = tuple(job.layout.axes.index(axis) for axis in job.layout.spatial_axes)
    std = Spread(views, smoothed)
    return Drawn(tuple(views), std, time.perf_counter() - started, tuple(notes))


def _renamed(progress: Progress | None, stage: str) -> Progress | None:
    return None if progress is None else lambda _, done, total: progress(stage, done, total)


def drawn_names(count: int) -> tuple[str, ...]:
    """Names of the further outputs when ``count`` samples are drawn; none for 0."""
    return ("std", *(f"sample{k + 1}" for k in range(count))) if count else ()


def companions(names: Beside, count: int) -> list[Path]:
    """Files for the standard deviation and each of ``count`` samples; none for 0."""
    return [companion(names, name) for name in drawn_names(count)]


def companion(names: Beside, name: str) -> Path:
    """The file of a further output: beside the first one (a TIFF beside a picture), or inside it for OME-Zarr."""
    known = format_of_name(names.target)
    if known is not None and known.name == "OME-Zarr":
        return names.target / name
    suffix = names.suffix if known is None or known.name != "picture" else ".tif"
    return names.file(f"_{name}{suffix}")
