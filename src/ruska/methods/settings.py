"""Reading a method's settings from what a user typed, with errors in one line."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from ruska.errors import SettingsError, did_you_mean

_LARGEST = 16  # factor of super-resolution or anisotropy


class Settings(BaseModel):
    """Base of the settings records: frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


S = TypeVar("S", bound=Settings)


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


def parse(record: type[S], method: str, values: Mapping[str, Any]) -> S:
    """Make ``record`` of ``values`` (strings are converted); SettingsError names the setting and the valid ones.

    The word ``none`` means: chosen from the data.
    """
    given = {k: None if isinstance(v, str) and v.lower() in ("none", "auto") else v for k, v in values.items()}
    for name in given:
        if name not in record.model_fields:
            raise SettingsError(f"{method}.{name}", "is no setting", did_you_mean(name, record.model_fields))
    try:
        return record.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        about = record.model_fields[name].description if name in record.model_fields else ""
        said = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{method}.{name}", f"{first['input']!r} is not valid ({said})", about or "") from error
