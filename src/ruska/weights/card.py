"""The card of a model: what it is, what it was trained on, and how far it may be trusted to apply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ruska.errors import InputError
from ruska.weights.domain import Domain

_FORMAT = 1


class Trained(BaseModel):
    """One file a model was trained on. ``voxel_size_nm`` by axis letter, as far as it is known."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    shape: tuple[int, ...]
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
    format: int = _FORMAT
    name: str
    method: str
    network: dict[str, Any]
    settings: dict[str, Any]
    training: dict[str, Any]
    data: tuple[Trained, ...]
    licence: str = "that of the training data's owner"
    credits: tuple[str, ...] = ()
    domain: Domain | None = None
    sha256: str

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
            return cls.parse(path.read_text(encoding="utf-8"), path)
        except FileNotFoundError as error:
            raise InputError(path.parent, f"is no model: it holds no {path.name}",
                             "Give the folder that `ruska train` wrote.") from error  # fmt: skip
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(path, f"cannot be read ({error})") from error

    @classmethod
    def parse(cls, text: str, subject: object) -> ModelCard:
        """The card that ``text`` is; InputError about ``subject`` when it is none."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise InputError(subject, f"is no model card ({where}: {first['msg']})",
                             "Train the model again, or get its folder whole.") from error  # fmt: skip
