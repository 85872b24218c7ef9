"""Files packed by gzip, bzip2 or zip: unpacked to a temporary folder, within bounds, and read lazily from there.

The temporary file goes when the pixels do. A zip archive with an OME-Zarr store in it is read where it is.
"""

from __future__ import annotations

import bz2
import gzip
import os
import re
import shutil
import tempfile
import weakref
import zipfile
from dataclasses import replace
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import IO, TYPE_CHECKING, Any

from ruska.errors import InputError, ResourceError, RuskaError
from ruska.io.archive import ALWAYS_FINE, DAMAGED, LARGEST_RATIO, check_ratio
from ruska.io.binary import only_image
from ruska.io.formats import ZARR_MARKERS, Format, find_format, format_of_name
from ruska.io.lazy import LazyPixels
from ruska.plain_text import one_line
from ruska.scratch import Scratch, tidy

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.image import Image
    from ruska.image.held import Held

_STEP = 1 << 20
_SPARE_DISK = 256 << 20
_MOST_MEMBERS = 1_000_000
_PACKED = ("compressed file", "zip archive")
_LISTED = 20
_OLD_COPIES = re.compile(r"ruska-[a-z0-9_]{8}")
"""Temporary folders of versions that did not yet say whose they are."""


def read(path: Path, inner: str | None) -> Image:
    """Open the image in a packed file; ``inner`` names one of several members of a zip archive.

    Raises InputError when it is damaged, unpacks to suspiciously many bytes, or holds no image or several.
    """
    with path.open("rb") as file:
        magic = file.read(2)
    if magic == b"PK":
        return _read_zip(path, inner)
    only_image(path, inner)
    name = path.name[: -len(path.suffix)] if path.suffix.lower() in (".gz", ".bz2") else path.name
    opened: Any = gzip.open if magic == b"\x1f\x8b" else bz2.open
    with opened(path, "rb") as stream:
        return _unpack(path, stream, name, None)


def _unpack(path: Path, stream: IO[bytes], name: str, inner: str | None) -> Image:
    kept = _Folder(path)
    target = kept.path / (PurePosixPath(name.replace("\\", "/")).name or "image")
    known = _copy(path, stream, target)
    try:
        image = known.load().read(target, inner)
    except RuskaError as error:  # about the temporary file, whose name says nothing to anyone
        fix = error.fix.replace(f"{target.name}:", f"{path.name}:{target.name}:")
        raise type(error)(path, error.problem.replace(one_line(target), name), fix) from error
    held: list[Any] = [Unpacked(pixels, path, kept) if isinstance(pixels, LazyPixels) else pixels
                       for pixels in (image.data, image.mask)]  # fmt: skip
    return replace(image, data=held[0], mask=held[1], name=name, path=path)


class Unpacked(LazyPixels):
    """Pixels in a temporary folder, which stays as long as they do. Errors name the packed file ``path``."""

    def __init__(self, array: LazyPixels, path: Path, folder: _Folder) -> None:
        super().__init__(array.shape, array.dtype)
        self.array, self.path, self.folder = array, path, folder
        self.chunks = getattr(array, "chunks", None)

    def held(self) -> Held | None:
        return self.array.held()

    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        try:
            return self.array[box]
        except InputError as error:
            raise InputError(self.path, error.problem.replace(f"{self.folder.path}{os.sep}", ""), error.fix) from error


class _Room:
    """Folder into which this process unpacks: one, with one lock, for all files; deleted with the last of them."""

    def __init__(self, parent: Path) -> None:
        tidy(parent, _OLD_COPIES)
        scratch = Scratch(parent, "unpacked")
        self.path = scratch.path
        weakref.finalize(self, scratch.close)


_rooms: weakref.WeakValueDictionary[tuple[int, str], _Room] = weakref.WeakValueDictionary()
_rooms_lock = Lock()


class _Folder:
    """A temporary folder that is deleted with this object, and at the latest when the program ends.

    After a kill the next run deletes it. Raises ResourceError if none can be made for ``packed``.
    """

    def __init__(self, packed: Path) -> None:
        try:
            parent = tempfile.gettempdir()
            with _rooms_lock:
                key = (os.getpid(), parent)  # a forked process has a room of its own
                room = _rooms.get(key) or _Room(Path(parent))
                _rooms[key] = room
            self.path = Path(tempfile.mkdtemp(dir=room.path))
        except OSError as error:
            why = error.strerror or error
            raise ResourceError(packed, f"cannot be unpacked: no temporary folder can be made ({why})",
                                "Set TMPDIR to a folder that can be written to.") from error  # fmt: skip
        self._room: _Room | None = room
        weakref.finalize(self, shutil.rmtree, str(self.path), ignore_errors=True)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_room": None}  # another process reads there, and deletes nothing


