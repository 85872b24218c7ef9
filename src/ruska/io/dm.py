"""DigitalMicrograph (Gatan) DM3 and DM4: images, stacks and their calibration. Pixels stay in the file.

Own parsing instead of ncempy, which allocates and reads by the numbers in the file without checking them, and would
bring GPL parts, matplotlib and hdf5plugin with it. Tests compare with it and with rosettasciio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from ruska.errors import InputError
from ruska.image import Image, Quantity, canonical_unit, is_length
from ruska.io.binary import COPY_AGAIN, Cursor, First, RawPixels, check_shape
from ruska.io.dm_tags import Block, Text, Values, read_tags
from ruska.io.kinds import check_image_units, spectrum

_TYPES = {1: "i2", 2: "f4", 6: "u1", 7: "i4", 9: "i1", 10: "u2", 11: "u4", 12: "f8", 14: "u1", 39: "i8", 40: "u8"}
_NO_GREY = {3: "complex numbers", 5: "a packed Fourier transform", 13: "complex numbers", 8: "RGB colours",
            23: "RGB colours", 27: "packed complex numbers", 28: "packed complex numbers"}  # fmt: skip
_RGB = 23
_KEPT_TEXT = 20_000


def read(path: Path, inner: str | None) -> Image:
    """Open the image of a file lazily: the one that ``inner`` names (by number from 0, or name), else the only one.

    Previews are left out. Raises InputError for spectra, diffraction patterns, complex numbers, colours, and when
    the file is truncated.
    """
    with path.open("rb") as file:
        tags, order = read_tags(Cursor(path, file))
    return _image(path, _choose(path, _images(path, tags), inner), order)


@dataclass(frozen=True)
class _Entry:
    """One entry of the file's list of images. ``shape`` slowest axis first, as are ``steps`` (calibration)."""

    name: str
    shape: tuple[int, ...]
    kind: int
    block: Block
    steps: tuple[dict[str, Any], ...]
    tags: dict[str, Any]
    brightness: dict[str, Any]


def _images(path: Path, tags: dict[str, Any]) -> list[_Entry]:
    """All images but the previews."""
    previews = {_dict(t).get("ImageIndex") for t in _dict(tags.get("Thumbnails")).values()}
    found = []
    listed = list(_dict(tags.get("ImageList")).values())
    for number, one in enumerate(listed):
        entry = _entry(_dict(one))
        preview = number in previews or (entry is not None and entry.kind == _RGB and number == 0)
        if entry is not None and not (preview and len(listed) > 1):
            found.append(entry)
    if not found:
        raise InputError(path, "holds no image", "Open it in DigitalMicrograph: it may hold only tags or drawings.")
    return found


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _entry(one: dict[str, Any]) -> _Entry | None:
    data = _dict(one.get("ImageData"))
    sizes = [n for n in _dict(data.get("Dimensions")).values() if isinstance(n, int)]
    pixels, kind = data.get("Data"), data.get("DataType")
    block = pixels.block if isinstance(pixels, Values | Text) else pixels
    if not sizes or not isinstance(block, Block) or not isinstance(kind, int):
        return None
    calibrations = _dict(data.get("Calibrations"))
    steps = [_dict(s) for s in _dict(calibrations.get("Dimension")).values()]
    steps += [{}] * (len(sizes) - len(steps))
    return _Entry(str(one.get("Name", "")), tuple(reversed(sizes)), kind, block, tuple(reversed(steps[: len(sizes)])),
                  _dict(one.get("ImageTags")), _dict(calibrations.get("Brightness")))  # fmt: skip


def _choose(path: Path, found: list[_Entry], inner: str | None) -> _Entry:
    listing = "; ".join(f"{i} ({e.name}, {' x '.join(map(str, e.shape))})" for i, e in enumerate(found[:20]))
    if inner is None:
        if len(found) > 1:
            raise InputError(path, f"holds {len(found)} images: {listing}", f"Name one: {path.name}:0.")
        return found[0]
    wanted = inner.strip("/")
    for number, entry in enumerate(found):
        if wanted in (str(number), entry.name):
            return entry
    raise InputError(path, f"has no image '{wanted}'", f"It holds: {listing}.")


