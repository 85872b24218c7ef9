"""Scoring a result, with numbers and a picture."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import ruska
from ruska.errors import SettingsError, did_you_mean
from ruska.pipeline.opening import as_image
from ruska.pipeline.watch import watched
from ruska.plain_text import command_line, no_option
from ruska.registration import Model

if TYPE_CHECKING:
    from ruska.evaluation import Scores
    from ruska.image import Image


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    scores : see `ruska.evaluation.Scores`. record : what was scored, JSON-like, with the command that repeats it.
    numbers, picture : the files that were written, or None.
    """

    scores: Scores
    record: dict[str, Any]
    numbers: Path | None = None
    picture: Path | None = None


def evaluate(
    result: Image | str | os.PathLike[str],
    truth: Image | str | os.PathLike[str] | None = None,
    noisy: Image | str | os.PathLike[str] | None = None,
    output: str | os.PathLike[str] | None = None,
    *,
    register: Model | None = None,
    overwrite: bool = False,
) -> Evaluation:
    """Score a restored image against the truth, against the noisy image it came from, or by itself.

    Parameters
    ----------
    result, truth, noisy : an `Image`, a path, or a NumPy array, all of one shape.
    output : folder for ``scores.json`` and ``scores.png``; nothing is written when None.
    register : put the truth onto the grid of ``noisy`` (of ``result`` without one) first, as `ruska.register` does with
        this model (``shift``, ``rigid``, ``affine``, ``drift``); only the truth is interpolated, its rows and columns
        may differ in number, and only what both sides show is scored.

    Raises
    ------
    GeometryError : the images do not fit each other, or the truth cannot be aligned.
    RuskaError : another of its kinds, naming the file or setting, what was found and the way out.
    """
    from ruska.evaluation import place_truth, score
    from ruska.report import check_scores, write_scores

    if register is not None and register not in get_args(Model):
        raise SettingsError("register", f"is '{register}'", did_you_mean(str(register), get_args(Model)))
    if register is not None and truth is None:
        raise SettingsError("register", "needs a truth to put in place", "Give one: --truth CLEAN.")
    paths = None if output is None else check_scores(Path(output), overwrite=overwrite)
    r, t, n = as_image(result), *(None if given is None else as_image(given) for given in (truth, noisy))
    record = _record(r, t, n, output, register)
    placement = None
    with watched(*(image for image in (r, t, n) if image is not None)) as watch:
        if register is not None and t is not None:
            r, t, n, placement = place_truth(r, t, n, register)
        scores = replace(score(r, t, n), registration=placement)
        watch.check()
    if paths is None:
        return Evaluation(scores, record)
    write_scores(paths, scores, record, r, t, n)
    return Evaluation(scores, record, paths.numbers, paths.picture)


def _record(
    result: Image, truth: Image | None, noisy: Image | None, output: Any, register: Model | None
) -> dict[str, Any]:
    names = {name: None if i is None else str(i.path or i.name)
             for name, i in (("result", result), ("truth", truth), ("noisy", noisy))}  # fmt: skip
    words = ["ruska", "evaluate", no_option(str(names["result"]))]
    for name in ("truth", "noisy"):
        words += [f"--{name}", no_option(names[name] or "")] if names[name] else []
    words += ["--register", "--transform", register] if register else []
    words += ["-o", no_option(str(output))] if output is not None else []
    words += ["--axes", result.axes]
    return {"ruska": ruska.__version__, "task": "evaluate", **names, "command": command_line(words)}
