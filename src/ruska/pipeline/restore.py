"""Running a job from image or file to result."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruska import io, methods
from ruska.engine import (
    PLACING,
    BlockStore,
    CanonicalSink,
    Ledger,
    MemoryStore,
    NativeView,
    NoLedger,
    Progress,
    any_block_done,
    clear_delivered,
    empty_work,
    face,
    work_folder,
)
from ruska.engine.allocator import give_back_freed_memory
from ruska.errors import ChangedInputError, InputError, OutputError, SettingsError
from ruska.image import Image, Quantity
from ruska.io.folder import FolderPixels
from ruska.io.registry import format_of_name
from ruska.physics.operators import Geometry
from ruska.pipeline.prepare import DTypes, Options, Prepared, prepare
from ruska.pipeline.record import job_identity, make_record, references
from ruska.pipeline.samples import Drawn, companions, draw, write_drawn
from ruska.pipeline.watch import Watch, watched
from ruska.report import beside, check_beside, json_text, place
from ruska.scratch import tidy

if TYPE_CHECKING:
    from ruska.engine import Sink
    from ruska.report import Beside

_STORE = "blocks.zarr"
"""In the work folder: a Zarr output, where its finished blocks are."""


@dataclass(frozen=True)
class Result:
    """A restored image and what is known about how it came to be.

    image : on the input's intensity scale, with its geometry and metadata.
    record : the run record (settings, versions, hashes, times, the command that repeats it).
    report : the HTML report, or None when none was asked for or the result is in memory only.
    lost : what the output format could not carry.
    std : standard deviation of the error as the samples tell it, grey levels, float32; None where none were drawn.
    samples : images that the measurement and the prior allow as well as ``image``, float32.
    """

    image: Image
    record: Mapping[str, Any]
    report: Path | None = None
    lost: tuple[str, ...] = field(default=())
    std: Image | None = None
    samples: tuple[Image, ...] = ()


def denoise(
    image: Image | str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    method: str = "auto",
    settings: Mapping[str, Any] | None = None,
    dtype: DTypes = "same",
    samples: int = 0,
    seed: int = 0,
    memory: str | None = None,
    workers: int | None = None,
    roi: Mapping[str, slice] | None = None,
    overwrite: bool = False,
    report: bool = True,
    progress: Progress | None = None,
) -> Result:
    """Denoise an image or a file of any size.

    Parameters
    ----------
    image : an `Image`, a path, or anything `ruska.read` takes; a bare 2D or 3D NumPy array works too.
    output : file or store to write; the result stays in memory when None.
    method : name of a method, or ``auto`` to let Ruska choose from the data (see `docs/methods.md`).
    settings : options of that method.
    dtype, samples, seed, memory, workers, roi : see `Options`.
    overwrite : replace ``output`` if it exists.
    report : write ``<output>.report.html`` and ``.png`` beside the output.

    Raises
    ------
    RuskaError : one of its kinds, naming the file or setting, what was found and the way out.
    """
    options = Options(dtype, seed, memory, workers, roi, samples)
    opened = as_image(image)
    return run_job(
        "denoise", opened, output, method, settings, options, overwrite=overwrite, report=report, progress=progress
    )


def as_image(given: Any) -> Image:
    """Open a path, or wrap a NumPy array (the last two axes are Y and X, a third is a stack)."""
    import numpy as np

    if isinstance(given, Image):
        return given
    if isinstance(given, str | os.PathLike):
        return io.read(given)
    array = np.asarray(given)
    if array.ndim not in (2, 3) or array.dtype.kind not in "uifb":
        raise InputError("array", f"has {array.ndim} dimensions of type {array.dtype}, expected 2 or 3 of numbers",
                         "Wrap it: ruska.Image(array, axes='TCZYX').")  # fmt: skip
    if array.size == 0:
        raise InputError("array", f"holds no pixels (shape {array.shape})")
    return Image(array, "QYX"[-array.ndim :], name="array")


def run_job(
    task: str,
    image: Image,
    output: str | os.PathLike[str] | None,
    method: str,
    settings: Mapping[str, Any] | None,
    options: Options,
    *,
    overwrite: bool = False,
    report: bool = True,
    whole_names: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Prepare, run and write. With an ``output``, an interrupted run resumes when it is started again.

    whole_names : files beside the output begin with its whole name (``a.tif.record.json``), not with its stem.
    """
    if (own := methods.task(method)) != task:
        raise SettingsError("method", f"'{method}' is no method to {task}", f"Use `ruska {own}`, or another method.")
    if output is None:
        return _in_memory(task, image, method, settings, options, progress)
    target = Path(output)
    tidy(target.absolute().parent)
    _check_again(image, target, overwrite)
    check_companions(image, target, options.samples, report, overwrite=True, whole_names=whole_names)
    with _locked(target) as folder, watched(image, ours=target) as watch:
        told, digest = watch.over(progress), watch.digest(image)
        ledger = Ledger(folder, job_identity(image, digest, task, method, settings, options))
        if not ledger.resumed:
            check_companions(image, target, options.samples, report, overwrite=overwrite, whole_names=whole_names)
        elif _is_zarr(target) and not (folder / _STORE).exists():
            ledger.restart()  # a run was killed before it had made the store, or when the store had its name
        job = prepare(image, method, settings, options, progress=told,
                      remembered=ledger.entries.get("plan"), folder=folder, report=report)  # fmt: skip
        if "plan" not in ledger.entries:
            ledger.add("plan", statistics=job.statistics.as_dict(), extent=list(job.plan.extent),
                       sample_extent=list(job.sample_plan.extent) if job.sample_plan else None,
                       room=job.budget.room)  # fmt: skip
        sink = _open_sink(job, target, folder, resumed=ledger.resumed)
        outcome = job.run(sink, ledger, told)
        drawn = draw(job, task, ledger, told)
        names = beside(target, whole=whole_names)  # asked again: a run beside this one may have ended
        record = make_record(job, task, digest, names, outcome, drawn)
        watch.check()  # nothing is written beside the output before
        return _deliver(job, sink, drawn, record, names, overwrite, report, progress, watch, ledger)


