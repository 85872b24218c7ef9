"""A model is a folder: ``weights.safetensors`` and ``card.json``. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruska.errors import InputError
from ruska.weights.card import ModelCard

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS, CARD = "weights.safetensors", "card.json"
_DEEP = 3  # folders below which models are not looked for


@dataclass(frozen=True)
class Model:
    """Verified weights and their card."""

    folder: Path
    card: ModelCard
    tensors: Mapping[str, Tensor]

    def fill(self, network: Any) -> None:
        """Load the weights into ``network``; InputError names the first that does not fit."""
        from ruska.training.checkpoint import fill

        try:
            fill(network, self.tensors)
        except InputError as error:
            raise InputError(self.folder, error.problem, "Use the settings it was trained with.") from error


def save_model(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> ModelCard:
    """Write weights and card (``facts`` are its fields without ``sha256``); the card last, when all is there."""
    from ruska.training.checkpoint import save_weights

    folder.mkdir(parents=True, exist_ok=True)
    weights, card_file = folder / WEIGHTS, folder / CARD
    card_file.unlink(missing_ok=True)
    save_weights(weights, tensors, {"method": facts["method"]})
    card = ModelCard(**facts, sha256=_hash(weights))
    part = card_file.with_name(CARD + ".part")
    part.write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    os.replace(part, card_file)
    return card


def read_model(folder: Path) -> Model:
    """Read a model and check it against its card; InputError when it is none, is changed or is damaged."""
    from ruska.training.checkpoint import load_weights

    card = verify(folder)
    tensors, _ = load_weights(folder / WEIGHTS)
    return Model(folder, card, tensors)


def verify(folder: Path) -> ModelCard:
    """The card of the model in ``folder``; InputError unless the weights are the ones it speaks of."""
    if not folder.exists():
        raise InputError(folder, "does not exist", "Give the folder that `ruska train` wrote.")
    card = ModelCard.read(folder / CARD)
    weights = folder / WEIGHTS
    if not weights.exists():
        raise InputError(folder, f"holds no {WEIGHTS}", "Get the folder whole.")
    found = _hash(weights)
    if found != card.sha256:
        raise InputError(weights, f"is not what its card speaks of (sha256 {found[:12]}, expected {card.sha256[:12]})",
                         "It was changed or damaged: get it again.")  # fmt: skip
    return card


def find_models(folder: Path) -> list[Path]:
    """Folders with a card, ``folder`` itself and up to three levels below, sorted."""
    found, level = [], [folder]
    for _ in range(_DEEP + 1):
        found += [f for f in level if (f / CARD).is_file()]
        level = [child for f in level for child in _children(f)]
    return sorted(found)


def _children(folder: Path) -> list[Path]:
    try:
        return [c for c in folder.iterdir() if c.is_dir() and not c.name.startswith(".") and c.suffix != ".zarr"]
    except OSError:
        return []


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
