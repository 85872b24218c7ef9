"""Tab completion of the names of methods, models and settings."""

from __future__ import annotations

from collections.abc import Callable

import typer

from ruska.errors import RuskaError

_OF_ANY_TASK = ("info", "methods")  # commands that take methods of every task


def method_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Methods that the command of ``ctx`` takes."""
    from ruska.pipeline import methods
    from ruska.weights.architecture import KIND_OF

    command = ctx.info_name or ""
    if command == methods.TRAIN:
        known = ["prior", *KIND_OF, *methods.trainings()]
    elif command in _OF_ANY_TASK:
        known = list(methods.names())
    else:
        known = list(methods.names(command))
    usual = ["auto"] if command in ("denoise", "info") else []
    return [name for name in dict.fromkeys(usual + known) if name.startswith(incomplete)]


def model_names(incomplete: str) -> list[str]:
    """Models that can be called by name."""
    from ruska.weights.store import installed

    return [card.name for _, card in installed() if card.name.startswith(incomplete)]


def setting_names(ctx: typer.Context, incomplete: str) -> list[str]:
    """Settings of the method that was named, or of the task's default, each with ``=``."""
    from ruska.pipeline import methods

    name = ctx.params.get("method") or ctx.info_name or ""
    try:
        known = methods.about(name).record.model_fields
    except RuskaError:  # auto, or a word that is not finished
        return []
    return [f"{setting}=" for setting in known if setting.startswith(incomplete)]


def one_of(kind: str) -> Callable[[str], list[str]] | None:
    """For an option whose value is one of the words ``a|b|c``; None for other kinds of values."""
    words = kind.split("|")
    return None if len(words) < 2 else lambda incomplete: [word for word in words if word.startswith(incomplete)]
