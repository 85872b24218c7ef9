"""Whether a Zarr array has any chunks: zarr-python reads missing ones as zeros."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruska.errors import InputError
from ruska.image.held import MOST_LOOKED_AT
from ruska.io.chunk_files import zarr_names, zarr_places
from ruska.io.chunk_presence import asked_of_a_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ruska.io.chunk_files import Name


def check_presence(path: Path | str, array: Any, *, may_be_empty: bool) -> tuple[str, ...]:
    """InputError when no chunk of ``array`` has the name that its metadata give it; notes when a server has none of
    those requested (see `asked_of_a_server`).

    may_be_empty : Ruska wrote the array, where chunks of zeros are omitted; names are still compared.
    Only as many names are looked at as it takes to find one chunk.
    """
    if 0 in array.shape:
        return ()
    names = zarr_names(array.store, array.path, array.ndim)
    if names is None:
        notes = () if may_be_empty else asked_of_a_server(_grid(array), lambda place: _has_chunk(array, place))
        if notes is None:
            raise _none(path, array)
        return notes
    other: tuple[str, str] | None = None
    for found, expected in _chunks(names, array):
        if found == expected:
            return ()
        other = other or (found, expected)
    if other is not None:
        raise InputError(path, f"the chunks of {_named(array)} are named like {other[0]}, but its metadata say "
                         f"{other[1]}: none would be found, and all read as zeros", _rename(array, *other))  # fmt: skip
    if not may_be_empty:
        raise _none(path, array)
    return ()


def _named(array: Any) -> str:
    return f"array '{array.path}'" if array.path else "the array"


def _none(path: Path | str, array: Any) -> InputError:
    shape = " x ".join(map(str, array.shape))
    return InputError(path, f"has none of the chunks of {_named(array)} ({shape}), which would be read as zeros",
                      "Copy the whole store again, with all its folders and files.")  # fmt: skip


def _grid(array: Any) -> list[int]:
    """The number of chunk files along each axis."""
    return [-(-n // g) for n, g in zip(array.shape, array.shards or array.chunks, strict=True)]


def _has_chunk(array: Any, place: tuple[int, ...]) -> bool:
    from zarr.core.sync import sync

    key = array.metadata.encode_chunk_key(place)
    return bool(sync(array.store.exists(f"{array.path}/{key}" if array.path else key)))


def _chunks(names: Iterator[Name], array: Any) -> Iterator[tuple[str, str]]:
    """For files that are chunks by their numbers: the name, and the name by the metadata."""
    grid = _grid(array)
    for name in islice(names, MOST_LOOKED_AT):
        place = next(zarr_places([name], array.ndim))
        if place is not None and all(i < n for i, n in zip(place, grid, strict=True)):
            yield "/".join(name), array.metadata.encode_chunk_key(place)


def _rename(array: Any, found: str, expected: str) -> str:
    """What to set in the metadata so that chunks named like ``found`` are read."""
    folder = f"{array.path}/" if array.path else ""
    if array.metadata.zarr_format == 3:
        return f'Set "chunk_key_encoding" in {folder}zarr.json as the chunks are named, or copy the store again.'
    if found.replace("/", ".") != expected.replace("/", "."):
        return "Write it again with the program that made it."
    separator = "/" if "/" in found else "."
    return (f'Set "dimension_separator": "{separator}" in {folder}.zarray (and in .zmetadata, if it exists), or '
            "write the store again.")  # fmt: skip
