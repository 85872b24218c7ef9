"""Restore many images one by one with the same request; one that fails does not stop the others.

batch = plan(request, ["day1/*.tif", "b.mrc"], Path("out"))
for outcome in run(batch):
    print(outcome.file, outcome.state)
"""

from __future__ import annotations

import errno
import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from ruska import methods
from ruska.engine.allocator import give_back_freed_memory
from ruska.errors import JobCancelledError, OutputError, RuskaError
from ruska.methods.settings import parse
from ruska.pipeline.context import Context, Here, progress_of
from ruska.pipeline.gathering import Found, gather
from ruska.pipeline.output_names import Named, default_output, name_key, named_apart, named_folder, said, with_its_name
from ruska.pipeline.request import Input, Request

State = Literal["done", "skipped", "failed", "foreseen"]
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))


@dataclass(frozen=True)
class Batch:
    """What is to be done, in order.

    each : every image with its request and output. folder : that of the results; None if they go beside the images.
    notes : what was left out, and unusual names.
    """

    each: tuple[tuple[str, Request], ...]
    folder: Path | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """The outcome for one image.

    state : done; skipped (already done); failed; or foreseen by a dry run. record : of its run, even an earlier one;
    for a dry run, what `inspect.foresee` returns. report : HTML. seconds : taken now, opening included. error : why it
    failed.
    """

    file: str
    output: Path
    state: State
    record: Mapping[str, Any] = field(default_factory=dict)
    report: Path | None = None
    seconds: float = 0.0
    error: Exception | None = None


def plan(
    request: Request, words: Sequence[str], output: Path | None = None, *, folders: bool = False,
    recursive: bool = False,
) -> Batch:  # fmt: skip
    """A request for each image that ``words`` name, with outputs that share no file. Nothing is opened or written.

    request : without an image, or with any as its input; its axes and voxel size apply to all. words, folders,
    recursive : see `gathering.gather`. output : folder for the results; None: beside the images, or for a whole
    folder of images, into a new folder beside it.

    Images of one name from different folders keep these folders in ``output``. Raises SettingsError for settings that
    fail for every image, InputError for a pattern without matches or a folder without images, OutputError when
    ``output`` cannot be a folder, or names would clash.
    """
    if not request.each("image"):
        request = request.model_copy(update={"inputs": {"image": Input(path="any"), **request.inputs}})
    _check(request)
    if output is not None:
        _check_folder(output)
    found, notes = gather(words, request.task, folders=folders, recursive=recursive, skip=output)
    images = dict(zip(_labels(found), found, strict=True))
    into = _folders(images, request.task, output)
    named: dict[Path, Named] = {}
    for folder in dict.fromkeys(into.values()):
        own = [label for label in images if into[label] == folder]
        apart = named_apart(own, request.run.samples, request.task if _is_beside(images[own[0]], output) else None)
        named |= dict(zip(own, apart, strict=True))
        notes += [line] if (line := said(apart)) else []
    each = tuple(
        (one.source, _request_of(request, one.source, into[label] / named[label].output, named[label].whole))
        for label, one in images.items()
    )
    homes = {named_folder(one.home, request.task) for one in images.values() if one.home is not None}
    alone = homes.pop() if len(homes) == 1 and all(one.home is not None for one in found) else None
    return Batch(each, output or alone, tuple(notes))


def _check(request: Request) -> None:
    """Raise now the errors that every image would meet."""
    from ruska.pipeline.detector import check_references
    from ruska.pipeline.restore import check_request, with_model

    request = with_model(request)
    check_request(request)
    check_references(request.each("image")[0])
    if request.method != "auto":
        parse(methods.about(request.method).record, request.method, request.settings)


def _check_folder(output: Path) -> None:
    from ruska.io.folder import is_store
    from ruska.io.registry import format_of_name

    there = os.path.isdir(output)
    if there and is_store(output):
        raise OutputError(output, "is an image store, not a folder for results", "Choose another folder.")
    if not there and (os.path.exists(output) or format_of_name(output) is not None):
        raise OutputError(output, "is the name of a file, but the results of a batch go into a folder",
                          "Name a folder: -o results/.")  # fmt: skip


def _labels(found: Sequence[Found]) -> list[Path]:
    """A distinct path for each image, from which its result is named: its own, for a file or a folder."""
    several = Counter(one.file for one in found)
    labels: list[Path] = []
    for one in found:
        label = _label(one, several[one.file] > 1)
        number = 2
        while label in labels:
            label, number = label.with_name(f"{number}_{label.name}"), number + 1
        labels.append(label)
    return labels


def _label(one: Found, several: bool) -> Path:
    """several : the file holds other images too, so the name needs the path inside it."""
    if one.file is None:
        return Path(default_output(one.source).name)
    path = with_its_name(one.file)
    inner = one.source[len(str(one.file)) :].strip(":/") if several else ""
    return path.with_name("_".join([path.stem, *inner.split("/")]) + path.suffix) if inner else path


def _is_beside(one: Found, output: Path | None) -> bool:
    """Whether the result goes beside its image."""
    return output is None and one.home is None


def _folders(images: Mapping[Path, Found], task: str, output: Path | None) -> dict[Path, Path]:
    """The folder for the result of every image."""
    into = {}
    for label, one in images.items():
        home = output or (label.parent if one.home is None else named_folder(one.home, task))
        into[label] = home / one.place
    if output is None or not _names_clash(into):
        return into
    parents = {label: os.path.abspath(label.parent) for label in images}
    try:
        common = os.path.commonpath(list(parents.values()))
    except ValueError:  # drives of Windows
        common = ""
    return {label: output / (os.path.relpath(parent, common) if common else _without_anchor(parent))
            for label, parent in parents.items()}  # fmt: skip


