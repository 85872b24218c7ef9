"""Lengths and times with units: pixel sizes, slice distances, frame intervals."""

from __future__ import annotations

import re
from math import inf
from typing import NamedTuple

from ruska.errors import SettingsError, did_you_mean

# Metres (or seconds) in one unit. Keys are the spellings we write; _ALIASES are those we also read.
_METRES = {"pm": 1e-12, "angstrom": 1e-10, "nm": 1e-9, "um": 1e-6, "mm": 1e-3, "cm": 1e-2, "m": 1.0, "inch": 0.0254}
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_ALIASES = {
    "å": "angstrom", "a": "angstrom", "ang": "angstrom", "ångström": "angstrom", "ångstrom": "angstrom",
    "angström": "angstrom", "angstroms": "angstrom",
    "micron": "um", "microns": "um", "micrometer": "um", "micrometre": "um", "micrometers": "um",
    "nanometer": "nm", "nanometre": "nm", "nanometers": "nm", "picometer": "pm", "picometre": "pm",
    "millimeter": "mm", "millimetre": "mm", "centimeter": "cm", "centimetre": "cm", "meter": "m", "metre": "m",
    "in": "inch", "inches": "inch",
    "sec": "s", "second": "s", "seconds": "s", "millisecond": "ms", "microsecond": "us", "nanosecond": "ns",
    "minute": "min", "hour": "h",
}  # fmt: skip
_QUANTITY = re.compile(r"^\s*([0-9.]+(?:[eE][-+]?[0-9]+)?)\s*([^\d\s].*?)?\s*$")


NO_UNIT = ""
"""The unit of a size of which a file gives the number alone: it is kept and shown, and never taken for a length."""


class Quantity(NamedTuple):
    """A number with a unit, for example ``Quantity(4.0, "nm")``; ``NO_UNIT`` where none is given."""

    value: float
    unit: str

    def to(self, unit: str) -> float:
        """Return the value in ``unit``; SettingsError when one is a length and the other a time."""
        if self.unit == unit == NO_UNIT:
            return self.value
        here, there = normalise_unit(self.unit), normalise_unit(unit)
        if here == there:
            return self.value
        for table in (_METRES, _SECONDS):
            if here in table and there in table:
                return self.value * (table[here] / table[there])
        raise SettingsError(unit, f"is not a unit for {self.value} {self.unit}")

    def __str__(self) -> str:
        return f"{self.value:.6g} {self.unit or '(no unit given)'}"


def is_length(unit: str | None) -> bool:
    """Whether ``unit`` (any known spelling) measures a length."""
    return unit is not None and canonical_unit(unit) in _METRES


def canonical_unit(unit: str) -> str | None:
    """Return the spelling Ruska writes (``"nm"``, ``"um"``, ``"angstrom"``, ``"s"``), or None when unknown."""
    name = unit.strip().replace("\\u00B5", "u").replace("µ", "u").replace("μ", "u").strip("'\"")
    for spelling in (name, name.lower()):
        if spelling in _METRES or spelling in _SECONDS:
            return spelling
        if spelling in _ALIASES:
            return _ALIASES[spelling]
    return None


def normalise_unit(unit: str) -> str:
    """Like `canonical_unit`, but an unknown unit is a SettingsError that lists the known ones."""
    known = canonical_unit(unit)
    if known is None:
        raise SettingsError(unit, "is not a unit Ruska knows", did_you_mean(unit, [*_METRES, *_SECONDS]))
    return known


def parse_quantity(text: str, default_unit: str | None = None) -> Quantity:
    """Parse ``"4nm"``, ``"1.2 Å"`` or ``"0.5"`` (then in ``default_unit``); the number must be positive."""
    match = _QUANTITY.match(text)
    try:
        value = float(match.group(1)) if match else 0.0
    except ValueError:
        value = 0.0
    unit = match.group(2) if match else None
    if not 0 < value < inf or (unit or default_unit) is None:
        raise SettingsError(text, "is not a positive number with a unit", "Write it like 4nm, 1.2angstrom or 0.5um.")
    return Quantity(value, normalise_unit(unit or str(default_unit)))