def _check_again(image: Image, target: Path, overwrite: bool) -> None:
    """`check_target`; a result whose run was killed right behind it is told from any other."""
    try:
        check_target(image, target, overwrite=overwrite)
    except OutputError as error:
        if error.problem == "exists already" and clear_delivered(target):
            raise OutputError(target, "exists already and is complete: its run was killed when nothing but tidying was "
                              "left, which is done now", error.fix) from error  # fmt: skip
        raise
    clear_delivered(target)


def _in_memory(
    task: str, image: Image, method: str, settings: Mapping[str, Any] | None, options: Options,
    progress: Progress | None,
) -> Result:  # fmt: skip
    with watched(image) as watch:
        told, digest = watch.over(progress), watch.digest(image)
        job = prepare(image, method, settings, options, progress=told, in_memory=True)
        store = MemoryStore(job.plan.output_shape, job.out_dtype)
        outcome = job.run(store, NoLedger(), told)
        drawn = draw(job, task, NoLedger(), told)
        record = make_record(job, task, digest, None, outcome, drawn)
        watch.check()
    extra = [replace(found, data=found.numpy()) for found in _companions(job, drawn, record)]
    return _result(_restored(job, job.layout.from_canonical(store.values), record), record, extra)


def check_target(image: Image, target: Path, *, overwrite: bool) -> None:
    """Refuse an output that cannot be written, or that is the input, before any work is done."""
    io.check_output(target, overwrite=True)  # its name, before the file system is asked
    if target.exists() and any(target.samefile(file) for file in files_of(image) if file.exists()):
        raise OutputError(
            target, "is the input file, or a reference of it: Ruska overwrites neither", "Choose another name."
        )
    if target.exists() and image.path is not None and image.path.resolve() in target.resolve().parents:
        raise OutputError(target, f"is a part of the input {image.path.name}, which Ruska never overwrites",
                          "Choose another folder.")  # fmt: skip
    io.check_output(target, overwrite=overwrite)


def files_of(image: Image) -> list[Path]:
    """The files that an image is read from: its own, the slices of a folder, and the references of its detector."""
    slices = image.data.files if isinstance(image.data, FolderPixels) else ()
    return [Path(file) for file in (image.path, *slices, *references(image).values()) if file is not None]


def check_companions(
    image: Image, target: Path, samples: int, report: bool, *, overwrite: bool, whole_names: bool = False
) -> list[Path]:
    """The samples' files beside ``target``; OutputError where these, the record or the report cannot be written."""
    names = beside(target, whole=whole_names)
    drawn = companions(names, samples)
    for file in drawn:
        check_target(image, file, overwrite=overwrite)
    files = [names.record, *(names.reports if report else ())]
    check_beside(names, files, overwrite=overwrite, inputs=files_of(image))
    return drawn


@contextmanager
def _locked(target: Path) -> Iterator[Path]:
    """The work folder; emptied when the job is done, fails before it has finished a single block, or read a file that
    changed meanwhile."""
    try:
        with work_folder(target) as folder:
            try:
                yield folder
            except ChangedInputError:  # of which state the finished blocks are, nothing tells
                empty_work(folder)
                raise
            except OSError:
                raise
            except Exception:
                if not any_block_done(folder):
                    empty_work(folder)
                raise
            empty_work(folder)
    except OSError as error:
        raise OutputError(target, f"could not be written ({error.strerror or error})",
                          "Check free space and permissions; the same command resumes.") from error  # fmt: skip


