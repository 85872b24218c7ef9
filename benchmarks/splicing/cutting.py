"""Cutting files at the joints that a format's walk has found: parts moved, numbers that contradict each other."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

EXTREMES = (0, 1, 2, 3, -1, -2, 127, 128, 255, 256, 2**15, 2**16 - 1, 2**16, 2**24, 2**30, 2**31 - 1, 2**31, 2**32 - 1,
            2**32, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip
FLOATS = (0.0, -0.0, 1.0, -1.0, math.nan, math.inf, -math.inf, 1e300, -1e300, 1e38, 5e-324, 1e-40, 2.0**63)
MOST_FIELDS, MOST_PARTS = 4000, 2000


@dataclass(frozen=True)
class Number:
    """A number in a file: the byte it begins at, its bytes, their order, and whether it is a float."""

    at: int
    size: int
    order: str = "<"
    real: bool = False

    def read(self, data: bytes | bytearray) -> int | float:
        raw = bytes(data[self.at : self.at + self.size])
        if self.real:
            return float(struct.unpack(self.order + "fd"[self.size == 8], raw)[0])
        return int.from_bytes(raw, "little" if self.order == "<" else "big")

    def write(self, data: bytearray, value: float) -> None:
        if self.real:
            try:
                raw = struct.pack(self.order + "fd"[self.size == 8], value)
            except OverflowError:
                raw = struct.pack(self.order + "fd"[self.size == 8], math.copysign(math.inf, value))
        else:
            raw = (int(value) % 256**self.size).to_bytes(self.size, "little" if self.order == "<" else "big")
        data[self.at : self.at + self.size] = raw


@dataclass
class Anatomy:
    """What a walk found: the numbers, and the parts (start, stop), which may lie in each other."""

    numbers: list[Number] = field(default_factory=list)
    parts: list[tuple[int, int]] = field(default_factory=list)

    def number(self, at: int, size: int, order: str = "<", *, real: bool = False) -> None:
        if len(self.numbers) < MOST_FIELDS:
            self.numbers.append(Number(at, size, order, real))

    def row(self, at: int, layout: str, order: str = "<") -> int:
        """Add numbers one after the other, by their `struct` letters; where they end."""
        for letter in layout:
            size = struct.calcsize("<" + letter)
            if letter != "x":
                self.number(at, size, order, real=letter in "fd")
            at += size
        return at

    def part(self, start: int, stop: int) -> None:
        if start < stop and len(self.parts) < MOST_PARTS:
            self.parts.append((start, stop))


Walk = Callable[[bytes, Anatomy], None]
"""Adds to an `Anatomy` what it finds in a file; it may fail anywhere in a damaged one."""


def anatomy(walk: Walk, data: bytes) -> Anatomy:
    """What ``walk`` finds in ``data``, as far as it comes, inside of it."""
    found = Anatomy()
    with suppress(IndexError, struct.error, ValueError, KeyError, OverflowError, RecursionError):  # damaged before
        walk(data, found)
    size = len(data)
    found.numbers = [n for n in found.numbers if n.at >= 0 and n.at + n.size <= size]
    found.parts = [(max(0, a), min(b, size)) for a, b in found.parts if 0 <= a < size and a < b] or [(0, size)]
    return found


def spliced(data: bytes, donor: bytes, walk: Walk, rng: random.Random) -> bytes:
    """``data`` after one to three operations, some with pieces of ``donor``, another sound file of the format."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if len(data) < 2:
            break
        operation = rng.choices(list(_OPERATIONS), list(_OPERATIONS.values()))[0]
        body = bytearray(data)
        here = anatomy(walk, data)
        if not here.numbers and operation in _ON_NUMBERS:
            operation = _cut
        operation(body, here, donor, anatomy(walk, donor), rng)
        data = bytes(body)
    return data


Operation = Callable[[bytearray, Anatomy, bytes, Anatomy, random.Random], None]


def _extreme(data: bytearray, here: Anatomy, donor: bytes, there: Anatomy, rng: random.Random) -> None:
    number = rng.choice(here.numbers)
    number.write(data, rng.choice(FLOATS if number.real else EXTREMES))


