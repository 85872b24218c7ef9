"""The state of an image's files when it was opened, so that changes are noticed. Reads no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileStamp:
    """One file.

    size : bytes. modified_ns : time of the last change, nanoseconds since 1970.
    place : device, inode and (where the system keeps one) the time of the last change of the inode, which programs
        that reset ``modified_ns`` leave.
    sample : digest of a part of its content, or None if none was read.
    """

    size: int
    modified_ns: int
    place: tuple[int, int, int]
    sample: bytes | None = None


@dataclass(frozen=True)
class Stamp:
    """All files that an image's pixels and metadata are read from, as `ruska.io.stamps` found them.

    path : what the user named: a file, a folder of slices, a store.
    roots : files, and folders with everything in them.
    slices : ``path`` is a folder of slices, and ``roots`` are those it held.
    files : by name; only some if there are very many (``count`` and ``names`` cover all).
    names : sum of the hashes of all names, valid in this process.
    sampled : most bytes of each file that were read for its sample.
    taken_ns : time of the stamp, nanoseconds since 1970.
    """

    path: Path
    roots: tuple[Path, ...]
    slices: bool
    files: Mapping[str, FileStamp]
    count: int
    names: int
    sampled: int
    taken_ns: int
