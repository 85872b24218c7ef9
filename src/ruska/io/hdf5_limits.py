"""Checks before the HDF5 library is called, which would unpack without bounds, or walk a circular heap for ever."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from ruska.errors import InputError
from ruska.image.grid import corners
from ruska.image.held import Held, count_held
from ruska.io import chunked
from ruska.io.binary import Cursor

_LOOKED_AT = 8 << 20  # bytes at either end of a file
_HEAP, _HEAP_HEAD = b"GCOL\1\0\0\0", 16
_SPARE = 1 << 16
_FOUND = 64
_SAME_LENGTH = (2, 3)  # shuffled bytes, checksum
_DEFLATE, _DEFLATE_RATIO = 1, 1032


def check_heaps(path: Path) -> None:
    """InputError when a global heap, where HDF5 keeps texts, has an object of impossible size.

    The library would loop for ever (HDF5 2.0, and every version before). Checks both ends of the file, where heaps
    usually are.
    """
    with path.open("rb") as file:
        cursor = Cursor(path, file)
        for start in sorted({0, max(0, cursor.size - _LOOKED_AT)}):
            cursor.go(start)
            data = cursor.take(min(_LOOKED_AT, cursor.size - start))
            at = data.find(_HEAP)
            while at >= 0:
                if not _is_sound(cursor, start + at):
                    raise InputError(path, "is damaged (a heap of texts in it runs in circles)", "Copy it again.")
                at = data.find(_HEAP, at + 1)


def _is_sound(cursor: Cursor, at: int) -> bool:
    """Whether the objects of the heap at ``at`` follow one another to its end. Source: HDF5 file format, III.E."""
    cursor.go(at)
    if at + _HEAP_HEAD > cursor.size:
        return False
    end = at + int.from_bytes(cursor.take(_HEAP_HEAD)[8:], "little")
    while cursor.place + 16 <= end <= cursor.size:
        number, length = cursor.unpack("<H6xQ")
        if number == 0:  # free space to the end, its own head included
            return 16 <= length <= end - cursor.place + 16
        place = cursor.place + -(-length // 8) * 8
        if place > end:
            return False
        cursor.go(place)
    return end <= cursor.size


def held_chunks(dataset: Any) -> Held | None:
    """Which chunks of a dataset are stored."""
    if dataset.is_virtual:
        return _held_elsewhere(dataset)
    if dataset.chunks is None:
        empty = 0 not in dataset.shape and dataset.id.get_storage_size() == 0
        return count_held(dataset.shape, dataset.shape, ()) if empty else None
    count = dataset.id.get_num_chunks()
    places = (  # the library takes longer to find a chunk the later it comes
        tuple(n // c for n, c in zip(dataset.id.get_chunk_info(i).chunk_offset, dataset.chunks, strict=True))
        for i in range(min(count, _FOUND))
    )
    return replace(count_held(dataset.shape, dataset.chunks, places), count=count, complete=True)


def _held_elsewhere(dataset: Any) -> Held | None:
    """Of a virtual dataset, the parts that are taken from others, each as a chunk of their mean size."""
    parts = [source.vspace for source in dataset.virtual_sources()]
    voxels = sum(part.get_select_npoints() for part in parts)
    if voxels <= 0:
        return None
    bounds = [part.get_select_bounds() for part in parts[:_FOUND]]
    boxes = tuple(tuple(slice(a, b + 1) for a, b in zip(*bound, strict=True)) for bound in bounds)
    return Held(len(parts), len(parts) * math.prod(dataset.shape) // voxels, True, boxes)


def check_chunks(path: Path, dataset: Any, box: tuple[slice, ...]) -> None:
    """InputError when a compressed chunk in ``box`` is larger than 1 GB, or has more bytes than it can need.

    A filtered chunk is hardly longer than the chunk itself; more bytes would unpack to something else.
    """
    size = _unpacked(path, dataset)
    if size is None:
        return
    first = [s.start // c * c for s, c in zip(box, dataset.chunks, strict=True)]
    extent = [s.stop - n for s, n in zip(box, first, strict=True)]
    for place in corners(extent, dataset.chunks):
        corner = tuple(n + i for n, i in zip(first, place, strict=True))
        _check_chunk(path, dataset, size, corner, dataset.id.get_chunk_info_by_coord(corner).size)


def check_all_chunks(path: Path, dataset: Any) -> None:
    """Like `check_chunks`, of all chunks that are stored: those of a part of a virtual dataset, which has no box."""
    size = _unpacked(path, dataset)
    if size is not None:
        large: list[tuple[tuple[int, ...], int]] = []

        def look(found: Any) -> None:
            if _is_large(size, found.size):
                large.append((found.chunk_offset, found.size))

        dataset.id.chunk_iter(look)
        for corner, packed in large:
            _check_chunk(path, dataset, size, corner, packed)


def _unpacked(path: Path, dataset: Any) -> int | None:
    """Bytes of a chunk, None where chunks are not packed; InputError for over 1 GB, or packed more than once."""
    filters = dataset.id.get_create_plist()
    if dataset.chunks is None or not filters.get_nfilters():
        return None
    used = [filters.get_filter(i)[0] for i in range(filters.get_nfilters())]
    if sum(one not in _SAME_LENGTH for one in used) > 1:
        raise InputError(path, f"{dataset.name} has chunks that are compressed more than once (HDF5 filters "
                         f"{', '.join(map(str, used))})", "Repack it, e.g. with h5repack.")  # fmt: skip
    size = math.prod(dataset.chunks) * int(dataset.dtype.itemsize)
    if size > chunked.LARGEST_CHUNK:
        raise InputError(path, f"{dataset.name} has compressed chunks of {size >> 20} MB; at most "
                         f"{chunked.LARGEST_CHUNK >> 20} MB are read", "Repack it, e.g. with h5repack.")  # fmt: skip
    return size


def _is_large(size: int, packed: int) -> bool:
    """Whether a chunk has so many bytes that it must be checked."""
    return packed > 2 * size + _SPARE or packed * _DEFLATE_RATIO > chunked.LARGEST_CHUNK


def _check_chunk(path: Path, dataset: Any, size: int, corner: tuple[int, ...], packed: int) -> None:
    if packed > 2 * size + _SPARE:
        raise _damaged(path, dataset, corner, f"takes {packed} bytes, of {size}")
    if not _is_large(size, packed):
        return
    filters = dataset.id.get_create_plist()
    if filters.get_filter(filters.get_nfilters() - 1)[0] == _DEFLATE:
        try:
            chunked.check_packed("zlib", dataset.id.read_direct_chunk(corner)[1], 2 * size + _SPARE)
        except ValueError as error:
            raise _damaged(path, dataset, corner, f"cannot be unpacked: {error}") from error


def _damaged(path: Path, dataset: Any, corner: tuple[int, ...], problem: str) -> InputError:
    return InputError(path, f"{dataset.name} is damaged: the chunk at {corner} {problem}", "Copy it again.")
