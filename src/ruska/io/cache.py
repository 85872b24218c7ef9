"""Cache of recently read or decoded arrays, up to a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

CACHE_BYTES = 64 << 20


class ArrayCache:
    """The most recently used arrays, up to ``limit`` bytes (but always the last one). Thread-safe.

    An array that two threads ask for at once is made once. Another process begins with an empty one.
    """

    def __init__(self, limit: int = CACHE_BYTES) -> None:
        self.limit = limit
        self._lock = Lock()
        self._held: OrderedDict[Hashable, Future[NDArray[Any] | None]] = OrderedDict()
        self._bytes = 0

    def __reduce__(self) -> tuple[type[ArrayCache], tuple[int]]:
        return type(self), (self.limit,)

    def get(self, key: Hashable, make: Callable[[], NDArray[Any] | None]) -> NDArray[Any] | None:
        """The array ``key``, made now unless it is held; what ``make`` raises is passed on and not kept."""
        with self._lock:
            future = self._held.get(key)
            ours = future is None
            if future is None:
                future = self._held[key] = Future()
            self._held.move_to_end(key)
        if ours:
            try:
                values = make()
            except BaseException as error:
                with self._lock:
                    del self._held[key]
                future.set_exception(error)
                raise
            future.set_result(values)
            with self._lock:
                self._bytes += 0 if values is None else values.nbytes
                self._trim()
        return future.result()

    def _trim(self) -> None:
        for key in list(self._held)[:-1]:
            if self._bytes <= self.limit:
                return
            if self._held[key].done():
                values = self._held.pop(key).result()
                self._bytes -= 0 if values is None else values.nbytes
