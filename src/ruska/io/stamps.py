"""Notice when an input changes while it is read, because an instrument or another program still writes it.

A run reads its input several times, over hours. Without this, a result could be made of two states of a file.

A stamp holds the size and times of every file, and samples of its content, because a file may be written twice within
one tick of the clock, or have its time reset. A change that keeps size and times and falls between the samples goes
unnoticed: another program's writable memory map can do that. Stores on servers have no stamp.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ruska.errors import ChangedInputError, InputError
from ruska.image import FileStamp, Stamp
from ruska.io.digest import digest_path
from ruska.io.formats import format_of_name

if TYPE_CHECKING:
    from ruska.image import Image

_MOST_FILES = 20_000  # of a store that are looked at one by one; of more, as many of them, evenly spread
_MOST_SAMPLED = 512
_SAMPLED, _SAMPLED_EACH = 8 << 20, 4 << 20  # bytes, of all files and of one
_PIECES, _SMALLEST_PIECE = 64, 4096
_METADATA = frozenset(("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata", "attributes.json", "info"))
_TICK_NS = 3 * 10**9  # clocks of file systems go in steps of up to two seconds
_WAIT = "Wait until no program writes to it (an instrument may still be recording), then run the same command again."
_REWRITTEN = "changed while it was open: its content differs, although size and time are the same"
_BACK = "Restore it as it was; the same command resumes."


def take(path: Path, image: Image | None = None) -> Stamp:
    """The stamp of the files of ``image``, which was opened as ``path``; without an image, of the file ``path`` alone.

    Of a folder of slices, these are its slices; of a store, the array that is read and the metadata above it.
    Raises InputError when they cannot be looked at.
    """
    lazy = () if image is None else (image.data, image.mask)
    roots = tuple(dict.fromkeys(file for pixels in lazy for file in getattr(pixels, "files", ())))
    slices = bool(roots) and all(file.parent == path and file.is_file() for file in roots)
    if not roots:  # a description names the file with the pixels
        roots = (path,) if image is None or image.path is None else tuple(dict.fromkeys((path, image.path)))
    stamp = Stamp(path, roots, slices, {}, 0, 0, 0, time.time_ns())
    try:
        return _filled(stamp, sorted(_listed(stamp)))
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror or error})", "Check its permissions.") from error


def _filled(stamp: Stamp, listed: list[str]) -> Stamp:
    step = max(1, -(-len(listed) // _MOST_FILES))
    chosen = [name for i, name in enumerate(listed) if i % step == 0 or _is_metadata(name)]
    most = max(_SMALLEST_PIECE, min(_SAMPLED_EACH, _SAMPLED // max(1, len(chosen))))
    rate = 1 if stamp.slices else max(1, -(-len(chosen) // _MOST_SAMPLED))
    files = {}
    for i, name in enumerate(chosen):
        sampled = i % rate == 0 or _is_metadata(name)
        with suppress(FileNotFoundError):  # a link to nothing: no part of the image
            files[name] = _stamped(name, most if sampled else 0)
    return replace(stamp, files=files, count=len(listed), names=sum(map(hash, listed)), sampled=most)


def check_unchanged(
    image: Image, *, thorough: bool = True, ours: Path | None = None, digest: str | None = None
) -> None:
    """Raise ChangedInputError when the files of ``image`` have changed since it was opened.

    thorough : samples of the content are read again, too, and names of files listed.
    ours : an output; files beside it that begin with its name were written by the run itself.
    digest : of the image, taken after it was opened; decides where a file was replaced, or changed too soon to tell.

    InputError when a file is gone. Images without a path or a stamp (from Python, from servers) are not checked.
    """
    then = image.stamp
    if image.path is None or then is None:
        return
    for name, before in then.files.items():
        now = _found(then, name)
        if (what := _difference(before, now)) is not None:
            raise _changed(then, name, what)
        moved = _place(now) != before.place
        soon = thorough and before.modified_ns > then.taken_ns - _TICK_NS
        if (thorough or moved) and before.sample is not None and _sample_now(then, name, before) != before.sample:
            raise _changed(then, name, _REWRITTEN)
        if (moved or soon) and name == str(image.path) and _has_other_digest(image.path, digest):
            raise _changed(then, name, _REWRITTEN)
    if thorough and (then.slices or any(root.is_dir() for root in then.roots)):
        _check_names(then, ours)


def _listed(stamp: Stamp) -> Iterator[str]:
    """Names of all files."""
    if stamp.slices:
        from ruska.io.folder import members

        yield from map(str, members(stamp.path))
        return
    for root in stamp.roots:
        if not root.is_dir():
            yield str(root)
            continue
        yield from _below(str(root))
        if root != stamp.path and root.is_relative_to(stamp.path):
            above = (folder for folder in root.parents if folder.is_relative_to(stamp.path))
            yield from (str(folder / name) for folder in above for name in _METADATA if (folder / name).is_file())


def _below(folder: str) -> Iterator[str]:
    """Files in ``folder`` and its subfolders; hidden ones are not part of a store, except metadata."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(".") and entry.name not in _METADATA:
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _below(entry.path)
            else:
                yield entry.path


