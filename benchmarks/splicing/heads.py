"""Formats that are a header before their values: MRC, NumPy, TIA series, FIB-SEM frames, pictures, gzip and bzip2."""

from __future__ import annotations

import random
import re
import struct
import zlib

from benchmarks.splicing.cutting import Anatomy, spliced
from benchmarks.splicing.texts import damaged_text, damaged_xml

# MRC


def walk_mrc(data: bytes, found: Anatomy) -> None:
    order = ">" if data[212:213] == b"\x11" else "<"
    found.row(0, "i" * 10 + "f" * 6 + "iii" + "fff" + "ii", order)
    found.row(104, "BBBBi", order)
    found.row(152, "ii", order)
    found.row(196, "fffBBBBBBBBfi", order)
    extended = max(0, struct.unpack_from(order + "i", data, 92)[0])
    for a, b in ((0, 12), (12, 28), (28, 64), (64, 96), (96, 208), (208, 216), (216, 224), (224, 1024), (0, 1024)):
        found.part(a, b)
    found.part(1024, 1024 + extended)
    for at in range(1024, 1024 + min(extended, 1024), 4):
        found.number(at, 4, order, real=at % 8 == 0)
    _, rows, sections = struct.unpack_from(order + "iii", data)
    size = (len(data) - 1024 - extended) // max(1, sections)
    for i in range(min(sections, 10)):
        start = 1024 + extended + i * size
        found.part(start, start + size)
        found.part(start, start + size // max(1, rows))


def mrc(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.25:  # modes, types of extended header, space groups that mean something
        out, order = bytearray(data), ">" if data[212:213] == b"\x11" else "<"
        for _ in range(rng.choice((1, 2, 3))):
            at, values = rng.choice(_MRC_WORDS)
            struct.pack_into(order + "i", out, at, rng.choice(values))
        if rng.random() < 0.5:
            out[104:108] = rng.choice((b"SERI", b"AGAR", b"FEI1", b"FEI2", b"CCP4", b"MRCO", b"HDF5", b"\xff\xff\n\0"))
        if rng.random() < 0.3:  # the header's texts in other letters
            out[224:304] = rng.choice((b"\x1b[31m", b"\xff", b"\n")) * 16 + bytes(out[240:304])
        return bytes(out[:])
    return spliced(data, donor, walk_mrc, rng)


_MRC_WORDS = ((12, (0, 1, 2, 3, 4, 5, 6, 7, 12, 16, 101, -1)), (88, (-1, 0, 1, 2, 400, 401, 402, 630, 2**31 - 1)),
              (92, (-1, 0, 1, 3, 768, 1024, 2**20, 2**31 - 1)), (36, (-1, 0, 1, 2, 3, 5)), (28, (-1, 0, 1)),
              (64, (0, 1, 2, 3, 4)), (68, (0, 1, 2, 3)), (72, (0, 1, 2, 3)), (220, (-1, 0, 3, 10, 11, 2**31 - 1)),
              (152, (1146047817, 0)), (156, (0, 1, -1)), (8, (0, 1, 2, 4, -1)), (208, (0x2050414D, 0)))  # fmt: skip


def mdoc(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    return damaged_text(data, rng)


# NumPy

_DTYPES = ("|O", "<f4", ">f8", "<f2", "<f16", "<c8", "|b1", "|S7", "<U3", "<M8[ns]", "<m8[Y]", "|V4", "<i8", "f", "",
           "x",
           "<f999999999", "|V9999999999", "|S0", "<U0", "|V0", "u1,u1", "(2,3)f4")  # fmt: skip
_NPY_HEADS = (
    "{'descr': [('a', '<f4'), ('b', '<i2')], 'fortran_order': False, 'shape': (20,)}",
    "{'descr': [('a', '<f4', (20, 30))], 'fortran_order': False, 'shape': (1,)}",
    "{'descr': '|O', 'fortran_order': False, 'shape': (20, 30), }", "{'descr': '<u2', 'shape': (3, 20, 30)}", "[]",
    "1", "",
    "{'descr': '<u2', 'fortran_order': None, 'shape': (3, 20, 30)}",
    "{'descr': '<u2', 'fortran_order': False, 'shape': 5}",
    "__import__('os').system('touch here')", "{'descr': '<u2', 'fortran_order': True, 'shape': [3, 20, 30]}", "(" * 300,
    "-" * 5000 + "1", "{'descr': '<u2', 'fortran_order': False, 'shape': (3, 20, 30)}" * 2, "'\\x00'", "b'a'",
    "\0\0\0\0",
    "{'descr': ('<u2', (3,)), 'fortran_order': False, 'shape': (20, 30)}", "1" * 5000, "{" * 90 + "}" * 90,
)  # fmt: skip
_SHAPES = ("()", "(0,)", "(-1, 20, 30)", "(3, 20, 30.0)", "(True, 20, 30)", "(9223372036854775807, 2)",
           "(18446744073709551616,)",
           "(3, 20, 0)", "(1,) * 9", "(1, 1, 1, 1, 1, 1, 1, 20, 30)", "(3L, 20L, 30L)", "(600, 3)", "(1800,)",
           "(2**40, 1)",
           "(4294967296, 4294967296)", "('3', 20, 30)", "(None,)", "3, 20", f"({'1, ' * 70})")  # fmt: skip


def npy(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    """Another header, in its words or in its numbers."""
    version = data[6] if len(data) > 6 else 1
    width = 2 if version == 1 else 4
    start = 8 + width
    length = int.from_bytes(data[8:start], "little")
    head, body = data[start : start + length].decode("latin-1"), data[start + length :]
    kind = rng.randrange(7)
    if kind == 0:
        head = rng.choice(_NPY_HEADS)
    elif kind == 1:
        head = re.sub(r"'descr': '[^']*'", lambda _: f"'descr': '{rng.choice(_DTYPES)}'", head)
    elif kind == 2:
        head = re.sub(r"\([^)]*\)", lambda _: rng.choice(_SHAPES), head)
    elif kind == 3:
        head = damaged_text(head.encode("latin-1"), rng).decode("latin-1")
    elif kind == 4:
        body = rng.choice((b"", body[:-1], body + body, body[: len(body) // 2], donor))
    else:
        return spliced(data, donor, walk_npy, rng)
    raw = head.encode("latin-1")
    if rng.random() < 0.5:
        raw = raw.strip() + b" " * (63 - (start + len(raw.strip())) % 64) + b"\n"
    number = len(raw) if rng.random() < 0.9 else rng.choice((0, 1, len(raw) - 1, len(raw) + 5, 2**16 - 1))
    version = rng.choice((1, 2, 3, version, version, version, 0, 255))
    width = rng.choice((2 if version == 1 else 4,) * 9 + (width,))
    lead = bytes([version, rng.choice((0, 0, 0, 1))])
    return data[:6] + lead + min(number, 256**width - 1).to_bytes(width, "little") + raw + body


def walk_npy(data: bytes, found: Anatomy) -> None:
    width = 2 if data[6] == 1 else 4
    found.row(6, "BB")
    found.number(8, width)
    end = 8 + width + int.from_bytes(data[8 : 8 + width], "little")
    for a, b in ((0, 8), (8, end), (0, end), (end, len(data)), (end, (end + len(data)) // 2)):
        found.part(a, b)


# TIA


def walk_ser(data: bytes, found: Anatomy) -> None:
    version = struct.unpack_from("<H", data, 4)[0]
    number, size = ("q", 8) if version >= 0x220 else ("i", 4)
    end = found.row(0, f"HHHiiii{number}i")
    total, valid, table = struct.unpack_from(f"<ii{number}", data, 14)
    count = struct.unpack_from("<i", data, end - 4)[0]
    found.part(0, end)
    at = end
    for _ in range(min(count, 4)):
        start = at
        at = found.row(at, "iddi")
        for _ in range(2):
            found.number(at, 4)
            at += 4 + struct.unpack_from("<i", data, at)[0]
        found.part(start, at)
    found.part(table, table + size * total)
    found.part(table + size * total, table + 2 * size * total)
    for i in range(min(valid, 20)):
        found.number(table + i * size, size)
        found.number(table + (total + i) * size, size)
        place = struct.unpack_from("<" + number, data, table + i * size)[0]
        body = found.row(place, "ddiddihii")
        found.part(place, body)
        found.part(body, body + (len(data) - body) // 2)
        tag = struct.unpack_from("<" + number, data, table + (total + i) * size)[0]
        found.row(tag, "HI")
        found.part(tag, tag + 8)


def ser(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.15:
        out = bytearray(data)
        at, values = rng.choice(((2, (0x197,)), (4, (0x210, 0x220, 0x200, 0)), (6, (0x4120, 0x4122, 0)),
                                 (10, (0x4152, 0x4142, 0))))  # fmt: skip
        struct.pack_into("<H", out, at, rng.choice(values))
        return bytes(out)
    return spliced(data, donor, walk_ser, rng)


def emi(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    start, end = data.find(b"<ObjectInfo>"), data.find(b"</ObjectInfo>")
    if start < 0 or end < 0 or rng.random() < 0.2:
        return spliced(data, donor, _walk_emi, rng)
    return data[:start] + damaged_xml(data[start : end + 13], rng) + data[end + 13 :]


def _walk_emi(data: bytes, found: Anatomy) -> None:
    found.row(0, "HHI")
    for tag in re.finditer(rb"<(\w+)>[^<]*</\1>", data[: 1 << 16]):
        found.part(*tag.span())


# FIB-SEM


def walk_dat(data: bytes, found: Anatomy) -> None:
    found.row(0, "IH", ">")
    found.row(32, "BB", ">")
    found.row(36, "ffffffff", ">")
    found.row(100, "II", ">")
    found.row(151, "BBBB", ">")
    found.row(408, "dddd", ">")
    found.row(460, "ffff", ">")
    for a, b in ((0, 8), (8, 36), (36, 100), (100, 180), (180, 380), (380, 460), (0, 1024), (1024, len(data)),
                 (1024, (1024 + len(data)) // 2)):  # fmt: skip
        found.part(a, b)


def dat(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.15:
        out = bytearray(data)
        at = rng.choice((8, 155, 180, 380, 390, 410, 430, 700))
        out[at : at + 20] = rng.choice((b"\n", b"\xff", b"\x1b[2J ", b"\0")) * 20
        return bytes(out[: len(data)])
    return spliced(data, donor, walk_dat, rng)


# Pictures


def walk_png(data: bytes, found: Anatomy) -> None:
    at = 8
    found.part(0, 8)
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        found.number(at, 4, ">")
        if name == b"IHDR":
            found.row(at + 8, "IIBBBBB", ">")
        else:
            for i in range(0, min(length, 16), 4):
                found.number(at + 8 + i, 4, ">")
        found.part(at, at + 12 + length)
        found.part(at + 8, at + 8 + length)
        at += 12 + length


def _sealed(data: bytes) -> bytes:
    """A PNG whose checksums are right, as far as its chunks go."""
    out, at = bytearray(data), 8
    while at + 12 <= len(out):
        length = struct.unpack_from(">I", out, at)[0]
        if at + 12 + length > len(out):
            break
        struct.pack_into(">I", out, at + 8 + length, zlib.crc32(out[at + 4 : at + 8 + length]))
        at += 12 + length
    return bytes(out)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def walk_jpeg(data: bytes, found: Anatomy) -> None:
    at = 2
    while data[at] == 0xFF:
        code, length = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        found.row(at, "BBH", ">")
        for i in range(min(length, 40)):
            found.number(at + 4 + i, 1, ">")
        if code in (0xC0, 0xC2):
            found.row(at + 5, "HH", ">")
        found.part(at, at + 2 + length)
        at += 2 + length
        if code == 0xDA:
            found.part(at, len(data))
            break


def walk_bmp(data: bytes, found: Anatomy) -> None:
    found.row(2, "IHHIIiiHHIIiiII")
    start = struct.unpack_from("<I", data, 10)[0]
    for a, b in ((0, 14), (14, 54), (54, start), (start, len(data))):
        found.part(a, b)
    for at in range(54, min(start, 118)):
        found.number(at, 1)


def picture(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    if data[:4] == b"\x89PNG":
        if rng.random() < 0.25:  # chunks that bring something of their own
            at = rng.choice((8, 33, len(data) - 12))
            body = zlib.compress(bytes(rng.choice((10, 10**6, 80 << 20))))
            more = rng.choice((
                _chunk(b"zTXt", b"Comment\0\0" + body), _chunk(b"iCCP", b"name\0\0" + body), _chunk(b"PLTE", bytes(7)),
                _chunk(b"tRNS", bytes(300)), _chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)), _chunk(b"IEND", b""),
                _chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + body), _chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
                _chunk(b"fcTL", bytes(26)), _chunk(b"IDAT", body), data[8:33], _chunk(b"fdAT", bytes(8)),
            ))  # fmt: skip
            return data[:at] + more + data[at:]
        new = spliced(data, donor, walk_png, rng)
        return _sealed(new) if rng.random() < 0.7 else new
    return spliced(data, donor, walk_jpeg if data[:2] == b"\xff\xd8" else walk_bmp, rng)


# DigitalMicrograph


def walk_dm(data: bytes, found: Anatomy) -> None:
    version = struct.unpack_from(">I", data)[0]
    size = 4 if version == 3 else 8
    found.number(0, 4, ">")
    found.number(4, size, ">")
    found.number(4 + size, 4, ">")
    found.part(0, 8 + size)
    order = "<" if struct.unpack_from(">I", data, 4 + size)[0] == 1 else ">"
    _dm_group(data, found, 8 + size, size, order)


def _dm_group(data: bytes, found: Anatomy, at: int, size: int, order: str) -> int:
    start = at
    found.row(at, "BB", ">")
    found.number(at + 2, size, ">")
    count = int.from_bytes(data[at + 2 : at + 2 + size], "big")
    if at + count > len(data):
        raise IndexError(at)
    at += 2 + size
    for _ in range(count):
        tag = at
        kind, length = struct.unpack_from(">BH", data, at)
        found.row(at, "BH", ">")
        at += 3 + length
        if size == 8:
            found.number(at, 8, ">")
            at += 8
        at = _dm_group(data, found, at, size, order) if kind == 20 else _dm_value(data, found, at, size, order)
        found.part(tag, at)
    found.part(start, at)
    return at


_DM_BYTES = {2: 2, 3: 4, 4: 2, 5: 4, 6: 4, 7: 8, 8: 1, 9: 1, 10: 1, 11: 8, 12: 8}


def _dm_value(data: bytes, found: Anatomy, at: int, size: int, order: str) -> int:
    count = int.from_bytes(data[at + 4 : at + 4 + size], "big")
    if at + count * size > len(data):
        raise IndexError(at)
    found.number(at + 4, size, ">")
    at += 4 + size
    numbers = [int.from_bytes(data[at + i * size : at + (i + 1) * size], "big") for i in range(count)]
    for i in range(count):
        found.number(at + i * size, size, ">")
    at += count * size
    kind = numbers[0]
    if kind in _DM_BYTES:
        found.number(at, _DM_BYTES[kind], order, real=kind in (6, 7))
        return at + _DM_BYTES[kind]
    if kind == 15:
        return at + sum(_DM_BYTES[n] for n in numbers[4::2])
    item = _DM_BYTES[numbers[1]] if numbers[1] != 15 else sum(_DM_BYTES[n] for n in numbers[5:-1:2])
    found.part(at, at + item * numbers[-1])
    return at + item * numbers[-1]


_DM_NAMES = (
    b"DataType",
    b"PixelDepth",
    b"ImageIndex",
    b"Dimensions",
    b"Units",
    b"Scale",
    b"Origin",
    b"Data",
    b"Format",
)


def dm(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.3:  # tags that mean something
        out = bytearray(data)
        found = [m.end() for name in _DM_NAMES for m in re.finditer(re.escape(name), data)]
        at = data.find(b"%%%%", rng.choice(found)) if found else -1
        if at > 0:
            place = at + rng.choice((4, 7, 8, 11, 12, 16, 20, 24))
            out[place : place + 1] = bytes([rng.choice((0, 1, 2, 3, 5, 7, 10, 15, 18, 20, 21, 23, 127, 128, 255))])
        return bytes(out)
    return spliced(data, donor, walk_dm, rng)
