"""Runs a restoration, from its request to the files it writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska import io, methods
from ruska.engine import (
    BlockStore,
    CanonicalSink,
    Layout,
    Ledger,
    MemoryStore,
    NativeView,
    NoLedger,
    Progress,
    any_block_done,
    empty_work,
    work_folder,
)
from ruska.engine.allocator import free_as_usual, give_back_freed_memory
from ruska.engine.ledger import PLACING, clear_delivered, face
from ruska.engine.memory import keeps_freed_memory
from ruska.errors import ChangedInputError, InputError, JobCancelledError, OutputError, SettingsError, did_you_mean
from ruska.image import Image, Output, Quantity
from ruska.io.registry import check_name, format_of_name
from ruska.physics.operators import Geometry
from ruska.pipeline import foreseen
from ruska.pipeline.conditioning import ValidArray
from ruska.pipeline.context import Context, Here, progress_of
from ruska.pipeline.earlier import result_digest
from ruska.pipeline.prepare import Prepared, prepare
from ruska.pipeline.record import job_identity, make_record, references
from ruska.pipeline.samples import Drawn, companion, companions, draw, drawn_names
from ruska.pipeline.watch import Watch, watched
from ruska.report import beside, check_beside, json_text, judge_images, place
from ruska.scratch import tidy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.engine import Sink
    from ruska.engine.run import Outcome
    from ruska.pipeline.request import Request
    from ruska.report import Beside, Judged

_STORE = "blocks.zarr"
"""A Zarr output in the work folder, which holds its finished blocks."""


@dataclass(frozen=True)
class Result:
    """A restored image, and how it was made.

    image : on the input's intensity scale, with its geometry and metadata.
    record : the run record (settings, versions, hashes, times, the command that repeats it).
    report : the HTML report, or None if it was switched off or the result is only in memory.
    lost : metadata that the output format could not hold.
    std : standard deviation of the error, grey levels, float32, from the method or its samples; else None.
    samples : further images that fit measurement and prior as well as ``image`` does, float32.
    outputs : the method's other outputs, by name. tables : rows (n, columns), by name.
    first : name of the output that is ``image``.
    """

    image: Image
    record: Mapping[str, Any]
    report: Path | None = None
    lost: tuple[str, ...] = field(default=())
    std: Image | None = None
    samples: tuple[Image, ...] = ()
    outputs: Mapping[str, Image] = field(default_factory=dict)
    tables: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    first: str = "mean"


def restore(request: Request, images: Mapping[str, Image], context: Context | None = None) -> Result:
    """Prepare, run and write. With an output, the same request resumes an interrupted run."""
    context, request = context or Here(), with_model(request)
    check_request(request, images)
    if context.own_process and methods.learns(request.method):
        from ruska.engine.allocator import keep_freed_memory

        keep_freed_memory()  # networks are faster when freed memory stays
    job = _Run(request, images["image"], {k: v for k, v in images.items() if k != "image"}, context)
    return job.in_memory() if request.output is None else job.into(Path(request.output))


def with_model(request: Request) -> Request:
    """The request with method ``auto`` replaced by the method of the model it names, if any."""
    named = request.settings.get("model")
    if named in (None, "", "none", "auto") or (request.method != "auto" and methods.takes_prior(request.method)):
        return request
    from ruska.weights import find_card

    found = find_card(str(named)).method
    if request.method not in ("auto", found):
        raise SettingsError("model", f"{named} is a model for {found}, not for {request.method}",
                            "Leave the method out.")  # fmt: skip
    return request.model_copy(update={"method": found})


def check_request(request: Request, images: Mapping[str, Image] | None = None) -> None:
    """Raise SettingsError for a method of another task or an input it does not take, OutputError for a bad name."""
    if request.output is not None:
        check_name(Path(request.output))
    if request.task not in methods.tasks():
        raise SettingsError("task", f"'{request.task}' is unknown", did_you_mean(request.task, methods.tasks()))
    if (own := methods.task(request.method)) != request.task:
        raise SettingsError("method", f"'{request.method}' cannot {request.task}", f"Use `ruska {own}`, or another "
                            "method.")  # fmt: skip
    roles = {"image"} if request.method == "auto" else methods.about(request.method).roles
    for role in images if images is not None else request.inputs:
        if role not in roles:
            raise SettingsError(f"inputs.{role}", f"is not an input of method '{request.method}'",
                                did_you_mean(role, sorted(roles)))  # fmt: skip
    if "image" not in (images if images is not None else request.inputs):
        raise SettingsError("inputs.image", "is missing", "Give the image to restore.")


@dataclass(frozen=True)
class _Run:
    """One restoration, while it runs."""

    request: Request
    image: Image
    others: Mapping[str, Image]
    context: Context

    def in_memory(self) -> Result:
        with watched(self.image, *self.others.values()) as watch:
            told, digest = watch.over(progress_of(self.context)), watch.digest(self.image)
            job = self._prepared(told, in_memory=True)
            sinks = {output.name: _memory_store(job, output) for output in job.plan.outputs}
            outcome = job.run(sinks, NoLedger(), told)
            drawn = draw(job, NoLedger(), told)
            record = make_record(self.request, job, digest, None, outcome, drawn)
            made = Made.of(job, sinks, outcome, drawn, record)
            judged = judged_by(job, made, record)
            watch.check()
        record["verdict"] = None if judged is None else judged.as_dict()
        further = {name: replace(found, data=found.numpy()) for name, found in made.further.items()}
        first = replace(made.first, data=made.first.numpy())
        found = _result(first, record, further, outcome)
        return replace(found, image=marked(job, found.image), first=job.plan.outputs[0].name)

    def _prepared(self, progress: Progress, **more: Any) -> Prepared:
        own = self.request
        return prepare(self.image, own.method, own.settings, own.run, others=self.others, context=self.context,
                       progress=progress, report=own.run.report, output=own.output, **more)  # fmt: skip

    def into(self, target: Path) -> Result:
        own, run = self.request, self.request.run
        tidy(target.absolute().parent)
        _check_again(self.image, target, run.overwrite)
        self._check_beside(target, overwrite=True)
        self._check_holds(target)
        foreseen.tell(self.context, target, self._expected())
        with _locked(target) as folder, watched(self.image, *self.others.values(), ours=target) as watch:
            told, digest = watch.over(progress_of(self.context)), watch.digest(self.image)
            more = {role: (other, watch.digest(other)) for role, other in self.others.items()}
            ledger = Ledger(folder, job_identity(own, self.image, digest, more))
            if not ledger.resumed:
                self._check_beside(target, overwrite=run.overwrite)
            elif _is_zarr(target) and not (folder / _STORE).exists():
                ledger.restart()  # a run was killed before it had made the store, or when the store had its name
            job = self._prepared(told, remembered=ledger.entries.get("plan"), folder=folder)
            check_holds(job, target, whole_names=run.whole_names)
            if not ledger.resumed:
                _check_further(self.image, job, beside(target, whole=run.whole_names), overwrite=run.overwrite)
            if "plan" not in ledger.entries:
                measured, surveys = job.looked.measured.as_dict(), job.looked.surveys()
                drawn_in = list(job.sample_plan.extent) if job.sample_plan else None
                ledger.add("plan", **measured, surveys=surveys, conditions=job.conditions.remembered(),
                           extent=list(job.plan.extent), sample_extent=drawn_in,
                           room=job.budget.room)  # fmt: skip
            sinks = _open_sinks(job, target, folder, resumed=ledger.resumed)
            outcome = job.run(sinks, ledger, told)
            drawn = draw(job, ledger, told)
            names = beside(target, whole=run.whole_names)  # again: another run may have ended meanwhile
            record = {**make_record(own, job, digest, names, outcome, drawn), "identity": ledger.identity}
            made = Made.of(job, sinks, outcome, drawn, record)
            judged = judged_by(job, made, record)  # reads the input once more
            watch.check()  # nothing is written beside the output before
            if (known := format_of_name(target)) is not None and known.masks:
                made = replace(made, first=marked(job, made.first))
            return _Delivery(job, made, record, judged, names, run.overwrite, run.report, told, watch, ledger).write()

    def _expected(self) -> Image:
        run = self.request.run
        return foreseen.expected(self.image, self.request.task, run.dtype, run.region)

    def _check_holds(self, target: Path) -> None:
        """Refuse what the output cannot hold, before a method is trained on the image.

        What is written is only certain once the method is known; a dry run tells, where it matters.
        """
        image, asked = self.image, self.request.run.dtype
        try:
            io.check_holds(target, np.dtype(np.float32) if asked == "float32" else image.dtype, image.axes, image.shape)
        except OutputError:
            job = self._prepared(progress_of(self.context), rehearsal=True)
            check_holds(job, target, whole_names=self.request.run.whole_names)

    def _check_beside(self, target: Path, *, overwrite: bool) -> None:
        run = self.request.run
        check_companions(
            self.image, target, run.samples, run.report, overwrite=overwrite, whole_names=run.whole_names
        )  # fmt: skip


@dataclass(frozen=True)
class Made:
    """The results of a run, as images that are read from its blocks.

    first : the result. further : the other outputs by name, with the standard deviation and the samples.
    """

    first: Image
    further: Mapping[str, Image]
    sinks: Mapping[str, Sink | None]
    outcome: Outcome

    @classmethod
    def of(
        cls, job: Prepared, sinks: Mapping[str, Sink | None], outcome: Outcome, drawn: Drawn | None,
        record: Mapping[str, Any],
    ) -> Made:  # fmt: skip
        said = {"ruska": record["ruska"], "of": record["output"]["path"], "seed": record["seed"]}
        images = {}
        for output in job.plan.outputs:
            sink = sinks[output.name]
            if sink is not None:
                images[output.name] = _image_of(job, output, sink, {**said, "what": output.name, "from": "the method"})
        first, *rest = images
        found = {name: replace(images[name], header={}) for name in rest}
        if drawn is not None:
            own = job.plan.outputs[0]
            parts = dict(zip(drawn_names(len(drawn.samples)), (drawn.std, *drawn.samples), strict=True))
            for name, data in parts.items():
                what = "standard deviation" if name == "std" else f"sample {name[6:]} of {len(drawn.samples)}"
                image = _restored(job, own, data, {**said, "what": what, "from": "samples"})
                found[name if name not in found else f"samples_{name}"] = replace(image, header={})
        return cls(replace(images[first], provenance=record), found, sinks, outcome)


def _image_of(job: Prepared, output: Output, sink: Sink, provenance: Mapping[str, Any]) -> Image:
    layout = layout_of(job.layout, output)
    return _restored(job, output, NativeView(sink, layout), provenance, layout)


def layout_of(layout: Layout, output: Output) -> Layout:
    """The axes of an output: those of the image, with C if it has its own channels, without C if it has only one."""
    if output.channels is None:
        return layout
    axes = layout.axes.replace("C", "")
    if output.channels > 1:
        axes = axes[:-2] + "CYX" if layout.dimensions == 2 else layout.other_axes + "C" + layout.spatial_axes
    sizes = dict(zip(layout.axes, layout.shape, strict=True)) | {"C": output.channels}
    return Layout(axes, tuple(sizes[a] for a in axes), layout.dimensions)


def _restored(
    job: Prepared, output: Output, data: Any, provenance: Mapping[str, Any], layout: Layout | None = None
) -> Image:
    """``data`` with the geometry and metadata of the image, where they apply to this output."""
    changes: dict[str, Any] = {"provenance": provenance, "path": None}
    scale = output.grid(len(job.plan.halo))
    if any(s != 1 for s in scale):
        changes |= regridded(job.image, job.layout.spatial_axes, scale)
    if layout is not None and layout.axes != job.image.axes:
        kept = {"spacing": job.image.spacing, "origin": job.image.origin} | changes
        changes |= {"axes": layout.axes, "channel_names": (), "mask": None}
        changes |= {k: {a: q for a, q in kept[k].items() if a in layout.axes} for k in ("spacing", "origin")}
    if output.merge == "labels":
        changes |= {"meaning": "labels", "mask": None, "channel_names": ()}
    elif output.values == "raw" and output.name != "mean":
        changes |= {"meaning": "grey"}
    return job.image.with_data(data, **changes)


def marked(job: Prepared, image: Image) -> Image:
    """A result on the input's grid, with mended pixels marked, as they were not measured."""
    marks = job.conditions.marks(job.image)
    if marks is None or image.meaning == "labels" or (image.axes, image.shape) != (job.image.axes, job.image.shape):
        return image
    return replace(image, mask=ValidArray(marks, image.mask))


