"""HDF5: its blocks and object headers by hand, and links, attributes and datasets through its own library."""

from __future__ import annotations

import random
import re
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.splicing.cutting import Anatomy, spliced
from benchmarks.splicing.texts import HOSTILE, damaged_json, damaged_text

_SIGNATURES = re.compile(
    rb"TREE|SNOD|HEAP|GCOL|OHDR|OCHK|FRHP|FHDB|FHIB|BTHD|BTLF|BTIN|FSHD|FSSE|SMTB|SMLI|FADB|FAHD|EAHD"
)
_SEALED = (b"OHDR", b"OCHK", b"FRHP", b"BTHD", b"BTLF", b"FADB", b"FAHD", b"EAHD", b"FHDB", b"BTIN")


def walk(data: bytes, found: Anatomy) -> None:
    """The superblock, blocks by their signatures, and version 1 object headers that links lead to."""
    version = data[8]
    found.part(0, 96)
    for at in range(8, 24):
        found.number(at, 1)
    found.row(16 if version < 2 else 12, "HHIQQQQQQII" if version < 2 else "QQQQI")
    places = [m.start() for m in _SIGNATURES.finditer(data)][:150]
    for at, after in zip(places, [*places[1:], len(data)], strict=True):
        end = min(after, at + 512)
        found.part(at, end)
        for byte in range(4, 8):
            found.number(at + byte, 1)
        for byte in range(8, min(end - at, 128), 8):
            found.number(at + byte, 8)
        if data[at : at + 4] == b"SNOD":
            for entry in range(min(32, struct.unpack_from("<H", data, at + 6)[0])):
                _header(data, struct.unpack_from("<Q", data, at + 16 + entry * 40)[0], found)
        elif data[at : at + 4] in (b"OHDR", b"OCHK"):
            for byte in range(4, min(end - at, 200)):
                found.number(at + byte, 1)
    if version < 2:
        _header(data, struct.unpack_from("<Q", data, 64)[0], found)


def _header(data: bytes, at: int, found: Anatomy) -> None:
    """A version 1 object header and the bytes of its messages."""
    if at + 16 > len(data) or data[at] != 1:
        return
    count, _, size = struct.unpack_from("<HII", data, at + 2)
    found.row(at, "BBHII")
    found.part(at, at + 16 + size)
    place = at + 16
    for _ in range(min(count, 40)):
        if place + 8 > min(len(data), at + 16 + size):
            break
        kind, length = struct.unpack_from("<HH", data, place)
        found.row(place, "HHB")
        found.part(place, place + 8 + length)
        body = place + 8
        for byte in range(min(length, 16)):
            found.number(body + byte, 1)
        for byte in range(0, min(length, 64) - 7, 4):
            found.number(body + byte, rng_size(kind, byte))
        if kind == 0x10:  # the header goes on elsewhere
            found.row(body, "QQ")
        place = body + length


def rng_size(kind: int, byte: int) -> int:
    """Bytes of a number in a message: addresses and sizes have 8, most else 4."""
    return 8 if kind in (0x1, 0x8, 0x10, 0x11) and byte % 8 == 0 else 4


def lookup3(data: bytes, start: int = 0) -> int:
    """Bob Jenkins' hash, with which HDF5 seals its newer blocks."""
    mask, n = 0xFFFFFFFF, len(data)
    a = b = c = (0xDEADBEEF + n + start) & mask

    def turn(x: int, k: int) -> int:
        return ((x << k) | (x >> (32 - k))) & mask

    at = 0
    while n > 12:
        x, y, z = struct.unpack_from("<III", data, at)
        a, b, c = (a + x) & mask, (b + y) & mask, (c + z) & mask
        a = (a - c & mask) ^ turn(c, 4)
        c = (c + b) & mask
        b = (b - a & mask) ^ turn(a, 6)
        a = (a + c) & mask
        c = (c - b & mask) ^ turn(b, 8)
        b = (b + a) & mask
        a = (a - c & mask) ^ turn(c, 16)
        c = (c + b) & mask
        b = (b - a & mask) ^ turn(a, 19)
        a = (a + c) & mask
        c = (c - b & mask) ^ turn(b, 4)
        b = (b + a) & mask
        at, n = at + 12, n - 12
    if n == 0:
        return c
    x, y, z = struct.unpack("<III", data[at:].ljust(12, b"\0"))
    a, b, c = (a + x) & mask, (b + y) & mask, (c + z) & mask
    for p, k in (("cb", 14), ("ac", 11), ("ba", 25), ("cb", 16), ("ac", 4), ("ba", 14), ("cb", 24)):
        v = {"a": a, "b": b, "c": c}
        v[p[0]] = ((v[p[0]] ^ v[p[1]]) - turn(v[p[1]], k)) & mask
        a, b, c = v["a"], v["b"], v["c"]
    return c


