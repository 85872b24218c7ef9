"""Named methods, their settings, and the choice among them."""

from ruska.methods.about import TRAIN, About
from ruska.methods.auto import RULES, Rule, choose
from ruska.methods.registry import (
    METHODS,
    TRAININGS,
    about,
    broken,
    create,
    describe,
    learns,
    names,
    register,
    takes_prior,
    task,
    tasks,
    training,
    trainings,
    unregister,
)
from ruska.methods.settings import CodeRef, FileRef, Settings

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
    "register",
    "takes_prior",
    "task",
    "tasks",
    "training",
    "trainings",
    "unregister",
]
