"""Named methods, their settings, and the choice among them. The choice is imported when it is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ruska.methods.about import TRAIN, About
from ruska.methods.registry import (
    METHODS,
    TRAININGS,
    about,
    broken,
    create,
    describe,
    learns,
    names,
    other_inputs,
    register,
    takes_prior,
    task,
    tasks,
    training,
    trainings,
    unregister,
)
from ruska.methods.settings import CodeRef, FileRef, Settings

if TYPE_CHECKING:
    from ruska.methods.auto import RULES, Rule, choose

__all__ = [
    "METHODS",
    "RULES",
    "TRAIN",
    "TRAININGS",
    "About",
    "CodeRef",
    "FileRef",
    "Rule",
    "Settings",
    "about",
    "broken",
    "choose",
    "create",
    "describe",
    "learns",
    "names",
    "other_inputs",
    "register",
    "takes_prior",
    "task",
    "tasks",
    "training",
    "trainings",
    "unregister",
]


def __getattr__(name: str) -> Any:
    if name in ("RULES", "Rule", "choose"):
        from ruska.methods import auto

        return getattr(auto, name)
    raise AttributeError(f"module 'ruska.methods' has no attribute {name!r}")