def _copy(path: Path, stream: IO[bytes], target: Path) -> Format:
    """Unpack ``stream``; its format must show in its first piece, before more is written."""
    limit = max(ALWAYS_FINE, LARGEST_RATIO * path.stat().st_size)
    room = shutil.disk_usage(target.parent).free - _SPARE_DISK
    written, known = 0, None
    with target.open("wb") as out:
        for piece in _pieces(path, stream):
            written += len(piece)
            if written > limit:
                raise InputError(path, f"unpacks to more than {limit >> 20} MB, {LARGEST_RATIO} times its size: it "
                                 "may be a decompression bomb", "If you trust it, unpack it yourself.")  # fmt: skip
            if written > room:
                raise ResourceError(path, f"unpacks to more than the {max(0, room) >> 20} MB free in {target.parent}",
                                    "Set TMPDIR to a larger disk, or unpack it yourself.")  # fmt: skip
            out.write(piece)
            if known is None:
                out.flush()
                known = _recognised(path, target)
    if known is None:
        raise InputError(path, "is empty after unpacking", "Copy it again.")
    return known


def _pieces(path: Path, stream: IO[bytes]) -> Any:
    while True:
        try:
            piece = stream.read(_STEP)
        except DAMAGED as error:
            raise InputError(path, f"cannot be unpacked: it is truncated or damaged ({str(error)[:120]})",
                             "Copy it again.") from error  # fmt: skip
        if not piece:
            return
        yield piece


def _recognised(path: Path, target: Path) -> Format:
    try:
        known = find_format(target)
    except InputError as error:
        raise InputError(path, f"unpacks to a file that {error.problem}", error.fix) from error
    if known.name in _PACKED:
        raise InputError(path, "is compressed twice", "Unpack it once yourself.")
    return known


# Zip archives


def _read_zip(path: Path, inner: str | None) -> Image:
    try:
        archive = zipfile.ZipFile(path)
    except DAMAGED as error:
        raise InputError(path, f"is truncated or damaged ({str(error)[:120]})", "Copy it again.") from error
    with archive:
        try:
            return _chosen(path, archive, inner)
        except DAMAGED as error:
            raise InputError(path, f"is truncated or damaged ({str(error)[:120]})", "Copy it again.") from error


def _chosen(path: Path, archive: zipfile.ZipFile, inner: str | None) -> Image:
    """The store in an archive, or one of its images."""
    members = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
    if len(members) > _MOST_MEMBERS:
        raise InputError(path, f"holds {len(members)} files", "Unpack it yourself.")
    root = _store_root(members)
    if root is not None:
        _check_members(path, members)
        return _read_store(path, root, inner)
    member, rest = _choose(path, members, inner)
    _check_members(path, [member])
    with archive.open(member) as stream:
        return _unpack(path, stream, PurePosixPath(member.filename).name, rest)


def _store_root(members: list[zipfile.ZipInfo]) -> str | None:
    """The shallowest folder in the archive that is a Zarr store; None when there is none."""
    roots = [p.parent for m in members if (p := PurePosixPath(m.filename)).name in ZARR_MARKERS]
    return None if not roots else str(min(roots, key=lambda p: (len(p.parts), str(p)))).removeprefix(".")


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    for m in members:
        if m.flag_bits & 1:
            raise InputError(path, f"'{m.filename}' in it is encrypted", "Unpack it yourself.")
        check_ratio(path, m)


def _read_store(path: Path, root: str, inner: str | None) -> Image:
    from zarr.storage import ZipStore

    from ruska.io.checked_store import CheckedStore
    from ruska.io.zarr_read import read_store

    wanted = (inner or "").strip("/")
    if root and not f"{wanted}/".startswith(f"{root}/"):
        wanted = f"{root}/{wanted}".strip("/")
    return read_store(path, CheckedStore(ZipStore(path, mode="r")), wanted or None)


def _choose(path: Path, members: list[zipfile.ZipInfo], inner: str | None) -> tuple[zipfile.ZipInfo, str | None]:
    """The member to read, and the part of it (``archive.zip:file.h5:/raw``)."""
    found = [m for m in members if format_of_name(Path(m.filename)) is not None]
    if not found:
        raise InputError(path, f"is a zip archive without images ({len(members)} other files)",
                         "Unpack it and give one of its files.")  # fmt: skip
    names = ", ".join(m.filename for m in found[:_LISTED])
    if inner is None:
        if len(found) > 1:
            raise InputError(path, f"holds {len(found)} images: {names}", f"Name one: {path.name}:{found[0].filename}.")
        return found[0], None
    for member in found:
        for name in (member.filename, PurePosixPath(member.filename).name):
            if inner.strip("/") == name or inner.strip("/").startswith(f"{name}:"):
                return member, inner.strip("/")[len(name) + 1 :] or None
    raise InputError(path, f"has no image '{inner}'", f"It holds: {names}.")
