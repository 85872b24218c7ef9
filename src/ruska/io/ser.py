"""FEI / Thermo Fisher TIA series (.ser): images and stacks of frames, read lazily. Spectra are refused.

The description (.emi) beside the file, where it is there, is kept in ``header["emi"]``. TIA counts rows from the
bottom up; they are turned, as TIA, rosettasciio and ncempy show them.
Source: C. Boothroyd's notes on the format.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ruska.errors import InputError
from ruska.image import Image, Quantity, canonical_unit, is_length
from ruska.io.binary import COPY_AGAIN, Cursor, First, Flipped, FramePixels, check_shape, only_image
from ruska.io.emi import description_of
from ruska.io.kinds import diffraction, spectrum

_TYPES = {1: "u1", 2: "u2", 3: "u4", 4: "i1", 5: "i2", 6: "i4", 7: "f4", 8: "f8"}
_COMPLEX = (9, 10)
_SPECTRA, _IMAGES = 0x4120, 0x4122
_LONG_OFFSETS = 0x220  # versions from here on have 64-bit offsets
_MOST_DIMENSIONS, _LONGEST_TEXT, _MOST_FRAMES = 8, 1 << 12, 1 << 22
_LARGEST_PIXEL_M = 1e-3  # no image has larger pixels; patterns have 10⁶ to 10¹⁰, in 1/m
_FRAME_HEAD = "<ddiddihii"
_FRAME_HEAD_BYTES = 50


def read(path: Path, inner: str | None) -> Image:
    """Open a series lazily. Raises InputError for spectra, diffraction patterns, complex numbers, truncated files."""
    only_image(path, inner)
    with path.open("rb") as file:
        cursor = Cursor(path, file)
        head = _head(cursor)
        frames = [_frame(cursor, offset) for offset in head.offsets]
    first = frames[0]
    if any((f.shape, f.kind) != (first.shape, first.kind) for f in frames):
        raise InputError(path, "holds frames of different sizes", "Export the frames one by one in TIA.")
    stored = np.dtype("<" + _TYPES[first.kind])
    pixels: Any = Flipped(FramePixels(path, tuple(f.offset for f in frames), first.shape, stored))
    axes, spacing, notes = _axes(head, len(frames))
    if axes == "YX":
        pixels = First(pixels)
    spacing |= _pixel_size(path, first)
    origin = {a: _nm(s) for a, s in zip("XY", first.starts, strict=True) if a in spacing and math.isfinite(s) and s}
    fields = description_of(path)
    return Image(pixels, axes, spacing, origin, header={"emi": fields} if fields else {}, name=path.name, notes=notes)


@dataclass(frozen=True)
class _Dimension:
    size: int
    step: float
    name: str
    unit: str


@dataclass(frozen=True)
class _Head:
    dimensions: tuple[_Dimension, ...]
    total: int
    offsets: tuple[int, ...]


@dataclass(frozen=True)
class _Frame:
    """Where the values of a frame are, and its calibration: metres a pixel, position of the first one (top left,
    Y downwards); X and Y."""

    offset: int
    shape: tuple[int, int]
    kind: int
    steps: tuple[float, float]
    starts: tuple[float, float]


def _head(cursor: Cursor) -> _Head:
    order, _, version = cursor.unpack("<2sHH")
    if order != b"II":
        raise InputError(cursor.path, "is not a TIA series", "Was the file copied whole?")
    number = "q" if version >= _LONG_OFFSETS else "i"
    kind, _, total, valid, table, count = cursor.unpack(f"<iiii{number}i")
    if kind == _SPECTRA:
        raise spectrum(cursor.path, f"a TIA series of {valid}")
    if kind != _IMAGES:
        raise InputError(cursor.path, f"holds TIA data of the unknown kind {kind:#x}", "Export it as TIFF in TIA.")
    if not 0 < valid <= min(total, _MOST_FRAMES) or not 0 <= count <= _MOST_DIMENSIONS:
        raise InputError(cursor.path, f"holds {valid} of {total} frames in {count} dimensions: none was recorded, or "
                         "the file is damaged", COPY_AGAIN)  # fmt: skip
    dimensions = tuple(_dimension(cursor) for _ in range(count))
    cursor.go(table)
    return _Head(dimensions, total, cursor.unpack(f"<{valid}{number}"))


def _dimension(cursor: Cursor) -> _Dimension:
    size, _, step, _ = cursor.unpack("<iddi")
    return _Dimension(size, step, _text(cursor), _text(cursor))


def _text(cursor: Cursor) -> str:
    length = cursor.unpack("<i")[0]
    if not 0 <= length <= _LONGEST_TEXT:
        raise InputError(cursor.path, f"is damaged: it claims a text of {length} letters", COPY_AGAIN)
    return cursor.take(length).decode("latin-1")


def _frame(cursor: Cursor, offset: int) -> _Frame:
    cursor.go(offset)
    start_x, step_x, at_x, start_y, step_y, at_y, kind, width, height = cursor.unpack(_FRAME_HEAD)
    if kind not in _TYPES:
        what = "complex numbers" if kind in _COMPLEX else f"values of the unknown type {kind}"
        raise InputError(cursor.path, f"holds {what}, which are not grey levels", "Export it as TIFF in TIA.")
    check_shape(cursor.path, (height, width), np.dtype(_TYPES[kind]), offset + _FRAME_HEAD_BYTES, cursor.size)
    return _Frame(offset + _FRAME_HEAD_BYTES, (height, width), kind, (step_x, step_y),
                  (start_x - at_x * step_x, -(start_y + (height - 1 - at_y) * step_y)))  # fmt: skip


def _pixel_size(path: Path, frame: _Frame) -> dict[str, Quantity]:
    """Metres as nanometres. A step impossible for an image is that of a diffraction pattern, in 1/m."""
    steps = dict(zip("XY", frame.steps, strict=True))
    if all(math.isfinite(s) and s > _LARGEST_PIXEL_M for s in steps.values()):
        raise diffraction(path, f"a pixel is {frame.steps[0] * 1e-9:.4g} 1/nm")
    known = {a: s for a, s in steps.items() if 0 < s <= _LARGEST_PIXEL_M}
    return {a: _nm(s) for a, s in known.items()}


def _nm(metres: float) -> Quantity:
    return Quantity(float(f"{metres * 1e9:.12g}"), "nm")


def _axes(head: _Head, frames: int) -> tuple[str, dict[str, Quantity], tuple[str, ...]]:
    """Axes of the stack by its dimension's unit, and notes about it."""
    notes = [f"{frames} of {head.total} frames were recorded"] if frames < head.total else []
    if frames == 1 and head.total == 1:
        return "YX", {}, ()
    if frames == 1:
        return "YX", {}, tuple(notes)
    unit = canonical_unit(head.dimensions[0].unit.rstrip("s")) if len(head.dimensions) == 1 else None
    step = head.dimensions[0].step if head.dimensions else 0.0
    if unit is not None and 0 < step < math.inf and not is_length(unit):
        return "TYX", {"T": Quantity(step, unit)}, tuple(notes)
    what = "positions of a scan" if len(head.dimensions) > 1 or unit is not None else "frames"
    return "QYX", {}, (*notes, f"a series of {what}: stack axis taken as Q (set it with --axes)")
