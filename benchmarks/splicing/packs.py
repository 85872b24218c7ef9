"""Files that hold files: gzip, bzip2, zip archives and NumPy's."""

from __future__ import annotations

import bz2
import gzip
import io
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable

from benchmarks.splicing.cutting import Anatomy, spliced

Damage = Callable[[bytes, bytes, random.Random], bytes]


def walk_zip(data: bytes, found: Anatomy) -> None:
    """Local headers, the directory and its end."""
    end = data.rfind(b"PK\5\6")
    found.row(end + 4, "HHHHIIH")
    found.part(end, len(data))
    count, _, start = struct.unpack_from("<HII", data, end + 10)
    found.part(start, end)
    at = start
    for _ in range(min(count, 60)):
        found.row(at + 4, "HHHHHHIIIHHHHHII")
        lengths = struct.unpack_from("<HHH", data, at + 28)
        place = struct.unpack_from("<I", data, at + 42)[0]
        stop = at + 46 + sum(lengths)
        found.part(at, stop)
        found.part(at + 46, at + 46 + lengths[0])
        found.row(place + 4, "HHHHHIIIHH")
        body = place + 30 + sum(struct.unpack_from("<HH", data, place + 26))
        found.part(place, body)
        found.part(body, body + struct.unpack_from("<I", data, at + 20)[0])
        at = stop


def walk_gzip(data: bytes, found: Anatomy) -> None:
    found.row(0, "BBBBIBB")
    name = data.index(b"\0", 10) + 1 if data[3] & 8 else 10
    for a, b in (
        (0, 10),
        (10, name),
        (0, name),
        (name, len(data) - 8),
        (name, len(data) // 2),
        (len(data) - 8, len(data)),
    ):
        found.part(a, b)
    found.row(len(data) - 8, "II")
    for at in range(name, min(name + 20, len(data))):
        found.number(at, 1)


def walk_bzip2(data: bytes, found: Anatomy) -> None:
    for at in range(2, 40):
        found.number(at, 1)
    for a, b in (
        (0, 4),
        (4, 10),
        (10, 14),
        (0, 14),
        (14, len(data)),
        (14, len(data) // 2),
        (len(data) - 10, len(data)),
    ):
        found.part(a, b)


def squeezed(inside: Damage) -> Damage:
    """Damage to a gzip or bzip2 file: to its frame, or by ``inside`` to what it holds, packed anew."""

    def damage(data: bytes, donor: bytes, rng: random.Random) -> bytes:
        pack, unpack = (gzip.compress, gzip.decompress) if data[:2] == b"\x1f\x8b" else (bz2.compress, bz2.decompress)
        kind = rng.randrange(8)
        if kind <= 2:
            return spliced(data, donor, walk_gzip if data[:2] == b"\x1f\x8b" else walk_bzip2, rng)
        plain = unpack(data)
        if kind <= 5:
            other = gzip.decompress(donor) if donor[:2] == b"\x1f\x8b" else bz2.decompress(donor)
            return pack(inside(plain, other, rng))
        return rng.choice((
            pack(data), data + data, data + b"\0" * 100, data + b"garbage", pack(b""), pack(plain[: len(plain) // 2]),
            pack(bytes(rng.choice((1, 600, 30 << 20)))), pack(b"#!/bin/sh\necho\n"), pack(plain)[:-4],
            data[:2] + donor[2:],
            pack(plain[:100]) + pack(plain[100:]), pack(zlib.compress(plain)), pack(plain + bytes(5 << 20)),
        ))  # fmt: skip

    return damage


_NAMES = ("../out.tif", "/tmp/out.npy", "C:\\out.npy", "..\\out.npy", "a/../../b.npy", "", ".", "..", "a\nb.npy",
          "é.npy",
          "\x1b[31m.npy", "x" * 300 + ".npy", "data.npy", "mask.npy", "ruska.npy", ".zarray", "zarr.json",
          "a.zarr/zarr.json",
          "a.tif", "a.npy.gz", "a.zip", "con.npy", "a/", "d/.zattrs", "data", "a.h5", "a.mrc", "x.npy")  # fmt: skip


def members(inside: Callable[[str, bytes, bytes, random.Random], bytes]) -> Damage:
    """Damage to a zip archive: to its frame, or to names, number, packing and contents of its members."""

    def damage(data: bytes, donor: bytes, rng: random.Random) -> bytes:
        if rng.random() < 0.4:
            return spliced(data, donor, walk_zip, rng)
        held, others = _contents(data), _contents(donor)
        for _ in range(rng.choice((1, 1, 2))):
            _change(held, others, inside, rng)
        out = io.BytesIO()
        with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
            warnings.simplefilter("ignore")  # two members of one name are meant
            for name, body in held:
                how = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
                archive.writestr(zipfile.ZipInfo(name), body, how)
        return out.getvalue()

    return damage


def _contents(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(m.filename, archive.read(m)) for m in archive.infolist()]


def _change(
    held: list[tuple[str, bytes]],
    others: list[tuple[str, bytes]],
    inside: Callable[[str, bytes, bytes, random.Random], bytes],
    rng: random.Random,
) -> None:
    if not held:
        return
    at = rng.randrange(len(held))
    name, body = held[at]
    kind = rng.randrange(9)
    if kind <= 3:
        fitting = [b for n, b in others if n.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]] or [body]
        held[at] = name, inside(name, body, rng.choice(fitting), rng)
    elif kind == 4:
        held[at] = rng.choice(_NAMES), body
    elif kind == 5:
        held.insert(
            rng.randrange(len(held) + 1), (rng.choice((name, *_NAMES)), rng.choice((body, b"", b"{}", b"\0" * 99)))
        )
    elif kind == 6:
        del held[at]
    elif kind == 7:
        other = rng.randrange(len(held))
        held[at], held[other] = (name, held[other][1]), (held[other][0], body)
    else:
        held[at] = name, rng.choice((b"", b"\0", body[:-1], body * 2, bytes(40 << 20), rng.choice(others)[1]))
