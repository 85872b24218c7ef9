"""Named methods, their settings, and the choice among them."""

from ruska.methods.about import TRAIN, About
from ruska.methods.auto import RULES, Rule, choose
from ruska.methods.registry import (
    METHODS,
    about,
    create,
    describe,
    learns,
    names,
    register,
    takes_prior,
    task,
    tasks,
    unregister,
)

__all__ = [
    "METHODS",
    "RULES",
    "TRAIN",
    "About",
    "Rule",
    "about",
    "choose",
    "create",
    "describe",
    "learns",
    "names",
    "register",
    "takes_prior",
    "task",
    "tasks",
    "unregister",
]