def _image(path: Path, entry: _Entry, order: str) -> Image:
    if entry.kind not in _TYPES:
        what = _NO_GREY.get(entry.kind, f"values of the unknown type {entry.kind}")
        raise InputError(path, f"holds {what}, which are not grey levels", "Save it as a real image or as TIFF.")
    stored = np.dtype(order + _TYPES[entry.kind])
    shape = _without_lone(entry)
    units = [str(step.get("Units", "")) for step in entry.steps]
    _refuse(path, entry, units)
    if entry.block.count * entry.block.item_bytes < math.prod(entry.shape) * stored.itemsize:
        raise InputError(path, f"is damaged: {' x '.join(map(str, entry.shape))} pixels of {stored.itemsize} bytes in "
                         f"{entry.block.count * entry.block.item_bytes} bytes", COPY_AGAIN)  # fmt: skip
    check_shape(path, entry.shape, stored, entry.block.offset, path.stat().st_size)
    pixels: Any = RawPixels(path, entry.shape, stored, entry.block.offset)
    for _ in range(len(entry.shape) - len(shape)):
        pixels = First(pixels)
    steps = entry.steps[len(entry.shape) - len(shape) :]
    axes, notes = _axes(path, steps)
    spacing, origin = _sizes(axes, steps)
    return Image(pixels, axes, spacing, origin, header={"dm": _header(entry)}, name=path.name, notes=notes)


def _without_lone(entry: _Entry) -> tuple[int, ...]:
    """The shape without leading axes of length 1."""
    shape = entry.shape
    while len(shape) > 2 and shape[0] == 1:
        shape = shape[1:]
    return shape


def _refuse(path: Path, entry: _Entry, units: list[str]) -> None:
    """InputError when the entry is no stack of images."""
    said = str(_dict(entry.tags.get("Meta Data")).get("Format", ""))
    if "spectrum" in said.lower():
        raise spectrum(path, f"DigitalMicrograph calls it '{said.strip()}'")
    check_image_units(path, units)
    if len(entry.shape) < 2 or min(entry.shape[-2:]) == 1:
        raise spectrum(path, f"it has {' x '.join(map(str, entry.shape))} values")
    if len(entry.shape) > 4:
        raise InputError(path, f"holds an array of {len(entry.shape)} dimensions", "Cut it in DigitalMicrograph first.")


def _axes(path: Path, steps: tuple[dict[str, Any], ...]) -> tuple[str, tuple[str, ...]]:
    """Letters by the units of the stack axes: a length is Z, a time T, all else Q."""
    letters: list[str] = []
    notes: list[str] = []
    for step in steps[:-2]:
        unit = str(step.get("Units", ""))
        known = canonical_unit(unit)
        letter = "Q" if known is None else "Z" if is_length(known) else "T"
        letter = next(a for a in (letter, "Q", "T", "C") if a not in letters)
        letters.append(letter)
        if letter == "Q" and unit.strip():
            scale, start = step.get("Scale"), step.get("Origin")
            first = f", from {-start * scale:g}" if _finite(scale) and _finite(start) else ""
            notes.append(f"the stack axis is in {unit.strip()} (steps of {scale}{first}): taken as Q")
        elif known is None:
            notes.append(f"the file does not say what the stack axis is: taken as {letter} (set it with --axes)")
    return "".join(letters) + "YX", tuple(notes)


def _finite(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and math.isfinite(value)


def _sizes(axes: str, steps: tuple[dict[str, Any], ...]) -> tuple[dict[str, Quantity], dict[str, Quantity]]:
    """Spacing, and origin (DigitalMicrograph's is in pixels, of the other sign)."""
    spacing, origin = {}, {}
    for axis, step in zip(axes, steps, strict=True):
        unit, scale, start = canonical_unit(str(step.get("Units", ""))), step.get("Scale"), step.get("Origin")
        if unit is None or is_length(unit) != (axis in "ZYX") or axis == "Q":
            continue
        if not isinstance(scale, int | float) or not 0 < scale < math.inf:
            continue
        spacing[axis] = Quantity(_short(scale), unit)
        if isinstance(start, int | float) and math.isfinite(start) and start:
            origin[axis] = Quantity(-start * scale, unit)
    return spacing, origin


def _short(value: float) -> float:
    """A 32-bit number as people write it: 0.2 instead of 0.20000000298."""
    return float(str(np.float32(value))) if abs(value) < float(np.finfo(np.float32).max) else value


def _header(entry: _Entry) -> dict[str, Any]:
    """Name, intensity calibration and the microscope's tags, as JSON values; long texts and arrays are left out."""
    kept = {"name": entry.name, "intensity": _small(entry.brightness), "tags": _small(entry.tags)}
    return {key: value for key, value in kept.items() if value}


def _small(value: Any, depth: int = 0) -> Any:
    if isinstance(value, dict):
        return {k: _small(v, depth + 1) for k, v in value.items() if not isinstance(v, Block)} if depth < 12 else {}
    if isinstance(value, list):
        return list(value[:64])
    return str(value[:_KEPT_TEXT]) if isinstance(value, str) else value
