"""The metadata of OME-Zarr (NGFF 0.4 and 0.5): built from an image, and understood from a file.

Source: https://ngff.openmicroscopy.org/0.5 ; 0.4 differs in where the same JSON is kept.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ruska.errors import InputError, OutputError
from ruska.image import NO_UNIT, Quantity, canonical_unit, is_length
from ruska.io.stated_sizes import letter_of, says_something

if TYPE_CHECKING:
    from ruska.image import Image

ORDER = "TCZYX"
_UNITS = {
    "angstrom": "angstrom", "pm": "picometer", "nm": "nanometer", "um": "micrometer", "mm": "millimeter",
    "cm": "centimeter", "m": "meter", "inch": "inch", "ns": "nanosecond", "us": "microsecond",
    "ms": "millisecond", "s": "second", "min": "minute", "h": "hour",
}  # fmt: skip
_TYPES = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}
_WINDOW = ("min", "max", "start", "end")
_COLOURS = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")


def stored_letters(axes: str, name: object) -> str:
    """NGFF's name for each of the image's axes. A stack of slices or frames (Q) is called Z, or T, or C.

    NGFF knows no such axis; `ruska`'s own record says that it was Q. Raises OutputError when all are taken.
    """
    if "Q" not in axes:
        return axes
    free = next((a for a in "ZTC" if a not in axes), None)
    if free is None:
        raise OutputError(name, f"OME-Zarr holds five axes, the image has {axes}", "Write .h5 or .npz instead.")
    return axes.replace("Q", free)


def stored_order(letters: str) -> tuple[int, ...]:
    """Transposition from the image's order to the order NGFF demands: time, channel, space."""
    return tuple(sorted(range(len(letters)), key=lambda i: ORDER.index(letters[i])))


def step_and_unit(image: Image, axis: str, letter: str) -> tuple[float, str | None]:
    """Scale along ``axis``, which is stored as ``letter``, and NGFF's name of its unit; (1, None) when unknown.

    A size without a unit is written without one.
    """
    size = image.spacing.get(axis)
    if size is None or not 0 < size.value < math.inf or letter == "C":
        return 1.0, None
    if size.unit == NO_UNIT:
        return float(size.value), None
    unit = canonical_unit(size.unit)
    if unit is None or is_length(unit) != (letter in "ZYX"):
        return 1.0, None
    return float(size.value), _UNITS[unit]


def multiscales(image: Image, factors: Sequence[Mapping[str, int]], version: str) -> list[dict[str, Any]]:
    """The ``multiscales`` list of an image whose level k is coarser than level 0 by ``factors[k]`` per image axis.

    A coarse voxel covers several fine ones and sits at their centre, hence the translation of (f - 1) / 2 voxels.
    """
    letters = stored_letters(image.axes, image.name)
    axes = [image.axes[i] for i in stored_order(letters)]
    names = dict(zip(image.axes, letters, strict=True))
    entries, scales, starts = [], [], []
    for axis in axes:
        letter = names[axis]
        scale, unit = step_and_unit(image, axis, letter)
        entries.append({"name": letter.lower(), "type": _TYPES[letter]} | ({"unit": unit} if unit else {}))
        origin = image.origin.get(axis)
        step = image.spacing.get(axis)
        known = unit is not None and origin is not None and is_length(origin.unit) == (letter in "ZYX")
        bare = step is not None and origin is not None and step.unit == origin.unit == NO_UNIT
        starts.append(origin.to(image.spacing[axis].unit) if origin is not None and (known or bare) else 0.0)
        scales.append(scale)
    datasets = []
    for level, factor in enumerate(factors):
        scale_k = [s * factor.get(a, 1) for s, a in zip(scales, axes, strict=True)]
        start_k = [o + (factor.get(a, 1) - 1) / 2 * s for o, s, a in zip(starts, scales, axes, strict=True)]
        datasets.append({"path": str(level), "coordinateTransformations": [
            {"type": "scale", "scale": scale_k}, {"type": "translation", "translation": start_k}]})  # fmt: skip
    how = "nearest" if image.meaning == "labels" else "mean"
    entry: dict[str, Any] = {"name": image.name, "axes": entries, "datasets": datasets, "type": how}
    return [entry | ({"version": version} if version == "0.4" else {})]


def omero(
    names: Sequence[str], windows: Sequence[tuple[float, float, float, float]], kept: Any = None, dtype: str = ""
) -> dict[str, Any]:
    """Channel names, colours and display windows (lowest, highest, start, end) for viewers.

    kept : what `shown` found in the file that the image came from; its colours hold, and its windows where values are
        of the same ``dtype``.
    """
    before = {c["label"]: c for c in kept["channels"]} if is_shown(kept) else {}
    channels = []
    for i, (name, (low, high, start, end)) in enumerate(zip(names, windows, strict=True)):
        colour = "FFFFFF" if len(names) == 1 else _COLOURS[i % len(_COLOURS)]
        channel = {"label": name, "color": colour, "active": True,
                   "window": {"min": low, "max": high, "start": start, "end": end}}  # fmt: skip
        own = before.get(name, {})
        channels.append(channel | {k: v for k, v in own.items() if k != "window" or kept.get("dtype") == dtype})
    return {"channels": channels}