def _sealed_ends(data: bytes) -> list[tuple[int, int]]:
    """(start, end) of the blocks of a sound file whose last four bytes are their checksum."""
    found = [(0, 44)] if data[8] >= 2 and lookup3(data[:44]) == struct.unpack_from("<I", data, 44)[0] else []
    for m in _SIGNATURES.finditer(data):
        if m.group() not in _SEALED:
            continue
        start = m.start()
        ends = range(start + 8, min(len(data) - 4, start + 400))
        end = next((e for e in ends if lookup3(data[start:e]) == struct.unpack_from("<I", data, e)[0]), 0)
        if end:
            found.append((start, end))
    return found


_known: dict[bytes, list[tuple[int, int]]] = {}


_REFUSALS = (OSError, ValueError, TypeError, KeyError, RuntimeError, OverflowError, AttributeError, MemoryError)
"""What the library raises at what it does not do."""


def damage(path: Path, donor: Path, rng: random.Random) -> None:
    """Half of it in bytes, half through the library."""
    if rng.random() < 0.5:
        data = path.read_bytes()
        new = spliced(data, donor.read_bytes(), walk, rng)
        if data[8] >= 2 and len(new) == len(data) and rng.random() < 0.8:
            new = _resealed(new, _known.setdefault(data, _sealed_ends(data)))
        path.write_bytes(new)
        return
    import h5py

    with h5py.File(path, "r+") as file:
        for _ in range(rng.choice((1, 1, 2, 3))):
            with suppress(*_REFUSALS):
                _through_library(file, rng)


def _resealed(data: bytes, ends: list[tuple[int, int]]) -> bytes:
    out = bytearray(data)
    for start, end in ends:
        struct.pack_into("<I", out, end, lookup3(bytes(out[start:end])))
    return bytes(out)


def _objects(file: Any) -> tuple[list[Any], list[Any]]:
    groups, datasets = [file], []

    def visit(_: str, one: Any) -> None:
        (datasets if hasattr(one, "shape") else groups).append(one)

    file.visititems(visit)
    return groups, datasets


def _through_library(file: Any, rng: random.Random) -> None:
    groups, datasets = _objects(file)
    group, thing = rng.choice(groups), rng.choice(groups + datasets * 3)
    kind = rng.randrange(11)
    if kind <= 2:
        names = list(thing.attrs) or ["axes"]
        _attribute(thing, rng.choice((*names, *names, *_WORDS)), rng)
    elif kind == 3:
        name = thing.name
        if name != "/":
            del file[name]
    elif kind == 4:
        _link(file, group, rng)
    elif kind == 5 and datasets:  # another dataset of the same name
        name = rng.choice(datasets).name
        del file[name]
        _dataset(file, name, rng)
    elif kind == 6:
        _dataset(group, rng.choice(_WORDS), rng)
    elif kind == 7 and datasets:  # a group where a dataset was
        name = rng.choice(datasets).name
        del file[name]
        file.create_group(name)
    elif kind == 8 and thing.name != "/":
        file.move(thing.name, rng.choice((*_WORDS, thing.name + "\n", "a/b/c/d", thing.parent.name + "/x" * 30)))
    elif kind == 9 and thing.attrs:
        del thing.attrs[rng.choice(list(thing.attrs))]
    elif datasets:
        _values(rng.choice([d for d in datasets if d.size and d.size < 1 << 22] or datasets[:1]), rng)


_WORDS = ("data", "Data", "Image", "dim1", "dim2", "axis-0", "units", "name", "size", "scale", "offset", "axes",
          "emd_group_type",
          "version", "file_format", "element_size_um", "navigate", "Metadata", "ruska", "spacing", "signal", "NX_class",
          "original_metadata", "t00000", "ExperimentDescription")  # fmt: skip


def _attribute(thing: Any, name: str, rng: random.Random) -> None:
    import h5py

    kind = rng.randrange(8)
    value: Any
    if kind == 0:
        value = rng.choice((h5py.Empty("f4"), h5py.Empty("S1"), thing.ref, np.void(b"\0\1"), np.bool_(True)))
    elif kind == 1:
        value = np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")])
    elif kind == 2:
        value = np.array(rng.choice((np.nan, np.inf, 0.0, -1.0, 1e300)), "f8")
    elif kind == 3:
        value = np.array(rng.choice(([], [1], [1, 2, 3, 4, 5, 6, 7], [[1, 2], [3, 4]], np.zeros((2, 0)))))
    elif kind == 4:
        value = rng.choice((b"\xff\xfe", b"", b"a\0b", b"[" * 3000)) if rng.random() < 0.5 else "\udcff\n\x1b[1m"
    elif kind == 5:
        value = np.array(["nm", "é" * 30, ""], dtype=h5py.string_dtype())
    elif kind == 6 and isinstance(thing.attrs.get(name), str | bytes):
        old = thing.attrs[name]
        value = damaged_text(old if isinstance(old, bytes) else old.encode(), rng)
    else:
        value = rng.choice([h for h in HOSTILE if isinstance(h, int | float | str)])
    thing.attrs[name] = value


