"""Trained models: weights as safetensors, a card that says what they are, and the check that both belong together.

Names are imported when they are first used: a machine that only trains has no pydantic, which cards need.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ruska.weights.card import ModelCard
    from ruska.weights.domain import Domain
    from ruska.weights.model import Model, find_models, save_model
    from ruska.weights.store import find_card, load_model, locate

_HOMES = {
    "Domain": "domain",
    "Model": "model",
    "ModelCard": "card",
    "find_card": "store",
    "find_models": "model",
    "load_model": "store",
    "locate": "store",
    "save_model": "model",
}

__all__ = ["Domain", "Model", "ModelCard", "find_card", "find_models", "load_model", "locate", "save_model"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"ruska.weights.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'ruska.weights' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
