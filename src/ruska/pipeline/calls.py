"""The functions of ``import ruska``: each makes a `Request` and runs it here."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ruska.image import Image
from ruska.pipeline.context import Context, Here
from ruska.pipeline.door import run
from ruska.pipeline.opening import as_image
from ruska.pipeline.request import DTypes, Input, Request, RunOptions, checked

if TYPE_CHECKING:
    from ruska.engine import Progress
    from ruska.pipeline.evaluating import Evaluation
    from ruska.pipeline.restore import Result
    from ruska.registration import Model, Trend
    from ruska.weights import ModelCard

Given = Image | str | os.PathLike[str]


def denoise(
    image: Given,
    output: str | os.PathLike[str] | None = None,
    *,
    method: str = "auto",
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Result:
    """Denoise an image or a file of any size.

    Parameters
    ----------
    image : an `Image`, a path, or anything `ruska.read` takes; a bare 2D or 3D NumPy array works too.
    output : file or store to write; the result stays in memory when None.
    method : name of a method, or ``auto`` to let Ruska choose from the data (see `docs/methods.md`).
    settings : options of that method. progress : called as ``progress(stage, done, total)``.
    options : of `RunOptions`: dtype, outliers, interference, samples, seed, memory, workers, executor, roi, overwrite,
        report; a region may be given as ``{"Y": slice(0, 512)}``.

    Raises
    ------
    RuskaError : of some kind; it names the file or setting, what was found and the way out.
    """
    return _restored("denoise", image, output, method, settings, progress, options)


def deblur(
    image: Given,
    output: str | os.PathLike[str] | None = None,
    *,
    sigma: float | None = None,
    psf: str | os.PathLike[str] | None = None,
    blind: Literal["gaussian", "defocus", "astigmatic", "free"] | None = None,
    operator: str | None = None,
    method: str = "deblur",
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Result:
    """Undo a blur of ``sigma`` pixels (Gaussian), or of the point spread function in the file ``psf``, in every slice.

    blind : estimate an unknown blur within a family: ``gaussian``, ``defocus`` (a uniform disc), ``astigmatic`` (an
        elliptic Gaussian) or ``free``. The record's settings and notes say what was found; an image in which no blur
        is found is returned unchanged.
    operator : your own forward model, ``path/to/file.py:Name``: see docs/extending.md. The file is executed.
    method : ``deblur`` (the prior), or ``richardson-lucy``. settings : of the method (see `docs/methods.md`); the rest
        as for `denoise`.
    """
    own = {"sigma": sigma, "psf": psf, "blind": blind, "operator": operator}
    given = {**(settings or {}), **{name: value for name, value in own.items() if value is not None}}
    return _restored("deblur", image, output, method, given, progress, options)


def superres(
    image: Given,
    output: str | os.PathLike[str] | None = None,
    *,
    scale: str | float | Fraction = 2,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Result:
    """Make pixels ``scale`` times finer along Y and X; pixel size and origin follow. The rest as for `denoise`."""
    given = {**(settings or {}), "scale": str(scale)}
    return _restored("superres", image, output, "superres", given, progress, options)


def isotropic(
    image: Given,
    output: str | os.PathLike[str] | None = None,
    *,
    factor: str | float | Fraction | None = None,
    settings: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Result:
    """Add slices until voxels are isotropic.

    factor : slice distance over pixel size; taken from the voxel size when None. The rest as for `denoise`.

    Raises GeometryError where the voxel size is unknown, or the voxels are isotropic already.
    """
    given = {**(settings or {}), **({} if factor is None else {"factor": str(factor)})}
    return _restored("isotropic", image, output, "isotropic", given, progress, options)


def register(
    moving: Given,
    fixed: Given | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    transform: Model = "shift",
    reach: float | None = None,
    neighbours: int = 3,
    trend: Trend = "correct",
    crop: bool = False,
    whole_pixels: bool = False,
    dtype: DTypes = "same",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Resample ``moving`` onto the grid of ``fixed``; without ``fixed``, align the slices of a stack.

    See `pipeline.registering.register` for the parameters.
    """
    settings = {"transform": transform, "reach": reach, "neighbours": neighbours, "trend": trend, "crop": crop,
                "whole_pixels": whole_pixels}  # fmt: skip
    images = {"image": moving} | ({} if fixed is None else {"fixed": fixed})
    options = {"dtype": dtype, "overwrite": overwrite}
    found: Result = _asked("register", "auto", settings, images, output, options, progress)
    return found


