"""Recipes that make a training from data and settings: one for each kind of model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ruska.training.loop import Progress, Schedule, Trained, train

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ruska.training.trainee import Trainee


@dataclass(frozen=True)
class Prepared:
    """All that `train` takes which follows from data and settings; see there.

    finish : what is measured on the trained network, and written into it, before it is kept.
    """

    trainee: Trainee
    schedule: Schedule
    identity: str
    batches: Callable[[int], Any] | None = None
    judge: Callable[[nn.Module], float] | None = None
    watch: Callable[[nn.Module, int], None] | None = None
    finish: Callable[[nn.Module, int], None] | None = None


class TrainingRecipe(Protocol):
    """``record`` is the class of its settings."""

    @property
    def record(self) -> type: ...
    def prepare(self, data: Any, folder: Path, device: torch.device) -> Prepared:
        """Read ``data``: the folder of a packed corpus, or the files that were given, as each recipe has it.

        Pictures of the course may be left in ``folder``.
        """
        ...

    def card(self, trained: Trained) -> dict[str, Any]:
        """What is written beside the weights: which network, and how long it was trained. JSON-like."""
        ...


def follow(
    recipe: TrainingRecipe, data: Any, folder: Path, device: torch.device, *, checkpoint: str,
    overwrite: bool = False, progress: Progress | None = None,
) -> Trained:  # fmt: skip
    """Train by ``recipe`` into ``folder``, with its state in its file ``checkpoint``; goes on where it stopped."""
    own = recipe.prepare(data, folder, device)
    folder.mkdir(parents=True, exist_ok=True)
    trained = train(
        own.trainee, None, own.schedule, batches=own.batches, validate=own.judge, device=device, log=folder,
        checkpoint=folder / checkpoint, identity=own.identity, overwrite=overwrite, progress=progress, watch=own.watch,
    )  # fmt: skip
    if own.finish is not None:
        own.finish(trained.network, own.schedule.steps)
    return trained
