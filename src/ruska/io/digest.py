"""Digests that identify an input: for the run record, and so that a resumed run knows its file is the same."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ruska.image import Image

_WHOLE_BYTES = 512 << 20
_PIECE = 1 << 20
_PIECES = 64


def digest_image(image: Image) -> str:
    """Digest of the file an image came from, or of its pixels when it came from none.

    An image on a server is identified by its address and geometry (``sha256-address:...``): nothing is downloaded.
    """
    if image.path is not None:
        return digest_path(image.path)
    if "remote" in image.header:
        return str(image.header["remote"]["digest"])
    pixels = np.ascontiguousarray(image.numpy())
    return f"sha256-pixels:{hashlib.sha256(pixels.view(np.uint8).data).hexdigest()}"


def digest_path(path: Path) -> str:
    """``sha256:...`` of a file up to 512 MB; of its size and 64 spread pieces beyond (``sha256-sampled:...``).

    A folder or store is identified by the names, sizes and times of its files (``sha256-listing:...``).
    """
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            facts = file.stat()
            digest.update(f"{file.relative_to(path).as_posix()}\0{facts.st_size}\0{facts.st_mtime_ns}\n".encode())
        return f"sha256-listing:{digest.hexdigest()}"
    size = path.stat().st_size
    with path.open("rb") as file_:
        if size <= _WHOLE_BYTES:
            return f"sha256:{hashlib.file_digest(file_, 'sha256').hexdigest()}"
        digest.update(str(size).encode())
        for start in np.linspace(0, size - _PIECE, _PIECES, dtype=np.int64):
            file_.seek(int(start))
            digest.update(file_.read(_PIECE))
    return f"sha256-sampled:{digest.hexdigest()}"
