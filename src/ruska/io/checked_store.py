"""A Zarr store that refuses metadata of unreasonable length and reads the index of a shard once.

A store in a folder is left neither through links in it nor through names in its metadata (see `links`).
"""

from __future__ import annotations

import json
import math
import os
import re
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from typing import Any

from zarr.abc.store import RangeByteRequest, SuffixByteRequest  # noqa: TID253  # imported by functions only
from zarr.storage import LocalStore, WrapperStore, ZipStore  # noqa: TID253  # imported by functions only

from ruska.io.cache import CACHE_BYTES
from ruska.io.links import Bounds
from ruska.io.places import is_refusal

_METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
_LONGEST = 64 << 20  # bytes; containers of thousands of arrays list them all in one text
_LARGEST_VALUE = 1 << 20  # bytes of one value: a cell of a table may be a long text


class CheckedStore(WrapperStore[Any]):
    """Another store, read-only. ValueError for metadata of more than 64 MB, or of arrays whose values have over 1 MB;
    InputError for links out of its folder.

    Zarr makes such a value of each array that it meets, to fill what is missing.

    The ends of files, which are the indices of shards, are kept: Zarr asks for them with every chunk. Metadata that a
    server refuses are taken for missing, as in `places.Server`; ``refused`` then says so. Chunks are not.
    """

    refused = False

    def __init__(self, store: Any) -> None:
        super().__init__(store)
        self._ends: OrderedDict[tuple[str, int], bytes] = OrderedDict()  # only ever used in Zarr's own thread

        self._bounds = Bounds(store.root) if isinstance(store, LocalStore) else None

    def _check_place(self, key: str) -> None:
        if self._bounds is not None:
            self._bounds.check(key)

    async def exists(self, key: str) -> bool:
        self._check_place(key)
        return bool(await super().exists(key))

    def list_dir(self, prefix: str) -> AsyncIterator[str]:
        self._check_place(prefix.rstrip("/"))
        return super().list_dir(prefix)

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]) -> list[Any]:
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def _get_many(self, requests: Iterable[tuple[str, Any, Any]]) -> AsyncGenerator[tuple[str, Any], None]:
        for key, prototype, part in requests:
            yield key, await self.get(key, prototype, part)

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        self._check_place(key)
        if key.rsplit("/", 1)[-1] not in _METADATA:
            if isinstance(byte_range, SuffixByteRequest) and not isinstance(self._store, LocalStore):
                return await self._end(key, prototype, byte_range)
            return await super().get(key, prototype, byte_range)
        if isinstance(self._store, LocalStore):
            try:
                self._check(key, await self._store.getsize(key))
            except OSError:
                return None
        try:
            value = await super().get(key, prototype, byte_range)
        except Exception as error:
            if isinstance(self._store, LocalStore) or not is_refusal(error):
                raise
            self.refused = True
            return None
        if value is not None:
            self._check(key, len(value))
            _check_types(key, value.to_bytes())
        return value

    async def _end(self, key: str, prototype: Any, byte_range: SuffixByteRequest) -> Any:
        held = self._ends.get((key, byte_range.suffix))
        if held is None:
            value = await super().get(key, prototype, byte_range)
            if value is None:
                return None
            held = self._ends[key, byte_range.suffix] = value.to_bytes()
            while len(self._ends) > 1 and sum(map(len, self._ends.values())) > CACHE_BYTES:
                self._ends.popitem(last=False)
        return prototype.buffer.from_bytes(held)

    def _check(self, key: str, size: int) -> None:
        if size > _LONGEST:
            raise ValueError(f"{key} has {size >> 20} MB; metadata may have {_LONGEST >> 20} MB")


def _check_types(key: str, data: bytes) -> None:
    """ValueError when a value of one of the arrays that metadata describe would take more than `_LARGEST_VALUE`."""
    try:
        said = json.loads(data)
    except ValueError:
        return  # Zarr says what is wrong
    except RecursionError as error:
        raise ValueError(f"{key} is nested too deep") from error
    for one in _arrays(said):
        for name in ("dtype", "data_type"):
            if _bytes_of(one.get(name)) > _LARGEST_VALUE:
                raise ValueError(f"{key} describes values of more than {_LARGEST_VALUE >> 20} MB each")


def _arrays(said: Any) -> Iterator[dict[str, Any]]:
    """The array that metadata describe, or those that consolidated metadata do."""
    if not isinstance(said, dict):
        return
    yield said
    for holder in (said, said.get("consolidated_metadata")):
        within = holder.get("metadata") if isinstance(holder, dict) else None
        if isinstance(within, dict):
            yield from (one for one in within.values() if isinstance(one, dict))


def _bytes_of(kind: Any) -> int:
    """Bytes that a value of a Zarr data type may have, at most: ``"<U20"``, a list of fields, or a named type."""
    if isinstance(kind, bool | float) or kind is None:
        return 0
    if isinstance(kind, int):
        return kind
    if isinstance(kind, str):
        length = re.search(r"(\d{1,20})$", kind)
        return 4 * int(length[1]) if length else 8
    if isinstance(kind, dict):
        return sum(map(_bytes_of, kind.get("configuration", kind).values())) if _is_named(kind) else _LARGEST_VALUE + 1
    if all(isinstance(n, int) for n in kind):  # the shape of a field
        return math.prod(kind)
    field = isinstance(kind[0], str)  # name, type and perhaps shape; else a list of fields
    return math.prod(map(_bytes_of, kind[1:])) if field else sum(map(_bytes_of, kind))


def _is_named(kind: dict[str, Any]) -> bool:
    return isinstance(kind.get("configuration", {}), dict)


class BoundedStore(WrapperStore[Any]):
    """The store of one array, read-only; ValueError for chunks that no chunk of it can be.

    longest : bytes of a whole file, asked for before it is read where the store can tell, else when it is there.
    part : bytes of a chunk in a shard, whose place a shard's index says.
    """

    def __init__(self, store: Any, longest: int, part: int) -> None:
        super().__init__(store)
        self._longest, self._part = longest, part
        self._base = store
        while isinstance(self._base, WrapperStore):
            self._base = self._base._store

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        if byte_range is None:
            self._check(key, self._size_of(key))
        elif isinstance(byte_range, RangeByteRequest):
            length = byte_range.end - byte_range.start
            if not 0 <= length <= self._part:
                raise ValueError(f"one in {key} claims {length} bytes; a chunk may take at most {self._part}")
        value = await super().get(key, prototype, byte_range)
        if value is not None and byte_range is None:
            self._check(key, len(value))
        return value

    def _check(self, key: str, size: int) -> None:
        if size > self._longest:
            raise ValueError(f"{key} has {size} bytes; a chunk may take at most {self._longest}")

    def _size_of(self, key: str) -> int:
        """Bytes of a file; 0 where it is not there, or would have to be read to tell."""
        try:
            if isinstance(self._base, LocalStore):
                return os.stat(os.path.join(self._base.root, key)).st_size
            if isinstance(self._base, ZipStore) and self._base._is_open:
                return int(self._base._zf.getinfo(key).file_size)
        except (OSError, KeyError):
            return 0
        return 0
