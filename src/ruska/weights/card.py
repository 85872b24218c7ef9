"""The card of a model: what it is, what it was trained on, and how far it may be trusted to apply."""

from __future__ import annotations

from pathlib import Path
from reprlib import Repr
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ruska.errors import InputError
from ruska.weights.architecture import facts_of
from ruska.weights.bounded import parse_json, read_text
from ruska.weights.domain import Domain

MOST_CARD = 4 << 20
"""Bytes that a card may have: some 15 000 files that a model was trained on."""
_FIX = "Train the model again, or get its complete folder."
_LONGEST_FIELD = 80  # characters of a field's name that an error shows
_shown = Repr()  # 30 characters of a text, six entries of a list
_Size = Annotated[int, Field(ge=0, lt=1 << 63)]


class Trained(BaseModel):
    """One file a model was trained on. ``voxel_size_nm`` by axis letter, as far as it is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    shape: tuple[_Size, ...]
    axes: str
    dtype: str
    hash: str
    voxel_size_nm: dict[str, float] = Field(default_factory=dict)
    noise: dict[str, Any] | None = None


class ModelCard(BaseModel):
    """What is known of a model. JSON beside the weights.

    method, network, settings : which method runs it, and how to build its network.
    training : steps, seconds, device, versions, the last scores on held-out pixels.
    data : the files it was trained on. ``licence`` is that of the weights; ``credits`` name whose data they were, and
        under which licences. domain : what images it is for; None where nobody measured.
    sha256 : of the weights file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal[1] = 1
    name: str
    method: str
    network: dict[str, Any]
    settings: dict[str, Any]
    training: dict[str, Any]
    data: tuple[Trained, ...]
    licence: str = "that of the training data's owner"
    credits: tuple[str, ...] = ()
    domain: Domain | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    @field_validator("training")
    @classmethod
    def _has_readable_notes(cls, training: dict[str, Any]) -> dict[str, Any]:
        notes = training.get("notes", [])
        if not isinstance(notes, list | tuple) or not all(isinstance(note, str) for note in notes):
            raise ValueError("expected its notes to be a list of texts")
        return training

    @property
    def trained_on(self) -> str:
        """For a sentence: the file, or how many."""
        return self.data[0].name if len(self.data) == 1 else f"{len(self.data)} files"

    @property
    def pixel_size_nm(self) -> tuple[float, float] | None:
        """Smallest and largest pixel size along X it has seen; None when no file said."""
        if self.domain is not None:
            return self.domain.pixel_size_nm
        known = [d.voxel_size_nm["X"] for d in self.data if "X" in d.voxel_size_nm]
        return (min(known), max(known)) if known else None

    @classmethod
    def read(cls, path: Path) -> ModelCard:
        """Read a card; InputError when it is missing or says something a card cannot."""
        try:
            return cls.parse(read_text(path, MOST_CARD), path)
        except FileNotFoundError as error:
            raise InputError(path.parent, f"is not a model: it holds no {path.name}",
                             "Give the folder that `ruska train` wrote.") from error  # fmt: skip
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(path, f"cannot be read ({error})") from error

    @classmethod
    def parse(cls, text: str, subject: object) -> ModelCard:
        """The card that ``text`` is; InputError about ``subject`` when it is none, or asks for no possible network."""
        try:
            parse_json(text)
            card = cls.model_validate_json(text, strict=True)
        except ValidationError as error:
            raise InputError(subject, f"is not a model card ({_said(error)})", _FIX) from error
        except ValueError as error:
            raise InputError(subject, f"is not a model card ({error})", _FIX) from error
        try:
            facts_of(card.method, card.network, subject)
        except ValidationError as error:
            raise InputError(
                subject, f"is not a model card ({_said(error, 'network')}; its method is {card.method})", _FIX
            ) from error
        return card


def _said(error: ValidationError, *outer: str) -> str:
    """The first thing that is wrong: its field, what was found, what was expected."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part)[:_LONGEST_FIELD] for part in (*outer, *first["loc"])) or "the file"
    if first["type"] == "missing":
        return f"{where} is missing"
    if first["type"] == "extra_forbidden":
        return f"{where} is not a field of a card"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "value_error":
        return f"{where}: {message}"
    return f"{where} is {_shown.repr(first['input'])}: {message[:1].lower()}{message[1:]}"
