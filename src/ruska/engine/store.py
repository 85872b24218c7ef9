"""Where blocks are kept until the result is complete: in memory, or one file per block in a work folder."""

from __future__ import annotations

import json
import os
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

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

    A file appears under its name only when it is whole, so a store that was killed while writing holds complete
    blocks and nothing else. Reading gathers from the files a box touches; a block never written reads as zero.
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
        out = np.zeros(tuple(s.stop - s.start for s in box), self.dtype)
        for cell, part in self._cells(box):
            file = self._file(cell)
            if not file.exists():
                continue
            corner = self._bounds(cell)
            inside = tuple(slice(p.start - c.start, p.stop - c.start) for p, c in zip(part, corner, strict=True))
            place = tuple(slice(p.start - b.start, p.stop - b.start) for p, b in zip(part, box, strict=True))
            out[place] = _load_part(file, inside)
        return out

    def __getitem__(self, box: Box) -> NDArray[Any]:
        return self.read(box)

    def _cells(self, box: Box) -> list[tuple[tuple[int, ...], Box]]:
        """The grains a box touches, each with the part of the box inside it."""
        ranges = (range(s.start // g, -(-s.stop // g)) for s, g in zip(box, self.grain, strict=True))
        found = []
        for cell in product(*ranges):
            whole = self._bounds(cell)
            part = tuple(slice(max(w.start, s.start), min(w.stop, s.stop)) for w, s in zip(whole, box, strict=True))
            found.append((cell, part))
        return found

    def _bounds(self, cell: tuple[int, ...]) -> Box:
        return tuple(slice(i * g, min((i + 1) * g, n)) for i, g, n in zip(cell, self.grain, self.shape, strict=True))

    def _file(self, cell: tuple[int, ...]) -> Path:
        return self.folder / ("_".join(map(str, cell)) + ".npy")


def _load_part(file: Path, inside: Box) -> NDArray[Any]:
    """Read a box of an ``.npy`` file; memory-mapped, so that a plane of a cube costs a plane."""
    mapped = np.load(file, mmap_mode="r", allow_pickle=False)
    part = np.array(mapped[inside])
    mapped._mmap.close()  # at once: Windows cannot delete a mapped file, and pages held count as our memory
    return part


def save_tile(file: Path, values: NDArray[Any]) -> None:
    """Save an ``.npy`` file so that it appears whole or not at all.

    Raises OSError with the system's reason; `np.save` would not say that the disk is full.
    """
    scratch = file.with_suffix(".part")
    values = np.ascontiguousarray(values)
    try:
        with scratch.open("wb") as out:
            np.lib.format.write_array_header_1_0(out, np.lib.format.header_data_from_array_1_0(values))
            out.write(values.data)
        os.replace(scratch, file)
    except OSError:
        scratch.unlink(missing_ok=True)  # its space is wanted for what is finished
        raise


def describe(shape: tuple[int, ...], dtype: Any, grain: tuple[int, ...]) -> str:
    """One line that identifies a store's geometry, for the fingerprint of a job."""
    return json.dumps([list(shape), np.dtype(dtype).str, list(grain)])
