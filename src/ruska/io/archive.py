"""Bounds on unpacking: how much a packed file or archive may unpack to."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from pathlib import Path

from ruska.errors import InputError

DAMAGED = (OSError, EOFError, ValueError, IndexError, RuntimeError, struct.error, zlib.error, lzma.LZMAError,
           zipfile.BadZipFile)  # fmt: skip
"""What Python's own decoders raise at damaged files: IndexError for a nameless member of an archive, RuntimeError for
an encrypted one, and its kind NotImplementedError for packings that they do not know."""

ALWAYS_FINE = 1 << 30
"""Bytes that may be unpacked from however small a file."""

LARGEST_RATIO = 200
"""Beyond that, of unpacked to packed bytes. Micrographs reach 2, label images 100."""


def is_bomb(packed: int, unpacked: int) -> bool:
    """Whether so few bytes that claim to unpack to so many look like a decompression bomb."""
    return unpacked > ALWAYS_FINE and unpacked > LARGEST_RATIO * packed


def check_ratio(path: Path, member: zipfile.ZipInfo) -> None:
    """InputError when a member of the archive ``path`` claims too much."""
    if is_bomb(max(1, member.compress_size), member.file_size):
        raise InputError(
            path, f"'{member.filename}' in it unpacks to {member.file_size >> 20} MB from {member.compress_size} "
            "bytes: it may be a decompression bomb", "If you trust it, unpack it yourself.",
        )  # fmt: skip