def _check_further(image: Image, job: Prepared, names: Beside, *, overwrite: bool) -> None:
    """Refuse to overwrite existing files with a further output or a table, before any work is done."""
    for output in job.plan.outputs[1:]:
        if output.merge == "table":
            check_beside(names, [_table_file(names, output)], overwrite=overwrite, inputs=files_of(image))
        elif not _is_zarr(names.target):
            check_target(image, companion(names, output.name), overwrite=overwrite)


def _table_file(names: Beside, output: Output) -> Path:
    return names.file(f"_{output.name}.csv")


def _check_again(image: Image, target: Path, overwrite: bool) -> None:
    """`check_target`, but recognise a complete result whose run was killed right after writing it."""
    try:
        check_target(image, target, overwrite=overwrite)
    except OutputError as error:
        if error.problem == "exists already" and clear_delivered(target):
            raise OutputError(target, "exists already and is complete: its run was killed while tidying up, which is "
                              "done now", error.fix) from error  # fmt: skip
        raise
    clear_delivered(target)


def check_target(image: Image, target: Path, *, overwrite: bool) -> None:
    """Refuse an output that is the input, or that cannot be written, before any work is done."""
    io.check_output(target, overwrite=True)  # its name, before the file system is asked
    if target.exists() and any(target.samefile(file) for file in files_of(image) if file.exists()):
        raise OutputError(
            target, "is the input file or one of its references, which Ruska never overwrites", "Choose another name."
        )
    if target.exists() and image.path is not None and image.path.resolve() in target.resolve().parents:
        raise OutputError(target, f"is part of the input {image.path.name}, which Ruska never overwrites",
                          "Choose another folder.")  # fmt: skip
    io.check_output(target, overwrite=overwrite)


