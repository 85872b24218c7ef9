"""Scoring a result, with numbers and a picture."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
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
    from ruska.image import Image


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found.

    scores : see `ruska.evaluation.Scores`; of repeated frames `ruska.evaluation.FrameScores`.
    record : what was scored, JSON-like, with the command that repeats it.
    numbers, picture : the files that were written, or None.
    """

    scores: Any
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
    frames: bool = False,
    apart: int | None = None,
    overwrite: bool = False,
) -> Evaluation:
    """Score a restored image against the truth, against the noisy image it came from, or by itself.

    Parameters
    ----------
    result, truth, noisy : an `Image`, a path or a NumPy array, all of one shape.
    output : folder for ``scores.json`` and ``scores.png``; nothing is written when None.
    register : first align the truth to ``noisy`` (without one, to ``result``), as `ruska.register` does with this model
        (``shift``, ``rigid``, ``affine``, ``drift``). Only the truth is interpolated, its size may differ, and only
        the area that both show is scored. For frames: align each pair like this.
    frames : ``result`` is a stack of repeated frames of one place, which are compared with each other.
    apart : how many frames apart the compared frames are; None: so far that they share no input, if the record beside
        the file says how many frames its method looked at, else 1.

    Raises
    ------
    GeometryError : the images do not fit each other, or the truth cannot be aligned.
    RuskaError : another of its kinds, naming the file or setting, what was found and the way out.
    """
    from ruska.evaluation import place_truth, score
    from ruska.report import check_scores, write_scores

    if register is not None and register not in get_args(Model):
        raise SettingsError("register", f"is '{register}'", did_you_mean(str(register), get_args(Model)))
    if frames:
        return _evaluate_frames(result, (truth, noisy), output, register, apart, overwrite=overwrite)
    if apart is not None:
        raise SettingsError("apart", "applies to repeated frames only", "Add --frames.")
    if register is not None and truth is None:
        raise SettingsError("register", "needs a truth to align", "Give one: --truth CLEAN.")
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


def _evaluate_frames(
    result: Image | str | os.PathLike[str], others: tuple[Any, ...], output: Any, register: Model | None,
    apart: int | None, *, overwrite: bool,
) -> Evaluation:  # fmt: skip
    from ruska.evaluation import score_frames
    from ruska.report import check_scores, write_frame_scores

    if any(other is not None for other in others):
        raise SettingsError("frames", "are compared with each other", "Leave out --truth and --noisy.")
    if apart is not None and apart < 1:
        raise SettingsError("apart", f"is {apart}, must be at least 1")
    paths = None if output is None else check_scores(Path(output), overwrite=overwrite)
    image = as_image(result)
    record = _record(image, None, None, output, register, ["--frames", *(["--apart", str(apart)] if apart else [])])
    with watched(image) as watch:
        scores = score_frames(image, apart=apart, window=frames_seen(image), model=register)
        watch.check()
        if paths is not None:
            write_frame_scores(paths, scores, record, image)
    return Evaluation(scores, record, *((paths.numbers, paths.picture) if paths is not None else ()))


def meanings_of(found: Evaluation) -> Mapping[str, Any]:
    """`evaluation.Meaning` of every number that scores may have, by its name."""
    from ruska.evaluation import MEANING, OF_FRAMES

    return OF_FRAMES if hasattr(found.scores, "channels") else MEANING


def frames_seen(image: Image) -> int:
    """How many frames the method that made ``image`` used for each frame, by its record; 1 without a record."""
    for record in (_beside(image), image.provenance):
        plan = record.get("plan")
        halo = plan.get("halo") if isinstance(plan, Mapping) else None
        if isinstance(halo, list | tuple) and len(halo) == 3 and all(isinstance(n, int) for n in halo):
            return 1 + 2 * int(halo[0])
    return 1


def _beside(image: Image) -> Mapping[str, Any]:
    """The record beside a file; empty if there is none, or it belongs to another file."""
    from ruska.report import beside

    if image.path is None or not (names := beside(image.path)).is_own():
        return {}
    try:
        found = json.loads(names.record.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, Mapping) else {}


def _record(
    result: Image, truth: Image | None, noisy: Image | None, output: Any, register: Model | None,
    more: Sequence[str] = (),
) -> dict[str, Any]:  # fmt: skip
    names = {name: None if i is None else str(i.path or i.name)
             for name, i in (("result", result), ("truth", truth), ("noisy", noisy))}  # fmt: skip
    words = ["ruska", "evaluate", no_option(str(names["result"]))]
    for name in ("truth", "noisy"):
        words += [f"--{name}", no_option(names[name] or "")] if names[name] else []
    words += [*more, *(["--register", "--transform", register] if register else [])]
    words += ["-o", no_option(str(output))] if output is not None else []
    words += ["--axes", result.axes]
    return {"ruska": ruska.__version__, "task": "evaluate", **names, "command": command_line(words)}
