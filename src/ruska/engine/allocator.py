"""What happens to freed memory: kept for the next layer, given back between blocks (glibc only).

glibc returns large blocks to the system when they are freed, and the next layer faults every page in again. On two
cores that was most of a U-Net's time on the CPU. Kept memory is fragmented, though, and the next block or the report
does not fit into it, so it is given back before the plan, between blocks and before the report. Optional: does nothing
without glibc.
"""

from __future__ import annotations

import ctypes
import platform
from contextlib import suppress

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_USUAL = ((_M_MMAP_MAX, 65536), (_M_TRIM_THRESHOLD, 128 << 10), (_M_TOP_PAD, 128 << 10))  # as glibc has them


def keep_freed_memory() -> bool:
    """Tell glibc to reuse large freed blocks; True when it took the advice. Call before the first large array."""
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, 2**31 - 1), (_M_TOP_PAD, 64 << 20))
    taken = [_tell(option, value) for option, value in settings]
    return all(taken)


def free_as_usual() -> None:
    """Take back what `keep_freed_memory` said, and return what was kept: for steps that gain nothing by it.

    What is kept lies in pieces. Pictures of 1024 x 1024 pixels took 190 MB among them, and take 170 MB without.
    """
    for option, value in _USUAL:
        _tell(option, value)
    give_back_freed_memory()


def share_one_heap() -> bool:
    """Tell glibc that all threads share one heap from now on; True when it took the advice.

    Otherwise each has its own heap, whose freed end (up to 64 MB) is never given back. Blocks are a few large arrays,
    so threads hardly ever wait for each other here.
    """
    return _tell(_M_ARENA_MAX, 1)


def give_back_freed_memory() -> None:
    """Return every freed page to the system, whatever `keep_freed_memory` said: 1 to 20 ms."""
    if platform.libc_ver()[0] == "glibc":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def _tell(option: int, value: int) -> bool:
    if platform.libc_ver()[0] != "glibc":
        return False
    try:
        return bool(ctypes.CDLL(None).mallopt(option, value) == 1)
    except (OSError, AttributeError):
        return False
