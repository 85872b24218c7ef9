"""Folders: stores of many files (Zarr, N5, precomputed) and stacks of slices."""

from __future__ import annotations

import bz2
import gzip
import random
import shutil
import struct
import zlib
from pathlib import Path

from benchmarks.splicing import tiff
from benchmarks.splicing.cutting import EXTREMES, Anatomy, spliced
from benchmarks.splicing.texts import damaged_json

_METADATA = ("zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata", "attributes.json", "info")


def store(root: Path, donor: Path, rng: random.Random) -> None:
    """Two in three times the metadata, else the chunks and the tree they stand in."""
    for _ in range(rng.choice((1, 1, 2))):
        files = sorted(p for p in root.rglob("*") if p.is_file() and not p.is_symlink())
        described = [p for p in files if p.name in _METADATA]
        chunks = [p for p in files if p.name not in _METADATA]
        if described and (rng.random() < 0.65 or not chunks):
            one = rng.choice(described)
            alike = sorted(p for p in donor.rglob(one.name) if p.is_file()) or [one]
            one.write_bytes(damaged_json(one.read_bytes(), rng.choice(alike).read_bytes(), rng))
        elif chunks:
            others = sorted(p for p in donor.rglob("*") if p.is_file() and p.name not in _METADATA) or chunks
            _chunk(rng.choice(chunks), rng.choice(chunks), rng.choice(others), root, rng)


def _walk(data: bytes, found: Anatomy) -> None:
    """Heads of blosc, gzip and N5 chunks, and an index of shards at either end."""
    found.row(0, "BBBBIII")
    found.row(0, "HHIII", ">")
    for at in (*range(0, min(len(data), 64), 8), *range(max(0, len(data) - 68), len(data) - 7, 8)):
        found.number(at, 8)
    size = len(data)
    for a, b in ((0, 4), (0, 16), (4, 16), (16, size), (size // 2, size), (0, size // 2), (size - 4, size)):
        found.part(a, b)


def _resealed(data: bytes) -> bytes:
    """With the checksum of a shard's index made right, for an index of as many chunks as the file ends with."""
    import google_crc32c

    for chunks in (1, 2, 4, 8):
        index = data[-16 * chunks - 4 : -4]
        if len(index) == 16 * chunks and google_crc32c.value(index).to_bytes(4, "little") == data[-4:]:
            return data
    return data[:-4] + google_crc32c.value(data[-16 * _shards(data) - 4 : -4]).to_bytes(4, "little")


def _shards(data: bytes) -> int:
    return 4 if len(data) >= 68 else 1


def _chunk(one: Path, other: Path, foreign: Path, root: Path, rng: random.Random) -> None:
    kind, data = rng.randrange(14), one.read_bytes()
    if kind <= 3:
        new = spliced(data, foreign.read_bytes(), _walk, rng)
        one.write_bytes(_resealed(new) if rng.random() < 0.5 and len(new) > 20 else new)
    elif kind == 4:
        packed = rng.choice((gzip.compress, zlib.compress, bz2.compress))
        one.write_bytes(packed(rng.choice((data, b"", bytes(3 << 20)))))
    elif kind == 5:
        one.write_bytes(rng.choice((b"", b"\0", data * 2, data[:-1], bytes(len(data)), b"\xff" * len(data))))
    elif kind == 6:
        shutil.copyfile(rng.choice((other, foreign)), one.with_name("moved"))
        one.with_name("moved").replace(one)
    elif kind == 7:
        one.unlink()
    elif kind == 8:  # a folder where a file should be
        one.unlink()
        one.mkdir()
    elif kind == 9:  # links: to itself, to nothing, out of the store, to the folder above
        one.unlink()
        one.symlink_to(rng.choice((one.name, "nothing", "/etc/hostname", "..", "/dev/null")))
    elif kind == 10 and len(data) >= 20:  # an index of shards, its checksum right
        out = bytearray(data)
        for _ in range(rng.choice((1, 2))):
            at = len(out) - 4 - 8 * rng.randint(1, min(8, (len(out) - 4) // 8))
            struct.pack_into("<Q", out, at, rng.choice((*EXTREMES, len(out), len(out) - 1)) % 2**64)
        one.write_bytes(_resealed(bytes(out)))
    elif kind == 11:
        link = one.parent / rng.choice(("loop", "1", "s0", "c"))
        if not link.exists():
            link.symlink_to(rng.choice((root, one.parent, Path(".."))), target_is_directory=True)
    elif kind == 12:
        folder = rng.choice(sorted({one.parent, *(p for p in root.rglob("*") if p.is_dir() and not p.is_symlink())}))
        if folder != root and not folder.is_symlink():
            shutil.rmtree(folder)
    else:
        described = [p for p in root.rglob("*") if p.name in _METADATA and p.is_file()]
        if described:
            rng.choice(described).replace(one)


_MEMBERS = ("slice1.tif", "slice0 copy.tif", "slice٣.tif", "slice²1.tif", "slice99999999999999999999.tif", "a.png",
            "b.mrc",
            "Thumbs.db", "slice1.TIF", "\x1b[31m.tif", "a\nb.tif", "slice.npy", ".hidden.tif", "z.dat", "z.gz",
            "z.tif.gz",
            "q.h5", "slice" + "0" * 200 + ".tif", "s.zip")  # fmt: skip


def slices(root: Path, donor: Path, rng: random.Random) -> None:
    """A stack of files: one of them damaged or of another kind, more of them, fewer, or none."""
    files = sorted(p for p in root.iterdir() if p.is_file())
    one, other = rng.choice(files), rng.choice(files)
    kind = rng.randrange(10)
    if kind <= 4 and one.suffix == ".tif":
        one.write_bytes(tiff.damage(one.read_bytes(), other.read_bytes(), rng))
    elif kind == 5:
        body = rng.choice((b"", b"II*\0", one.read_bytes(), b"\x89PNG\r\n\x1a\n", b"PK\3\4", b"BZh9", b"\0\0\0\3" * 9))
        (root / rng.choice(_MEMBERS)).write_bytes(body)
    elif kind == 6:
        one.unlink()
        rng.choice((one.mkdir, lambda: one.symlink_to(rng.choice((one.name, "/dev/null", other, "..")))))()
    elif kind == 7:
        for file in files[: rng.choice((1, 2, 3))]:
            file.unlink()
    elif kind == 8:
        one.replace(root / rng.choice(_MEMBERS))
    else:
        shutil.copyfile(rng.choice(sorted(p for p in donor.rglob("*") if p.is_file())), root / rng.choice(_MEMBERS))
