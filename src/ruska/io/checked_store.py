"""A Zarr store whose metadata are read only while they are of a sensible length, and whose shards' indices once.

A store in a folder is left neither through links in it nor through names in its metadata (see `links`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Any

from zarr.abc.store import SuffixByteRequest  # noqa: TID253  # imported by functions only
from zarr.storage import LocalStore, WrapperStore  # noqa: TID253  # imported by functions only

from ruska.io.cache import CACHE_BYTES
from ruska.io.links import Bounds
from ruska.io.places import is_refusal

_METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
_LONGEST = 64 << 20  # bytes; containers of thousands of arrays list them all in one text


class CheckedStore(WrapperStore[Any]):
    """Another store, read-only; ValueError for metadata of more than 64 MB, InputError for links out of its folder.

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
            raise ValueError(f"{key} has {size >> 20} MB, metadata {_LONGEST >> 20} at most")