def shown(ome: Mapping[str, Any], dtype: str) -> dict[str, Any]:
    """How the channels of a foreign file are shown: ``channels`` with colour and window, as `omero` takes them.

    Empty where nothing is said, or labels do not tell the channels apart.
    """
    try:
        found = [dict(channel) for channel in ome["omero"]["channels"]]
        labels = [str(channel["label"]) for channel in found]
    except (KeyError, TypeError, ValueError):
        return {}
    channels = []
    for label, channel in zip(labels, found, strict=True):
        colour, active, window = (channel.get(word) for word in ("color", "active", "window"))
        own: dict[str, Any] = {"label": label}
        if isinstance(colour, str) and re.fullmatch("[0-9A-Fa-f]{6}", colour):
            own["color"] = colour
        if isinstance(active, bool):
            own["active"] = active
        if isinstance(window, Mapping) and all(_is_number(window.get(word)) for word in _WINDOW):
            own["window"] = {word: window[word] for word in _WINDOW}
        channels.append(own)
    known = any(len(own) > 1 for own in channels) and len(set(labels)) == len(labels)
    return {"channels": channels, "dtype": dtype} if known else {}


def is_shown(fields: Any) -> bool:
    """Whether ``fields`` are what `shown` returns."""
    channels = fields.get("channels") if isinstance(fields, Mapping) else None
    return isinstance(channels, list) and all(isinstance(c, Mapping) and "label" in c for c in channels)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def understand(name: object, scales: Any, ndim: int) -> dict[str, Any]:
    """What a foreign image group says: ``path`` of its finest array, ``letters`` of its axes in the array's order,
    ``spacing``, ``origin`` and ``notes``.

    Raises InputError when the JSON is not NGFF's.
    """
    try:
        entry = scales[0]
        data = entry["datasets"][0]
        letters = axis_letters(entry.get("axes"), ndim)
        units = [axis.get("unit") if isinstance(axis, Mapping) else None for axis in entry.get("axes") or [{}] * ndim]
        scale, start = _transform([*data.get("coordinateTransformations", ()),
                                   *entry.get("coordinateTransformations", ())], ndim)  # fmt: skip
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise InputError(name, f"its OME-Zarr metadata are damaged ({type(error).__name__}: {error})",
                         "Name the array itself: STORE.zarr:/0.") from error  # fmt: skip
    spacing, origin = {}, {}
    strange: dict[str, str] = {}
    for letter, unit, step, offset in zip(letters, units, scale, start, strict=True):
        known = canonical_unit(str(unit)) if unit else None
        fits = known is not None and is_length(known) == (letter in "ZYX")
        if letter not in "TZYXQ" or not 0 < step < math.inf:
            continue
        if unit and not fits:
            strange[letter] = f"{unit} along {letter}"
        spacing[letter] = Quantity(step, known if known is not None and fits else NO_UNIT)
        if offset and math.isfinite(offset):
            origin[letter] = Quantity(offset, spacing[letter].unit)
    bare = {a for a, q in spacing.items() if q.unit == NO_UNIT}
    if not says_something({a: spacing[a] for a in bare}):  # scales of 1 stand where nothing is known
        spacing = {a: q for a, q in spacing.items() if a not in bare}
        origin = {a: q for a, q in origin.items() if a not in bare}
    unknown = [text for a, text in strange.items() if a in spacing]
    notes = [f"the unit of its scale is unknown ({', '.join(unknown)})"] if unknown else []
    names = [str(axis.get("name", "") if isinstance(axis, Mapping) else axis) for axis in entry.get("axes") or []]
    notes += [f"the file calls axis Q '{name}'" for name, a in zip(names, letters, strict=False) if a == "Q"]
    return {"letters": letters, "spacing": spacing, "origin": origin, "notes": tuple(notes)}


def _transform(steps: Sequence[Mapping[str, Any]], ndim: int) -> tuple[list[float], list[float]]:
    """Join scales and translations, applied one after the other, into one of each."""
    scale, start = [1.0] * ndim, [0.0] * ndim
    for step in steps:
        if step.get("type") == "scale":
            by = [float(v) for v in step["scale"]]
            scale = [s * b for s, b in zip(scale, by, strict=True)]
            start = [o * b for o, b in zip(start, by, strict=True)]
        elif step.get("type") == "translation":
            start = [o + float(v) for o, v in zip(start, step["translation"], strict=True)]
    return scale, start


def axis_letters(axes: Any, ndim: int) -> str:
    """A letter for each axis in the array's order: by name, then by type, then a stack axis.

    Versions before 0.3 have no list of axes: they are always t, c, z, y, x. ValueError when Y or X is missing.
    """
    entries = list(axes) if axes else list(ORDER[-ndim:].lower())
    letters = []
    for entry in entries:
        name, kind = (entry.get("name", ""), entry.get("type")) if isinstance(entry, Mapping) else (entry, None)
        by_type = {"time": "T", "channel": "C"}.get(str(kind), "Q")
        letters.append(next(a for a in (letter_of(str(name)), by_type, "Q") if a in "TCZYXQ"))
    if len(letters) != ndim or len(set(letters)) != ndim or not {"Y", "X"} <= set(letters):
        raise ValueError(f"axes {entries} do not name the {ndim} dimensions")
    return "".join(letters)
