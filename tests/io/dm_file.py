"""Small DigitalMicrograph files: images as the tag tree that DM3 and DM4 keep them in."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np


def dm_file(images: list[dict[str, Any]], version: int = 3, previews: tuple[int, ...] = ()) -> bytes:
    """``images``: array ``data`` (or ``kind``, ``sizes`` and ``raw``), ``units``, ``scale``, ``origin``, ``tags``."""
    number = ">I" if version == 3 else ">Q"

    def group(entries: list[tuple[str, Any]]) -> bytes:
        out = struct.pack(">BB", 1, 0) + struct.pack(number, len(entries))
        return out + b"".join(tag(name, value) for name, value in entries)

    def tag(name: str, value: Any) -> bytes:
        is_group = isinstance(value, list)
        head = struct.pack(">BH", 20 if is_group else 21, len(name)) + name.encode("latin-1")
        body = group(value) if is_group else b"%%%%" + plain(value)
        return head + (struct.pack(">Q", len(body)) if version == 4 else b"") + body

    def plain(value: Any) -> bytes:
        if isinstance(value, str):
            return described(20, 4, len(value)) + value.encode("utf-16-le")
        if isinstance(value, bytes):
            return described(20, 10, len(value)) + value
        if isinstance(value, float):
            return described(6) + struct.pack("<f", value)
        return described(5) + struct.pack("<I", value)

    def described(*numbers: int) -> bytes:
        return struct.pack(number, len(numbers)) + b"".join(struct.pack(number, n) for n in numbers)

    root = [("ImageList", [("", image_tags(one)) for one in images]),
            ("Thumbnails", [("", [("ImageIndex", i)]) for i in previews])]  # fmt: skip
    body = group(root)
    return struct.pack(">I", version) + struct.pack(number, len(body)) + struct.pack(">I", 1) + body


_KINDS = {"i2": 1, "f4": 2, "u1": 6, "i4": 7, "i1": 9, "u2": 10, "u4": 11, "f8": 12, "i8": 39, "u8": 40}


def image_tags(one: dict[str, Any]) -> list[tuple[str, Any]]:
    """The entry of the image list; sizes and calibrations are given slowest axis first, as arrays have them."""
    data = one.get("data")
    raw = one["raw"] if data is None else np.ascontiguousarray(data).tobytes()
    sizes = one["sizes"] if data is None else data.shape
    kind = one["kind"] if data is None else _KINDS[data.dtype.str[1:]]
    count = len(sizes)
    steps = zip(one.get("scale", [1.0] * count), one.get("origin", [0.0] * count), one.get("units", [""] * count),
                strict=True)  # fmt: skip
    dimension = [("", [("Origin", o), ("Scale", s), ("Units", u)]) for s, o, u in reversed(list(steps))]
    content = [("Calibrations", [("Dimension", dimension)]), ("Data", raw), ("DataType", kind),
               ("Dimensions", [("", int(n)) for n in reversed(sizes)])]  # fmt: skip
    return [("ImageData", content), ("ImageTags", one.get("tags", [])), ("Name", one.get("name", ""))]
