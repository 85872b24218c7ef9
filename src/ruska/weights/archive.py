"""Taking a model out of a zip file that a stranger made: two members, counted as they are unpacked."""

from __future__ import annotations

import io
import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO

from ruska.errors import InputError
from ruska.weights.card import MOST_CARD, ModelCard
from ruska.weights.model import CARD, WEIGHTS, check_size, most_bytes, pour

MOST_MEMBERS = 10_000
_MOST_LISTED = 4 << 20  # bytes of the list of members, which is read as a whole
_ENCRYPTED = 1
_FIX = "Pack the whole folder of the model, and nothing else."
_BROKEN = (zipfile.BadZipFile, RuntimeError, EOFError, zlib.error, lzma.LZMAError, struct.error, ValueError,
           IndexError, OverflowError)  # fmt: skip


class _Guarded(io.FileIO):
    """A file of which no long list is read in one piece."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _MOST_LISTED:
            raise zipfile.BadZipFile(f"its list of members has {size} bytes")
        return super().read(size if size is not None else -1) or b""


def is_archive(file: Path) -> bool:
    """Whether a file is a zip file, by its content."""
    try:
        return zipfile.is_zipfile(file)
    except (OSError, *_BROKEN):
        return False


def unpack(archive: Path, folder: Path) -> None:
    """Write card and weights from ``archive`` into ``folder``, whatever they are called there; nothing else is taken.

    Raises InputError where there is not one of each, side by side, or one is larger than it can be, encrypted, a link,
    or has a name that leads out of the archive.
    """
    try:
        with _Guarded(archive) as file, zipfile.ZipFile(file) as packed:
            card, weights = _members(archive, packed.infolist())
            with _opened(packed, card) as inside:
                text = inside.read(MOST_CARD + 1)
            if len(text) > MOST_CARD:
                raise InputError(archive, f"its {CARD} has more than {MOST_CARD} bytes", _FIX)
            most = most_bytes(ModelCard.parse(text.decode("utf-8"), f"{archive}: {CARD}"), f"{archive}: {CARD}")
            check_size(archive, weights.file_size, most)
            (folder / CARD).write_bytes(text)
            with _opened(packed, weights) as inside:
                pour(inside, folder / WEIGHTS, most, archive)
    except _BROKEN as error:
        raise InputError(archive, f"cannot be unpacked ({str(error)[:150]})", "Get it again.") from error


def _opened(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> IO[bytes]:
    try:
        return packed.open(member)
    except OSError as error:
        raise zipfile.BadZipFile(f"{member.filename[:80]!r} is not where the archive says") from error


def _members(archive: Path, found: Sequence[zipfile.ZipInfo]) -> tuple[zipfile.ZipInfo, zipfile.ZipInfo]:
    if len(found) > MOST_MEMBERS:
        raise InputError(archive, f"holds {len(found)} files, expected at most {MOST_MEMBERS}", _FIX)
    pair = []
    for name in (CARD, WEIGHTS):
        members = [member for member in found if PurePosixPath(member.filename).name == name]
        if not members:
            raise InputError(archive, f"holds no {name}", _FIX)
        if len(members) > 1:
            raise InputError(archive, f"holds {len(members)} files {name}, expected one", _FIX)
        _check_member(archive, members[0])
        pair.append(members[0])
    if PurePosixPath(pair[0].filename).parent != PurePosixPath(pair[1].filename).parent:
        raise InputError(archive, f"holds {CARD} and {WEIGHTS} in two folders, expected one", _FIX)
    return pair[0], pair[1]


def _check_member(archive: Path, member: zipfile.ZipInfo) -> None:
    path, name = PurePosixPath(member.filename), member.filename[:80]
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise InputError(archive, f"its file {name!r} has a name that leads out of the archive", _FIX)
    if member.is_dir() or stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
        raise InputError(archive, f"its file {name!r} is a link or another special file", _FIX)
    if member.flag_bits & _ENCRYPTED:
        raise InputError(archive, f"its file {name!r} is encrypted", "Pack it without a password.")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(archive, f"its file {name!r} has the compression {member.compress_type}, expected deflate",
                         "Pack it in the usual way.")  # fmt: skip
