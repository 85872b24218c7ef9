"""The tag tree of a DigitalMicrograph file (DM3 and DM4), with its large arrays left in the file.

Source: the layout as the programs that read it agree on it (Egerton & Chen's DM3 notes; ncempy, rosettasciio).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Any

from ruska.errors import InputError
from ruska.io.binary import COPY_AGAIN, Cursor

_GROUP, _DATA = 20, 21
_STRING, _STRUCT, _ARRAY = 18, 15, 20
_SIMPLE = {2: "h", 3: "i", 4: "H", 5: "I", 6: "f", 7: "d", 8: "B", 9: "b", 10: "B", 11: "q", 12: "Q"}
_SIZE = {code: struct.calcsize("<" + letter) for code, letter in _SIMPLE.items()}
_TEXT = 4  # arrays of 16-bit numbers are texts
_MOST_TAGS, _DEEPEST, _LONGEST_READ, _MOST_FIELDS, _LONGEST_NAME = 200_000, 48, 1 << 16, 256, 1 << 12


@dataclass(frozen=True)
class Block:
    """An array that stays in the file: byte ``offset``, number of items, bytes of one."""

    offset: int
    count: int
    item_bytes: int


@dataclass
class _Layout:
    number: str  # of a length: 32 bits in DM3, 64 in DM4
    order: str  # of values
    version: int
    tags: int = 0


def read_tags(cursor: Cursor) -> tuple[dict[str, Any], str]:
    """The tree as dictionaries (nameless entries are called 0, 1, 2...), and the byte order of values.

    Raises InputError when the file is truncated, or no DM3 or DM4 file.
    """
    version = cursor.unpack(">I")[0]
    if version not in (3, 4):
        raise InputError(cursor.path, f"is DigitalMicrograph version {version}, Ruska reads 3 and 4",
                         "Open it in DigitalMicrograph and save it as DM4.")  # fmt: skip
    layout = _Layout(">I" if version == 3 else ">Q", "<", version)
    cursor.unpack(layout.number)
    order = cursor.unpack(">I")[0]
    if order not in (0, 1):
        raise _damaged(cursor, f"byte order {order}")
    layout.order = "<" if order == 1 else ">"
    return _group(cursor, layout, 0), layout.order


def _damaged(cursor: Cursor, what: str) -> InputError:
    return InputError(cursor.path, f"is damaged at byte {cursor.place}: {what}", COPY_AGAIN)


def _group(cursor: Cursor, layout: _Layout, depth: int) -> dict[str, Any]:
    if depth > _DEEPEST:
        raise _damaged(cursor, f"tags more than {_DEEPEST} levels deep")
    cursor.skip(2)  # sorted, open
    count = cursor.unpack(layout.number)[0]
    layout.tags += count
    if layout.tags > _MOST_TAGS:
        raise _damaged(cursor, f"more than {_MOST_TAGS} tags")
    found: dict[str, Any] = {}
    nameless = 0
    for _ in range(count):
        kind, length = cursor.unpack(">BH")
        if length > _LONGEST_NAME:
            raise _damaged(cursor, f"a name of {length} letters")
        name = cursor.take(length).decode("latin-1")
        if not name:
            name, nameless = str(nameless), nameless + 1
        if layout.version == 4:
            cursor.skip(8)
        if kind == _GROUP:
            found[name] = _group(cursor, layout, depth + 1)
        elif kind == _DATA:
            found[name] = _value(cursor, layout)
        else:
            raise _damaged(cursor, f"a tag of unknown kind {kind}")
    return found


def _value(cursor: Cursor, layout: _Layout) -> Any:
    if cursor.take(4) != b"%%%%":
        raise _damaged(cursor, "no tag where one should be")
    length = cursor.unpack(layout.number)[0]
    if not 0 < length <= 2 * _MOST_FIELDS + 8:
        raise _damaged(cursor, f"a tag described by {length} numbers")
    numbers = list(cursor.unpack(f">{length}{layout.number[1]}"))
    kind, rest = numbers[0], numbers[1:]
    if kind in _SIMPLE:
        return _plain(cursor.unpack(layout.order + _SIMPLE[kind])[0])
    if kind == _STRING and rest:
        return _text(cursor, rest[0] * 2)
    if kind == _STRUCT and len(rest) >= 2:
        return [_plain(v) for v in cursor.unpack(layout.order + _fields(cursor, rest))]
    if kind == _ARRAY and len(rest) >= 2:
        return _array(cursor, layout, rest)
    raise _damaged(cursor, f"a value of unknown type {kind}")


def _fields(cursor: Cursor, rest: list[int]) -> str:
    """`struct` letters of a struct described by (name length, fields, then name length and type of each)."""
    kinds = rest[3 : 2 + 2 * rest[1] : 2] if rest[1] <= _MOST_FIELDS else []
    if len(kinds) != rest[1] or not set(kinds) <= set(_SIMPLE):
        raise _damaged(cursor, "a struct of unknown fields")
    return "".join(_SIMPLE[kind] for kind in kinds)


def _text(cursor: Cursor, length: int) -> str | Block:
    if length > _LONGEST_READ:
        block = Block(cursor.place, length, 1)
        cursor.skip(length)
        return block
    return cursor.take(length).decode("utf-16-le", "replace")


def _array(cursor: Cursor, layout: _Layout, rest: list[int]) -> Any:
    kind, count = rest[0], rest[-1]
    if kind == _STRUCT and len(rest) >= 4:
        letters = _fields(cursor, rest[1:-1])
    elif kind in _SIMPLE and len(rest) == 2:
        letters = _SIMPLE[kind]
    else:
        raise _damaged(cursor, f"an array of unknown type {kind}")
    item = struct.calcsize(layout.order + letters)
    if count * item > _LONGEST_READ or (len(letters) > 1 and count * len(letters) > _LONGEST_READ):
        block = Block(cursor.place, count, item)
        cursor.skip(count * item)
        return block
    if kind == _TEXT:
        start, raw = cursor.place, cursor.take(count * item)
        return Text(raw.decode("utf-16-le" if layout.order == "<" else "utf-16-be", "replace"),
                    Block(start, count, item))  # fmt: skip
    start = cursor.place
    values = [_plain(v) for v in cursor.unpack(layout.order + letters * count)]
    return Values(values, Block(start, count, item))


class Values(list[Any]):
    """A short array that was read, and where it lies."""

    def __init__(self, values: list[Any], block: Block) -> None:
        super().__init__(values)
        self.block = block


class Text(str):
    """A short array of 16-bit numbers, which is a text, or the pixels of a tiny image."""

    block: Block

    def __new__(cls, text: str, block: Block) -> Text:
        made = super().__new__(cls, text)
        made.block = block
        return made


def _plain(value: Any) -> Any:
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)
