"""Trains a model on files, to use on other files, and writes a folder with weights and card."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ruska
from ruska import methods
from ruska.engine import ArraySource, Progress, measure_channels
from ruska.engine.validity import mask_of
from ruska.errors import InputError, JobBusyError, OutputError, SettingsError, did_you_mean
from ruska.image import Image
from ruska.io.digest import digest_image, digest_path
from ruska.io.names import check_plain
from ruska.methods.settings import parse
from ruska.pipeline.conditioning import conditioned
from ruska.pipeline.context import Context, progress_of
from ruska.pipeline.detector import KINDS
from ruska.pipeline.opening import as_image, open_input
from ruska.pipeline.parts import look
from ruska.pipeline.prepare import budget_of
from ruska.pipeline.request import RunOptions
from ruska.pipeline.watch import watched
from ruska.weights import ModelCard, save_model

if TYPE_CHECKING:
    from ruska.methods.blindspot_learning import Learned
    from ruska.pipeline.request import Input, Request

_REQUEST = "training.json"
MOST_STEPS = 1_000_000
_MOST_NOTES = 6  # on references of a detector
_STATE = "training.safetensors"


def train(
    images: Sequence[Image | str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    method: str = "blindspot",
    settings: Mapping[str, Any] | None = None,
    memory: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ModelCard | None:
    """Train ``method`` on all ``images`` (or files) and write the model into the folder ``output``.

    memory : limit for the whole process, such as ``"2GB"``; a training that would need more is refused before it
        begins. None: half of the free memory, and no limit for a prior.

    For method ``prior``, ``images`` are a corpus, or clean micrographs to make one from: see `train_prior`.

    Use it with ``ruska.denoise(image, method=method, settings={"model": output})``. After an interruption, or with
    more steps or minutes, the same call resumes where it stopped. The folder also holds ``training.safetensors`` (to
    resume from), ``log.csv`` and ``training.json``; only weights and card are needed to use the model. Of several
    processes started by torchrun, the first writes and returns the card.

    Raises SettingsError (a method that cannot be trained), ResourceError (memory), InputError (an image without a
    finite pixel), OutputError (the folder holds something else), JobBusyError (another process is training into it).
    """
    if method == "prior":
        from ruska.pipeline.prior_training import train_prior

        return train_prior(images, output, settings=settings, memory=memory, overwrite=overwrite, progress=progress)
    trainable = [name for name in methods.names() if methods.learns(name)]
    if method not in trainable:
        raise SettingsError("method", f"'{method}' cannot be trained", did_you_mean(method, trainable))
    recipe = methods.create(method, settings)
    if recipe.settings.model is not None:
        raise SettingsError(f"{method}.model", "names a model to use, not to train",
                            "To start from a model, pass --set start=FOLDER.")  # fmt: skip
    opened = [as_image(image) for image in images]
    if not opened:
        raise InputError("training data", "holds no image", "Give files, or folders of them.")
    folder = Path(output)
    request = {
        "method": method,
        "settings": recipe.settings.model_dump(exclude={"steps", "minutes"}),
        "data": sorted(f"{digest_image(image)} {image.provenance.get('detector', '')}" for image in opened),
    }
    with claimed(folder, request, overwrite), watched(*opened) as watch:
        told = watch.over(progress)
        sources, facts = [], []
        for image in opened:
            facts.append(_facts(image))
            image, _ = conditioned(image, RunOptions())  # a network would learn its hot pixels
            whole = ArraySource(image.data, image.axes)
            measured = measure_channels(whole, image.name, told, mask_of(image, stacked=False))
            sources += [channel.source for channel in look(image, measured, slices=False).channels]
        budget = budget_of(RunOptions(memory=memory), folder=folder, progress=told)
        learned = recipe.learn(sources, budget, log=folder, overwrite=overwrite)
        if not first_of_many():
            return None
        watch.check()
        return save_model(
            folder, learned.network.state_dict(), _card(folder.name, recipe, learned, facts, _of_the_detector(opened))
        )


def run_training(
    request: Request, context: Context, given: Mapping[str, Image] | None = None
) -> ModelCard | dict[str, Any] | None:
    """`train` for a request: its inputs "data" are files or folders of them, its output is the folder of the model.

    Returns the card; for a training of another package, what its recipe reports, JSON-like.
    """
    if request.output is None:
        raise SettingsError("output", "is missing", "Name a folder for the model.")
    settings = dict(request.settings)
    if settings.get("minutes") is not None and "steps" not in settings:
        settings["steps"] = MOST_STEPS  # until the time is over
    data = request.each("data")
    if request.method in (*methods.trainings(), "prior"):
        _refuse_references(request.method, data)
    if request.method in methods.trainings():
        return _train_own(request, settings, [str(one.path) for one in data], progress_of(context))
    if request.method == "prior":
        files: list[Any] = corpus_or_files([str(one.path) for one in data])
    else:
        stacks = str(settings.get("frames", "1")) != "1"
        files = [open_input(part, given) for one in data for part in _files_in(one, stacks)]
    if context.own_process:
        from ruska.engine.allocator import keep_freed_memory

        keep_freed_memory()
    return train(files, request.output, method="blindspot" if request.method == "auto" else request.method,
                 settings=settings, memory=_limit(request.run, context), overwrite=request.run.overwrite,
                 progress=progress_of(context))  # fmt: skip


def _limit(run: RunOptions, context: Context) -> str | None:
    """The bound that was asked for, or that of the context where it is closer; None where there is neither."""
    if run.memory is None and context.memory_bytes is None:
        return None
    return str(budget_of(run, context).memory_bytes)


def _refuse_references(method: str, data: Sequence[Input]) -> None:
    """Raises SettingsError for references of a detector, which these trainings would leave out."""
    given = next((kind for kind in KINDS for one in data if getattr(one, kind) is not None), None)
    if given is not None:
        raise SettingsError(f"--{given}", f"is not used by train {method}",
                            f"Correct the files first: ruska denoise FILE --method identity --{given} ...")  # fmt: skip


def _train_own(
    request: Request, settings: Mapping[str, Any], data: Sequence[str], progress: Progress
) -> dict[str, Any] | None:
    """A training of another package; writes ``weights.safetensors`` with what its recipe reports about them."""
    from ruska.compute.devices import device_of_choice
    from ruska.training.recipe import follow
    from ruska.weights.model import WEIGHTS
    from ruska.weights.tensors import save_weights

    about = methods.training(request.method)
    if request.run.memory is not None:
        raise SettingsError("--memory", f"cannot be kept: training '{about.name}' does not say what it takes",
                            "Leave it out.")  # fmt: skip
    own = parse(about.record, about.name, settings)
    files = tuple(Path(file) for file in training_files(data, stacks=True))
    if not files:
        raise InputError("training data", "holds no file", "Give files, or folders of them.")
    folder, recipe = Path(request.output or ""), about.make(own)
    said = {"method": about.name, "settings": own.model_dump(mode="json"), "data": sorted(map(digest_path, files))}
    with claimed(folder, said, request.run.overwrite):
        trained = follow(recipe, files, folder, device_of_choice(), checkpoint=_STATE,
                         overwrite=request.run.overwrite, progress=progress)  # fmt: skip
        if not first_of_many():
            return None
        card: dict[str, Any] = {"name": folder.name, "method": about.name, **recipe.card(trained)}
        save_weights(folder / WEIGHTS, trained.network.state_dict(), card)
        return card


def _files_in(one: Input, stacks: bool) -> list[Input]:
    if one.path is None:
        return [one]
    return [one.model_copy(update={"path": file}) for file in training_files([one.path], stacks=stacks)]


def corpus_or_files(data: list[str]) -> list[str]:
    """A packed corpus as it is, or all image files."""
    if len(data) == 1 and (Path(data[0]) / "manifest.json").is_file():
        return data
    return training_files(data, stacks=False)


def training_files(data: Sequence[str], *, stacks: bool) -> list[str]:
    """The files in ``data``, and those in folders; with ``stacks``, a folder of slices is one stack."""
    from ruska.io.folder import members
    from ruska.io.registry import format_of_name

    files = []
    for given in data:
        folder = Path(given)
        if folder.is_dir() and format_of_name(folder) is None and not stacks:
            files += [str(file) for file in members(folder, every_format=True)]
        else:
            files.append(given)
    return files


def _of_the_detector(images: Sequence[Image]) -> list[str]:
    """What there is to say of references that images were corrected with, each sentence once, the first few."""
    said = dict.fromkeys(note for image in images if "detector" in image.provenance for note in image.notes)
    return list(said)[:_MOST_NOTES]


def _card(name: str, recipe: Any, learned: Learned, data: list[dict[str, Any]], notes: Sequence[str]) -> dict[str, Any]:
    rows, columns = learned.hidden.spot
    own = recipe.settings.model_dump(exclude={"model", "start", "fold", "flips", "steps", "minutes"})
    return {
        "name": name,
        "method": recipe.name,
        "network": learned.hidden.facts(),
        "settings": {**own, "spot": f"{rows}x{columns}", "batch": learned.batch},
        "training": {
            "steps": learned.steps,
            "seconds": round(learned.seconds, 1),
            "device": learned.device,
            "scores": [list(score) for score in learned.scores[-5:]],
            "notes": [*notes, *learned.notes],
            "start": recipe.settings.start,
            "ruska": ruska.__version__,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        "data": data,
    }


def _facts(image: Image) -> dict[str, Any]:
    return {
        "name": image.name,
        "shape": image.shape,
        "axes": image.axes,
        "dtype": str(image.dtype),
        "hash": digest_image(image),
        "voxel_size_nm": image.voxel_size_nm,
    }


def first_of_many() -> bool:
    """Whether this process, of those that torchrun started, is the one that writes."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def claimed(folder: Path, request: Mapping[str, Any], overwrite: bool, begun: bool = False) -> Iterator[None]:
    """Lock the folder for this training; OutputError if it holds another training, or something else.

    begun : the part of this training in it was started by another command.
    """
    from filelock import FileLock, Timeout

    if not first_of_many():
        yield
        return
    if folder.exists() and not folder.is_dir():
        raise OutputError(folder, "is a file", "Give a folder for the model.")
    known = folder / _REQUEST
    text = json.dumps(request, indent=2, default=str) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for child in folder.iterdir():
            check_plain(child)  # a link would lead writes elsewhere
        with FileLock(folder / ".lock", timeout=0):
            if known.exists():
                if known.read_text(encoding="utf-8") != text and not overwrite:
                    raise OutputError(folder, "holds a model trained with other settings or data",
                                      "Choose another folder, or pass --overwrite.")  # fmt: skip
            elif not begun and any(child.name != ".lock" for child in folder.iterdir()):
                raise OutputError(folder, "is not empty, and holds no training with these settings",
                                  "Choose another folder.")  # fmt: skip
            known.write_text(text, encoding="utf-8")
            yield
    except Timeout as error:
        raise JobBusyError(folder, "is in use by another training", "Wait for it to end.") from error
    except OSError as error:
        raise OutputError(folder, f"cannot be written ({error.strerror or error})",
                          "Check free space and permissions; the same command resumes.") from error  # fmt: skip
