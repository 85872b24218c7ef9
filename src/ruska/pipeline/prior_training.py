"""Trains a prior on clean micrographs, or a packed corpus of them, and writes a folder with weights and card."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import ruska
from ruska.errors import InputError
from ruska.image import Image
from ruska.pipeline.prepare import budget_of
from ruska.pipeline.request import RunOptions
from ruska.pipeline.training import claimed, first_of_many
from ruska.plain_text import command_line, no_option
from ruska.weights import ModelCard, locate, save_model
from ruska.weights.model import WEIGHTS, verify

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ruska.engine import Progress
    from ruska.training.loop import Trained
    from ruska.training.prior import PriorSettings

_MANIFEST = "manifest.json"
_POINTS = 24


def train_prior(
    data: Sequence[Image | str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    settings: Mapping[str, Any] | None = None,
    memory: str | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ModelCard | None:
    """Train a prior and write the model into ``output``; use it with ``method="prior", settings={"model": output}``.

    data : a folder made by `corpus.build`, or files to make one from, kept in ``output/corpus``.
    settings : ``preset`` (cpu, deep, gpu-30min, full), ``start`` (a model to start from), and `PriorSettings`' fields.

    memory : limit for the whole process; None for no limit.

    The same call resumes where it stopped, or trains longer. Raises SettingsError, ResourceError (memory), InputError
    (nothing clean enough in the data), OutputError (the folder holds something else), JobBusyError (another process
    trains into it).
    """
    from ruska.training.prior import check_memory, settings_of, train_prior

    given = dict(settings or {})
    start = given.pop("start", None)
    own = settings_of(str(given.pop("preset", "cpu")), given)
    paths = [_path(item) for item in data]
    folder = Path(output)
    request = {"method": "prior", "settings": own.lasting(), "data": sorted(map(str, paths)), "start": start}
    with claimed(folder, request, overwrite, begun=_begun(folder, own)):
        corpus = _corpus(paths, folder, progress)
        weights = _start(start, own) if start else None
        if memory is not None:
            check_memory(own, corpus, budget_of(RunOptions(memory=memory)).room)
        found = train_prior(corpus, folder, own, start=weights, overwrite=overwrite, progress=progress)
        if not first_of_many():
            return None
        return save_model(folder, _halved(found.network), _card(folder.name, own, found, corpus, start))


def _start(name: str, own: PriorSettings) -> Path:
    """The weights of the prior to start from; InputError if it is incomplete, or of another method."""
    folder = locate(name)
    card = verify(folder)
    if card.method != "prior":
        raise InputError(name, f"is a model for {card.method}, not a prior", "Start from a prior, or leave start out.")
    for what, usual in (("prediction", "x0"), ("path", "exploding")):
        theirs, ours = card.network.get(what, usual), getattr(own, what)
        if theirs != ours:
            raise InputError(name, f"its {what} is {theirs}, but that of this training is {ours}",
                             f"Pass --set {what}={theirs}, or leave start out.")  # fmt: skip
    return folder / WEIGHTS


def _begun(folder: Path, own: PriorSettings) -> bool:
    """Whether `ruska.training.prior` itself, which saves no request, trained into ``folder`` with these settings."""
    from ruska.training.prior import CHECKPOINT
    from ruska.weights.tensors import load_weights

    left = folder / CHECKPOINT
    return left.exists() and load_weights(left)[1].get("identity") == own.identity()


def _path(item: Image | str | os.PathLike[str]) -> Path:
    if isinstance(item, Image):
        if item.path is None:
            raise InputError("training data", "has an image that is not in a file", "Write it to a file first.")
        return Path(item.path)
    return Path(item)


def _corpus(paths: list[Path], folder: Path, progress: Progress | None) -> Path:
    """The corpus in ``paths``, or one made from these files."""
    from ruska.corpus import build

    if len(paths) == 1 and (paths[0] / _MANIFEST).exists():
        return paths[0]
    made = folder / "corpus"
    if not (made / _MANIFEST).exists():
        build(paths, made, progress=progress)
    return made


def _card(name: str, own: PriorSettings, found: Trained, corpus: Path, start: str | None) -> dict[str, Any]:
    from ruska.corpus import domain_of

    manifest = json.loads((corpus / _MANIFEST).read_text(encoding="utf-8"))
    return {
        "name": name,
        "method": "prior",
        "network": own.network(),
        "settings": own.lasting(),
        "training": {
            "steps": found.steps,
            "seconds": round(found.seconds, 1),
            "patches": round(found.steps * ((1 - own.restoring) * own.batch + own.restoring * own.walks)),
            **found.machine,
            "loss": found.losses[-1] if found.losses else None,
            "curve": curve(found.losses),
            "planes": len(manifest["planes"]),
            "start": start,
            "command": command(name, own, corpus, start),
            "ruska": ruska.__version__,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        "data": manifest["sources"],
        "credits": manifest["credits"],
        "domain": domain_of(corpus),
    }


def curve(losses: Sequence[float]) -> list[tuple[int, float]]:
    """Steps and losses, at most 24 points: each the median of several means over 50 steps."""
    from ruska.training.loop import SMOOTHED

    together = max(1, -(-len(losses) // _POINTS))
    parts = [losses[i : i + together] for i in range(0, len(losses), together)]
    return [(SMOOTHED * (i * together + len(part)), round(median(part), 4)) for i, part in enumerate(parts)]


def command(name: str, own: PriorSettings, corpus: Path, start: str | None) -> str:
    """The command that repeats the training, given the corpus."""
    from ruska.training.prior import PRESETS

    usual = asdict(PRESETS["cpu"])
    changed = {k: v for k, v in asdict(own).items() if v != usual[k]}
    minutes = changed.pop("minutes", None)
    parts = ["ruska", "train", "prior", no_option(corpus.name), "-o", no_option(name)]
    parts += [] if start is None else ["--start", no_option(start)]
    for key, value in changed.items():
        parts += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return command_line(parts + ([] if minutes is None else ["--minutes", f"{minutes:g}"]))


def _halved(network: nn.Module) -> dict[str, Tensor]:
    """Weights as float16: half the size, and a restoration differs by 0.0004 of the noise (rms)."""
    return {name: value.half() for name, value in network.state_dict().items()}
