"""Voxel sizes and axis names in an array's own attributes, in HDF5 and Zarr.

A number without a unit is kept as one (`NO_UNIT`): it still says how much longer one edge of a voxel is than another.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ruska.image import NO_UNIT, Quantity, canonical_unit, is_length

_WORDS = {
    "TIME": "T", "FRAME": "T", "FRAMES": "T", "CHANNEL": "C", "CHANNELS": "C", "DEPTH": "Z", "SLICE": "Z", "PLANE": "Z",
    "HEIGHT": "Y", "ROW": "Y", "ROWS": "Y", "WIDTH": "X", "COLUMN": "X", "COLUMNS": "X", "COL": "X",
}  # fmt: skip
_SIZES = ("element_size_um", "resolution", "voxel_size", "pixel_size", "spacing", "scale")
_UNITS = ("{}_unit", "{}_units", "unit", "units")


def letter_of(label: str) -> str:
    """The axis that a label names by its letter or in a word; ``?`` for any other."""
    word = label.strip().upper()
    return _WORDS.get(word, word if len(word) == 1 and word in "TCZYX" else "?")


def axes_of(labels: Sequence[str]) -> str | None:
    """A letter for each label, one of which may be unknown (Q); None if the labels do not identify the axes."""
    letters = [letter_of(label) for label in labels]
    if letters.count("?") == 1 and labels[letters.index("?")].strip():
        letters[letters.index("?")] = "Q"
    known = "?" not in letters and len(set(letters)) == len(letters) and {"Y", "X"} <= set(letters)
    return "".join(letters) if known else None


def note_of(labels: Sequence[str], axes: str | None) -> tuple[str, ...]:
    """Notes about labels of unknown axes."""
    unknown = [label.strip() for label in labels if letter_of(label) == "?" and label.strip()]
    if not unknown:
        return ()
    if axes is None:
        return (f"the file labels its dimensions {', '.join(label.strip() or '-' for label in labels)}",)
    return (f"the file calls a stack axis '{unknown[0]}': taken as Q (set it with --axes)",)


@dataclass(frozen=True)
class Stated:
    """``sizes`` by axis of Z, Y, X, from the attribute ``name``."""

    name: str
    sizes: Mapping[str, Quantity]


def stated(get: Callable[[str], Any], letters: str | None, *, bare: str = NO_UNIT) -> Stated | None:
    """The voxel size in the attributes of an array, of which ``get`` gives one, or None.

    letters : axes of the array in its own order, where they are known. A list is in that order; ``element_size_um`` is
        always in the order Z, Y, X.
    bare : the unit of ``resolution`` where the file gives none.
    """
    for name in _SIZES:
        values = np.asarray(get(name) if get(name) is not None else ()).ravel()
        if values.dtype.kind not in "uif" or len(values) not in (2, 3):
            continue
        spatial = "".join(a for a in letters or "ZYX" if a in "ZYX")
        order = spatial if name != "element_size_um" and len(spatial) == len(values) else "ZYX"
        units = _units(get, name, len(values), bare if name == "resolution" else NO_UNIT)
        sizes = {a: Quantity(float(v), u) for a, v, u in zip(order[-len(values) :], values, units, strict=True)}
        sizes = {a: q for a, q in sizes.items() if 0 < q.value < math.inf}
        if says_something(sizes):
            return Stated(name, sizes)
    return None


def says_something(sizes: Mapping[str, Quantity]) -> bool:
    """Whether they are calibrated; sizes of 1 are not."""
    return any(q.unit != NO_UNIT or q.value != 1.0 for q in sizes.values())


def _units(get: Callable[[str], Any], name: str, count: int, bare: str) -> list[str]:
    if name == "element_size_um":
        return ["um"] * count
    for form in _UNITS:
        said = get(form.format(name))
        if said is None:
            continue
        words = [_word(one) for one in np.asarray(said, dtype=object).ravel()]
        words = words * count if len(words) == 1 else words
        if len(words) == count:
            return [length_unit(word) for word in words]
    return [bare] * count


def length_unit(text: str) -> str:
    """The unit of a length as Ruska spells it; `NO_UNIT` for any other, and for none."""
    known = canonical_unit(text)
    return known if known is not None and is_length(known) else NO_UNIT


def _word(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
