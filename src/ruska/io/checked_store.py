"""A Zarr store whose metadata are read only while they are of a sensible length."""

from __future__ import annotations

from typing import Any

from zarr.storage import LocalStore, WrapperStore  # noqa: TID253  # imported by functions only

_METADATA = ("zarr.json", ".zarray", ".zgroup", ".zattrs", ".zmetadata")
_LONGEST = 64 << 20  # bytes; containers of thousands of arrays list them all in one text


class CheckedStore(WrapperStore[Any]):
    """Another store, read-only; ValueError for metadata of more than 64 MB."""

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        if key.rsplit("/", 1)[-1] not in _METADATA:
            return await super().get(key, prototype, byte_range)
        if isinstance(self._store, LocalStore):
            try:
                self._check(key, await self._store.getsize(key))
            except OSError:
                return None
        value = await super().get(key, prototype, byte_range)
        if value is not None:
            self._check(key, len(value))
        return value

    def _check(self, key: str, size: int) -> None:
        if size > _LONGEST:
            raise ValueError(f"{key} has {size >> 20} MB, metadata {_LONGEST >> 20} at most")
