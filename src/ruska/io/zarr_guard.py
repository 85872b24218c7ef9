"""Zarr arrays with known codecs only, whose chunks cannot unpack to more than a chunk can hold.

zarr-python builds any codec that a store names, and its codecs trust the sizes that a chunk claims: one may run code, a
few kilobytes may unpack to gigabytes, and a truncated Blosc chunk is read beyond its end. The checks use the metadata
that zarr-python has parsed, wherever it found them.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ruska.io import chunked
from ruska.io.zarr_codecs import Stage, check_sharding, is_grey, stages

_LARGEST_SIDE = 1 << 62
_DEEPEST = 3  # shards in shards


def guarded(array: Any) -> Any:
    """``array`` (zarr.Array) with codecs that raise ValueError for truncated or oversized chunks.

    Raises ValueError for values that are not grey levels, codecs that are not read, and chunks that are invalid or
    larger than `chunked.LARGEST_CHUNK`.
    """
    import zarr

    from ruska.io.checked_store import BoundedStore

    metadata = array.metadata
    dtype = np.dtype(array.dtype)
    if not is_grey(dtype):
        raise ValueError(f"its values are of type {str(dtype)[:40]}, which are not grey levels")
    _check_shape(array.shape, 0)
    grid = _regular_chunks(metadata)
    _check_shape(grid, 1)
    if len(grid) != len(array.shape):
        raise ValueError(f"its chunks of {grid} do not fit its shape {array.shape}")
    if metadata.zarr_format == 2:
        safe, file, part = _safe_second(metadata, math.prod(grid) * dtype.itemsize)
    else:
        if metadata.storage_transformers:
            raise ValueError("it was stored through a storage transformer, which Ruska does not know")
        codecs, file, part = _safe_third(metadata.codecs, grid, dtype.itemsize)
        safe = dataclasses.replace(metadata, codecs=codecs)
    place = copy.copy(array.store_path)
    object.__setattr__(place, "store", BoundedStore(place.store, file, part))
    return zarr.Array(zarr.AsyncArray(metadata=safe, store_path=place))


def _check_shape(shape: Sequence[int], least: int) -> None:
    if not all(isinstance(n, int) and least <= n <= _LARGEST_SIDE for n in shape):
        raise ValueError(f"its shape or chunks are {str(tuple(shape))[:80]}")


def _regular_chunks(metadata: Any) -> tuple[int, ...]:
    """Shape of what one file holds: a chunk, or a shard."""
    found = getattr(metadata.chunk_grid, "chunk_shape", None)
    if not isinstance(found, tuple):
        raise ValueError("its chunks differ in shape")
    return found


def _check_chunk(size: int) -> None:
    if size > chunked.LARGEST_CHUNK:
        raise ValueError(f"its chunks are {size >> 20} MB each, more than {chunked.LARGEST_CHUNK >> 20} MB")


def _safe_second(metadata: Any, size: int) -> tuple[Any, int, int]:
    """Metadata of Zarr 2 with codecs that check; the longest file of a chunk, and the longest part of it."""
    _check_chunk(size)
    codecs = [*(metadata.filters or ()), *([] if metadata.compressor is None else [metadata.compressor])]
    described = [(str(codec.codec_id), _settings(codec.get_config())) for codec in codecs]
    known, packed = _checked_stages(described, size)
    safe = [_safe_numcodec(codec, stage) for codec, stage in zip(codecs, known, strict=True)]
    count = len(metadata.filters or ())
    changed = {"filters": tuple(safe[:count]) or None, "compressor": safe[count] if safe[count:] else None}
    return dataclasses.replace(metadata, **changed), packed, packed


def _safe_third(codecs: Sequence[Any], grid: tuple[int, ...], itemsize: int, depth: int = 0) -> tuple[Any, int, int]:
    """Codecs of Zarr 3 that check, and the lengths as in `_safe_second`; ``grid`` is the shape they encode."""
    shards = [codec for codec in codecs if _name(codec) == "sharding_indexed"]
    if not shards:
        size = math.prod(grid) * itemsize
        _check_chunk(size)
        known, packed = _checked_stages([(_name(one), _settings(_described(one)["configuration"])) for one in codecs],
                                        size)  # fmt: skip
        return tuple(_safe_codec(one, stage) for one, stage in zip(codecs, known, strict=True)), packed, packed
    if len(codecs) > 1 or depth >= _DEEPEST:
        raise ValueError("its shards are encoded twice, or nested too deep")
    shard = shards[0]
    count = check_sharding(grid, shard.chunk_shape, [_name(one) for one in shard.index_codecs])
    inner, longest, part = _safe_third(shard.codecs, tuple(shard.chunk_shape), itemsize, depth + 1)
    whole = count * longest + 16 * count + 64
    return (dataclasses.replace(shard, codecs=inner),), whole, max(longest, part)


def _checked_stages(described: Sequence[tuple[str, Mapping[str, Any]]], size: int) -> tuple[list[Stage], int]:
    known, packed = stages(described, size)
    _check_chunk(max((stage.most for stage in known), default=size))
    return known, packed


def _described(codec: Any) -> dict[str, Any]:
    said = codec.to_dict()
    return {"name": said.get("name", ""), "configuration": said.get("configuration", {})}


def _name(codec: Any) -> str:
    return str(_described(codec)["name"])


def _settings(said: Any) -> Mapping[str, Any]:
    return said if isinstance(said, Mapping) else {}


def _safe_codec(codec: Any, stage: Stage) -> Any:
    """A codec of Zarr 3 whose output ``stage`` bounds."""
    if stage.kind is None:
        return codec  # makes as many bytes out of what it is given as `stages` counted

    def decode(_: Any, data: Any, spec: Any) -> Any:
        found = memoryview(np.ascontiguousarray(data.as_numpy_array())).cast("B")
        return spec.prototype.buffer.from_bytes(chunked.unpack(str(stage.kind), found, stage.most))

    async def decode_aside(self: Any, data: Any, spec: Any) -> Any:
        import asyncio

        return await asyncio.to_thread(decode, self, data, spec)

    # Zarr 3.1 calls `_decode_sync` where it can; earlier ones have `_decode_single` only.
    return _of_class(codec, {"_decode_sync": decode, "_decode_single": decode_aside})


def _safe_numcodec(codec: Any, stage: Stage) -> Any:
    """A codec of Zarr 2 whose output ``stage`` bounds."""
    if stage.kind is None:
        return _of_class(codec, {"decode": _measured(type(codec).decode, stage)})

    def decode(_: Any, data: Any, out: Any = None) -> Any:
        assert out is None, "Zarr takes what a codec makes"
        found = memoryview(np.ascontiguousarray(data)).cast("B")
        return chunked.unpack(str(stage.kind), found, stage.most)

    return _of_class(codec, {"decode": decode})


def _measured(decode: Callable[..., Any], stage: Stage) -> Callable[..., Any]:
    def measured(self: Any, data: Any, *rest: Any, **named: Any) -> Any:
        found = decode(self, data, *rest, **named)
        if memoryview(found).nbytes > stage.most:
            raise ValueError(f"{stage.name} makes {memoryview(found).nbytes} bytes, of {stage.most} that a chunk may "
                             "take")  # fmt: skip
        return found

    return measured


def _of_class(codec: Any, methods: dict[str, Any]) -> Any:
    """A copy of ``codec`` with these methods."""
    safe = copy.copy(codec)
    object.__setattr__(safe, "__class__", type(type(codec).__name__, (type(codec),), methods))
    return safe
