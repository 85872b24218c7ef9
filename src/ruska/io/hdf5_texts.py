"""How long a text in an HDF5 file claims to be, before the library reads it.

A text of variable length is kept as a descriptor: length (4 bytes), address of its heap (8), number in the heap (4).
The library allocates memory for that length, up to 4 GB, before it finds that the heap holds less.
Source: HDF5 file format specification 3.0, IV.A (object headers), IV.A.2.m (attributes).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruska.errors import InputError
from ruska.io.binary import Cursor

_ATTRIBUTE, _CONTINUATION = 0x0C, 0x10
_VARIABLE = 9  # class of a datatype
_DESCRIPTOR = 16
_MOST_BLOCKS = 1000


def longest_text(item: Any, name: str) -> int | None:
    """Length in bytes that the texts of attribute ``name`` of a group or dataset claim, the longest of them.

    None where it has no texts of variable length, or is kept in a heap of many attributes, which is not looked into.
    Raises InputError when the header of ``item`` leads out of the file.
    """
    import h5py

    base = item.file.userblock_size
    path = Path(item.file.filename)
    with path.open("rb") as file:
        cursor = Cursor(path, file)
        for place, size in _attributes(cursor, base, base + h5py.h5o.get_info(item.id).addr):
            cursor.go(place)
            found, is_text, data = _attribute(cursor.take(size))
            if found == name:
                return _longest(data) if is_text else None
    return None


def length_of_text(path: Path, dataset: Any) -> int:
    """Bytes that a dataset of one text of variable length claims; 0 where it is of another kind."""
    import h5py

    kind, at = h5py.check_string_dtype(dataset.dtype), dataset.id.get_offset()
    if kind is None or kind.length is not None or dataset.shape != () or at is None:
        return 0
    with path.open("rb") as file:
        cursor = Cursor(path, file)
        cursor.go(at)
        return _longest(cursor.take(_DESCRIPTOR))


def _longest(descriptors: bytes) -> int:
    whole = descriptors[: len(descriptors) // _DESCRIPTOR * _DESCRIPTOR]
    return max((length for length, _, _ in struct.iter_unpack("<IQI", whole)), default=0)


def _attributes(cursor: Cursor, base: int, address: int) -> Iterator[tuple[int, int]]:
    """Place and size of every attribute message in the object header at ``address``, its continuations included."""
    cursor.go(address)
    head = cursor.take(16)
    newer = head.startswith(b"OHDR")
    flags = head[5] if newer else 0
    if newer:
        width = 1 << (flags & 3)
        start = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
        cursor.go(start)
        blocks = [(start + width, int.from_bytes(cursor.take(width), "little"))]
    else:
        blocks = [(address + 16, int.from_bytes(head[8:12], "little"))]
    before = (6 if flags & 4 else 4) if newer else 8  # bytes of a message's own head
    for place, size in blocks:
        end = place + size
        while place + before <= end:
            cursor.go(place)
            said = cursor.take(before)
            kind, length = (said[0], int.from_bytes(said[1:3], "little")) if newer else struct.unpack("<HH", said[:4])
            place += before
            if kind == _ATTRIBUTE:
                yield place, length
            elif kind == _CONTINUATION and len(blocks) < _MOST_BLOCKS:
                there, room = struct.unpack("<QQ", cursor.take(_DESCRIPTOR))
                blocks.append((base + there + 4, room - 8) if newer else (base + there, room))  # signature, checksum
            place += length


def _attribute(message: bytes) -> tuple[str, bool, bytes]:
    """Name, whether its values are texts or lists of variable length, and its data."""
    if len(message) < 9:
        raise InputError("attribute", f"is damaged: {len(message)} bytes")
    version = message[0]
    sizes = struct.unpack("<HHH", message[2:8])
    if version == 1:
        sizes = tuple(-(-n // 8) * 8 for n in sizes)
    start = 9 if version == 3 else 8
    kind, space = start + sizes[0], start + sizes[0] + sizes[1]
    name = message[start:kind].split(b"\0", 1)[0].decode("utf-8", "replace")
    is_text = kind < len(message) and message[kind] & 0x0F == _VARIABLE
    return name, is_text, message[space + sizes[2] :]