def _restored(job: Prepared, data: Any, record: Mapping[str, Any]) -> Image:
    changes: dict[str, Any] = {"provenance": record, "path": None}
    scale = job.plan.outputs[0].grid(len(job.plan.halo))
    if any(s != 1 for s in scale):
        changes |= regridded(job.image, job.layout.spatial_axes, scale)
    return job.image.with_data(data, **changes)


def _companions(job: Prepared, drawn: Drawn | None, record: Mapping[str, Any]) -> list[Image]:
    """The standard deviation and the samples as images, in this order; nothing where none were drawn."""
    if drawn is None:
        return []
    parts: dict[str, Any] = {"standard deviation": drawn.std}
    parts |= {f"sample {k + 1} of {len(drawn.samples)}": sample for k, sample in enumerate(drawn.samples)}
    said = {"ruska": record["ruska"], "of": record["output"]["path"], "seed": record["seed"]}
    return [replace(_restored(job, data, {**said, "what": what}), header={}) for what, data in parts.items()]


def regridded(image: Image, axes: str, scale: Sequence[Fraction]) -> dict[str, Any]:
    """Spacing and origin of ``image`` on a grid with ``scale`` times as many voxels; a mask does not carry over."""
    spacing, origin = dict(image.spacing), dict(image.origin)
    for axis, factor in zip(axes, scale, strict=True):
        if factor == 1 or axis not in spacing:
            continue
        unit, start = spacing[axis].unit, origin.get(axis)
        old = Geometry((spacing[axis].value,), (start.to(unit) if start is not None else 0.0,))
        new = old.after((factor,))
        spacing[axis], origin[axis] = Quantity(new.spacing[0], unit), Quantity(new.origin[0], unit)
    return {"spacing": spacing, "origin": origin, "mask": None}


def _is_zarr(target: Path) -> bool:
    known = format_of_name(target)
    return known is not None and known.name == "OME-Zarr"


def _open_sink(job: Prepared, target: Path, folder: Path, *, resumed: bool) -> Sink:
    """Where finished blocks wait: a file per block, or for a Zarr output the store itself, chunked like the blocks."""
    plan = job.plan
    if not _is_zarr(target):
        return BlockStore(folder / "blocks", plan.output_shape, job.out_dtype, plan.extent_of(plan.outputs[0]))
    from ruska.io.zarr_store import ZarrSink

    part = folder / _STORE
    if resumed and part.exists():
        return CanonicalSink(ZarrSink.open(part), job.layout)
    io.remove(part)
    shape, chunks = (
        job.layout.to_native_shape(sizes) for sizes in (plan.output_shape, plan.extent_of(plan.outputs[0]))
    )
    return CanonicalSink(ZarrSink(part, shape, job.out_dtype, job.layout.axes, chunks=chunks), job.layout)


def _deliver(
    job: Prepared,
    store: Sink,
    drawn: Drawn | None,
    record: dict[str, Any],
    names: Beside,
    overwrite: bool,
    report: bool,
    progress: Progress | None,
    watch: Watch,
    ledger: Ledger,
) -> Result:
    """Write output, record and report. The output takes its name last: when it is there, everything is."""
    from ruska.report import write_report

    target = names.target
    restored = _restored(job, NativeView(store, job.layout), record)
    extra = _companions(job, drawn, record)
    written = write_drawn(extra, names, progress) if extra else ()
    html: list[Path] = []

    def before_placing(lost: tuple[str, ...]) -> None:
        record["output"]["not_kept"] = list(lost)
        if report:
            if progress is not None:
                progress("drawing the report", 0, 1)
            give_back_freed_memory()  # what writing left in pieces, into which the pictures would not fit
            paths = write_report(target, job.image, restored, record, explained=getattr(job.method, "explained", None),
                                 drawn=tuple(extra), overwrite=True, names=names)  # fmt: skip
            html.append(paths.html)
            try:
                watch.check()  # the report shows the input, too
            except InputError:
                for file in (paths.html, paths.png, *(companions(names, len(extra) - 1) if extra else ())):
                    io.remove(file)
                raise
        place(names.record, json_text(record).encode())

    def placing(part: Path) -> None:
        ledger.add(PLACING, **face(part))

    if progress is not None:
        progress(f"writing {target.name}", 0, 1)
    if isinstance(store, CanonicalSink):
        from ruska.io.zarr_store import finish_store

        lost: tuple[str, ...] = ()
        finish_store(store.sink.path, restored)
        before_placing(lost)
        placing(store.sink.path)
        io.put_in_place(store.sink.path, target)
    else:
        lost = io.write(target, restored, overwrite=overwrite, before_placing=before_placing, placing=placing)
    return _result(io.read(target), record, written, html[0] if html else None, lost)


def _result(
    image: Image, record: Mapping[str, Any], extra: Sequence[Image], report: Path | None = None,
    lost: tuple[str, ...] = (),
) -> Result:  # fmt: skip
    """``extra`` : the standard deviation and the samples, or nothing."""
    return Result(image, record, report, lost, extra[0] if extra else None, tuple(extra[1:]))
