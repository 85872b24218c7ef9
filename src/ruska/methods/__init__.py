"""Named methods, their settings, and the choice among them."""

from ruska.methods.auto import RULES, Rule, choose
from ruska.methods.registry import METHODS, create, describe, names

__all__ = ["METHODS", "RULES", "Rule", "choose", "create", "describe", "names"]
