"""TIFF: its header, directories, entries and the values they point at."""

from __future__ import annotations

import random
import struct

from benchmarks.splicing.cutting import EXTREMES, Anatomy, anatomy, spliced
from benchmarks.splicing.texts import damaged_text, damaged_xml

_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_SUB_IFDS, _DESCRIPTION = (330, 34665, 34853), 270
_CODES = (254, 256, 257, 258, 259, 262, 266, 270, 273, 274, 277, 278, 279, 282, 284, 290, 317, 320, 322, 323, 324, 325,
          330, 338, 339, 347, 32997, 33550, 34118, 34680, 50838, 50839, 51123, 65000, 65027)  # fmt: skip
_VALUES = {  # by tag: compressions, kinds of pixels and predictors that are not those of the file
    259: (0, 1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 33003, 34712, 34887, 34892, 34925, 34933, 50000, 50001, 50002,
    65535),
    262: (0, 1, 2, 3, 4, 5, 6, 8, 32803, 34892), 258: (1, 2, 3, 4, 8, 10, 12, 16, 24, 32, 64, 128), 277: (0, 1, 2, 3,
    4, 5, 300),
    284: (0, 1, 2, 3), 317: (1, 2, 3, 34892, 34894, 9), 339: (0, 1, 2, 3, 4, 5, 6), 338: (0, 1, 2, 3),
    254: (0, 1, 2, 4), 274: (0, 3, 6, 8, 9),
}  # fmt: skip


def walk(data: bytes, found: Anatomy) -> None:
    order = "<" if data[:2] == b"II" else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    found.part(0, 16 if big else 8)
    for at, size in ((2, 2), (4, 2), (6, 2), (8, 8)) if big else ((2, 2), (4, 4)):
        found.number(at, size, order)
    waiting, seen = [_value(data, 8, 8, order) if big else _value(data, 4, 4, order)], set()
    while waiting and len(seen) < 200:
        at = waiting.pop(0)
        if at and at not in seen:
            seen.add(at)
            waiting += _directory(data, at, order, big, found)


def _value(data: bytes, at: int, size: int, order: str) -> int:
    raw = data[at : at + size]
    if len(raw) < size:
        raise IndexError(at)
    return int.from_bytes(raw, "little" if order == "<" else "big")


def _directory(data: bytes, at: int, order: str, big: bool, found: Anatomy) -> list[int]:
    head, width, word = (8, 20, 8) if big else (2, 12, 4)
    count = min(_value(data, at, head, order), 400)
    end = at + head + count * width
    found.number(at, head, order)
    found.number(end, word, order)
    found.part(at, end + word)
    following = []
    for entry in range(at + head, end, width):
        found.row(entry, "HHQQ" if big else "HHII", order)
        found.part(entry, entry + width)
        code, kind = _value(data, entry, 2, order), _value(data, entry + 2, 2, order)
        items, place = _value(data, entry + 4, word, order), entry + 4 + word
        size = _BYTES.get(kind, 1)
        if size * items > word:
            place = _value(data, place, word, order)
            found.part(place, place + size * items)
        for i in range(min(items, 8) if kind not in (2, 7) else 0):
            if kind in (5, 10):
                found.row(place + i * 8, "II", order)
            else:
                found.number(place + i * size, size, order, real=kind in (11, 12))
        if code in _SUB_IFDS and kind in (4, 13, 16, 18):
            following += [_value(data, place + i * size, size, order) for i in range(min(items, 4))]
    return [*following, _value(data, end, word, order)]


def entries(data: bytes) -> list[tuple[int, int]]:
    """(tag, byte) of each entry of each directory."""
    found = anatomy(walk, data)
    width = 20 if data[2:4] in (b"+\0", b"\0+") else 12
    order = "<" if data[:2] == b"II" else ">"
    return [(_value(data, a, 2, order), a) for a, b in found.parts if b - a == width and a + width <= len(data)]