def evaluate(
    result: Given,
    truth: Given | None = None,
    noisy: Given | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    register: Model | None = None,
    frames: bool = False,
    apart: int | None = None,
    overwrite: bool = False,
) -> Evaluation:
    """Score a restored image against the truth or its noisy input, or on its own.

    See `pipeline.evaluating.evaluate` for the parameters.
    """
    images = {"image": result, "truth": truth, "noisy": noisy}
    given = {role: image for role, image in images.items() if image is not None}
    settings = {"transform": register, "frames": frames, "apart": apart}
    found: Evaluation = _asked("evaluate", "auto", settings, given, output, {"overwrite": overwrite}, None)
    return found


def train(
    images: Sequence[Given],
    output: str | os.PathLike[str],
    *,
    method: str = "blindspot",
    settings: Mapping[str, Any] | None = None,
    memory: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ModelCard | None:
    """Train ``method`` on all ``images`` (or files, or folders of them) and write the model into the folder ``output``.

    See `pipeline.training.train` for what the folder holds, and how to resume.
    """
    given, data = {}, []
    for k, image in enumerate(images):
        if isinstance(image, str | os.PathLike):
            data.append(Input(path=os.fspath(image)))
        else:
            given[f"data{k}"] = as_image(image)
            data.append(Input(array=f"data{k}"))
    request = Request(task="train", method=method, settings=as_json(settings or {}), inputs={"data": tuple(data)},
                      output=os.fspath(output), run=RunOptions(memory=memory, overwrite=overwrite))  # fmt: skip
    found: ModelCard | None = run(request, watched_by(progress), given=given)
    return found


def watched_by(progress: Progress | None) -> Context:
    """A context in this process that reports to ``progress``."""
    if progress is None:
        return Here()
    return Here(event=lambda stage, done, total, note="": progress(stage, done, total))


def as_json(value: Any) -> Any:
    """Convert what Python callers pass (paths, fractions, NumPy numbers) to JSON types."""
    if isinstance(value, Mapping):
        return {str(name): as_json(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list | np.ndarray):
        return [as_json(inner) for inner in value]
    if isinstance(value, np.generic):
        return value.item()
    return str(value) if isinstance(value, Path | Fraction | os.PathLike) else value


def _restored(
    task: str, image: Given, output: str | os.PathLike[str] | None, method: str, settings: Mapping[str, Any] | None,
    progress: Progress | None, options: Mapping[str, Any],
) -> Result:  # fmt: skip
    found: Result = _asked(task, method, settings or {}, {"image": image}, output, options, progress)
    return found


def _asked(
    task: str, method: str, settings: Mapping[str, Any], images: Mapping[str, Given],
    output: str | os.PathLike[str] | None, options: Mapping[str, Any], progress: Progress | None,
) -> Any:  # fmt: skip
    """Paths go into the request, arrays beside it."""
    inputs: dict[str, Input | tuple[Input, ...]] = {}
    given: dict[str, Image] = {}
    for role, image in images.items():
        if isinstance(image, str | os.PathLike):
            inputs[role] = Input(path=os.fspath(image))
        else:
            given[role] = as_image(image)
            inputs[role] = Input(array=role)
    run_options = checked(RunOptions, options, "options")
    request = Request(task=task, method=method, settings=as_json(settings), inputs=inputs,
                      output=None if output is None else os.fspath(output), run=run_options)  # fmt: skip
    return run(request, watched_by(progress), given=given)
