"""What a file holds, and what a job on it would take."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ruska import io
from ruska.engine import ArraySource, measure_channels, measure_intensities
from ruska.engine.job import IMAGE, Feed, Job
from ruska.engine.validity import ValidSource, mask_of
from ruska.engine.workshop import Workshop
from ruska.errors import GeometryError, InputError, OutputError
from ruska.image import Image
from ruska.io import exposure, tilts
from ruska.io.names import check_free
from ruska.pipeline.claims import claim, refuse_claim, worked_on
from ruska.pipeline.context import Context, Here, progress_of
from ruska.pipeline.opening import open_inputs
from ruska.pipeline.parts import level_facts, look, spread_facts
from ruska.pipeline.prepare import Prepared, prepare
from ruska.pipeline.request import Request, RunOptions
from ruska.pipeline.restore import check_companions, check_holds, check_request, check_target, result_of, with_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from ruska.engine import IntensityStatistics, IterativeMethod, Method, Plan, Progress
    from ruska.engine.random_field import PlacedRandomField
    from ruska.physics import Defects, NoiseEstimate, NoiseLevel

_TRIAL_EDGE = {False: 256, True: 128}  # pixels; the second for methods that use every core: as slow, and as telling
_LEAST = 16  # pixels each way, from which noise is told from signal
_START_UP = 0.05  # seconds of a call, below which most may be what only a first call takes


def describe(
    image: Image,
    method: str = "auto",
    settings: Mapping[str, Any] | None = None,
    options: RunOptions | None = None,
    *,
    progress: Progress | None = None,
    output: str | None = None,
) -> dict[str, Any]:
    """Facts about ``image``, the suggested method, and the memory and time that job would take. JSON-like.

    Of a nearly empty file only the stored part is described: noise, method and job are None.
    """
    return _described(image, method, settings, options, progress, output)[0]


def _described(
    image: Image, method: str, settings: Mapping[str, Any] | None, options: RunOptions | None,
    progress: Progress | None, output: str | None,
) -> tuple[dict[str, Any], Prepared | None]:  # fmt: skip
    """`describe`, and the job as it was prepared, if there is one."""
    said = claim(image)
    if said is not None and not (options and options.region):
        measured = measure_intensities(ArraySource(image.data, image.axes), image.name, progress,
                                       mask_of(image, stacked=False))  # fmt: skip
        known = _facts(image, measured)
        return {**known, "notes": [*known["notes"], said], "noise": None, "noise_spread": [], "method": None,
                "reason": said, "method_notes": [], "job": None}, None  # fmt: skip
    job = prepare(image, method, settings, options, progress=progress, rehearsal=True, output=output)
    found = {
        **_facts(image, job.statistics),
        "noise": noise_facts(image if said is None else job.image, job.noise),
        "noise_spread": spread_facts(job.looked),
        "method": job.method_name,
        "reason": job.reason,
        "method_notes": list(getattr(job.method, "notes", ())),
        "job": predict(job),
    }
    return found, job


def _facts(image: Image, statistics: IntensityStatistics) -> dict[str, Any]:
    """What the file says of itself, and its intensities."""
    return {
        "name": image.name,
        "shape": list(image.shape),
        "axes": image.axes,
        "dtype": str(image.dtype),
        "bytes": image.nbytes,
        "spacing": {a: {"value": q.value, "unit": q.unit} for a, q in image.spacing.items()},
        "tilt": None if (found := tilts(image)) is None else {"angles": list(found.angles), "from": found.source},
        "exposure": exposure(image),
        "channels": list(image.channel_names),
        "meaning": image.meaning,
        "header": sorted(image.header),
        "statistics": statistics.as_dict(),
        "notes": list(image.notes),
    }


def noise_report(
    image: Image, folder: Path | None = None, *, overwrite: bool = False, progress: Progress | None = None
) -> dict[str, Any]:
    """`noise_facts`, how the noise differs between channels and slices (``spread``), that of each, and the notes.

    ``noise.png`` and ``noise.json`` are written into ``folder``, and their paths returned as well; None: nothing is.

    Raises GeometryError when the image is too small to tell, OutputError when a file exists or cannot be written.
    """
    from ruska.report import draw_noise, json_text, place

    refuse_claim(image)
    paths = None if folder is None else (folder / "noise.png", folder / "noise.json")
    if paths is not None:
        check_free(paths, overwrite=overwrite)
    seen = _look_at_noise(image)
    if seen is None and min(image.shape[-2:]) >= _LEAST:
        raise InputError(image.name, f"has no part of {_LEAST} x {_LEAST} pixels that are all valid and finite: noise "
                         "cannot be told from signal", "Check how the file was exported.")  # fmt: skip
    if seen is None:
        raise GeometryError(image.name, f"has planes of {image.shape[-2]} x {image.shape[-1]} pixels, at least "
                            f"{_LEAST} x {_LEAST} are needed to tell noise from signal")  # fmt: skip
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(folder, f"cannot be made ({error.strerror})", "Choose another folder.") from error
    measured = measure_channels(ArraySource(image.data, image.axes), image.name, progress,
                                mask_of(image, stacked=False))  # fmt: skip
    looked = look(image, measured, progress=progress)
    found = {
        **seen.facts,
        "spread": spread_facts(looked),
        "each_slice": level_facts(looked),
        "notes": list(image.notes),
    }
    if paths is None:
        return found
    picture, numbers = paths
    place(picture, draw_noise(seen.plane, seen.facts, seen.level, image.name, seen.defects.mask))
    place(numbers, json_text({"file": image.name, **found}).encode())
    return {**found, "picture": str(picture), "numbers": str(numbers)}


def noise_facts(image: Image, known: NoiseEstimate | None = None) -> dict[str, Any] | None:
    """The noise of a typical plane in the file's grey levels, JSON-like; None when the planes are too small to tell.

    Gain, defects, clipping, stripes and interference are those of the middle plane's central part; of a movie
    (T, Y, X), the defects are those that stay through its frames. ``known`` : the noise of a typical plane, where it
    was estimated before.
    """
    seen = _look_at_noise(image, known)
    return None if seen is None else seen.facts


@dataclass(frozen=True)
class _Seen:
    """What was examined to measure the noise, and what was found."""

    facts: dict[str, Any]
    plane: NDArray[Any]
    level: NoiseLevel | None
    defects: Defects


def _look_at_noise(image: Image, known: NoiseEstimate | None = None) -> _Seen | None:
    from ruska.methods.blindspot import spot_for
    from ruska.methods.looking import planes_to_look_at, typical_noise
    from ruska.physics import find_defects, find_interference, measure_stripes, noise_level

    source = ValidSource.of(image)
    found = known or typical_noise(source)
    if found is None:
        return None
    facts: dict[str, Any] = {
        "std": found.std,
        "std_within": list(found.within) if found.within else None,
        "white_equivalent_std": found.white_equivalent_std,
        "correlated": found.correlated,
        "correlation_y": list(found.lags_y),
        "correlation_x": list(found.lags_x),
        "blind_spot": list(spot_for(found)),
        "reason": found.reason,
    }
    plane = planes_to_look_at(source, count=1)[0]
    level = noise_level(plane) if min(plane.shape) >= 64 else None
    if level is not None and found.grows is False:
        level = replace(level, gain=0.0, intercept=found.std**2)
    if level is not None:
        facts |= {"gain": level.gain, "intercept": level.intercept}
    movie = image.axes == "TYX" and image.size("T") > 2
    defects = find_defects(np.stack(planes_to_look_at(source)) if movie else plane, level)
    facts |= {
        "defects": {"hot": defects.hot, "dead": defects.dead, "of": defects.mask.size},
        "clipped": {"low": defects.clipped_low, "high": defects.clipped_high},
    }
    if min(plane.shape) >= 32:
        facts["stripes"] = asdict(measure_stripes(plane))
    facts["interference"] = [asdict(wave) for wave in find_interference(plane).waves]
    return _Seen(facts, plane, level, defects)


def foresee(
    request: Request, context: Context | None = None, given: Mapping[str, Image] | None = None, *,
    makes_folder: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """What a request would do, without doing it: `describe`, and whether its output, if any, can be written.

    makes_folder : the folder of the output would be made where it is missing.
    """
    context = context or Here()
    request = with_model(request)
    check_request(request)
    images, run = open_inputs(request, given), request.run
    told = progress_of(context)
    if request.output is None:
        return describe(images["image"], request.method, request.settings, run, progress=told)
    return predict_job(images["image"], Path(request.output), request.method, request.settings, run,
                       overwrite=run.overwrite, report=run.report, whole_names=run.whole_names,
                       makes_folder=makes_folder, progress=told)  # fmt: skip


def predict_job(
    image: Image,
    output: Path,
    method: str = "auto",
    settings: Mapping[str, Any] | None = None,
    options: RunOptions | None = None,
    *,
    overwrite: bool = False,
    report: bool = True,
    whole_names: bool = False,
    makes_folder: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """`describe` for a job with this output, which is checked but not written (``--dry-run``)."""
    if not makes_folder or output.parent.exists():  # nothing stands in the way in a folder that is not there
        check_target(image, output, overwrite=overwrite)
    worked_on(image, options.region if options else None)
    count = options.samples if options else 0
    beside = check_companions(image, output, count, report, overwrite=overwrite, whole_names=whole_names)
    facts, job = _described(image, method, settings, options, progress, str(output))
    if job is not None:
        check_holds(job, output, whole_names=whole_names)
        made = result_of(job)
        facts |= {"not_kept": io.losses(output, made).without_record().lines,
                  "losses": io.losses_sentence(output, made)}  # fmt: skip
    return {**facts, "beside": [file.name for file in beside]}


def predict(job: Prepared) -> dict[str, Any]:
    """Memory, blocks and time of a job; the time comes from one trial on a small block in the middle."""
    plan = job.plan
    return {
        "blocks": plan.size,
        "block": list(plan.extent),
        "axes": plan.layout.canonical_axes,
        "workers": plan.workers,
        "memory_bytes": max(plan.memory_bytes, job.sample_plan.memory_bytes if job.sample_plan else 0),
        "seconds": _trial(job, job.method, plan) + getattr(job.method, "training_seconds", 0.0) + _drawing(job),
        "output_shape": list(plan.layout.to_native_shape(plan.output_shape)),
        "output_dtype": str(job.out_dtype),
    }


def _drawing(job: Prepared) -> float:
    """Seconds that the samples would take."""
    if job.sample_plan is None:
        return 0.0
    return len(job.samplers) * _trial(job, cast("Method", job.samplers[0]), job.sample_plan)


def _trial(job: Prepared, method: Method | IterativeMethod, plan: Plan) -> float:
    """Estimated seconds of the whole run, from the time per voxel of one small block."""
    first = plan.first_spatial
    box = []
    for axis, (n, multiple) in enumerate(zip(plan.shape, (1,) * first + plan.multiple, strict=True)):
        edge = n if axis == first - 1 else min(n, _TRIAL_EDGE[method.threads == "many"] if axis >= first else 1)
        if axis >= first and len(plan.halo) == 3:
            edge = min(n, 48)
        start = (n - edge) // 2 // multiple * multiple
        box.append(slice(start, start + edge))
    pad = tuple(-(b.stop - b.start) % m for b, m in zip(box[first:], plan.multiple, strict=True))
    trial = Job({IMAGE: Feed(job.source, job.normalisation, job.fill)}, method, plan, {})
    inputs, _ = trial.read(tuple(box), pad)
    seconds = _time_once(method, inputs, trial.random(tuple(box), pad))
    per_voxel = seconds / inputs[IMAGE].numel()
    total = 0
    sample = range(0, plan.size, max(1, plan.size // 64))
    for index in sample:
        read = plan.block(index).read
        voxels = 1
        for part in read:
            voxels *= part.stop - part.start
        total += voxels
    side_by_side = plan.workers if method.threads == "one" else 1
    return per_voxel * total / len(sample) * plan.size / min(side_by_side, plan.size)


def _time_once(method: Method | IterativeMethod, inputs: dict[str, Tensor], random: PlacedRandomField) -> float:
    """Seconds for one block: of one call (a second where the first was short), or of one sweep times their number."""
    if isinstance(sweeps := getattr(method, "sweeps", None), int):
        iterative = cast("IterativeMethod", method)
        state = iterative.init(inputs, random)
        started = time.perf_counter()
        iterative.sweep(state, inputs, 0, random)
        return (time.perf_counter() - started) * sweeps
    workshop = Workshop(method)
    first = workshop.estimate(inputs, random)[1]
    return first if first > _START_UP else min(first, workshop.estimate(inputs, random)[1])