def _link(file: Any, group: Any, rng: random.Random) -> None:
    import h5py

    names = [n for n in group if rng.random() < 0.5] + [rng.choice(_WORDS)]
    name = rng.choice(names)
    if name in group:
        del group[name]
    kind = rng.randrange(6)
    if kind == 0:
        group[name] = h5py.SoftLink(
            rng.choice((f"{group.name}/{name}", "/", "/nothing", "..", group.name, "", "/data\0"))
        )
    elif kind == 1:
        group[name] = h5py.ExternalLink(rng.choice(("/etc/hostname", "other.h5", "../x.h5", "a.h5", "")), "/data")
    elif kind == 2:
        group[name] = file["/"]  # a loop
    elif kind == 3:
        group[name] = group
    elif kind == 4:
        for i in range(rng.choice((20, 600))):
            group[f"{name}{i}"] = h5py.SoftLink("/")
    else:
        deep = group.create_group(name)
        for _ in range(rng.choice((10, 300))):
            deep = deep.create_group("g")
        deep[rng.choice(_WORDS)] = np.zeros((4, 4))


def _dataset(group: Any, name: str, rng: random.Random) -> None:
    import h5py

    compound = np.dtype([("r", "u1"), ("g", "u1")])
    makers = (
        lambda: group.create_dataset(name, (2**40, 2**20), "f4", chunks=(64, 64)),
        lambda: group.create_dataset(name, (2**31, 4), "u1", chunks=(2**20, 4), compression="gzip"),
        lambda: group.create_dataset(name, (20, 30), "f8", chunks=(20, 30), shuffle=True, fletcher32=True),
        lambda: group.create_dataset(name, data=h5py.Empty("f4")),
        lambda: group.create_dataset(name, data=rng.choice((1.0, "text", b"\xff\n", np.zeros(0), np.zeros((0, 5))))),
        lambda: group.create_dataset(
            name, data=np.zeros((5, 6), rng.choice(("c8", "f2", "i8", "?", "S3", "V5", ">u2", "f8")))
        ),
        lambda: group.create_dataset(name, data=np.zeros((5, 6), compound)),
        lambda: group.create_dataset(name, (5, 6), h5py.vlen_dtype("i4")),
        lambda: group.create_dataset(name, (5, 6), h5py.string_dtype()),
        lambda: group.create_dataset(name, (5, 6), h5py.ref_dtype),
        lambda: group.create_dataset(name, (5, 6), h5py.enum_dtype({"a": 1, "b": 2})),
        lambda: group.create_dataset(name, (5, 6), np.dtype(("f4", (3,)))),
        lambda: group.create_dataset(name, (1,) * rng.choice((1, 7, 32)), "f4"),
        lambda: group.create_dataset(name, (20, 30), "f4", external=[("/etc/hostname", 0, 2400)]),
        lambda: group.create_dataset(name, (3, 20, 30), "u2", maxshape=(None, None, None), scaleoffset=3),
        lambda: group.create_dataset(name, data=np.full((20, 30), np.nan, "f4")),
        lambda: _virtual(group, name, rng),
        lambda: group.create_dataset(name, (3, 20, 30), "u2", chunks=(1, 2, 3), fillvalue=7),
    )
    rng.choice(makers)()


def _virtual(group: Any, name: str, rng: random.Random) -> None:
    import h5py

    layout = h5py.VirtualLayout((4, 20, 30), "u2")
    for i in range(4):
        source = rng.choice((".", "nothing.h5", "/etc/hostname", "../a.h5"))
        layout[i] = h5py.VirtualSource(source, rng.choice((f"{group.name}/{name}", "/data")), (20, 30))
    group.create_virtual_dataset(name, layout)


def _values(dataset: Any, rng: random.Random) -> None:
    """Other values: of JSON kept as bytes, as Velox does, other JSON."""
    values = dataset[...]
    if values.dtype == np.uint8 and values.ndim == 2 and values.size < 1 << 20:
        column = values[:, 0].tobytes()
        text = column.rstrip(b"\0")
        new = damaged_json(text, text, rng) if text[:1] == b"{" else damaged_text(text, rng)
        values[:, 0] = np.frombuffer(new[: len(column)].ljust(len(column), b"\0"), "u1")
        dataset[...] = values
    elif values.dtype.kind in "uifb":
        with np.errstate(all="ignore"):
            new_values = (
                values * 0 if rng.random() < 0.5 else np.full(values.shape, rng.choice((np.nan, np.inf, -1, 2**40)))
            )
            dataset[...] = np.asarray(new_values).astype(values.dtype)
    elif values.dtype.kind in "OS":
        old = values.ravel()[0]
        text = old if isinstance(old, bytes) else str(old).encode()
        changed = damaged_json(text, text, rng) if text[:1] == b"{" else damaged_text(text, rng)
        dataset[(0,) * dataset.ndim] = changed.replace(b"\0", b"")