def _nudge(data: bytearray, here: Anatomy, donor: bytes, there: Anatomy, rng: random.Random) -> None:
    number = rng.choice(here.numbers)
    value = number.read(data)
    if not math.isfinite(value):
        value = 0
    number.write(data, rng.choice((value + 1, value - 1, value * 2, value // 2, -value, value * 1000, value + 256)))


def _borrow(data: bytearray, here: Anatomy, donor: bytes, there: Anatomy, rng: random.Random) -> None:
    """A number takes the value of another one: counts that are offsets, types that are sizes."""
    number, other = rng.choice(here.numbers), rng.choice(here.numbers)
    value = other.read(data)
    number.write(data, value if math.isfinite(value) else 0)


def _point(data: bytearray, here: Anatomy, donor: bytes, there: Anatomy, rng: random.Random) -> None:
    """A number becomes the place of a part, its own one among them: loops."""
    number = rng.choice(here.numbers)
    around = [a for a, b in here.parts if a <= number.at < b]
    number.write(data, rng.choice(around if around and rng.random() < 0.5 else [a for a, _ in here.parts]))


def _edge(data: bytearray, here: Anatomy, donor: bytes, there: Anatomy, rng: random.Random) -> None:
    """A number points at the end of the file, or nearly."""
    rng.choice(here.numbers).write(data, len(data) + rng.choice((-8, -4, -2, -1, 0, 1, 2**10)))


def _turn(data: bytearray, here: Anatomy, donor: bytes, there: Anatomy, rng: random.Random) -> None:
    number = rng.choice(here.numbers)
    data[number.at : number.at + number.size] = data[number.at : number.at + number.size][::-1]


def _inherit(data: bytearray, here: Anatomy, donor: bytes, there: Anatomy, rng: random.Random) -> None:
    """Some numbers are those of the other file."""
    if not there.numbers:
        return
    for place in rng.sample(range(len(here.numbers)), min(len(here.numbers), rng.choice((1, 3, 10)))):
        value = there.numbers[place % len(there.numbers)].read(donor)
        here.numbers[place].write(data, value if math.isfinite(value) else 0)


def _drop(data: bytearray, here: Anatomy, donor: bytes, there: Anatomy, rng: random.Random) -> None:
    a, b = rng.choice(here.parts)
    del data[a:b]


def _double(data: bytearray, here: Anatomy, donor: bytes, there: Anatomy, rng: random.Random) -> None:
    a, b = rng.choice(here.parts)
    if b - a < 1 << 17:
        data[b:b] = data[a:b] * rng.choice((1, 1, 2, 50 if b - a < 4096 else 1))


def _swap(data: bytearray, here: Anatomy, donor: bytes, there: Anatomy, rng: random.Random) -> None:
    (a, b), (c, d) = sorted(rng.choices(here.parts, k=2))
    if b <= c:
        data[a:d] = data[c:d] + data[b:c] + data[a:b]


def _overlay(data: bytearray, here: Anatomy, donor: bytes, there: Anatomy, rng: random.Random) -> None:
    """A part is written over by the beginning of another one: nothing moves."""
    (a, b), (c, d) = rng.choice(here.parts), rng.choice(here.parts)
    data[a : min(b, a + d - c)] = data[c : min(d, c + b - a)]


def _blank(data: bytearray, here: Anatomy, donor: bytes, there: Anatomy, rng: random.Random) -> None:
    a, b = rng.choice(here.parts)
    data[a:b] = rng.choice((b"\0", b"\xff", b" ", b"\n")) * (b - a)


def _cut(data: bytearray, here: Anatomy, donor: bytes, there: Anatomy, rng: random.Random) -> None:
    """The file ends at a joint, or nearly."""
    joint = rng.choice(rng.choice(here.parts)) + rng.choice((-1, 0, 0, 1, 4))
    del data[max(1, joint) :]


def _graft(data: bytearray, here: Anatomy, donor: bytes, there: Anatomy, rng: random.Random) -> None:
    """The head of one file, up to a joint, on the body of the other."""
    mine, theirs = rng.choice(rng.choice(here.parts)), rng.choice(rng.choice(there.parts))
    if rng.random() < 0.5:
        theirs = min(mine, len(donor))
    data[mine:] = donor[theirs:]


def _transplant(data: bytearray, here: Anatomy, donor: bytes, there: Anatomy, rng: random.Random) -> None:
    """A part of the other file in place of one of this."""
    (a, b), (c, d) = rng.choice(here.parts), rng.choice(there.parts)
    data[a:b] = donor[c:d]


_OPERATIONS: dict[Operation, float] = {
    _extreme: 6, _nudge: 3, _borrow: 2, _point: 2, _edge: 1, _turn: 1, _inherit: 2, _drop: 1, _double: 1.5, _swap: 1,
    _overlay: 1, _blank: 1, _cut: 1.5, _graft: 1.5, _transplant: 1.5,
}  # fmt: skip
"""How often each is done, relative to the others."""
_ON_NUMBERS = (_extreme, _nudge, _borrow, _point, _edge, _turn, _inherit)
