"""Reading binary layouts without trusting them: every length is checked against the file before it is used."""

from __future__ import annotations

import math
import struct
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ruska.errors import InputError
from ruska.image.held import Held
from ruska.io.lazy import LazyPixels, held_of
from ruska.io.raw import read_raw

if TYPE_CHECKING:
    from numpy.typing import NDArray

COPY_AGAIN = "Copy it again from the instrument."


class Cursor:
    """A reading position in a file. Nothing outside the file is read, and nothing large by accident."""

    def __init__(self, path: Path, file: BinaryIO, limit: int | None = None) -> None:
        self.path, self.file = path, file
        self.size = path.stat().st_size if limit is None else limit
        self.place = 0

    def go(self, place: int) -> None:
        """Move to ``place``; InputError when it is outside the file."""
        if not 0 <= place <= self.size:
            raise truncated(self.path, self.size, place)
        self.place = place

    def skip(self, count: int) -> None:
        """Move on by ``count`` bytes."""
        self.go(self.place + count)

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        end = self.place + count
        if count < 0 or end > self.size:
            raise truncated(self.path, self.size, end)
        self.file.seek(self.place)
        data = self.file.read(count)
        if len(data) < count:
            raise truncated(self.path, self.place + len(data), end)
        self.place = end
        return data

    def unpack(self, layout: str) -> tuple[Any, ...]:
        """The next values, as `struct` describes them."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))


def truncated(path: Path, size: int, needed: int) -> InputError:
    """The error for a file that refers to more bytes than it has."""
    return InputError(path, f"is truncated or damaged: it has {size} bytes, and refers to byte {needed}", COPY_AGAIN)


def only_image(path: Path, inner: str | None) -> None:
    """InputError when a part is requested from a format whose files hold one image."""
    if inner is not None:
        raise InputError(path, f"holds one image, '{inner}' cannot be picked from it", "Leave the part after ':' out.")


def check_shape(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int, size: int) -> None:
    """InputError unless an array of ``shape`` at ``offset`` lies inside a file of ``size`` bytes."""
    if min(shape, default=0) <= 0 or offset < 0:
        raise InputError(path, f"is damaged: its header says {' x '.join(map(str, shape))} pixels at byte {offset}",
                         COPY_AGAIN)  # fmt: skip
    end = offset + math.prod(shape) * dtype.itemsize
    if end > size:
        said = f"{' x '.join(map(str, shape))}, {dtype.newbyteorder('=')}"
        raise InputError(path, f"is truncated: {size} bytes, its header ({said}) needs {end}", COPY_AGAIN)


class RawPixels(LazyPixels):
    """An array stored uncompressed in a file. The file is open only while it is read.

    stored : data type with its byte order. offset : of the first value. order : ``C``, or ``F`` (first axis fastest).
    """

    def __init__(
        self, path: Path, shape: tuple[int, ...], stored: np.dtype[Any], offset: int, order: str = "C"
    ) -> None:
        super().__init__(shape, stored.newbyteorder("="))
        self.path, self.stored, self.offset, self.order = path, stored, offset, order

    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        if self.order == "F":
            return read_raw(self.path, self.offset, self.shape[::-1], self.stored, box[::-1]).transpose()
        return read_raw(self.path, self.offset, self.shape, self.stored, box)


class FramePixels(LazyPixels):
    """Frames of one size anywhere in a file, (frames, Y, X). ``offsets``: of the first value of each."""

    def __init__(self, path: Path, offsets: tuple[int, ...], shape: tuple[int, int], stored: np.dtype[Any]) -> None:
        super().__init__((len(offsets), *shape), stored.newbyteorder("="))
        self.path, self.offsets, self.stored = path, offsets, stored
        self.chunks = (1, *shape)

    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        out = np.empty(tuple(s.stop - s.start for s in box), self.dtype)
        for place, index in enumerate(range(box[0].start, box[0].stop)):
            frame = RawPixels(self.path, self.shape[1:], self.stored, self.offsets[index])
            out[place] = frame.read_box(box[1:])
        return out


class First(LazyPixels):
    """The only element of an array along its first axis, lazily."""

    def __init__(self, stack: Any) -> None:
        super().__init__(stack.shape[1:], stack.dtype)
        self.stack, self.files = stack, getattr(stack, "files", ())
        chunks = getattr(stack, "chunks", None)
        self.chunks = None if chunks is None else tuple(chunks[1:])

    def held(self) -> Held | None:
        found = held_of(self.stack)
        return None if found is None else replace(found, boxes=tuple(box[1:] for box in found.boxes))

    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        values: NDArray[Any] = np.asarray(self.stack[(slice(0, 1), *box)])[0]
        return values


class Flipped(LazyPixels):
    """An array whose rows (second axis from the end) are stored from the bottom up, turned the right way."""

    def __init__(self, array: Any) -> None:
        super().__init__(array.shape, array.dtype)
        self.array, self.chunks, self.files = array, getattr(array, "chunks", None), getattr(array, "files", ())

    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        rows, height = box[-2], self.shape[-2]
        turned = slice(height - rows.stop, height - rows.start)
        return np.ascontiguousarray(np.asarray(self.array[(*box[:-2], turned, box[-1])])[..., ::-1, :])
