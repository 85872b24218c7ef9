"""Keeps blocks until the result is complete: in memory, or one file per block in a work folder."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import product
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.disk import settle
from ruska.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.engine.contracts import Box


class MemoryStore:
    """A `Sink` (and lazy array) that is one NumPy array."""

    def __init__(self, shape: tuple[int, ...], dtype: Any, grain: tuple[int, ...] | None = None) -> None:
        self.values = np.zeros(shape, dtype)
        self.shape, self.dtype = self.values.shape, self.values.dtype
        self.grain = grain or (1,) * len(shape)

    def write(self, box: Box, values: NDArray[Any]) -> None:
        self.values[box] = values

    def read(self, box: Box) -> NDArray[Any]:
        return self.values[box]


class BlockStore:
    """A `Sink` (and lazy array) of one ``.npy`` file per grain in ``folder``.

    A file gets its name only when it is whole, so a store that was killed while writing holds complete blocks and
    nothing else. A read gathers from all files that the box touches.
    """

    def __init__(self, folder: Path, shape: tuple[int, ...], dtype: Any, grain: tuple[int, ...]) -> None:
        self.folder, self.shape, self.dtype, self.grain = folder, tuple(shape), np.dtype(dtype), tuple(grain)
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, box: Box, values: NDArray[Any]) -> None:
        """Write ``values`` to ``box``, which must be whole grains (or end where the array ends)."""
        for cell, part in self._cells(box):
            inside = tuple(slice(p.start - b.start, p.stop - b.start) for p, b in zip(part, box, strict=True))
            assert part == self._bounds(cell), "a write must cover whole grains"
            target = self._file(cell)
            save_tile(target, np.ascontiguousarray(values[inside], self.dtype))

    def read(self, box: Box) -> NDArray[Any]:
        """Raises InputError for a block that was never written, is gone, or is damaged."""
        out = np.empty(tuple(s.stop - s.start for s in box), self.dtype)
        for cell, part in self._cells(box):
            corner = self._bounds(cell)
            inside = tuple(slice(p.start - c.start, p.stop - c.start) for p, c in zip(part, corner, strict=True))
            place = tuple(slice(p.start - b.start, p.stop - b.start) for p, b in zip(part, box, strict=True))
            out[place] = load_tile(self._file(cell), inside)
        return out

    def __getitem__(self, box: Box) -> NDArray[Any]:
        return self.read(box)

    def _cells(self, box: Box) -> Iterator[tuple[tuple[int, ...], Box]]:
        """The grains a box touches, each with the part of the box inside it."""
        ranges = (range(s.start // g, -(-s.stop // g)) for s, g in zip(box, self.grain, strict=True))
        for cell in product(*ranges):
            whole = self._bounds(cell)
            part = tuple(slice(max(w.start, s.start), min(w.stop, s.stop)) for w, s in zip(whole, box, strict=True))
            yield cell, part

    def _bounds(self, cell: tuple[int, ...]) -> Box:
        return tuple(slice(i * g, min((i + 1) * g, n)) for i, g, n in zip(cell, self.grain, self.shape, strict=True))

    def _file(self, cell: tuple[int, ...]) -> Path:
        return self.folder / ("_".join(map(str, cell)) + ".npy")


def load_tile(file: Path, inside: Box | None = None) -> NDArray[Any]:
    """Read an ``.npy`` file that `save_tile` wrote, or a box of it: whole rows of as many planes as the box has.

    Never memory-mapped: that would crash the program if a network share goes away. Raises InputError if the file is
    gone, or damaged as by a power cut; OSError if it cannot be read.
    """
    try:
        with file.open("rb") as stored:
            np.lib.format.read_magic(stored)
            shape, _, dtype = np.lib.format.read_array_header_1_0(stored)
            box = inside or tuple(slice(0, n) for n in shape)
            steps = [prod(shape[axis + 1 :]) * dtype.itemsize for axis in range(len(shape))]
            start = stored.tell() + box[-2].start * steps[-2]
            part = np.empty((*(s.stop - s.start for s in box[:-1]), shape[-1]), dtype)
            for place in np.ndindex(*part.shape[:-2]) if part.size else ():
                stored.seek(start + sum((s.start + i) * n for s, i, n in zip(box, place, steps, strict=False)))
                wanted = memoryview(part[place]).cast("B")
                if stored.readinto(wanted) != len(wanted):
                    raise ValueError("it is cut short")
    except (FileNotFoundError, ValueError) as error:
        wrong = "is gone" if isinstance(error, OSError) else f"is damaged ({error})"
        raise InputError(file, f"was finished, but {wrong}", "Reconnect its disk or share; if that does not help, "
                         f"delete {file.parent.parent.name} and start again.") from error  # fmt: skip
    return part[..., box[-1]]


def save_tile(file: Path, values: NDArray[Any]) -> None:
    """Save an ``.npy`` file that appears whole or not at all, and is on disk when this returns.

    Raises OSError with the system's reason; `np.save` would not say that the disk is full.
    """
    scratch = file.with_suffix(".part")
    values = np.ascontiguousarray(values)
    try:
        with scratch.open("wb") as out:
            np.lib.format.write_array_header_1_0(out, np.lib.format.header_data_from_array_1_0(values))
            out.write(values.data)
            settle(out)  # an empty file that a power cut left under this name would pass for finished work
        os.replace(scratch, file)
    except OSError:
        scratch.unlink(missing_ok=True)  # its space is needed for finished blocks
        raise


def describe(shape: tuple[int, ...], dtype: Any, grain: tuple[int, ...]) -> str:
    """One line that identifies a store's geometry, for the fingerprint of a job."""
    return json.dumps([list(shape), np.dtype(dtype).str, list(grain)])