def result_of(job: Prepared) -> Image:
    """The first output of a job as it will be written, without pixels and record."""
    output = job.plan.outputs[0]
    layout = layout_of(job.layout, output)
    shape = layout.to_native_shape(job.plan.shape_of(output))
    return _restored(job, output, foreseen.blank(shape, job.dtype_of(output)), {}, layout)


def check_holds(job: Prepared, target: Path, *, whole_names: bool = False) -> None:
    """Raise OutputError if the format of ``target`` cannot hold the job's images; tables are files of their own."""
    names = beside(target, whole=whole_names)
    for i, output in enumerate(job.plan.outputs):
        if output.merge != "table":
            layout = layout_of(job.layout, output)
            file = target if i == 0 or _is_zarr(target) else companion(names, output.name)
            io.check_holds(file, job.dtype_of(output), layout.axes, layout.to_native_shape(job.plan.shape_of(output)))


def files_of(image: Image) -> list[Path]:
    """The files an image is read from: its own, the slices of a folder, and the detector's references."""
    slices = getattr(image.data, "files", ())
    return [Path(file) for file in (image.path, *slices, *references(image).values()) if file is not None]


def check_companions(
    image: Image, target: Path, samples: int, report: bool, *, overwrite: bool, whole_names: bool = False
) -> list[Path]:
    """The samples' files beside ``target``; OutputError if these, the record or the report cannot be written."""
    names = beside(target, whole=whole_names)
    drawn = companions(names, samples)
    for file in drawn if not _is_zarr(target) else ():
        check_target(image, file, overwrite=overwrite)
    files = [names.record, *(names.reports if report else ())]
    check_beside(names, files, overwrite=overwrite, inputs=files_of(image))
    tilts = list(io.files_beside(target, image))
    check_beside(names, [file for file in tilts if file.exists()], overwrite=overwrite, inputs=files_of(image))
    return [*drawn, *tilts]


