"""Turns a request into a job that is ready to run: statistics, method, block plan."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ruska import io, methods
from ruska.engine import (
    ArraySource,
    Budget,
    ChannelScales,
    Delivery,
    IntensityStatistics,
    Layout,
    Measured,
    Normalisation,
    NormalisedSource,
    Outcome,
    Plan,
    Progress,
    measure_channels,
    measure_intensities,
    parse_memory,
    plan_blocks,
    run,
)
from ruska.engine.executors import executor_of
from ruska.engine.job import Feed
from ruska.engine.layout import in_stack_order
from ruska.engine.validity import mask_of
from ruska.errors import GeometryError, SettingsError
from ruska.image import NO_UNIT, Image, crop, fault_of
from ruska.io.stamps import check_unchanged
from ruska.methods.per_plane import PerPlane
from ruska.methods.repeats import tell_repeats
from ruska.methods.samples import SampleMethod, samples_of, samples_of_parts
from ruska.pipeline.claims import worked_on
from ruska.pipeline.conditioning import Conditions, conditioned
from ruska.pipeline.dtypes import written_dtype
from ruska.pipeline.parts import Looked, Part, joined, look, make_ready, noise_of, uneven
from ruska.pipeline.request import RunOptions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.engine import IterativeMethod, Method, NoLedger, Sink
    from ruska.engine.contracts import Executor
    from ruska.image import Output
    from ruska.physics import NoiseEstimate
    from ruska.pipeline.context import Context
    from ruska.weights import Domain, ModelCard

_AS_THEY_ARE = ("mask", "labels", "scribbles")  # inputs that are not pictures
_PIXEL_SIZE_SLACK = 1.5  # times finer or coarser than what a model was trained on that still counts as the same
_LOOKS_ALONG = (("frames", 1), ("dimensions", 2))  # settings of methods that see neighbouring slices, and their usual
_ADVICE = {"denoise": "compare --method wavelet, or train on this file with --method blindspot"}


@dataclass(frozen=True)
class Prepared:
    """A job that is ready to run.

    image : what will be restored (the region of interest); ``source`` reads it.
    looked : statistics and noise of the whole image, even when only a region is restored; of the region alone when
        the file is nearly empty.
    samplers : methods that draw the requested samples, with their own plan.
    others : inputs besides the image. executor : processes the blocks; None for threads.
    noise : of the first channel, in the file's grey levels, for a dry run; else None.
    parts : groups of planes that are treated alike, in the order of the method's parts; empty where all are.
    noisiest : where in ``image`` the plane with the strongest noise is, if planes differ.
    conditions : what was corrected in ``image``. channels : those of the whole image that ``image`` has.
    """

    image: Image
    source: ArraySource
    looked: Looked
    normalisation: Normalisation | ChannelScales
    method_name: str
    reason: str
    method: Method | IterativeMethod
    layout: Layout
    plan: Plan
    budget: Budget
    out_dtype: np.dtype[Any]
    options: RunOptions
    others: Mapping[str, Feed] = field(default_factory=dict)
    executor: Executor | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    samplers: tuple[SampleMethod | PerPlane, ...] = ()
    sample_plan: Plan | None = None
    noise: NoiseEstimate | None = None
    parts: tuple[Part, ...] = ()
    noisiest: Mapping[str, int] | None = None
    conditions: Conditions = field(default_factory=Conditions)
    channels: slice = field(default_factory=lambda: slice(None))

    @property
    def statistics(self) -> IntensityStatistics:
        """Of the whole image."""
        return self.looked.measured.whole

    @property
    def fill(self) -> float | NDArray[np.float64]:
        """Grey levels that replace invalid voxels in the method's input."""
        several = isinstance(self.normalisation, ChannelScales)
        return self.looked.fill(self.image.axes, self.channels) if several else self.statistics.mean

    def run(
        self, sinks: Sink | Mapping[str, Sink | None], ledger: NoLedger, progress: Progress | None = None,
        sampler: SampleMethod | PerPlane | None = None,
    ) -> Outcome:  # fmt: skip
        """Write what the method makes of the image into ``sinks``, or draw a sample of it."""
        method = self.method if sampler is None else cast("Method", sampler)
        plan = self.plan if sampler is None else self.sample_plan
        assert plan is not None
        executor = self.executor if ledger.folder is not None else None  # processes meet in files
        return run(
            self.source, method, sinks, plan, normalisation=self.normalisation, fill=self.fill,
            mask=_full_mask(self.image), others=self.others, seed=self.options.seed, ledger=ledger,
            progress=progress, executor=executor,
        )  # fmt: skip

    def dtype_of(self, output: Output) -> np.dtype[Any]:
        """What an output is written as."""
        if output.dtype is not None:
            return np.dtype(output.dtype)
        return self.out_dtype if output.values == "intensity" else np.dtype(np.float32)


