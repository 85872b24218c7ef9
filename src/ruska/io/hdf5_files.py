"""A file that HDF5 can be given to write to, whatever becomes of the disk."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any


class PatientFile(io.FileIO):
    """A file that keeps the first failure to write to itself, until `check` raises it.

    HDF5 holds on to a file that it cannot finish, and crashes with it at the end of the program.
    """

    error: OSError | None = None

    def write(self, data: Any) -> int:
        """All of ``data``, or as if."""
        rest = memoryview(data).cast("B")
        size = len(rest)
        while len(rest) and self.error is None:
            rest = rest[self._attempt(super().write, rest) :]
        return size

    def truncate(self, size: int | None = None) -> int:
        self._attempt(super().truncate, size)
        return size or 0

    def _attempt(self, action: Callable[[Any], int | None], what: Any) -> int:
        if self.error is None:
            try:
                return action(what) or 0
            except OSError as error:
                self.error = error
        return 0

    def check(self) -> None:
        """Raise what went wrong, if anything did."""
        if self.error is not None:
            raise self.error