def _without_anchor(parent: str) -> Path:
    path = Path(parent)
    return Path(path.drive.strip(":\\/").replace("\\", "_"), *path.parts[1:])


def _names_clash(into: Mapping[Path, Path]) -> bool:
    """Whether results from different folders would get the same name in one folder."""
    owners: dict[tuple[Path, str], str] = {}
    for label, folder in into.items():
        parent = os.path.abspath(label.parent)
        if owners.setdefault((folder, name_key(default_output(str(label)).name)), parent) != parent:
            return True
    return False


def _request_of(request: Request, source: str, target: Path, whole_names: bool) -> Request:
    image = request.each("image")[0].model_copy(update={"path": source})
    run = request.run.model_copy(update={"whole_names": whole_names})
    return request.model_copy(update={"inputs": {**request.inputs, "image": image}, "run": run, "output": str(target)})


def run(batch: Batch, context: Context | None = None) -> Iterator[Outcome]:
    """Restore one image after the other; finished images are skipped, and an interrupted one is resumed.

    An image that fails is reported as its outcome. When the disk is full, no further image is begun; cancelling by
    ``context`` or Ctrl-C is raised. The same batch then resumes where it stopped.
    """
    from ruska.pipeline.opening import open_inputs
    from ruska.pipeline.restore import restore

    def one(file: str, request: Request, told: Context) -> Outcome:
        images = open_inputs(request)
        if (before := _skipped(file, request, images)) is not None:
            return before
        _make_folder(Path(str(request.output)).parent)
        result = restore(request, images, told)
        return Outcome(file, Path(str(request.output)), "done", {**result.record}, result.report)

    return _one_by_one(batch, context or Here(), one)


def foresee(batch: Batch, context: Context | None = None) -> Iterator[Outcome]:
    """What `run` would do with each image, without doing or writing anything."""
    from ruska.pipeline.inspect import foresee as foresee_one
    from ruska.pipeline.opening import open_inputs

    def one(file: str, request: Request, told: Context) -> Outcome:
        before = _skipped(file, request, open_inputs(request))
        if before is None:
            _check_can_make(Path(str(request.output)).parent)
        return before or Outcome(file, Path(str(request.output)), "foreseen",
                                 foresee_one(request, told, makes_folder=True))  # fmt: skip

    return _one_by_one(batch, context or Here(), one)


def _one_by_one(batch: Batch, context: Context, act: Callable[[str, Request, Context], Outcome]) -> Iterator[Outcome]:
    with _network_kept(batch, context):
        yield from _each(batch, context, act)


def _network_kept(batch: Batch, context: Context) -> AbstractContextManager[None]:
    """If this process serves only the batch, the prior's network is loaded once for all images."""
    method = batch.each[0][1].method if batch.each else None
    if not context.own_process or method is None or not (method == "auto" or methods.takes_prior(method)):
        return nullcontext()
    from ruska.methods.prior import one_network

    return one_network()


def _each(batch: Batch, context: Context, act: Callable[[str, Request, Context], Outcome]) -> Iterator[Outcome]:
    for number, (file, request) in enumerate(batch.each, 1):
        started = perf_counter()
        told = _numbered(context, f"file {number} of {len(batch.each)}")
        try:
            progress_of(told)("opening", 0, 1)
            outcome = act(file, request, told)
        except JobCancelledError:
            raise
        except Exception as error:  # of any kind: the others shall not wait for somebody who mends it
            outcome = Outcome(file, Path(str(request.output)), "failed", error=_light(error))
        if outcome.report is not None and outcome.state == "done":
            _let_go()
        yield replace(outcome, seconds=perf_counter() - started)
        if outcome.error is not None and _disk_is_full(outcome.error):
            return


def _let_go() -> None:
    """Free one image's memory before the next: report figures are reference cycles of 12 MB each and would pile up."""
    gc.collect()
    give_back_freed_memory()


def _numbered(context: Context, which: str) -> Here:
    """``context``, told which image it is."""

    def event(stage: str, done: int, total: int, note: str = "") -> None:
        context.event(f"{which}: {stage}", done, total, note)

    return Here(event, context.cancelled, context.folder, context.memory_bytes, context.workers, context.own_process)


def _skipped(file: str, request: Request, images: Mapping[str, Any]) -> Outcome | None:
    from ruska.pipeline.earlier import finished_before
    from ruska.pipeline.restore import with_model

    before = finished_before(with_model(request), images)
    if before is None:
        return None
    return Outcome(file, before.names.target, "skipped", before.record, before.report)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(folder, f"cannot be made ({error.strerror})", "Choose another folder.") from error


def _check_can_make(folder: Path) -> None:
    """OutputError where `_make_folder` would raise it."""
    there = next((each for each in (folder, *folder.absolute().parents) if each.exists()), None)
    if there is not None and not (there.is_dir() and os.access(there, os.W_OK)):
        why = "may not be written" if there.is_dir() else "is a file"
        raise OutputError(folder, f"cannot be made ({there} {why})", "Choose another folder.")


def _light(error: Exception) -> Exception:
    """An error without its traceback, which would keep an image in memory; for a bug it says where."""
    found: BaseException | None = error
    while isinstance(error, RuskaError) and found is not None:
        found.__traceback__ = None
        found = found.__cause__ or found.__context__
    return error


def _disk_is_full(error: Exception) -> bool:
    cause = error.__cause__ if isinstance(error, RuskaError) else error
    return isinstance(cause, OSError) and cause.errno in _FULL
