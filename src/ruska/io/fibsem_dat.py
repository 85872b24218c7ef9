"""Janelia FIB-SEM frames (.dat): raw detector values of one or more channels, read lazily.

Values are kept as the file has them; the factors that turn them into volts are in ``header["fibsem"]``.
Source: the layout as janelia-cellmap's fibsem-tools documents it (offsets in bytes, big-endian).
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from ruska.errors import InputError
from ruska.image import Image, Quantity
from ruska.io.binary import COPY_AGAIN, Cursor, First, RawPixels, check_shape, only_image
from ruska.io.lazy import transposed

HEADER_BYTES = 1024
_MAGIC = 0xD3EDF5F2
_MOST_CHANNELS, _LAST_VERSION = 4, 99
_OLD = {"magnification": (408, "d"), "pixel_size_nm": (416, "d"), "working_distance_mm": (424, "d"),
        "voltage_kv": (432, "d")}  # fmt: skip
_NEW = {"magnification": (460, "f"), "pixel_size_nm": (464, "f"), "working_distance_mm": (468, "f"),
        "voltage_kv": (472, "f")}  # fmt: skip
_DETECTORS_OLD = ((380, 10), (390, 18), (700, 20), (720, 20))
_DETECTORS_NEW = ((380, 10), (390, 20), (410, 20), (430, 20))


def read(path: Path, inner: str | None) -> Image:
    """Open a frame lazily: YX, or CYX with the detectors' names. InputError when it is truncated or damaged."""
    only_image(path, inner)
    with path.open("rb") as file:
        header = Cursor(path, file).take(HEADER_BYTES)
    magic, version = struct.unpack_from(">IH", header)
    channels, eight_bit = header[32], header[33]
    width, height = struct.unpack_from(">II", header, 100)
    if magic != _MAGIC or not 0 < version <= _LAST_VERSION or not 0 < channels <= _MOST_CHANNELS:
        raise InputError(path, f"is damaged: version {version} with {channels} channels", COPY_AGAIN)
    stored = np.dtype("u1" if eight_bit == 1 else ">i2")
    check_shape(path, (height, width, channels), stored, HEADER_BYTES, path.stat().st_size)
    pixels: Any = transposed(RawPixels(path, (height, width, channels), stored, HEADER_BYTES), (2, 0, 1))
    fields = _fields(header, version, channels)
    size = fields["pixel_size_nm"]
    known = isinstance(size, float) and 0 < size < math.inf
    return Image(
        First(pixels) if channels == 1 else pixels, "YX" if channels == 1 else "CYX",
        {a: Quantity(float(f"{size:.7g}"), "nm") for a in "YX"} if known else {},
        channel_names=tuple(fields["detectors"]) if channels > 1 else (),
        header={"fibsem": fields}, name=path.name,
    )  # fmt: skip


def _fields(header: bytes, version: int, channels: int) -> dict[str, Any]:
    """What the header says, as JSON values."""
    numbers = _OLD if version <= 2 else _NEW
    fields: dict[str, Any] = {"version": version, "date": _text(header, 8, 10), "notes": _text(header, 180, 200)}
    fields |= {name: struct.unpack_from(">" + kind, header, at)[0] for name, (at, kind) in numbers.items()}
    fields["sample"] = _text(header, 155, 25) if version >= 9 else ""
    recorded = [i for i in range(4) if header[151 + i]]
    names = [_text(header, at, length) for at, length in (_DETECTORS_OLD if version <= 2 else _DETECTORS_NEW)]
    chosen = recorded if len(recorded) == channels else list(range(channels))
    fields["detectors"] = [names[i] or f"detector {'ABCD'[i]}" for i in chosen]
    rows = channels if version <= 6 else 2
    kind = "d" if version == 1 else "f"
    scaling = struct.unpack_from(f">{min(rows, 2) * 4}{kind}", header, 36)
    fields["scaling"] = [list(map(_finite, scaling[i : i + 4])) for i in range(0, len(scaling), 4)]
    return {name: _finite(value) for name, value in fields.items()}


def _text(header: bytes, at: int, length: int) -> str:
    return header[at : at + length].split(b"\0", 1)[0].decode("latin-1").strip()


def _finite(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
