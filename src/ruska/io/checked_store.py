"""A Zarr store that refuses truncated Blosc chunks, whose decoder would read on in memory behind them."""

from __future__ import annotations

from typing import Any

from zarr.storage import WrapperStore  # noqa: TID253  # imported by functions only


class CheckedStore(WrapperStore[Any]):
    """Another store, read-only. Chunks below the arrays in ``blosc`` must be as long as they say."""

    def __init__(self, store: Any, blosc: frozenset[str] = frozenset()) -> None:
        super().__init__(store)
        self.blosc = set(blosc)

    def _with_store(self, store: Any) -> CheckedStore:
        return CheckedStore(store, frozenset(self.blosc))

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        value = await super().get(key, prototype, byte_range)
        if value is not None and byte_range is None and self._is_chunk(key):
            head = bytes(value.to_bytes()[:16])
            stated = int.from_bytes(head[12:16], "little")
            if len(value) < max(16, stated):
                raise ValueError(f"chunk {key} is damaged: {len(value)} bytes of {stated}")
        return value

    def _is_chunk(self, key: str) -> bool:
        """Whether ``key`` is a chunk of one of the arrays: its name ends in a number."""
        last = key.rsplit("/", 1)[-1].rsplit(".", 1)[-1]
        return last.isdecimal() and any(key.startswith(f"{array}/") if array else True for array in self.blosc)
