"""What the surroundings of an HDF5 dataset say about it: HyperSpy, EMD (Berkeley and Velox), ilastik, CREMI."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ruska.errors import InputError
from ruska.image import Quantity, canonical_unit, is_length
from ruska.io import metadata
from ruska.io.hdf5_links import extent, follow, links, sources
from ruska.io.hdf5_texts import longest_text
from ruska.io.kinds import check_image_units

_AXIS_GROUP = re.compile(r"(?:_?axis-|dim)(\d{1,9})")
_VELOX_KEPT = ("Instrument", "Acquisition", "Optics", "Stage", "Scan")
_LABELS = {"TIME": "T", "CHANNEL": "C"}
_MOST_DIMENSIONS = 32  # of HDF5
_LONGEST_JSON = 1 << 24
_LONGEST_ATTRIBUTE = 1 << 20


@dataclass
class Facts:
    """What the surroundings of a dataset say about it."""

    axes: str | None = None
    spacing: dict[str, Quantity] = field(default_factory=dict)
    origin: dict[str, Quantity] = field(default_factory=dict)
    order: tuple[int, ...] | None = None
    header: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def facts_about(path: Path, dataset: Any) -> Facts:
    """Collect them; InputError when the dataset is no image (a spectrum, a diffraction pattern)."""
    return _velox(path, dataset) if is_velox(dataset) else _axis_groups(path, dataset) or _attributes(dataset)


def _text(value: Any) -> str:
    """An attribute as text, whatever string type it was stored with."""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _size(scale: Any, unit: Any) -> Quantity | None:
    """A positive size in a known unit, or None: uncalibrated axes are saved as 1, or without a unit."""
    known = canonical_unit(_text(unit))
    value = abs(_number(scale))
    return Quantity(value, known) if known is not None and 0 < value < math.inf else None


def attribute(item: Any, name: str, default: Any = None) -> Any:
    """The attribute ``name`` of a group or dataset, unless it is absent, damaged, or longer than any word or list.

    A damaged one may claim terabytes, which the library would set about to read.
    """
    try:
        found = item.attrs.get_id(name)
        if found.get_storage_size() > _LONGEST_ATTRIBUTE or math.prod(found.shape) > _LONGEST_ATTRIBUTE:
            return default
        if found.dtype.kind == "O" and (longest_text(item, name) or 0) > _LONGEST_ATTRIBUTE:
            return default
        return item.attrs[name]
    except (
        KeyError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
        InputError,
    ):  # the pixels are worth having without it
        return default


def _number(value: Any) -> float:
    try:
        return float(np.asarray(value).ravel()[0])
    except (ValueError, TypeError, IndexError):
        return math.nan


# HyperSpy and NCEM EMD describe the axes beside the dataset


def _axis_groups(path: Path, dataset: Any) -> Facts | None:
    """HyperSpy's ``axis-N`` groups, or EMD's ``dimN`` vectors; None when there are none."""
    described = list(_described_axes(path, dataset))
    if len(described) != dataset.ndim or dataset.ndim < 2:
        return None
    check_image_units(path, [_text(axis.get("units", "")).strip("[]").replace("_", "") for axis in described])
    navigates = [bool(axis.get("navigate", False)) for axis in described]
    if any(navigates) and navigates[-2:] != [False, False]:
        raise InputError(path, f"{dataset.name} is a spectrum image or diffraction set ({dataset.ndim} axes)",
                         "Integrate it to an image first, e.g. signal.T.sum() in HyperSpy.")  # fmt: skip
    facts = Facts(axes=_letters(described))
    assert facts.axes is not None
    for letter, axis in zip(facts.axes, described, strict=True):
        size = _size(axis.get("scale"), axis.get("units", ""))
        if size is None or is_length(size.unit) != (letter in "ZYX"):
            continue
        facts.spacing[letter] = size
        start = _number(axis.get("offset", 0.0))
        if start and math.isfinite(start):
            facts.origin[letter] = Quantity(start, size.unit)
    return facts


def _described_axes(path: Path, dataset: Any) -> Iterator[dict[str, Any]]:
    """Name, scale, offset, units and navigate of each axis, in the order of the data."""
    import h5py

    parent = dataset.parent
    found: dict[int, Any] = {}
    for name, kind, _ in links(path, parent):
        match = _AXIS_GROUP.fullmatch(name.decode("utf-8", "replace"))
        if match and kind == h5py.h5l.TYPE_HARD:
            found[int(match[1])] = parent[name]
    for number in sorted(found):
        item = found[number]
        said = {word: attribute(item, word) for word in ("name", "scale", "offset", "units", "navigate")}
        axis = {word: value for word, value in said.items() if value is not None}
        if isinstance(item, h5py.Dataset):
            sources(path, item)
            steps: Any = item[:2] if item.ndim == 1 and item.dtype.kind in "uif" else ()
            axis.pop("navigate", None)
            if len(steps) == 2:
                axis.update(scale=float(steps[1]) - float(steps[0]), offset=float(steps[0]))
        yield axis


def _letters(described: list[dict[str, Any]]) -> str:
    """Axis letters: the last two are YX; others by their name or unit, else a stack axis, then T, C."""
    letters: list[str] = []
    spare = list("QTCZ")
    for axis in described[:-2]:
        name, unit = _text(axis.get("name", "")).strip().upper(), canonical_unit(_text(axis.get("units", "")))
        wanted = name if name in ("T", "C", "Z") else ""
        if unit is not None:
            wanted = wanted if is_length(unit) else "T"
        elif wanted == "Z":
            wanted = "Q"  # HyperSpy's demos call the frame number z; without a length it is no depth
        letter = wanted if wanted in spare else next(a for a in (*spare, "?"))
        spare = [a for a in spare if a != letter]
        letters.append(letter)
    return "".join(letters) + "YX"


# Velox (Thermo Fisher) EMD


def is_velox(dataset: Any) -> bool:
    return bool(re.fullmatch(r"/Data/Image/[^/]+/Data", dataset.name)) and len(extent(dataset)) == 3


def _velox_record(path: Path, dataset: Any) -> dict[str, Any]:
    """The JSON beside an image, written as the bytes of its columns (one for each frame)."""
    columns = follow(path, dataset.file, dataset.name.rpartition("/")[0] + "/Metadata")
    if columns is None:
        raise KeyError("Metadata")
    sources(path, columns)
    if columns.ndim not in (1, 2) or columns.shape[0] > _LONGEST_JSON:
        raise ValueError("no text")
    record = json.loads(bytes(columns[:, 0] if columns.ndim == 2 else columns[:]).split(b"\0", 1)[0])
    return dict(record)


def title_of(dataset: Any) -> str:
    """Name of the detector that made a Velox image; empty where there is none."""
    if not is_velox(dataset):
        return ""
    try:
        return str(_velox_record(Path(dataset.file.filename), dataset)["BinaryResult"]["Detector"])
    except (InputError, KeyError, ValueError, TypeError, AttributeError, OSError, RecursionError):
        return ""


def _velox(path: Path, dataset: Any) -> Facts:
    """Frames are the last axis in the file; pixel size and stage offset are in a JSON text, in metres."""
    facts = Facts(axes="QYX", order=(2, 0, 1))
    try:
        record = _velox_record(path, dataset)
        result = record["BinaryResult"]
        units = {"X": str(result.get("PixelUnitX", "m")), "Y": str(result.get("PixelUnitY", "m"))}
        check_image_units(path, [units["Y"], units["X"]])
        for axis, name in (("X", "width"), ("Y", "height")):
            size = _size(float(result["PixelSize"][name]), units[axis])
            if size is None:
                continue
            facts.spacing[axis] = Quantity(size.to("nm"), "nm")
            start = _number(result.get("Offset", {}).get(axis.lower(), 0))
            if start and math.isfinite(start):
                facts.origin[axis] = Quantity(Quantity(start, size.unit).to("nm"), "nm")
        kept = {"detector": result.get("Detector"), **{k: record.get(k) for k in _VELOX_KEPT}}
        facts.header["velox"] = metadata.plain({k: v for k, v in kept.items() if v})
    except (KeyError, ValueError, TypeError, AttributeError, OSError, RecursionError) as error:
        facts.notes.append(f"the Velox metadata could not be read ({type(error).__name__}), so no pixel size")
    facts.header = {name: fields for name, fields in facts.header.items() if fields}
    return facts


# Attributes of the dataset itself


def _attributes(dataset: Any) -> Facts:
    """ilastik's ``axistags``, HDF5's own labels of dimensions, the ``element_size_um`` of many volumes, the
    ``resolution`` (nm) of CREMI's."""
    facts = Facts()
    for letters in (_axistags(dataset), _dimension_labels(dataset)):
        if facts.axes is None and _are_axes(letters, dataset.ndim):
            facts.axes = "".join(a for a in letters if a not in "YX") + "YX"
            facts.order = tuple(letters.index(a) for a in facts.axes)
    for name, unit in (("element_size_um", "um"), ("resolution", "nm")):
        values = np.asarray(attribute(dataset, name, ())).ravel()
        if values.dtype.kind not in "uif" or len(values) not in (2, 3):
            continue
        sizes = dict(zip("ZYX"[-len(values) :], (Quantity(float(v), unit) for v in values), strict=True))
        known = {a: q for a, q in sizes.items() if 0 < q.value < math.inf}
        facts.spacing = {a: q for a, q in known.items() if facts.axes is None or a in facts.axes}
        if facts.axes is None and "Z" in known:
            facts.header["depth"] = known["Z"]
        if name == "resolution":
            facts.notes.append("attribute 'resolution' taken as nanometres")
        break
    return facts


def _are_axes(letters: str, dimensions: int) -> bool:
    return len(letters) == dimensions == len(set(letters)) and set("YX") <= set(letters) <= set("TCZYX")


def _axistags(dataset: Any) -> str:
    """A letter for each dimension, as vigra and ilastik write them; empty where there are none."""
    try:
        tags = json.loads(_text(attribute(dataset, "axistags", "")))["axes"]
        return "".join(str(tag["key"]).upper() for tag in tags)
    except (KeyError, ValueError, TypeError):
        return ""


def _dimension_labels(dataset: Any) -> str:
    """Likewise by HDF5's dimension scales, which name them x, y, z, c, t, or in words; ``?`` for others.

    Source: HDF5 Dimension Scale Specification, ``DIMENSION_LABELS``.
    """
    labels = np.asarray(attribute(dataset, "DIMENSION_LABELS", ())).ravel()[:_MOST_DIMENSIONS]
    words = (_text(label).strip().upper() for label in labels)
    return "".join(_LABELS.get(word, word if len(word) == 1 else "?") for word in words)