def _full_mask(image: Image) -> Any:
    """The mask over the whole image; formats may store it smaller, to be broadcast."""
    if image.mask is None or tuple(image.mask.shape) == image.shape:
        return image.mask
    return np.broadcast_to(np.asarray(image.mask), image.shape)


def prepare(
    image: Image,
    method: str = "auto",
    settings: Mapping[str, Any] | None = None,
    options: RunOptions | None = None,
    *,
    others: Mapping[str, Image] | None = None,
    context: Context | None = None,
    progress: Progress | None = None,
    remembered: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    rehearsal: bool = False,
    report: bool = True,
    in_memory: bool = False,
    output: str | None = None,
) -> Prepared:
    """Measure, choose and plan, without restoring anything.

    remembered : ``statistics``, ``conditions``, ``extent``, ``sample_extent`` and ``room`` of an interrupted run, to
        reuse.
    others : images for the method's other inputs. context : its limits apply.
    folder : where a method saves what it has learned. rehearsal : only predict what the job would take.
    output : name of the output file, if any.
    report, in_memory : whether a report will be drawn, and whether results stay in memory: both take memory.

    Raises SettingsError (unknown method or setting), InputError (no finite pixel), ResourceError (memory).
    """
    options = options or RunOptions()
    remembered = remembered or {}
    image, roi = worked_on(image, options.region)
    conditions = Conditions(options.outliers)
    if not rehearsal:  # a dry run describes the image as it is
        image, conditions = conditioned(image, options, remembered.get("conditions"))
    started = time.perf_counter()
    budget = budget_of(options, context, folder=folder, progress=progress, rehearsal=rehearsal, read=_read,
                       voxel_edges=image.voxel_size_nm or _bare_edges(image))  # fmt: skip
    whole = ArraySource(image.data, image.axes)
    if "statistics" in remembered:
        statistics = Measured.of(remembered)
    else:
        statistics = measure_channels(conditions.counting(whole), image.name, progress, mask_of(image, stacked=False))
    looked = look(image, statistics, remembered.get("surveys"), progress, in_advance=rehearsal)
    # Of a movie: every method that asks for the noise gets the one measured from the differences of its frames.
    where, drifts = _told_by_repeats(looked, image.name) if options.repeated_frames else ((), ())
    measured = time.perf_counter()
    name, settings, reason = _choose(method, settings, looked.channels[0].source)
    reason = "; ".join([reason, *where])
    recipe, about = methods.create(name, settings), methods.about(name)
    if about.stack:
        check_stack(image)
    card = card_of(settings, name)
    out_dtype, rounding = written_dtype(options.dtype, image, looked.channels, output)
    warnings = (*_of_channels(looked, lambda source: outside_domain(image, card, source, about.task)), *rounding)
    if rehearsal and warnings:  # a prediction has no record to hold them
        reason = "; ".join([reason, *warnings])
    import torch  # noqa: F401  # now and not in the first block, so that the plan counts the memory it holds

    budget = replace(budget, known_room=remembered.get("room", budget.room))
    with _errors_name(image):
        ready, parts, normalisation = _made_ready(
            recipe, about, looked, budget, image, together=options.repeated_frames
        )
    if (fault := fault_of(ready.outputs, len(ready.halo))) is not None:
        raise SettingsError(f"method '{name}'", fault, "Fix the method; see docs/extending.md.")
    part = crop(image, roi) if roi else image
    layout = Layout(part.axes, part.shape, len(ready.halo))
    channels = (roi or {}).get("C", slice(None))
    if isinstance(normalisation, ChannelScales):
        normalisation = normalisation.of(channels)
    if isinstance(ready, PerPlane) and roi:
        ready = replace(ready, table=_within(ready.table, Layout(image.axes, image.shape, len(ready.halo)), roi))
    stored = whole.chunks

    def plan_of(method: Any, out_dtype: Any, extent: Any, held: float, doubt: bool) -> Plan:
        return plan_blocks(
            layout, method, budget, dtype=image.dtype, out_dtype=out_dtype, edge=tuple(extent) if extent else None,
            chunks=layout.to_canonical_sizes(stored) if stored else None,
            delivery=Delivery(report and not in_memory, doubt, held if in_memory else 0.0),
        )  # fmt: skip

    held = out_dtype.itemsize
    plan = plan_of(ready, out_dtype, remembered.get("extent"), held, doubt=False)
    samplers, doubts = _samplers(ready, name, [p.source for p in parts] or [looked.channels[0].source], options)
    sample_plan = None
    if samplers:
        held += len(samplers) * np.dtype(np.float32).itemsize
        sample_plan = plan_of(samplers[0], np.float32, remembered.get("sample_extent"), held, doubt=True)
        plan = replace(plan, memory_bytes=max(plan.memory_bytes, sample_plan.memory_bytes))
    executor = executor_of(options.executor, plan.workers) if options.executor != "threads" else None
    noise = noise_of(looked.channels[0]) if rehearsal else None
    seconds = {"statistics": measured - started, "method": time.perf_counter() - measured}
    return Prepared(
        part, ArraySource(part.data, part.axes), looked, normalisation, name, reason, ready, layout, plan,
        budget, out_dtype, options, _feeds(others or {}, image, roi, progress), executor, seconds,
        (*warnings, *uneven(looked, parts), *drifts, *doubts), samplers, sample_plan, noise, parts,
        _inside(looked.noisiest(), roi), conditions, channels,
    )  # fmt: skip


