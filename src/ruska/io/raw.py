"""Boxes of arrays stored uncompressed in a file, read and never memory-mapped.

A mapped file that becomes shorter, or whose share goes away, crashes the program (SIGBUS); a read fails with an error
that can be reported.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import InputError

if TYPE_CHECKING:
    from io import FileIO

    from numpy.typing import NDArray

_GAP = 16 << 10  # bytes between two runs that cost less to read over than a call of their own
_SPAN = 4 << 20  # bytes of runs and gaps that are read at once


def read_raw(path: Path, offset: int, shape: tuple[int, ...], stored: Any, box: tuple[slice, ...]) -> NDArray[Any]:
    """``box`` of the array of ``shape`` (C order) at byte ``offset``, in native byte order.

    stored : data type with its byte order. box : a slice with explicit bounds and step 1 per axis.

    Raises InputError when the file ends before, OSError when it cannot be read.
    """
    stored = np.dtype(stored)
    values = np.empty(tuple(s.stop - s.start for s in box), stored)
    if values.size:
        out = values.reshape(-1).view(np.uint8)
        with path.open("rb", buffering=0) as file:
            for start, run, pitch, count, place in _rows(shape, box, stored.itemsize):
                part = out[place : place + run * count]
                _read_rows(path, file, offset + start, run, pitch, part)
    if not stored.isnative:
        values.byteswap(inplace=True)
    return values.view(stored.newbyteorder("="))


def _rows(shape: tuple[int, ...], box: tuple[slice, ...], itemsize: int) -> Iterator[tuple[int, int, int, int, int]]:
    """What a box is made of: (first byte, bytes of a run, from run to run, runs, place in the result) of each part."""
    steps = [math.prod(shape[i + 1 :]) * itemsize for i in range(len(shape))]
    whole = len(shape)  # of axes from here on the box has all
    while whole > 1 and box[whole - 1] == slice(0, shape[whole - 1]):
        whole -= 1
    inner, rows = whole - 1, whole - 2  # runs lie along `inner`, and one after the other along `rows`
    run = (box[inner].stop - box[inner].start) * steps[inner] if shape else itemsize
    count = box[rows].stop - box[rows].start if rows >= 0 else 1
    pitch = steps[rows] if rows >= 0 else run
    first = sum(s.start * step for s, step in zip(box[max(0, rows) :], steps[max(0, rows) :], strict=True))
    places = product(*(range(s.start, s.stop) for s in box[: max(0, rows)]))
    for number, place in enumerate(places):
        yield (
            first + sum(i * step for i, step in zip(place, steps, strict=False)),
            run,
            pitch,
            count,
            number * run * count,
        )


def _read_rows(path: Path, file: FileIO, start: int, run: int, pitch: int, out: NDArray[np.uint8]) -> None:
    """Fill ``out`` with runs of ``run`` bytes that begin ``pitch`` bytes apart."""
    if pitch == run:
        return _read(path, file, start, out)
    rows = out.reshape(-1, run)
    together = max(1, _SPAN // pitch) if pitch - run <= _GAP else 1
    if together == 1:
        for i, row in enumerate(rows):
            _read(path, file, start + i * pitch, row)
        return None
    span = np.empty(min(together, len(rows)) * pitch, np.uint8)
    for i in range(0, len(rows), together):
        part = rows[i : i + together]
        _read(path, file, start + i * pitch, span[: (len(part) - 1) * pitch + run])
        part[:] = span[: len(part) * pitch].reshape(-1, pitch)[:, :run]
    return None


def _read(path: Path, file: FileIO, start: int, out: NDArray[np.uint8]) -> None:
    """Fill ``out``, contiguous, from byte ``start`` on."""
    file.seek(start)
    rest = memoryview(out)
    while rest:
        got = file.readinto(rest)
        if not got:
            end = start + out.size
            raise InputError(path, f"became shorter while it was open: it ends before byte {end}",
                             "Copy it again from the source.")  # fmt: skip
        rest = rest[got:]
