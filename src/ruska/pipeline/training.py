"""Training a model on files, for use on others: sources in, a folder with weights and card out."""

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
from ruska.engine import ArraySource, Budget, Progress, measure_channels
from ruska.engine.validity import mask_of
from ruska.errors import InputError, JobBusyError, OutputError, SettingsError, did_you_mean
from ruska.image import Image
from ruska.io.digest import digest_image, digest_path
from ruska.io.names import check_plain
from ruska.methods.settings import parse
from ruska.pipeline.conditioning import conditioned
from ruska.pipeline.context import Context, progress_of
from ruska.pipeline.opening import as_image, open_input
from ruska.pipeline.parts import look
from ruska.pipeline.request import RunOptions
from ruska.pipeline.watch import watched
from ruska.weights import ModelCard, save_model

if TYPE_CHECKING:
    from ruska.methods.blindspot_learning import Learned
    from ruska.pipeline.request import Input, Request

_REQUEST = "training.json"
MOST_STEPS = 1_000_000
_STATE = "training.safetensors"


def train(
    images: Sequence[Image | str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    method: str = "blindspot",
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ModelCard | None:
    """Train ``method`` on all ``images`` (or files) and write the model into the folder ``output``.

    For method ``prior``, ``images`` are a corpus or clean micrographs to make one of: see `train_prior`.

    Use it with ``ruska.denoise(image, method=method, settings={"model": output})``. Interrupted, or asked for more
    steps or minutes, the same call goes on where it stopped. The folder also holds ``training.safetensors`` (to go on
    from), ``log.csv`` and ``training.json``; only weights and card are needed to use the model. Of several processes
    started by torchrun, the first writes and returns the card.

    Raises SettingsError (a method that does not train), InputError (an image without a finite pixel), OutputError
    (the folder holds something else), JobBusyError (another process is training into it).
    """
    if method == "prior":
        from ruska.pipeline.prior_training import train_prior

        return train_prior(images, output, settings=settings, overwrite=overwrite, progress=progress)
    trainable = [name for name in methods.names() if methods.learns(name)]
    if method not in trainable:
        raise SettingsError("method", f"'{method}' cannot be trained", did_you_mean(method, trainable))
    recipe = methods.create(method, settings)
    if recipe.settings.model is not None:
        raise SettingsError(f"{method}.model", "is for using a model", "To start from one: --set start=FOLDER.")
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
        learned = recipe.learn(sources, Budget(folder=folder, progress=told), log=folder, overwrite=overwrite)
        if not first_of_many():
            return None
        watch.check()
        return save_model(folder, learned.network.state_dict(), _card(folder.name, recipe, learned, facts))


def run_training(
    request: Request, context: Context, given: Mapping[str, Image] | None = None
) -> ModelCard | dict[str, Any] | None:
    """`train`, as a request says it: inputs "data" (files, or folders of them), output the folder of the model.

    Returns the card; of a training of another package, what its recipe says, JSON-like.
    """
    if request.output is None:
        raise SettingsError("output", "is missing", "Name a folder for the model.")
    settings = dict(request.settings)
    if settings.get("minutes") is not None and "steps" not in settings:
        settings["steps"] = MOST_STEPS  # until the time is over
    data = request.each("data")
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
                 settings=settings, overwrite=request.run.overwrite, progress=progress_of(context))  # fmt: skip


def _train_own(
    request: Request, settings: Mapping[str, Any], data: Sequence[str], progress: Progress
) -> dict[str, Any] | None:
    """A training of another package; leaves ``weights.safetensors`` with what its recipe says of them."""
    from ruska.compute.devices import device_of_choice
    from ruska.training.recipe import follow
    from ruska.weights.model import WEIGHTS
    from ruska.weights.tensors import save_weights

    about = methods.training(request.method)
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
    """Files, and those in folders; a folder is one stack where neighbouring ``stacks`` are looked at together."""
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


def _card(name: str, recipe: Any, learned: Learned, data: list[dict[str, Any]]) -> dict[str, Any]:
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
            "notes": list(learned.notes),
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
    """Whether this process is the one that writes, of those that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def claimed(folder: Path, request: Mapping[str, Any], overwrite: bool, begun: bool = False) -> Iterator[None]:
    """The folder for this training alone; OutputError when it holds another one, or something else.

    begun : what it holds of this training was started by another command.
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
            check_plain(child)  # what is written into would be written elsewhere
        with FileLock(folder / ".lock", timeout=0):
            if known.exists():
                if known.read_text(encoding="utf-8") != text and not overwrite:
                    raise OutputError(folder, "holds a model trained with other settings or data",
                                      "Choose another folder, or pass --overwrite.")  # fmt: skip
            elif not begun and any(child.name != ".lock" for child in folder.iterdir()):
                raise OutputError(folder, "is not empty and holds no training with these settings",
                                  "Choose another folder.")  # fmt: skip
            known.write_text(text, encoding="utf-8")
            yield
    except Timeout as error:
        raise JobBusyError(folder, "is in use by another training", "Wait for it to end.") from error
    except OSError as error:
        raise OutputError(folder, f"cannot be written ({error.strerror or error})",
                          "Check free space and permissions; the same command goes on.") from error  # fmt: skip