def _bare_edges(image: Image) -> dict[str, float]:
    """Edges of a voxel that the file gives without a unit; they tell how much longer one is than another."""
    return {a: size.value for a, size in image.spacing.items() if a in "ZYX" and size.unit == NO_UNIT}


@contextmanager
def _errors_name(image: Image) -> Iterator[None]:
    """Errors about the image name it; a method, which only sees its pixels, does not know the name."""
    try:
        yield
    except GeometryError as error:
        if error.subject != "image":
            raise
        raise GeometryError(image.name, error.problem, error.fix) from error


def _inside(place: Mapping[str, int] | None, roi: Mapping[str, slice] | None) -> Mapping[str, int] | None:
    """A position in the image as one in the region; None where it lies outside."""
    if place is None or not roi:
        return place
    if any(not roi[a].start <= i < roi[a].stop for a, i in place.items() if a in roi):
        return None
    return {a: i - (roi[a].start if a in roi else 0) for a, i in place.items()}


def _made_ready(
    recipe: Any, about: methods.About, looked: Looked, budget: Budget, image: Image, *, together: bool = False
) -> tuple[Any, tuple[Part, ...], Normalisation | ChannelScales]:
    """The method, the parts it was prepared for one by one (none: the whole), and the grey scale it works on."""
    own = looked.measured.whole
    if not about.each:
        scale = own.normalisation()
        source = in_stack_order(ArraySource(image.data, image.axes))
        normalised = NormalisedSource(source, scale, own.mean, mask_of(image))
        if together:
            tell_repeats(normalised, image.name)
        return recipe.prepare(normalised, scale, budget), (), scale
    along_stack = (
        together or about.stack or any(getattr(recipe.settings, name, usual) != usual for name, usual in _LOOKS_ALONG)
    )
    ready, parts = make_ready(recipe, looked, budget, by_slice=not along_stack)
    layout = Layout(image.axes, image.shape, len(ready[0].halo))
    canonical = layout.other_axes + "C"
    table = looked.table(parts, image, canonical)
    return joined(ready, parts, table, len(looked.channels) > 1), parts, looked.scale