@contextmanager
def _locked(target: Path) -> Iterator[Path]:
    """The work folder; emptied when the job is done, fails before its first block is finished, or read a file that
    changed meanwhile."""
    try:
        with work_folder(target) as folder:
            try:
                yield folder
            except ChangedInputError:  # finished blocks may be of either version of the file
                empty_work(folder)
                raise
            except (OSError, JobCancelledError):
                raise
            except Exception:
                if not any_block_done(folder):
                    empty_work(folder)
                raise
            empty_work(folder)
    except OSError as error:
        raise OutputError(target, f"could not be written ({error.strerror or error})",
                          "Check free space and permissions; the same command resumes.") from error  # fmt: skip


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


def _open_sinks(job: Prepared, target: Path, folder: Path, *, resumed: bool) -> dict[str, Sink | None]:
    """Where the finished blocks of each output are kept; None for a table, whose rows the engine keeps."""
    first, *rest = job.plan.outputs
    sinks: dict[str, Sink | None] = {first.name: _open_sink(job, target, folder, resumed=resumed)}
    for output in rest:
        table = output.merge == "table"
        sinks[output.name] = None if table else _block_store(job, output, folder / "further" / output.name)
    return sinks


def _memory_store(job: Prepared, output: Output) -> Sink | None:
    return None if output.merge == "table" else MemoryStore(job.plan.shape_of(output), job.dtype_of(output))


