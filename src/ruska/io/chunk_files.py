"""Which chunks of an array exist, by the names of their files; names are listed only as they are needed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Name = tuple[str, ...]


def names_in(folder: Path, depth: int) -> Iterator[Name]:
    """The files in a folder, and down to ``depth`` folders below it, as the parts of their paths."""
    try:
        with os.scandir(folder) as found:
            for entry in found:
                if not entry.is_dir():
                    yield (entry.name,)
                elif depth:
                    yield from ((entry.name, *rest) for rest in names_in(folder / entry.name, depth - 1))
    except OSError:
        return


def zarr_names(store: Any, path: str, depth: int) -> Iterator[Name] | None:
    """Files of the array at ``path`` of a Zarr store on a disk, or in an archive; None for one on a server."""
    from zarr.storage import LocalStore, WrapperStore, ZipStore

    while isinstance(store, WrapperStore):
        store = store._store
    if isinstance(store, LocalStore):
        return names_in(store.root / path, depth)
    if isinstance(store, ZipStore):
        if not store._is_open:
            store._sync_open()
        start = f"{path}/" if path else ""
        return (tuple(n[len(start) :].split("/")) for n in store._zf.NameToInfo if n.startswith(start))
    return None


def zarr_places(names: Iterable[Name], ndim: int) -> Iterator[tuple[int, ...] | None]:
    """Places in the grid: ``0.1``, ``0/1``, ``c/0/1`` and ``c.0.1``; None for other files."""
    for name in names:
        parts = ".".join(name).split(".")
        parts = parts[1:] if parts[0] == "c" else parts
        yield tuple(map(int, parts)) if len(parts) == ndim and all(map(_is_number, parts)) else None


def n5_places(names: Iterable[Name], ndim: int) -> Iterator[tuple[int, ...] | None]:
    """Places in the grid, whose last axis is named first: ``2/1/0``."""
    for name in names:
        yield tuple(map(int, reversed(name))) if len(name) == ndim and all(map(_is_number, name)) else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20
