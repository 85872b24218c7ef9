"""`About`: all that is known of a method before it is asked to do anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ruska.methods.settings import Settings

DENOISE, DEBLUR, SUPERRES, ISOTROPIC, TRAIN = "denoise", "deblur", "superres", "isotropic", "train"


@dataclass(frozen=True)
class About:
    """One method, or one way to train, as the registry holds it.

    name : that the user types. task : what it is for: denoise, deblur, superres, isotropic, train, or a new one.
    summary : one sentence. record : its settings, whose JSON Schema makes options, forms and tables.
    make : a recipe of the settings, with ``prepare(source, normalisation, budget)`` (see `engine.Recipe`); for a
        training, with what `training.recipe.TrainingRecipe` asks for.
    roles : inputs it takes, "image" among them.
    learns : whether it trains or runs a network.
    prior : whether it runs the prior that comes with Ruska where ``settings.model`` names no other.
    stack : whether a single slice is too little.
    each : whether it treats every channel by itself and, where it works on slices, every slice, so that it may be
        prepared for each channel, and for slices of other noise, as if they had come alone.
    """

    name: str
    task: str
    summary: str
    record: type[Settings]
    make: Callable[[Any], Any]
    roles: frozenset[str] = frozenset({"image"})
    learns: bool = False
    prior: bool = False
    stack: bool = False
    each: bool = False

    def schema(self) -> dict[str, Any]:
        """JSON-like: name, task, summary, roles, and the JSON Schema of the settings."""
        return {
            "name": self.name, "task": self.task, "summary": self.summary, "roles": sorted(self.roles),
            "learns": self.learns, "settings": self.record.model_json_schema(),
        }  # fmt: skip
