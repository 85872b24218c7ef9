"""Reading a method's settings from what a user typed, with errors in one line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from ruska.errors import SettingsError, did_you_mean

_QUOTED = re.compile(r"'([^']*)'")
_LARGEST = 16  # factor of super-resolution or anisotropy


class Settings(BaseModel):
    """Base of the settings records: frozen, no unknown keys.

    basic : the few that most people need; the others are advanced, which the JSON Schema says as ``level``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    basic: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        found: dict[str, Any] = handler.resolve_ref_schema(handler(schema))
        for name, about in found.get("properties", {}).items():
            about["level"] = "basic" if name in cls.basic else "advanced"
        return found


S = TypeVar("S", bound=Settings)


@dataclass(frozen=True)
class Ref:
    """Marks a text in a settings record as the name of something outside it, in its JSON Schema as ``format``."""

    kind: str

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {**handler(schema), "format": self.kind}


FileRef = Annotated[str, Ref("file")]
"""A file or folder: a model, a point spread function. A server maps it to one of its own."""
CodeRef = Annotated[str, Ref("code")]
"""Code that is run: ``path/to/file.py:name`` or an entry point. A server refuses it."""


def references(record: type[BaseModel], kind: Literal["file", "code"]) -> tuple[str, ...]:
    """Settings of ``record`` that name files, or code."""
    properties = record.model_json_schema().get("properties", {})
    return tuple(name for name, about in properties.items() if kind in _formats(about))


def _formats(about: Mapping[str, Any]) -> set[str]:
    return {str(part.get("format")) for part in (about, *about.get("anyOf", ()))}


def _factor(text: str) -> str:
    """``"2.5"`` as ``"5/2"``; ValueError unless above 1 and up to 16."""
    try:
        found = Fraction(text).limit_denominator(12)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError("write a number such as 2, 2.5 or 5/2") from error
    if not 1 < found <= _LARGEST:
        raise ValueError(f"must be above 1 and at most {_LARGEST}")
    return str(found)


Factor = Annotated[str, AfterValidator(_factor)]
"""How many times finer a grid becomes: text that `Fraction` reads, in lowest terms."""

_PLAIN = {
    "Value error, ": "",
    "Input should be greater than or equal to ": "must be at least ",
    "Input should be less than or equal to ": "must be at most ",
    "Input should be greater than ": "must be above ",
    "Input should be less than ": "must be below ",
    "Input should ": "must ",
}
"""Beginnings of pydantic's messages, and what Ruska says instead; the first that fits counts."""


def parse(record: type[S], method: str, values: Mapping[str, Any]) -> S:
    """Make ``record`` of ``values`` (strings are converted); SettingsError names the setting and the valid ones.

    The word ``none`` means: chosen from the data.
    """
    given = {k: None if isinstance(v, str) and v.lower() in ("none", "auto") else v for k, v in values.items()}
    for name in given:
        if name not in record.model_fields:
            raise SettingsError(f"{method}.{name}", "is not a setting", did_you_mean(name, record.model_fields))
    try:
        return record.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        about = record.model_fields[name].description if name in record.model_fields else ""
        raise refused(f"{method}.{name}", first, about or "") from error


def refused(name: str, first: Any, fix: str = "") -> SettingsError:
    """The first of pydantic's errors in plain words; for an unknown word, the nearest one that is allowed."""
    if first["type"] == "literal_error":
        return SettingsError(name, f"{first['input']!r:.80} is unknown",
                             did_you_mean(str(first["input"]), _QUOTED.findall(first["ctx"]["expected"])))  # fmt: skip
    return SettingsError(name, f"{first['input']!r:.80} is not valid ({_plain(first['msg'])})", fix)


def _plain(message: str) -> str:
    """Pydantic's own sentence in ours: ``must be at least 1``."""
    for theirs, ours in _PLAIN.items():
        if message.startswith(theirs):
            return ours + message.removeprefix(theirs).partition(", unable to parse")[0]
    return message
