"""Where the files of a store are: in a folder, or on a server. Names are below it, with ``/``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from ruska.io.chunk_files import names_in
from ruska.io.links import Bounds, is_link

LONGEST_JSON = 1 << 22
"""Bytes of metadata that are read."""


class Place(Protocol):
    """A store of named files. ``address`` is what errors name."""

    @property
    def address(self) -> Path | str: ...

    def read(self, name: str, limit: int) -> bytes | None:
        """A whole file, None if missing; ValueError when it is longer than ``limit``, OSError otherwise."""

    def part(self, name: str, start: int, length: int) -> bytes | None:
        """``length`` bytes from ``start``, None if the file is missing; ValueError when it ends before."""

    def names(self, folder: str, depth: int) -> Iterator[tuple[str, ...]] | None:
        """Files in ``folder`` and ``depth`` folders below, as the parts of their paths; servers: None."""

    def folders(self, name: str) -> list[str]:
        """Names of the folders in the folder ``name``, without links to others of this store. Servers tell none."""


class Folder:
    """A `Place` on a disk. InputError for links that lead out of it, and for pipes and devices (see `links`)."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._bounds = Bounds(path)

    @property
    def address(self) -> Path:
        return self.path

    def read(self, name: str, limit: int) -> bytes | None:
        file = self.path / name
        self._bounds.check(name)
        try:
            size = file.stat().st_size
            if size > limit:
                raise ValueError(f"{name} has {size} bytes")
            return file.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def part(self, name: str, start: int, length: int) -> bytes | None:
        file = self.path / name
        self._bounds.check(name)
        if not file.is_file():
            return None
        size = file.stat().st_size
        if not 0 <= start <= start + length <= size:
            raise ValueError(f"it refers to bytes {start} to {start + length} of {size}")
        with file.open("rb") as stream:
            stream.seek(start)
            return stream.read(length)

    def names(self, folder: str, depth: int) -> Iterator[tuple[str, ...]] | None:
        return names_in(self.path / folder, depth)

    def folders(self, name: str) -> list[str]:
        here = self.path / name
        self._bounds.check(name)
        return sorted(p.name for p in here.iterdir() if self._is_another(p)) if here.is_dir() else []

    def _is_another(self, path: Path) -> bool:
        """Whether it is a folder; a linked one counts only if it is not in the store anyway."""
        if path.is_dir() and is_link(path):
            self._bounds.check(path.relative_to(self.path).as_posix())
            return not self._bounds.is_inside(path)
        return path.is_dir()


class Server:
    """A `Place` that fsspec reaches. ``shown`` is the address without passwords.

    S3 refuses access to missing files when folders may not be listed, so a refusal counts as a missing file.
    """

    def __init__(self, files: Any, address: str, shown: str) -> None:
        self.files, self._address, self._shown = files, address, shown

    @property
    def address(self) -> str:
        return self._shown

    def read(self, name: str, limit: int) -> bytes | None:
        try:
            data = self.files.cat_file(self._url(name))
        except Exception as error:
            if isinstance(error, FileNotFoundError) or is_refusal(error):
                return None
            raise
        if len(data) > limit:
            raise ValueError(f"{name} has {len(data)} bytes")
        return bytes(data)

    def part(self, name: str, start: int, length: int) -> bytes | None:
        try:
            data = self.files.cat_file(self._url(name), start=start, end=start + length) if length else b""
        except Exception as error:
            if isinstance(error, FileNotFoundError) or is_refusal(error):
                return None
            raise
        if len(data) > length:  # a server that knows no ranges sends everything
            data = data[start : start + length]
        if len(data) != length:
            raise ValueError(f"it refers to bytes {start} to {start + length}, which are not there")
        return bytes(data)

    def names(self, folder: str, depth: int) -> Iterator[tuple[str, ...]] | None:
        return None

    def folders(self, name: str) -> list[str]:
        return []

    def _url(self, name: str) -> str:
        return f"{self._address}/{name}"


def is_there(place: Place, name: str) -> bool:
    """Whether a file is there, by its first byte; OSError as `Place.part`."""
    try:
        return place.part(name, 0, 1) is not None
    except ValueError:  # it is, without a byte
        return True


def is_refusal(error: BaseException) -> bool:
    """Whether a server said that something may not be read (401, 403)."""
    return isinstance(error, PermissionError) or getattr(error, "status", None) in (401, 403)


def short_name(address: Path | str) -> str:
    """The last part of a path or address."""
    return str(address).rstrip("/").rsplit("/", 1)[-1] if isinstance(address, str) else address.name


def join(*names: str) -> str:
    """Names joined by ``/``, empty ones left out. ValueError when they point outside the store."""
    parts = [part for name in names for part in name.split("/") if part not in ("", ".")]
    if ".." in parts or any("\\" in part for part in parts) or any(":" in part for part in parts[:1]):
        raise ValueError(f"'{'/'.join(names)}' points outside the store")
    return "/".join(parts)


def whole_numbers(said: Sequence[Any]) -> tuple[int, ...]:
    """Sizes from metadata; ValueError for anything but whole numbers."""
    numbers = tuple(int(n) for n in said)
    if any(isinstance(n, str) or n != number for n, number in zip(said, numbers, strict=True)):
        raise ValueError(f"sizes of {str(said)[:80]}")
    return numbers


def read_json(place: Place, name: str) -> dict[str, Any]:
    """The JSON object in the file ``name``, empty if missing; ValueError when it is damaged or too long."""
    data = place.read(name, LONGEST_JSON)
    try:
        found = json.loads(data) if data is not None else {}
    except RecursionError as error:
        raise ValueError("its parts are nested too deep") from error
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    return found
