"""Named methods, their settings, and the choice among them."""

from ruska.methods.auto import RULES, Rule, choose
from ruska.methods.registry import METHODS, WITH_PRIOR, create, describe, learns, names, task

__all__ = ["METHODS", "RULES", "WITH_PRIOR", "Rule", "choose", "create", "describe", "learns", "names", "task"]
