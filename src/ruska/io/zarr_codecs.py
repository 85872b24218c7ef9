"""Which codecs of Zarr arrays Ruska reads, and how long a chunk may be before and after each of them.

All others are refused: codecs that build objects (pickle, vlen), and those without a bound on their output.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

PACKERS = {"blosc": "blosc", "gzip": "gzip", "zlib": "zlib", "zstd": "zstd", "bz2": "bzip2", "lzma": "xz",
           "lz4": "lz4 block"}  # fmt: skip
"""Codecs that unpack to more than they are given, and the kind by which `chunked.unpack` knows them."""

_CHECKSUMS = ("crc32", "crc32c", "adler32", "fletcher32")
_RETYPED = {"delta": ("dtype", "astype"), "fixedscaleoffset": ("dtype", "astype"), "quantize": ("dtype", "astype"),
            "astype": ("decode_dtype", "encode_dtype")}  # fmt: skip
_SAME_LENGTH = ("bytes", "transpose", "bitround", "shuffle")
_LARGEST_ELEMENT = 16
_MOST_CODECS = 8
_LARGEST_INDEX = 64 << 20
_SHARDING = "sharding_indexed"


@dataclass(frozen=True)
class Stage:
    """One codec of a pipeline. ``most`` : bytes that it may decode to. ``kind`` : of packed data, or None."""

    name: str
    most: int
    kind: str | None


def is_grey(dtype: np.dtype[Any]) -> bool:
    """Whether values of this type are read: booleans, integers and real numbers of up to 8 bytes."""
    return dtype.kind in "uifb" and dtype.itemsize <= 8


def stages(codecs: Sequence[tuple[str, Mapping[str, Any]]], size: int) -> tuple[list[Stage], int]:
    """The codecs (name and settings, in the order of encoding) of a chunk of ``size`` bytes; then its packed length.

    Compressed data may be longer than their input by a sixteenth and 4 KB. ValueError for a codec that is not read.
    """
    if len(codecs) > _MOST_CODECS:
        raise ValueError(f"it has a chain of {len(codecs)} codecs; Ruska reads up to {_MOST_CODECS}")
    found = []
    for full_name, settings in codecs:
        name = full_name.removeprefix("numcodecs.")
        found.append(Stage(name, size, PACKERS.get(name)))
        size = _encoded(name, settings, size)
    return found, size


def _encoded(name: str, settings: Mapping[str, Any], size: int) -> int:
    """Bytes that ``size`` bytes may take once encoded."""
    if name in PACKERS:
        if name == "lzma" and settings.get("format", 1) not in (None, 0, 1, 2):
            raise ValueError("its lzma codec has no header that states the memory it needs (format RAW)")
        return size + size // 16 + 4096
    if name in _CHECKSUMS:
        return size + 4
    if name == "packbits":
        return 1 + -(-size // 8)
    if name in _RETYPED:
        _check_numbers(name, settings)
        decoded, encoded = (_type(name, settings.get(key)) for key in _RETYPED[name])
        return size if encoded is None else -(-size // (decoded or encoded).itemsize) * encoded.itemsize
    if name == "shuffle":
        _check_element(settings.get("elementsize", 4))
        return size
    if name in _SAME_LENGTH:
        return size
    raise ValueError(f"Ruska does not read its codec '{name}'")


def _check_numbers(name: str, settings: Mapping[str, Any]) -> None:
    """A list in place of a factor would be broadcast over the chunk."""
    for key in ("scale", "offset"):
        if not isinstance(settings.get(key, 0), int | float):
            raise ValueError(f"its codec '{name}' has a {key} that is not a number")


def _type(name: str, said: Any) -> np.dtype[Any] | None:
    """The type that a filter turns values from or to; ValueError unless it is a plain number's."""
    if said is None:
        return None
    try:
        dtype = np.dtype(said) if isinstance(said, str | np.dtype) else None
    except (TypeError, ValueError, SyntaxError):
        dtype = None
    if dtype is None or not is_grey(dtype):
        raise ValueError(f"its codec '{name}' makes values of type {str(said)[:40]!r}, which are not grey levels")
    return dtype


def _check_element(size: Any) -> None:
    if size is None:
        return
    if not isinstance(size, int) or not 1 <= size <= _LARGEST_ELEMENT:
        raise ValueError(
            f"its codec 'shuffle' has elements of {str(size)[:40]} bytes, 1 to {_LARGEST_ELEMENT} are read"
        )


def check_sharding(shard: Sequence[int], chunk: Sequence[int], index: Sequence[str]) -> int:
    """Chunks in a shard; ValueError when they do not fill it, are too many, or the index is encoded unusually."""
    if len(shard) != len(chunk) or any(n < 1 or s % n for s, n in zip(shard, chunk, strict=False)):
        raise ValueError(f"its shards of {tuple(shard)} do not consist of whole chunks of {tuple(chunk)}")
    strange = [name for name in index if name not in ("bytes", "crc32c")]
    if strange:
        raise ValueError(f"Ruska does not read the codec '{strange[0]}' of its shards' index")
    count = math.prod(s // n for s, n in zip(shard, chunk, strict=True))
    if 16 * count > _LARGEST_INDEX:
        raise ValueError(f"its shards have {count} chunks each, of {_LARGEST_INDEX // 16} at most")
    return count
