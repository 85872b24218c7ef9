"""Metadata around an HDF5 dataset: HyperSpy, EMD (Berkeley and Velox), ilastik, CREMI."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ruska.errors import InputError
from ruska.image import NO_UNIT, Quantity, canonical_unit, is_length
from ruska.io import metadata
from ruska.io.hdf5_links import extent, follow, links, sources
from ruska.io.hdf5_texts import longest_text
from ruska.io.kinds import check_image_units
from ruska.io.stated_sizes import axes_of, length_unit, letter_of, note_of, says_something, stated

AXISTAGS = "axistags"
"""The attribute of vigra and ilastik."""

_TYPE_FLAGS = {"C": 1, "T": 8}  # vigra's; 2 is space
_AXIS_GROUP = re.compile(r"(?:_?axis-|dim)(\d{1,9})")
_VELOX_KEPT = ("Instrument", "Acquisition", "Optics", "Stage", "Scan")
_MOST_DIMENSIONS = 32  # of HDF5
_LONGEST_JSON = 1 << 24
_LONGEST_ATTRIBUTE = 1 << 20
_UNDEFINED = ("", "<undefined>", "t.undefined", "undefined", "none")


@dataclass
class Facts:
    """The metadata found around a dataset.

    size : of the image, if the dataset is padded. unsigned : values are unsigned but stored as the signed type.
    """

    axes: str | None = None
    spacing: dict[str, Quantity] = field(default_factory=dict)
    origin: dict[str, Quantity] = field(default_factory=dict)
    order: tuple[int, ...] | None = None
    header: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    size: tuple[int, ...] | None = None
    unsigned: bool = False


def facts_about(path: Path, dataset: Any) -> Facts:
    """Collect them; InputError when the dataset is not an image (a spectrum, a diffraction pattern)."""
    return _velox(path, dataset) if is_velox(dataset) else _axis_groups(path, dataset) or _attributes(dataset)


def _text(value: Any) -> str:
    """An attribute as text, whatever string type it was stored with."""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _size(scale: Any, unit: Any) -> Quantity | None:
    """A positive size, or None: uncalibrated axes are saved as 1 without a unit."""
    word = _text(unit).strip()
    known = canonical_unit(word)
    value = abs(_number(scale))
    if known is None and (word.lower() in _UNDEFINED) and value != 1.0:
        known = NO_UNIT
    return Quantity(value, known) if known is not None and 0 < value < math.inf else None


def attribute(item: Any, name: str, default: Any = None) -> Any:
    """The attribute ``name`` of a group or dataset, unless it is absent, damaged, or longer than any word or list.

    A damaged one may claim terabytes, which the library would try to read.
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
        if size is None or (size.unit != NO_UNIT and is_length(size.unit) != (letter in "ZYX")):
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
    """ilastik's ``axistags``, HDF5's own labels of dimensions, ``element_size_um`` and whatever else `stated` knows.

    ``header["hdf5"]`` keeps labels that are words, and the attribute of a size without a unit, to be written back.
    """
    facts = Facts()
    kept: dict[str, Any] = {}
    tags = _axistags(dataset)
    for labels in ([tag[0] for tag in tags], _dimension_labels(dataset)):
        letters = axes_of(labels) if len(labels) == dataset.ndim else None
        if facts.axes is None and any(labels):
            facts.notes = list(note_of(labels, letters))
        if facts.axes is None and letters is not None:
            facts.axes = "".join(a for a in letters if a not in "YX") + "YX"
            facts.order = tuple(letters.index(a) for a in facts.axes)
            words = {a: label for a, label in zip(letters, labels, strict=True) if len(label) > 1}
            kept |= {"labels": words} if words else {}
    in_order = None if facts.axes is None or facts.order is None else _undone(facts.axes, facts.order)
    cremi = "nm" if dataset.name.startswith("/volumes/") else NO_UNIT  # CREMI's files say it in their description
    size = stated(lambda name: attribute(dataset, name), in_order, bare=cremi)
    sizes = dict(size.sizes) if size is not None else _tagged_sizes(tags)
    facts.spacing = {a: q for a, q in sizes.items() if facts.axes is None or a in facts.axes}
    if facts.axes is None and "Z" in sizes:
        facts.header["depth"] = sizes["Z"]
    if size is not None and size.name != "element_size_um" and NO_UNIT in {q.unit for q in sizes.values()}:
        kept["size_attribute"] = size.name
    if size is None and sizes and NO_UNIT in {q.unit for q in sizes.values()}:
        kept["size_attribute"] = AXISTAGS
    if cremi == "nm" and size is not None and size.name == "resolution" and attribute(dataset, "unit") is None:
        facts.notes.append("attribute 'resolution' taken as nanometres, as in CREMI's files")
    if kept:
        facts.header["hdf5"] = kept
    return facts


def _undone(axes: str, order: tuple[int, ...]) -> str:
    """The axes as they are in the file."""
    return "".join(axes[order.index(i)] for i in range(len(order)))


def _axistags(dataset: Any) -> list[tuple[str, Any, str]]:
    """Key, resolution and unit of each dimension, as vigra and ilastik write them; empty where there are none."""
    try:
        tags = json.loads(_text(attribute(dataset, AXISTAGS, "")))["axes"]
        return [(str(tag["key"]), tag.get("resolution"), str(tag.get("unit") or "")) for tag in tags]
    except (KeyError, ValueError, TypeError, AttributeError):
        return []


def axistags(axes: str, spacing: Mapping[str, Quantity]) -> str:
    """What `_axistags` reads, for ``axes``; a size that is not known is 0. Source: vigra, ``AxisTags.toJSON``."""
    return json.dumps({"axes": [
        {"key": axis.lower(), "typeFlags": _TYPE_FLAGS.get(axis, 2), "description": "",
         "resolution": spacing[axis].value if axis in spacing else 0}
        for axis in axes
    ]})  # fmt: skip


def _tagged_sizes(tags: list[tuple[str, Any, str]]) -> dict[str, Quantity]:
    """Voxel size in axistags, whose resolutions are 0 where nothing is known, and have no unit in older files."""
    found = {letter_of(key): Quantity(_number(size), length_unit(unit)) for key, size, unit in tags}
    known = {a: q for a, q in found.items() if a in "ZYX" and 0 < q.value < math.inf}
    return known if says_something(known) else {}


def _dimension_labels(dataset: Any) -> list[str]:
    """HDF5's own names of dimensions. Source: HDF5 Dimension Scale Specification, ``DIMENSION_LABELS``."""
    labels = np.asarray(attribute(dataset, "DIMENSION_LABELS", ())).ravel()[:_MOST_DIMENSIONS]
    return [_text(label).strip() for label in labels]
