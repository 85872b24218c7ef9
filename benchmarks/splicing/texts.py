"""Damage to JSON, XML and other texts of metadata: values of other types, nesting, huge numbers."""

from __future__ import annotations

import json
import random
import re
from typing import Any

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 0.5, -0.5, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**63, -(2**63), 10**30, 1e308, "", "0",
    "1", "-1", "NaN", "nm", "a\nb", "\x1b[31mred", "\0", "../../etc/passwd", "/etc/passwd", "C:\\x", "\ud800", "é" * 40,
    "x" * 5000, [], [[]], {}, [None], [0], [-1], [1, 2], [0.5] * 3, [2**40] * 3, ["a", "b"], {"a": {}}, {"id": "zlib"},
    {"name": "bytes"}, {"type": "gzip"}, float("nan"), float("inf"),
)  # fmt: skip
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_NUMBERS = ("0", "-1", "1", "0.5", "4294967296", "9223372036854775808", "99999999999999999999999", "1e999", "nan",
            "inf",
            "-inf", "1e-320", "", "x", "²", "٣", "1,5", "0x10", "1_000", "+7", " 3 ")  # fmt: skip


def nested(depth: int) -> str:
    return rf"{'[' * depth}{']' * depth}"


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside ``value``, outermost first."""
    found = [way] if way else []
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        found += places(part, (*way, key))
    return found


def _holder(value: Any, way: tuple[Any, ...]) -> Any:
    for key in way[:-1]:
        value = value[key]
    return value


def damaged_json(text: bytes, donor: bytes, rng: random.Random) -> bytes:
    """A JSON document with one to three values changed, moved, doubled or dropped, or that is none any more."""
    try:
        value, other = json.loads(text), json.loads(donor)
    except (ValueError, RecursionError):  # it was damaged before
        return damaged_text(text, rng)
    chance = rng.random()
    if chance < 0.04:
        depth = rng.choice((50, 900, 100_000))
        return rng.choice((f'{{"a": {nested(depth)}}}', nested(depth), '{"a":' * depth)).encode()
    if chance < 0.08:
        return damaged_text(text, rng)
    if chance < 0.1:
        return json.dumps(rng.choice(HOSTILE)).encode()
    for _ in range(rng.choice((1, 1, 2, 3))):
        ways = places(value)
        if not ways:
            break
        _change(value, rng.choice(ways), other, rng)
    raw = json.dumps(value, ensure_ascii=rng.random() < 0.8)
    return raw.encode("utf-8", "surrogatepass")


def _change(value: Any, way: tuple[Any, ...], other: Any, rng: random.Random) -> None:
    holder, key = _holder(value, way), way[-1]
    old, kind = holder[key], rng.randrange(9)
    if kind <= 3:
        holder[key] = json.loads(json.dumps(rng.choice(HOSTILE)))
    elif kind == 4:
        del holder[key]
    elif kind == 5:
        holder[key] = rng.choice(([old], {"a": old}, str(old), [old] * 3, [[old]]))
    elif kind == 6 and isinstance(old, list) and old:
        holder[key] = rng.choice((old[::-1], old + old, old[:-1], old[:1] * 40, [*old, None]))
    elif kind == 7 and isinstance(old, int | float):
        holder[key] = rng.choice((-old, old + 1, old - 1, old * 1000, old / 3, str(old), float(old), 0))
    else:  # what the other document has in such a place
        ways = [w for w in places(other) if w[-1] == key] or places(other)
        if ways:
            there = rng.choice(ways)
            holder[key] = json.loads(json.dumps(_holder(other, there)[there[-1]]))


def damaged_text(text: bytes, rng: random.Random) -> bytes:
    """Numbers replaced, a piece dropped, doubled or nested, an odd character put in."""
    words = text.decode("utf-8", "surrogateescape")
    for _ in range(rng.choice((1, 1, 2, 4))):
        kind = rng.randrange(7)
        at, end = sorted(rng.randrange(len(words) + 1) for _ in range(2))
        numbers = list(_NUMBER.finditer(words))
        if kind <= 2 and numbers:
            one = rng.choice(numbers)
            words = words[: one.start()] + rng.choice(_NUMBERS) + words[one.end() :]
        elif kind == 3:
            words = words[:at] + words[min(end, at + 60) :]
        elif kind == 4:
            words = words[:at] + words[at : min(end, at + 200)] * rng.choice((2, 3, 50)) + words[at:]
        elif kind == 5:
            odd = (
                "\0",
                "\n",
                "\r",
                "\x1b[2J",
                "\xff\xfe",
                "<",
                ">",
                '"',
                "{",
                "[" * 2000,
                "&a;",
                "<!--",
                "%s",
                "\\u0000",
            )
            words = words[:at] + rng.choice(odd) + words[at:]
        else:
            words = words[:at]
    return words.encode("utf-8", "surrogateescape")


_TAG = re.compile(rb"<(\w[\w:.-]*)([^<>]*)>")


def damaged_xml(text: bytes, rng: random.Random) -> bytes:
    """XML with elements dropped, doubled or nested, attributes of other values."""
    tags = list(_TAG.finditer(text))
    kind = rng.randrange(6)
    if not tags or kind == 0:
        return damaged_text(text, rng)
    tag = rng.choice(tags)
    if kind == 1:
        return text[: tag.start()] + text[tag.end() :]
    if kind == 2:
        return text[: tag.end()] + tag.group() * rng.choice((1, 30, 3000)) + text[tag.end() :]
    values = list(re.finditer(rb'"[^"]*"', tag[2]))
    if not values or kind == 3:
        bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
        return rng.choice((bomb + text, text + text, text[: tag.start()], text.replace(b"UTF-8", b"UTF-16")))
    one = rng.choice(values)
    new = rng.choice((*_NUMBERS, "../../x.tif", "/etc/passwd", "uint4", "Z" * 3000, "XYXYX", "nm", "\x1b[1m"))
    start = tag.start(2)
    return text[: start + one.start()] + b'"' + new.encode() + b'"' + text[start + one.end() :]