def _block_store(job: Prepared, output: Output, folder: Path) -> BlockStore:
    plan = job.plan
    return BlockStore(folder, plan.shape_of(output), job.dtype_of(output), plan.extent_of(output))


def _open_sink(job: Prepared, target: Path, folder: Path, *, resumed: bool) -> Sink:
    """A file per block, or for a Zarr output the store itself, chunked like the blocks."""
    plan, output = job.plan, job.plan.outputs[0]
    if not _is_zarr(target):
        return _block_store(job, output, folder / "blocks")
    from ruska.io.zarr_store import ZarrSink

    part, layout = folder / _STORE, layout_of(job.layout, output)
    if resumed and part.exists():
        return CanonicalSink(ZarrSink.open(part), layout)
    io.remove(part)
    shape, chunks = (layout.to_native_shape(sizes) for sizes in (plan.shape_of(output), plan.extent_of(output)))
    return CanonicalSink(ZarrSink(part, shape, job.dtype_of(output), layout.axes, chunks=chunks), layout)


@dataclass(frozen=True)
class _Delivery:
    """Writes outputs, record and report. The first output gets its name last: once it exists, all are complete."""

    job: Prepared
    made: Made
    record: dict[str, Any]
    judged: Judged | None
    names: Beside
    overwrite: bool
    report: bool
    progress: Progress
    watch: Watch
    ledger: Ledger

    def write(self) -> Result:
        target, made = self.names.target, self.made
        store = made.sinks[self.job.plan.outputs[0].name]
        inside = store.sink.path if isinstance(store, CanonicalSink) else None
        files = self._write_further(inside)
        tables = self._write_tables()
        html: list[Path] = []

        def before_placing(lost: tuple[str, ...]) -> None:
            self.record["output"]["not_kept"] = foreseen.kept_out(lost)
            self.record["verdict"] = None if self.judged is None else self.judged.as_dict()
            if self.report and self.judged is not None:
                html.append(self._draw([*files.values(), *tables.values()]))

        def placing(part: Path) -> None:
            self.record["output"]["hash"] = result_digest(part)
            place(self.names.record, json_text(self.record).encode())
            self.ledger.add(PLACING, **face(part))

        self.progress(f"writing {target.name}", 0, 1)
        if inside is not None:
            from ruska.io.zarr_store import finish_store

            lost = io.losses(target, made.first).lines
            finish_store(inside, made.first, self._tick(target.name))
            io.write_beside(io.files_beside(target, made.first))
            before_placing(lost)
            placing(inside)
            io.put_in_place(inside, target)
        else:
            first = replace(made.first, data=Told(made.first.data, self._tick(target.name)))
            lost = io.write(target, first, overwrite=self.overwrite, overwrite_beside=True,  # which was checked before
                            before_placing=before_placing, placing=placing)  # fmt: skip
        further = {name: io.read(_named(file, target)) for name, file in files.items()}
        found = _result(io.read(target), self.record, further, made.outcome, html[0] if html else None, lost)
        return replace(found, first=self.job.plan.outputs[0].name)

    def _write_further(self, inside: Path | None) -> dict[str, Path]:
        """Every output but the first: a file beside it, or an image inside a Zarr store."""
        from ruska.io.zarr_inside import write_inside

        files = {}
        for name, image in self.made.further.items():
            files[name] = companion(self.names, name)
            self.progress(f"writing {files[name].name}", 0, 1)
            told = replace(image, data=Told(image.data, self._tick(files[name].name)))
            if inside is not None:
                files[name] = self.names.target / write_inside(inside, name, told).relative_to(inside)
            else:
                io.write(files[name], told, overwrite=True)
        return files

    def _write_tables(self) -> dict[str, Path]:
        files = {}
        for output in self.job.plan.outputs:
            if output.merge == "table":
                files[output.name] = _table_file(self.names, output)
                rows = [",".join(output.columns)]
                rows += [",".join(f"{v:.9g}" for v in row) for row in self.made.outcome.tables[output.name]]
                place(files[output.name], ("\n".join(rows) + "\n").encode())
        return files

    def _draw(self, files: Sequence[Path]) -> Path:
        from ruska.report import write_report

        self.progress("drawing the report", 0, 1)
        # Writing leaves it in pieces too small for the pictures.
        free_as_usual() if keeps_freed_memory() else give_back_freed_memory()
        drawn = tuple(image for name, image in self.made.further.items() if name == "std" or name.startswith("sample"))
        paths = write_report(
            self.names.target, self.job.image, self.made.first, self.record,
            explained=getattr(self.job.method, "explained", None), drawn=drawn, overwrite=True, names=self.names,
            noisiest=self.job.noisiest, mended=self.job.conditions.marks(self.job.image),
            verdict=None if self.judged is None else self.judged.verdict,
        )  # fmt: skip
        try:
            self.watch.check()  # the report shows the input, too
        except InputError:
            for file in (paths.html, paths.png, *files):
                io.remove(file)
            raise
        return paths.html

    def _tick(self, name: str) -> Callable[[int, int], None]:
        return lambda done, total: self.progress(f"writing {name}", done, total)


