"""What the files of an image looked like when it was opened, so that a change is noticed. Reads no files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileStamp:
    """One file.

    size : bytes. modified_ns : time of the last change, nanoseconds since 1970.
    place : device, inode, and (where the system keeps one) the time of the last change to either, which programs that
        put ``modified_ns`` back do not.
    sample : digest of a part of its content, None where none was read.
    """

    size: int
    modified_ns: int
    place: tuple[int, int, int]
    sample: bytes | None = None


@dataclass(frozen=True)
class Stamp:
    """All files that an image's pixels and metadata are read from, as `ruska.io.stamps` found them.

    path : what the user named: a file, a folder of slices, a store.
    roots : files, and folders that count with all that lies in them.
    slices : ``path`` is a folder of slices, and ``roots`` are those it held.
    files : by name; of very many, a part (``count`` and ``names`` are of all).
    names : sum of the hashes of all names, of this process.
    sampled : bytes of each file that were read for its sample, at most.
    taken_ns : when, nanoseconds since 1970.
    """

    path: Path
    roots: tuple[Path, ...]
    slices: bool
    files: Mapping[str, FileStamp]
    count: int
    names: int
    sampled: int
    taken_ns: int
