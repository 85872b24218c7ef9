"""How much memory a job may use, and how much is in use."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruska.engine.allocator import give_back_freed_memory
from ruska.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
          "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}  # fmt: skip

_LARGE = 64 << 20  # bytes that glibc never takes from the heap unless told to: twice its largest threshold


def parse_memory(text: str) -> int:
    """Bytes in ``"2GB"``, ``"512 MiB"`` or ``"1.5g"``; SettingsError otherwise."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-zA-Z]*)\s*", text)
    unit = match.group(2).lower() if match else "?"
    unit = unit + "b" if unit in ("k", "m", "g", "t") else unit
    if match is None or unit not in _UNITS or float(match.group(1)) <= 0:
        raise SettingsError(text, "is not an amount of memory", "Write it like 2GB or 512MB.")
    return int(float(match.group(1)) * _UNITS[unit])


def format_bytes(count: float) -> str:
    """``1.5 GB``: decimal units, three digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def available_memory() -> int:
    """Bytes that can be used without swapping, within the limit of a container where there is one."""
    import psutil

    free = int(psutil.virtual_memory().available)
    try:  # cgroup v2: a job on a cluster or in a container may use less than the machine has
        with open("/sys/fs/cgroup/memory.max", encoding="ascii") as limit, \
                open("/sys/fs/cgroup/memory.current", encoding="ascii") as used:  # fmt: skip
            free = min(free, int(limit.read()) - int(used.read()))
    except (OSError, ValueError):
        pass
    return max(free, 0)


def resident_memory() -> int:
    """Bytes this process holds now."""
    import psutil

    return int(psutil.Process().memory_info().rss)


def keeps_freed_memory() -> bool:
    """Whether large freed arrays stay in this process (see `allocator`); always False without glibc.

    The allocator's settings cannot be read, only observed: a large array then lies on the heap, below its end.
    """
    import ctypes
    import platform

    import numpy as np

    if platform.libc_ver()[0] != "glibc":
        return False
    end_of_heap = ctypes.CDLL(None).sbrk
    end_of_heap.restype, end_of_heap.argtypes = ctypes.c_void_p, (ctypes.c_ssize_t,)
    large = np.empty(_LARGE, np.uint8)  # never touched, so it takes no memory
    return bool(large.ctypes.data < end_of_heap(0))


def peak_memory() -> int:
    """Most bytes this process ever held."""
    import psutil

    try:
        with open("/proc/self/status", encoding="ascii") as status:  # ru_maxrss begins with the parent's
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return int(psutil.Process().memory_info().peak_wset)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def usable_cores() -> int:
    """Cores this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


@dataclass(frozen=True)
class Budget:
    """What a job may use. Defaults: half of the memory that is free now, all cores.

    memory_bytes : upper bound for the whole process, interpreter and libraries included.
    workers : blocks processed in parallel.
    folder : where a method may save what it has learned, so that an interrupted job need not learn it again.
    progress : reports how far a long preparation is.
    read : opens a file named in a method's settings, e.g. a point spread function.
    rehearsal : nothing will be restored; a method only needs to predict quickly what it would take.
    peak_before : most bytes the process held before the job; a higher peak since then is due to its preparation.
    voxel_edges : lengths of a voxel of the image by axis, where known: in nm, or all in a unit that is not known.
    known_room : see `room`; kept with a job, so that it resumes in the same parts.
    """

    memory_bytes: int = field(default_factory=lambda: resident_memory() + available_memory() // 2)
    workers: int = field(default_factory=usable_cores)
    folder: Path | None = None
    progress: Callable[[str, int, int], None] | None = None
    read: Callable[[str], NDArray[Any]] | None = None
    rehearsal: bool = False
    peak_before: int = field(default_factory=peak_memory)
    known_room: int | None = None
    voxel_edges: Mapping[str, float] = field(default_factory=dict)

    @property
    def room(self) -> int:
        """Bytes that may be used on top of those the process holds now, or held when the job began."""
        return self.memory_bytes - resident_memory() if self.known_room is None else self.known_room

    def tidy(self) -> None:
        """Give freed memory back to the system, so that the next step of a preparation can use it."""
        give_back_freed_memory()

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise SettingsError("workers", f"is {self.workers}, expected at least 1")