def damage(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    """Half of it moves and changes anything, the rest goes for tags by their meaning."""
    kind = rng.randrange(10)
    listed = entries(data)
    if kind <= 4 or not listed:
        return spliced(data, donor, walk, rng)
    order, big = "<" if data[:2] == b"II" else ">", data[2:4] in (b"+\0", b"\0+")
    out = bytearray(data)
    if kind == 5:
        return _reworded(out, listed, order, big, rng)
    if kind == 6:  # another order of bytes, another size of offsets
        out[:4] = rng.choice((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"))
        return bytes(out)
    for _ in range(rng.choice((1, 2, 3))):
        known = [e for e in listed if e[0] in _VALUES]
        code, at = rng.choice(known if known and kind <= 8 else listed)
        _put(out, at, code, order, big, rng)
    return bytes(out)


def _put(out: bytearray, at: int, code: int, order: str, big: bool, rng: random.Random) -> None:
    """Give an entry another value, number of values, type, or meaning."""
    word = "Q" if big else "I"
    count_at = at + 4
    value_at = count_at + struct.calcsize(word)
    what = rng.randrange(8)
    if what <= 3:
        small = rng.choice(_VALUES.get(code, EXTREMES)) % 65536
        struct.pack_into(order + "HH" + word, out, at, code, 3, 1)
        out[value_at : value_at + struct.calcsize(word)] = struct.pack(order + "H", small).ljust(
            struct.calcsize(word), b"\0"
        )
    elif what == 4:
        struct.pack_into(order + word, out, count_at, rng.choice((0, 1, 2, 3, 5, 1000, 2**20, 2**31, 2**32 - 1)))
    elif what == 5:
        struct.pack_into(order + "H", out, at + 2, rng.choice((0, 1, 2, 3, 4, 5, 7, 9, 11, 12, 13, 14, 16, 17, 99)))
    elif what == 6:
        struct.pack_into(order + "H", out, at, rng.choice(_CODES))
    else:
        struct.pack_into(order + word, out, value_at, rng.choice((0, 4, 8, at, len(out) - 2, len(out), 2**31)))


def _reworded(out: bytearray, listed: list[tuple[int, int]], order: str, big: bool, rng: random.Random) -> bytes:
    """A text tag whose text is damaged, appended to the end of the file."""
    word, size = ("Q", 8) if big else ("I", 4)
    texts = [(code, at) for code, at in listed if struct.unpack_from(order + "H", out, at + 2)[0] in (1, 2, 7)
             and struct.unpack_from(order + word, out, at + 4)[0] > size]  # fmt: skip
    if not texts:
        _, at = rng.choice(listed)
        texts = [(_DESCRIPTION, at)]
        struct.pack_into(order + "H", out, at, _DESCRIPTION)
    descriptions = [t for t in texts if t[0] == _DESCRIPTION]
    _, at = rng.choice(descriptions if descriptions and rng.random() < 0.6 else texts)
    items, place = struct.unpack_from(order + word * 2, out, at + 4)
    text = bytes(out[place : place + min(items, 1 << 16)])
    if rng.random() < 0.2:
        text = rng.choice(_CLAIMS)
    new = damaged_xml(text, rng) if b"<?xml" in text[:200] else damaged_text(text, rng)
    struct.pack_into(order + word * 2, out, at + 4, len(new), len(out))
    if rng.random() < 0.3:
        struct.pack_into(order + "H", out, at + 2, rng.choice((1, 2, 7, 3)))
    return bytes(out) + new


_CLAIMS = (
    b"ImageJ=1.53\nimages=3\nslices=3\nunit=nm\nspacing=4.0\nloop=false\n",
    b"ImageJ=1.53\nimages=1000000000\nchannels=1000\nslices=1000000\nhyperstack=true\nunit=\\u00B5m\n",
    b'{"shape": [3, 20, 30], "axes": "ZYX"}',
    b'{"shape": [100000, 20, 30]}',
    b'{"shape": [-1, 0.5, "a"]}',
    b"SCANIMAGE.SI.hChannels.channelSave = [1;2]\n",
    b"MetaMorph",
    b"Aperio Image Library\nMPP = 0.5|AppMag = x",
    b'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image><Pixels SizeX="30" '
    b'SizeY="20" SizeZ="3" SizeC="1" SizeT="1" Type="uint16" DimensionOrder="XYZCT"><TiffData IFD="7"/>'
    b"</Pixels></Image></OME>",
)