def _is_metadata(name: str) -> bool:
    return os.path.basename(name) in _METADATA


def _stamped(name: str, sampled: int) -> FileStamp:
    """``sampled`` : bytes of content to read at most."""
    found = os.stat(name)
    sample = _sample(name, found.st_size, sampled) if sampled and stat.S_ISREG(found.st_mode) else None
    return FileStamp(found.st_size, found.st_mtime_ns, _place(found), sample)


def _place(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_dev, found.st_ino, found.st_ctime_ns


def _sample(name: str, size: int, most: int) -> bytes:
    """Digest of evenly spread pieces of a file, ``most`` bytes in all, or of the whole if it is not longer."""
    digest = hashlib.blake2b(digest_size=16)
    with open(name, "rb", buffering=0) as file:
        for start, length in _pieces(size, most):
            file.seek(start)
            digest.update(file.read(length))
    return digest.digest()


def _pieces(size: int, most: int) -> list[tuple[int, int]]:
    """Start and length of each piece of a file."""
    if size <= most:
        return [(0, size)]
    count = max(1, min(_PIECES, most // _SMALLEST_PIECE))
    length = most // count
    return [((2 * i + 1) * (size - length) // (2 * count), length) for i in range(count)]


def _found(then: Stamp, name: str) -> os.stat_result:
    try:
        return os.stat(name)
    except OSError as error:
        raise _gone(then, name, error) from error


def _sample_now(then: Stamp, name: str, before: FileStamp) -> bytes:
    try:
        return _sample(name, before.size, then.sampled)
    except OSError as error:
        raise _gone(then, name, error) from error


def _gone(then: Stamp, name: str, error: OSError) -> InputError:
    which = "" if name == str(then.path) else f"{_shown(then, name)} in it "
    return InputError(then.path, f"{which}can no longer be read ({error.strerror or error}): it was deleted or moved "
                      "while in use, or its disk or share was lost", _BACK)  # fmt: skip


def _difference(before: FileStamp, now: os.stat_result) -> str | None:
    """What differs, in words."""
    when = f"modified at {_time(now.st_mtime_ns)} (before: {_time(before.modified_ns)})"
    if now.st_size != before.size:
        how = "became shorter" if now.st_size < before.size else "grew"
        return f"{how} while it was open: size {before.size} -> {now.st_size} bytes, {when}"
    return f"changed while it was open: {when}" if now.st_mtime_ns != before.modified_ns else None


def _time(nanoseconds: int) -> str:
    return datetime.fromtimestamp(nanoseconds / 1e9).isoformat(sep=" ", timespec="milliseconds")


def _has_other_digest(path: Path, digest: str | None) -> bool:
    """For a file whose digest covers all of it."""
    return digest is not None and digest.startswith("sha256:") and digest_path(path) != digest


def _check_names(then: Stamp, ours: Path | None) -> None:
    try:
        listed = [name for name in _listed(then) if name in then.files or not _is_ours(name, ours)]
    except (OSError, InputError) as error:  # nothing left, or as many slices of another format
        raise _changed(then, str(then.path), f"changed while it was open: its files differ ({error})") from error
    if sum(map(hash, listed)) != then.names:
        new = sorted(name for name in listed if name not in then.files)
        added = f", such as {_shown(then, new[0])}" if new and then.count == len(then.files) else ""
        raise _changed(then, str(then.path), f"changed while it was open: {then.count} files -> {len(listed)}{added}")


def _is_ours(name: str, ours: Path | None) -> bool:
    """Whether a file is an output, or is written beside one."""
    if ours is None:
        return False
    file, target = Path(name).absolute(), ours.absolute()
    known = format_of_name(target)
    stem = target.name[: -max(len(s) for s in known.suffixes if target.name.lower().endswith(s))] if known else None
    beside = tuple(f"{stem}{end}" for end in (".report.", ".record.", "_std.", "_sample"))
    return target in (file, *file.parents) or (file.parent == target.parent and file.name.startswith(beside))


def _changed(then: Stamp, name: str, what: str) -> ChangedInputError:
    which = "" if name == str(then.path) else f"{_shown(then, name)} in it "
    return ChangedInputError(then.path, f"{which}{what}", _WAIT)


def _shown(then: Stamp, name: str) -> str:
    file = Path(name)
    return file.relative_to(then.path).as_posix() if file.is_relative_to(then.path) else file.name
