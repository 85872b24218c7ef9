"""Base of the lazily read arrays that the formats return."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import InputError
from ruska.image.grid import corners, places
from ruska.image.held import Held

if TYPE_CHECKING:
    from numpy.typing import NDArray


class LazyPixels(ABC):
    """Pixels that stay in their file until they are indexed, like a read-only NumPy array.

    A format implements `read_box`; integers, negative indices, steps and ``...`` are handled here.
    ``files`` : files and whole folders from which the pixels are read; empty if it is the file that the image's
    ``path`` names.
    """

    files: tuple[Path, ...] = ()

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape = tuple(int(n) for n in shape)
        self.dtype = np.dtype(dtype)

    @abstractmethod
    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        """Read ``box`` (one slice with explicit bounds and step 1 per axis) from any thread."""

    def held(self) -> Held | None:
        """Which of its chunks exist; None if all do, or if that is unknown."""
        return None

    def lost(self, error: OSError | None = None) -> InputError:
        """The error for a file that was opened but can no longer be read."""
        why = f" ({error.strerror or error})" if error is not None else ""
        named = getattr(error, "filename", None) or getattr(self, "path", type(self).__name__)
        return InputError(named, f"can no longer be read{why}: it was moved, or "
                          "its disk or share was lost", "Bring the file back; the same command resumes.")  # fmt: skip

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> NDArray[Any]:
        parts = list(index) if isinstance(index, tuple) else [index]
        if any(part is Ellipsis for part in parts):
            at = next(i for i, part in enumerate(parts) if part is Ellipsis)
            parts[at : at + 1] = [slice(None)] * (self.ndim - len(parts) + 1)
        parts += [slice(None)] * (self.ndim - len(parts))
        if len(parts) != self.ndim:
            raise IndexError(f"too many indices for {self.ndim} axes")
        box: list[slice] = []
        rest: list[Any] = []
        for part, n in zip(parts, self.shape, strict=True):
            if isinstance(part, slice):
                indices = range(*part.indices(n))
                low, high = (min(indices[0], indices[-1]), max(indices[0], indices[-1]) + 1) if indices else (0, 0)
                box.append(slice(low, high))
                rest.append(slice(None) if indices.step == 1 else np.asarray(indices, dtype=np.intp) - low)
            else:
                i = int(part) + (n if int(part) < 0 else 0)
                if not 0 <= i < n:
                    raise IndexError(f"index {int(part)} is out of range for {n}")
                box.append(slice(i, i + 1))
                rest.append(0)
        try:
            values = self.read_box(tuple(box))
        except OSError as error:
            raise self.lost(error) from error
        for axis in reversed(range(self.ndim)):
            if not isinstance(rest[axis], slice):
                values = values.take(rest[axis], axis=axis)
        return values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        values = self[...]
        return values if dtype is None else values.astype(dtype, copy=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape}, dtype={self.dtype})"


BAND = 1 << 22
"""Voxels that writers hold at once: a plane may be larger than memory."""


def bands(data: Any) -> Iterator[NDArray[Any]]:
    """Yield whole rows of one plane after the other, (rows, X), about `BAND` voxels at a time; first axes slowest."""
    for place in places(data.shape[:-2]):
        yield from plane_parts(data, place, max(1, BAND // max(1, data.shape[-1])), data.shape[-1])


def plane_parts(data: Any, place: tuple[int, ...], rows: int, columns: int) -> Iterator[NDArray[Any]]:
    """Yield the plane at ``place`` of the axes before Y and X in parts of ``rows`` x ``columns``, row by row."""
    height, width = data.shape[-2:]
    lead = tuple(slice(i, i + 1) for i in place)
    for top, left in corners((height, width), (max(1, rows), max(1, columns))):
        box = (*lead, slice(top, min(top + rows, height)), slice(left, min(left + columns, width)))
        yield np.asarray(data[box]).reshape(box[-2].stop - top, box[-1].stop - left)


class Transposed(LazyPixels):
    """Another array with its axes in another order, read lazily. ``order`` is as for ``np.transpose``."""

    def __init__(self, array: Any, order: tuple[int, ...]) -> None:
        super().__init__(tuple(array.shape[i] for i in order), array.dtype)
        self.array, self.order, self.files = array, order, getattr(array, "files", ())
        chunks = getattr(array, "chunks", None)
        self.chunks = None if chunks is None else tuple(chunks[i] for i in order)

    def held(self) -> Held | None:
        found = held_of(self.array)
        turned = tuple(tuple(box[i] for i in self.order) for box in found.boxes) if found else ()
        return None if found is None else replace(found, boxes=turned)

    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        inner = tuple(box[self.order.index(i)] for i in range(len(box)))
        return np.asarray(self.array[inner]).transpose(self.order)


def held_of(array: Any) -> Held | None:
    """`LazyPixels.held` of any array."""
    return array.held() if isinstance(array, LazyPixels) else None


def transposed(array: Any, order: tuple[int, ...]) -> Any:
    """``array`` itself when ``order`` changes nothing, else a lazy view with its axes in that order."""
    return array if order == tuple(range(len(order))) else Transposed(array, order)


def boxes(shape: tuple[int, ...], grain: tuple[int, ...], limit: int) -> Iterator[tuple[slice, ...]]:
    """Cover ``shape`` with boxes of whole grains, each of at most ``limit`` voxels (but at least one grain).

    Boxes grow from the last axis on, so that rows are read in long runs.
    """
    step = [min(g, n) for g, n in zip(grain, shape, strict=True)]
    for axis in reversed(range(len(shape))):
        others = math.prod(step) // step[axis]
        most = max(1, limit // (others * grain[axis])) * grain[axis]
        step[axis] = min(shape[axis], most)
        if step[axis] < shape[axis]:
            break
    for corner in corners(shape, step):
        yield tuple(slice(c, min(c + s, n)) for c, s, n in zip(corner, step, shape, strict=True))
