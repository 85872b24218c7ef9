"""Zarr arrays whose chunks are looked at before they are unpacked: no more than a chunk can hold, and all of it there.

Zarr's codecs trust what a chunk says of itself: a few kilobytes may unpack to gigabytes, and a truncated Blosc chunk is
read on in memory behind its end.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ruska.io import chunked

_KINDS = {"blosc": "blosc", "gzip": "gzip", "zlib": "zlib", "zstd": "zstd", "bz2": "bzip2", "lzma": "xz", "lz4": "lz4"}
_SPARE = 8  # times a chunk's own size, for filters that unpack to a wider type, and room for small chunks
_SMALL = 1 << 20


def guarded(array: Any) -> Any:
    """``array`` (zarr.Array) with codecs that refuse chunks which are truncated or hold too much, by a ValueError.

    Raises ValueError when its chunks are compressed and larger than `chunked.LARGEST_CHUNK`.
    """
    import zarr

    size = math.prod(array.chunks) * np.dtype(array.dtype).itemsize
    limit = _SPARE * size + _SMALL
    metadata = array.metadata
    if metadata.zarr_format == 2:
        if metadata.compressor is None:
            return array
        safe = dataclasses.replace(metadata, compressor=_safe_numcodec(metadata.compressor, limit))
    else:
        codecs = tuple(_safe_codec(codec, limit) for codec in metadata.codecs)
        if all(new is old for new, old in zip(codecs, metadata.codecs, strict=True)):
            return array
        safe = dataclasses.replace(metadata, codecs=codecs)
    if size > chunked.LARGEST_CHUNK:
        raise ValueError(f"its chunks are compressed and unpack to {size >> 20} MB each, more than "
                         f"{chunked.LARGEST_CHUNK >> 20} MB")  # fmt: skip
    return zarr.Array(zarr.AsyncArray(metadata=safe, store_path=array.store_path))


def _safe_codec(codec: Any, limit: int) -> Any:
    """A codec of Zarr 3 that checks its input; codecs that cannot unpack to more than they are given stay."""
    inner = getattr(codec, "codecs", None)
    if inner is not None:  # sharding
        safe = tuple(_safe_codec(one, limit) for one in inner)
        return codec if safe == inner else dataclasses.replace(codec, codecs=safe)
    kind = _KINDS.get(str(codec.to_dict().get("name", "")).removeprefix("numcodecs."))
    if kind is None:
        return codec

    def check(data: Any) -> None:
        chunked.check_packed(kind, memoryview(data.as_numpy_array()).cast("B"), limit)

    # Zarr 3.1 unpacks in `_decode_sync`, which `_decode_single` calls; earlier ones have the latter only.
    if hasattr(codec, "_decode_sync"):
        return _of_class(codec, {"_decode_sync": _checked(type(codec)._decode_sync, check)})
    return _of_class(codec, {"_decode_single": _checked(type(codec)._decode_single, check)})


def _safe_numcodec(codec: Any, limit: int) -> Any:
    """A codec of Zarr 2 that checks its input."""
    kind = _KINDS.get(codec.codec_id)
    if kind is None:
        return codec
    return _of_class(
        codec,
        {
            "decode": _checked(
                type(codec).decode, lambda data: chunked.check_packed(kind, memoryview(data).cast("B"), limit)
            )
        },
    )


def _checked(decode: Callable[..., Any], check: Callable[[Any], None]) -> Callable[..., Any]:
    def checked(self: Any, data: Any, *rest: Any, **named: Any) -> Any:
        check(data)
        return decode(self, data, *rest, **named)

    return checked


def _of_class(codec: Any, methods: dict[str, Any]) -> Any:
    """A copy of ``codec`` with these methods."""
    safe = copy.copy(codec)
    object.__setattr__(safe, "__class__", type(type(codec).__name__, (type(codec),), methods))
    return safe
