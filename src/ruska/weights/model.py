"""A model is a folder: ``weights.safetensors`` and ``card.json``. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ruska.errors import InputError
from ruska.weights.architecture import facts_of, shapes_of
from ruska.weights.bounded import size_of
from ruska.weights.card import MOST_CARD, ModelCard
from ruska.weights.header import check_header, largest
from ruska.weights.tensors import fill, load_weights, save_weights

if TYPE_CHECKING:
    from torch import Tensor

WEIGHTS, CARD = "weights.safetensors", "card.json"
_CHUNK = 1 << 20
_DEEP = 3  # folders below which models are not looked for


@dataclass(frozen=True)
class Model:
    """Verified weights and their card."""

    folder: Path
    card: ModelCard
    tensors: Mapping[str, Tensor]

    def fill(self, network: Any) -> None:
        """Load the weights into ``network``; InputError names the first that does not fit."""
        try:
            fill(network, self.tensors)
        except InputError as error:
            raise InputError(self.folder, error.problem, "Use the settings it was trained with.") from error


def save_model(folder: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> ModelCard:
    """Write weights and card (``facts`` are its fields without ``sha256``); the card last, when all is there."""
    folder.mkdir(parents=True, exist_ok=True)
    weights, card_file = folder / WEIGHTS, folder / CARD
    card_file.unlink(missing_ok=True)
    save_weights(weights, tensors, {"method": facts["method"]})
    card = _within_limit(ModelCard(**facts, sha256=_hash(weights)))
    part = card_file.with_name(CARD + ".part")
    part.write_text(_text(card), encoding="utf-8")
    os.replace(part, card_file)
    return card


def _within_limit(card: ModelCard) -> ModelCard:
    """The card; with fewer of the files it was trained on, and a note, where it is too long to be read again."""
    named = len(card.data)
    short = card
    while len(_text(short).encode()) > MOST_CARD and named:
        named //= 2
        notes = [
            *card.training.get("notes", []),
            f"trained on {len(card.data)} files, of which {named} are listed here",
        ]
        short = card.model_copy(update={"data": card.data[:named], "training": {**card.training, "notes": notes}})
    return short


def _text(card: ModelCard) -> str:
    return card.model_dump_json(indent=2) + "\n"


def read_model(folder: Path) -> Model:
    """Read a model and check it against its card; InputError when it is none, is changed or is damaged."""
    card = verify(folder)
    tensors, _ = load_weights(folder / WEIGHTS)
    for name, value in tensors.items():
        if value.ndim and not value.isfinite().all():  # a limit, which is a single number, may be infinite
            raise InputError(folder / WEIGHTS, f"its parameter {name} has numbers that are not finite",
                             "Get it again, or train it again.")  # fmt: skip
    return Model(folder, card, tensors)


def verify(folder: Path) -> ModelCard:
    """The card of the model in ``folder``; InputError unless the weights match it.

    Reads no more of a file than a model can have, and nothing of it into memory but the header.
    """
    if not folder.exists():
        raise InputError(folder, "does not exist", "Give the folder that `ruska train` wrote.")
    card = ModelCard.read(folder / CARD)
    weights, shapes = folder / WEIGHTS, shapes_of(facts_of(card.method, card.network, folder / CARD), folder / CARD)
    try:
        check_size(weights, size_of(weights), largest(shapes))
        found = _hash(weights)
    except FileNotFoundError as error:
        raise InputError(folder, f"holds no {WEIGHTS}", "Get the complete folder.") from error
    except OSError as error:
        raise InputError(weights, f"cannot be read ({error.strerror or error})") from error
    if found != card.sha256:
        raise InputError(weights, f"does not match its card (sha256 {found[:12]}, expected {card.sha256[:12]})",
                         "It was changed or damaged: get it again.")  # fmt: skip
    check_header(weights, shapes)
    return card


def most_bytes(card: ModelCard, subject: object) -> int:
    """Bytes that the weights of this card have at most."""
    return largest(shapes_of(facts_of(card.method, card.network, subject), subject))


def check_size(subject: object, size: int, most: int) -> None:
    """InputError when weights of ``size`` bytes are more than the network of their card can have."""
    if size > most:
        raise InputError(subject, f"has {size / 1e6:,.1f} MB or more, but the network of its card has at most "
                         f"{most / 1e6:,.1f} MB", "It is not the model of this card.")  # fmt: skip


def pour(inside: IO[bytes], target: Path, most: int, subject: object) -> None:
    """Copy weights into the file ``target``; InputError as soon as they are more than ``most`` bytes."""
    done = 0
    with target.open("wb") as out:
        while part := inside.read(_CHUNK):
            done += len(part)
            check_size(subject, done, most)
            out.write(part)


def find_models(folder: Path) -> list[Path]:
    """Folders with a card, ``folder`` itself and up to three levels below, sorted."""
    found, level = [], [folder]
    for _ in range(_DEEP + 1):
        found += [f for f in level if os.path.isfile(f / CARD)]
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
