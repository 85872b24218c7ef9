"""From what the user asked to a job that is ready to run: statistics, method, block plan."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np

from ruska import io, methods
from ruska.engine import (
    ArraySource,
    Budget,
    Delivery,
    IntensityStatistics,
    Layout,
    Normalisation,
    NormalisedSource,
    Outcome,
    Plan,
    Progress,
    measure_intensities,
    parse_memory,
    plan_blocks,
    run,
)
from ruska.engine.layout import in_stack_order
from ruska.errors import GeometryError, SettingsError, did_you_mean
from ruska.image import Image, corrected, crop
from ruska.io.digest import digest_image
from ruska.io.stamps import check_unchanged
from ruska.methods.samples import FEWEST, MOST, SampleMethod, samples_of
from ruska.methods.sampling import typical_noise
from ruska.pipeline.claims import worked_on

if TYPE_CHECKING:
    from ruska.engine import IterativeMethod, Method, NoLedger, Sink
    from ruska.physics import NoiseEstimate
    from ruska.weights import Domain, ModelCard

DTypes = Literal["same", "float32"]
_PIXEL_SIZE_SLACK = 1.5  # times finer or coarser than what a model was trained on that still counts as the same
_ADVICE = {"denoise": "compare --method wavelet, or train on this file with --method blindspot"}


@dataclass(frozen=True)
class Options:
    """How a job is run; none of these changes what the method is.

    dtype : ``same`` as the input (rounded and clipped; clipped voxels are counted) or ``float32``.
    seed : of the random field, for methods that draw samples.
    memory : upper bound for the whole process, e.g. ``"2GB"``; half of what is free when None.
    workers : blocks side by side; every core when None.
    roi : axis letter -> slice; only this region is restored, with the statistics of the whole image.
    samples : posterior samples that are drawn beside the result, for its standard deviation; 0 or 2 to 100.
    """

    dtype: DTypes = "same"
    seed: int = 0
    memory: str | None = None
    workers: int | None = None
    roi: Mapping[str, slice] | None = None
    samples: int = 0

    def __post_init__(self) -> None:
        if self.dtype not in ("same", "float32"):
            raise SettingsError("dtype", f"'{self.dtype}' is unknown", did_you_mean(self.dtype, ("same", "float32")))
        if self.samples and not FEWEST <= self.samples <= MOST:
            raise SettingsError("samples", f"is {self.samples}, expected 0 (none) or {FEWEST} to {MOST}")

    def budget(self, **more: Any) -> Budget:
        """The limits as numbers; ``more`` are the other fields of `Budget`."""
        chosen: dict[str, Any] = dict(more)
        if self.memory is not None:
            chosen["memory_bytes"] = parse_memory(self.memory)
        if self.workers is not None:
            chosen["workers"] = self.workers
        return Budget(**chosen)


@dataclass(frozen=True)
class Prepared:
    """A job that is ready to run.

    image : what will be restored (the region of interest); ``source`` reads it.
    statistics : of the whole image, also when only a region is restored; of that where next to nothing else is there.
    samplers : methods that draw the samples that were asked for, with a plan of their own.
    noise : of a rehearsal, in the file's grey levels, where all voxels are finite; else None.
    """

    image: Image
    source: ArraySource
    statistics: IntensityStatistics
    normalisation: Normalisation
    method_name: str
    reason: str
    method: Method | IterativeMethod
    layout: Layout
    plan: Plan
    budget: Budget
    out_dtype: np.dtype[Any]
    options: Options
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    samplers: tuple[SampleMethod, ...] = ()
    sample_plan: Plan | None = None
    noise: NoiseEstimate | None = None

    def run(
        self, sink: Sink, ledger: NoLedger, progress: Progress | None = None, sampler: SampleMethod | None = None
    ) -> Outcome:
        """Restore the image into ``sink``, or draw a sample of it."""
        method = self.method if sampler is None else cast("Method", sampler)
        plan = self.plan if sampler is None else self.sample_plan
        assert plan is not None
        return run(
            self.source, method, sink, plan, normalisation=self.normalisation, fill=self.statistics.mean,
            mask=_full_mask(self.image), seed=self.options.seed, ledger=ledger, progress=progress,
        )  # fmt: skip


def _full_mask(image: Image) -> Any:
    """The mask over the whole image; formats may store it smaller, to be broadcast."""
    if image.mask is None or tuple(image.mask.shape) == image.shape:
        return image.mask
    return np.broadcast_to(np.asarray(image.mask), image.shape)


def prepare(
    image: Image,
    method: str = "auto",
    settings: Mapping[str, Any] | None = None,
    options: Options | None = None,
    *,
    progress: Progress | None = None,
    remembered: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    rehearsal: bool = False,
    report: bool = True,
    in_memory: bool = False,
) -> Prepared:
    """Measure, choose and plan, without restoring anything.

    remembered : ``statistics``, ``extent``, ``sample_extent`` and ``room`` of an interrupted run, to be kept.
    folder : where a method keeps what it has learned. rehearsal : only to predict what the job would take.
    report, in_memory : whether a report will be drawn, and whether results stay in memory; they take memory too.

    Raises SettingsError (unknown method or setting), InputError (no finite pixel), ResourceError (memory).
    """
    options = options or Options()
    remembered = remembered or {}
    image, roi = worked_on(image, options.roi)
    started = time.perf_counter()
    budget = options.budget(folder=folder, progress=progress, rehearsal=rehearsal, read=_read)
    whole = ArraySource(image.data, image.axes)
    if "statistics" in remembered:
        statistics = IntensityStatistics(**remembered["statistics"])
    else:
        statistics = measure_intensities(whole, image.name, progress)
    normalisation = statistics.normalisation()
    normalised = NormalisedSource(in_stack_order(whole), normalisation, statistics.mean)
    measured = time.perf_counter()
    name, settings, reason = _choose(method, settings, normalised)
    recipe = methods.create(name, settings)
    if methods.about(name).stack:
        check_stack(image)
    warnings = outside_domain(image, card_of(settings, name), normalised, methods.task(name))
    if rehearsal and warnings:  # a prediction has no record that would say them
        reason = "; ".join([reason, *warnings])
    import torch  # noqa: F401  # now and not in the first block, so that the plan counts the memory it holds

    budget = replace(budget, known_room=remembered.get("room", budget.room))
    ready = recipe.prepare(normalised, normalisation, budget)
    part = crop(image, roi) if roi else image
    out_dtype = image.dtype if options.dtype == "same" else np.dtype(np.float32)
    layout = Layout(part.axes, part.shape, len(ready.halo))
    stored = whole.chunks

    def plan_of(method: Any, out_dtype: Any, extent: Any, held: float, doubt: bool) -> Plan:
        return plan_blocks(
            layout, method, budget, dtype=image.dtype, out_dtype=out_dtype, edge=tuple(extent) if extent else None,
            chunks=layout.to_canonical_sizes(stored) if stored else None,
            delivery=Delivery(report and not in_memory, doubt, held if in_memory else 0.0),
        )  # fmt: skip

    held = out_dtype.itemsize
    plan = plan_of(ready, out_dtype, remembered.get("extent"), held, doubt=False)
    samplers, doubts = _samplers(ready, name, normalised, options)
    sample_plan = None
    if samplers:
        held += len(samplers) * np.dtype(np.float32).itemsize
        sample_plan = plan_of(samplers[0], np.float32, remembered.get("sample_extent"), held, doubt=True)
        plan = replace(plan, memory_bytes=max(plan.memory_bytes, sample_plan.memory_bytes))
    noise = typical_noise(normalised) if rehearsal and statistics.finite_fraction == 1 else None
    seconds = {"statistics": measured - started, "method": time.perf_counter() - measured}
    return Prepared(
        part, ArraySource(part.data, part.axes), statistics, normalisation, name, reason, ready, layout, plan,
        budget, out_dtype, options, seconds, (*warnings, *doubts), samplers, sample_plan,
        noise.scaled(normalisation.scale) if noise else None,
    )  # fmt: skip


def _samplers(
    method: object, name: str, source: NormalisedSource, options: Options
) -> tuple[tuple[SampleMethod, ...], tuple[str, ...]]:
    """What draws the samples that were asked for, and what to say where there is nothing to draw."""
    if not options.samples:
        return (), ()
    if not methods.takes_prior(name):
        raise SettingsError("samples", f"cannot be drawn by method '{name}'", "Use --method prior, or leave them out.")
    found = samples_of(method, source, options.samples)
    return found, () if found else ("no samples were drawn: nothing was restored",)


def check_stack(image: Image) -> None:
    """Raises GeometryError where there is one slice only."""
    if not set(image.axes) & set("ZQT"):
        raise GeometryError(image.name, "is a single slice, isotropic voxels need a stack",
                            "Give a volume (ZYX), or a folder of its slices.")  # fmt: skip


def _read(file: str) -> np.ndarray[Any, Any]:
    image = io.read(file)
    values = image.numpy()
    check_unchanged(image)
    return values


def correct_detector(image: Image, dark: str | None = None, gain: str | None = None) -> Image:
    """The image corrected with reference files (see `image.corrected`), which its provenance then names."""
    files = {name: file for name, file in (("dark", dark), ("gain", gain)) if file is not None}
    if not files:
        return image
    references = {name: io.read(file) for name, file in files.items()}
    done = {name: {"path": files[name], "hash": digest_image(found)} for name, found in references.items()}
    result = corrected(image, references.get("dark"), references.get("gain"))
    for reference in references.values():  # they are in memory now
        check_unchanged(reference)
    return replace(result, provenance={**image.provenance, "detector": done})


def card_of(settings: Mapping[str, Any] | None, method: str) -> ModelCard | None:
    """The card of the model that ``settings`` name, or of the one that comes with Ruska where ``method`` takes it."""
    from ruska.weights import ModelCard, find_card
    from ruska.weights.embedded import EMBEDDED

    named = (settings or {}).get("model")
    if named not in (None, "", "none", "auto"):
        return find_card(str(named))
    own = methods.takes_prior(method) and EMBEDDED.exists()
    return ModelCard.read(EMBEDDED / "card.json") if own else None


def outside_domain(
    image: Image, card: ModelCard | None, source: NormalisedSource, task: str = "denoise"
) -> tuple[str, ...]:
    """What the user should know when a model was trained on images unlike ``image``, in one sentence; mostly nothing.

    source : of the image's intensities, a typical plane of which is looked at.
    """
    if card is None:
        return ()
    here = image.voxel_size_nm.get("X")
    if card.domain is None:
        strange = _strange_pixels(here, card.pixel_size_nm)
    else:
        strange = _strange_look(source, card.domain, here, task)
    if not strange:
        return ()
    advice = ", ".join(["look at the result with care", *([_ADVICE[task]] if task in _ADVICE else [])])
    return (f"this is unlike what {card.name} was trained on: {', and '.join(strange)}; {advice}",)


def _strange_pixels(here: float | None, trained: tuple[float, float] | None) -> list[str]:
    if here is None or trained is None:
        return []
    low, high = trained
    if low / _PIXEL_SIZE_SLACK <= here <= high * _PIXEL_SIZE_SLACK:
        return []
    known = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
    return [f"the pixels are {here:.3g} nm (trained on {known} nm)"]


def _strange_look(source: NormalisedSource, domain: Domain, here: float | None, task: str) -> list[str]:
    from ruska.methods.sampling import typical_plane
    from ruska.physics.appearance import appearance

    plane = typical_plane(source)
    if plane is None:
        return []
    return domain.strange(appearance(plane, typical_noise(source)), here, blurred=task == "deblur")


def _choose(
    method: str, settings: Mapping[str, Any] | None, source: NormalisedSource
) -> tuple[str, Mapping[str, Any], str]:
    """Resolve ``auto``; settings that the user gives go with a method the user names."""
    if method != "auto":
        return method, settings or {}, "chosen by the user"
    if settings:
        raise SettingsError("settings", f"{', '.join(settings)} need a method", "Name one with --method.")
    return methods.choose(source)