def judged_by(job: Prepared, made: Made, record: Mapping[str, Any]) -> Judged | None:
    """The verdict on a result; None for labels and the like, which are not pictures to compare."""
    if job.plan.outputs[0].values != "intensity":
        return None
    explained = getattr(job.method, "explained", None)
    return judge_images(job.image, made.first, record, explained, job.noisiest)


class Told:
    """A lazy array that reports how much of it was read: writers stream from it, and can be stopped there."""

    def __init__(self, array: Any, tick: Callable[[int, int], None]) -> None:
        self.array, self.tick = array, tick
        self.shape, self.dtype = tuple(array.shape), np.dtype(array.dtype)
        self.total, self.done = int(np.prod(self.shape, dtype=np.int64)), 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "array" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.array, name)

    def __getitem__(self, box: tuple[slice, ...]) -> Any:
        values = self.array[box]
        self.done = min(self.total, self.done + int(np.size(values)))
        self.tick(self.done, self.total)
        return values


def _named(file: Path, target: Path) -> str:
    """How to open a further output: by its file, or by its path inside a store."""
    return str(file) if target not in file.parents else f"{target}:/{file.relative_to(target).as_posix()}"


def _result(
    image: Image, record: Mapping[str, Any], further: Mapping[str, Image], outcome: Outcome,
    report: Path | None = None, lost: tuple[str, ...] = (),
) -> Result:  # fmt: skip
    samples = tuple(found for name, found in further.items() if name.startswith("sample") and name[6:].isdigit())
    return Result(image, record, report, lost, further.get("std"), samples, further, outcome.tables)