def _told_by_repeats(looked: Looked, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Notes on how the noise of repeated frames was measured, by channel, and warnings about it."""
    found = {channel.name: tell_repeats(channel.source, name) for channel in looked.channels}
    several = len(found) > 1
    notes = tuple(f"channel {one}: " * several + of.note for one, of in found.items())
    return notes, tuple(f"channel {one}: " * several + of.warning for one, of in found.items() if of.warning)


def _within(table: np.ndarray[Any, Any], layout: Layout, roi: Mapping[str, slice]) -> np.ndarray[Any, Any]:
    """The part of a table over the non-spatial axes that a region of interest covers."""
    return table[tuple(roi.get(axis, slice(None)) for axis in layout.other_axes + "C")]


def _of_channels(looked: Looked, ask: Callable[[NormalisedSource], tuple[str, ...]]) -> tuple[str, ...]:
    """The notes on each channel; where there are several, each names its channel."""
    if len(looked.channels) == 1:
        return ask(looked.channels[0].source)
    return tuple(f"channel {channel.name}: {said}" for channel in looked.channels for said in ask(channel.source))


def budget_of(options: RunOptions, context: Context | None = None, **more: Any) -> Budget:
    """The limits as numbers, the tighter of options and context; ``more`` are the other fields of `Budget`."""
    chosen: dict[str, Any] = dict(more)
    limits = {"memory_bytes": parse_memory(options.memory) if options.memory is not None else None,
              "workers": options.workers}  # fmt: skip
    for name, asked in limits.items():
        allowed = getattr(context, name, None)
        given = [limit for limit in (asked, allowed) if limit is not None]
        if given:
            chosen[name] = min(given)
    return Budget(**chosen)


def _feeds(
    others: Mapping[str, Image], image: Image, roi: Mapping[str, slice] | None, progress: Progress | None
) -> dict[str, Feed]:
    """Inputs besides the image, cropped like it: pictures on their own grey scale, labels and masks unchanged."""
    feeds = {}
    for role, other in others.items():
        sizes = dict(zip(image.axes, image.shape, strict=True))
        for axis, n in zip(other.axes, other.shape, strict=True):
            if n != 1 and sizes.get(axis) != n:
                raise GeometryError(other.name, f"is {n} along {axis}, the image {sizes.get(axis, 'has no such axis')}",
                                    f"Give a {role} on the grid of the image.")  # fmt: skip
        part = {a: s for a, s in (roi or {}).items() if a in other.axes and other.size(a) != 1}
        cut = crop(other, part) if part else other
        source = ArraySource(cut.data, cut.axes)
        if other.meaning == "labels" or other.dtype.kind == "b" or role in _AS_THEY_ARE:
            feeds[role] = Feed(source)
            continue
        statistics = measure_intensities(ArraySource(other.data, other.axes), other.name, progress)
        feeds[role] = Feed(source, statistics.normalisation(), statistics.mean)
    return feeds


def _samplers(
    method: object, name: str, sources: Sequence[NormalisedSource], options: RunOptions
) -> tuple[tuple[SampleMethod | PerPlane, ...], tuple[str, ...]]:
    """The methods that draw the requested samples, and a note where there is nothing to draw."""
    if not options.samples:
        return (), ()
    if not methods.takes_prior(name):
        raise SettingsError("samples", f"cannot be drawn by method '{name}'", "Use --method prior, or leave them out.")
    found: tuple[SampleMethod | PerPlane, ...] = (
        samples_of_parts(method, sources, options.samples) if isinstance(method, PerPlane)
        else samples_of(method, sources[0], options.samples)
    )  # fmt: skip
    return found, () if found else ("no samples were drawn: nothing was restored",)


def check_stack(image: Image) -> None:
    """Raise GeometryError for a single slice."""
    if not set(image.axes) & set("ZQT"):
        raise GeometryError(image.name, "is a single slice, but isotropic voxels need a stack",
                            "Give a volume (ZYX), or a folder of its slices.")  # fmt: skip


def _read(file: str) -> np.ndarray[Any, Any]:
    image = io.read(file)
    values = image.numpy()
    check_unchanged(image)
    return values


def card_of(settings: Mapping[str, Any] | None, method: str) -> ModelCard | None:
    """The card of the model that ``settings`` name, or of the shipped one if ``method`` uses it."""
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
    """A warning, in one sentence, if a model was trained on images unlike ``image``; usually nothing.

    source : the image's intensities, of which a typical plane is examined.
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
    advice = ", ".join(["check the result carefully", *([_ADVICE[task]] if task in _ADVICE else [])])
    return (f"this image is unlike those that {card.name} was trained on: {', and '.join(strange)}; {advice}",)


def _strange_pixels(here: float | None, trained: tuple[float, float] | None) -> list[str]:
    if here is None or trained is None:
        return []
    low, high = trained
    if low / _PIXEL_SIZE_SLACK <= here <= high * _PIXEL_SIZE_SLACK:
        return []
    known = f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}"
    return [f"the pixels are {here:.3g} nm (trained on {known} nm)"]


def _strange_look(source: NormalisedSource, domain: Domain, here: float | None, task: str) -> list[str]:
    from ruska.methods.looking import statistical_noise, typical_plane
    from ruska.physics.appearance import appearance

    plane = typical_plane(source)
    if plane is None or not np.nanmax(plane) > np.nanmin(plane):  # nothing can be said about a single grey level
        return []
    # from statistics, as for the images the model was trained on
    return domain.strange(appearance(plane, statistical_noise(source)), here, blurred=task == "deblur")


def _choose(
    method: str, settings: Mapping[str, Any] | None, source: NormalisedSource
) -> tuple[str, Mapping[str, Any], str]:
    """Resolve ``auto``; settings are only allowed with a named method."""
    if method != "auto":
        return method, settings or {}, "chosen by the user"
    if settings:
        raise SettingsError(
            "settings", f"{', '.join(settings)} cannot be set without a method", "Name one with --method."
        )
    return methods.choose(source)
