"""Digests that identify an input: for the run record, and so that a resumed run knows its file is the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ruska.image import FileStamp, Image, Stamp

_WHOLE_BYTES = 512 << 20
_PIECE = 1 << 20
_PIECES = 64


def digest_image(image: Image) -> str:
    """Digest of the file an image came from, or of its pixels if it came from no file.

    An image on a server is identified by its address and geometry (``sha256-address:...``): nothing is downloaded.
    """
    if image.path is not None:
        if image.path.is_dir() and image.stamp is not None and image.stamp.count == len(image.stamp.files):
            return _listing((name, f.size, f.modified_ns) for name, f in _below(image.stamp))
        others = sorted(file for file in getattr(image.data, "files", ()) if file != image.path and file.is_file())
        if image.path.is_file() and others:  # an OME-TIFF in several files
            return f"sha256-files:{_joined(digest_path(file) for file in (image.path, *others))}"
        return digest_path(image.path)
    if "remote" in image.header:
        return str(image.header["remote"]["digest"])
    pixels = np.ascontiguousarray(image.numpy())
    return f"sha256-pixels:{hashlib.sha256(pixels.view(np.uint8).data).hexdigest()}"


def digest_path(path: Path) -> str:
    """``sha256:...`` of a file up to 512 MB; of its size and 64 spread pieces beyond (``sha256-sampled:...``).

    A folder or store is identified by the names, sizes and times of its files (``sha256-listing:...``).
    """
    if path.is_dir():
        files = ((p.relative_to(path).as_posix(), p.stat()) for p in sorted(path.rglob("*")) if p.is_file())
        return _listing((name, facts.st_size, facts.st_mtime_ns) for name, facts in files)
    digest = hashlib.sha256()
    size = path.stat().st_size
    with path.open("rb") as file_:
        if size <= _WHOLE_BYTES:
            return f"sha256:{hashlib.file_digest(file_, 'sha256').hexdigest()}"
        digest.update(str(size).encode())
        for start in np.linspace(0, size - _PIECE, _PIECES, dtype=np.int64):
            file_.seek(int(start))
            digest.update(file_.read(_PIECE))
    return f"sha256-sampled:{digest.hexdigest()}"


def _joined(digests: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def _listing(files: Iterable[tuple[str, int, int]]) -> str:
    """Of names, sizes and times."""
    digest = hashlib.sha256()
    for name, size, modified in files:
        digest.update(f"{name}\0{size}\0{modified}\n".encode())
    return f"sha256-listing:{digest.hexdigest()}"


def _below(stamp: Stamp) -> Iterator[tuple[str, FileStamp]]:
    """The files of a folder that belong to the image, by name; other files are ignored."""
    for name, facts in sorted(stamp.files.items()):
        yield Path(name).relative_to(stamp.path).as_posix(), facts
