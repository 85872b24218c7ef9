"""Predicts the memory of a run, on top of what the process holds before: the blocks in flight, or what comes after.

Numbers marked "measured" were measured with `benchmarks.predicted`.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import TYPE_CHECKING

from ruska.engine.devices import other_devices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ruska.engine.contracts import IterativeMethod, Method

_SLACK = 14 << 20  # small arrays, and gaps between them; measured 2 to 14
_SIDE_BY_SIDE = 0.3  # gaps that blocks in parallel leave, as a share of what is read or written
_THREADS = 8 << 20  # freed memory that threads keep
_DRAWING = 72 << 20  # the drawing library and the figure, whatever is shown; measured 55 to 68
_FILTERS = 15 << 20  # the library of filters, if nothing has loaded it before
_SHOWN = 1024  # pixels each way of a plane of the input that the report shows
_RESLICED = 24 << 20  # another row of pictures, for volumes that are neither thin nor large
_THIN, _LARGE = 8, 256 << 20  # slices; bytes
_PER_JUDGED = 85  # bytes per pixel of the plane that the verdict examines; measured 69
_PER_SHOWN = 53  # bytes per pixel of the input's plane, and of the result's
_PER_DOUBT = 20  # bytes per pixel of the standard deviation, and of each of two samples
_BETWEEN = 0.15  # of a network's working memory: lost to fragmentation while other blocks are read and written
_SELDOM = 0.5  # of the memory of blending, added to that of computing: both are seldom at their peak together
_BLENDED = 44  # bytes per voxel of blending tiles: weights, sums and tiles
_SPREADING = 52  # bytes per voxel of the standard deviation of samples, made in memory


@dataclass(frozen=True)
class Delivery:
    """What happens to the results of a run.

    report : one is drawn when they are written. doubt : samples are drawn, and shown with their standard deviation.
    held : bytes per voxel of the result that stay in memory, from this run and earlier ones; 0 for a file.
    """

    report: bool = True
    doubt: bool = False
    held: float = 0.0


@dataclass(frozen=True)
class Need:
    """Predicts the bytes that a run takes, on top of what the process holds before.

    shape, chunks : canonical, of the source and of its chunks. kept : freed memory stays in the process. deep : slices
    along Z.
    """

    method: Method | IterativeMethod
    shape: tuple[int, ...]
    itemsize: int
    out_itemsize: int
    scale: tuple[Fraction, ...]
    kept: bool
    delivery: Delivery
    deep: int = 1
    chunks: tuple[int, ...] | None = None

    def blocks(self, head: list[int], extent: list[int]) -> int:
        return prod(-(-n // e) for n, e in zip(self.shape, (*head, *extent), strict=True))

    def bytes(self, head: list[int], extent: list[int], side_by_side: int = 1) -> int:
        """Memory of the blocks in flight, or of what comes after them if that is more."""
        workers = min(side_by_side, self.blocks(head, extent))
        return int(getattr(self.method, "stays", 0) + max(self._flying(head, extent, workers), self._after(workers)))

    def _flying(self, head: list[int], extent: list[int], workers: int) -> float:
        """Memory of blocks being computed, of others that wait or are written meanwhile, and of one being blended."""
        space = self.shape[-len(extent) :]
        raw = self.method.domain == "raw"
        wide = 8 if self.itemsize > 4 or (self.itemsize == 4 and raw) else 4
        handed = wide if raw else 4
        shape = (prod(head[:-1]), head[-1], *map(longest_read, space, extent, self.method.halo, self.method.multiple))
        read, write = prod(shape), prod(head) * prod(extent) * float(prod(self.scale))
        state = 2 * 4 * getattr(self.method, "state_channels", 0)
        # As in the file, widened, and as passed to the method; cropped, on the file's scale, rounded, compared, cast.
        stored = self._decoded(head, shape[2:]) * self.itemsize
        reading = stored + read * (self.itemsize + wide + handed)
        beside = max(reading, write * (handed + 8 + 8 + 3 + self.out_itemsize))
        own = self._own(shape)
        computing = max(beside, read * (handed + state) + own + write * handed)
        computed = workers if self.method.threads == "one" else min(workers, 1 + len(other_devices(self.method)))
        working = computed * computing + (workers - computed) * beside
        if computed > 1:
            working += _SIDE_BY_SIDE * computed * beside
        several = self.blocks(head, extent) > 1
        if several and any(o.merge == "mean" for o in self.method.outputs):
            blended = write * _BLENDED
            working = max(working, blended) if workers == 1 else working + _SELDOM * blended
            working += self._waiting(head, extent) * write * handed if self.delivery.held else 0
        between = _BETWEEN * own if several and (workers > 1 or self.kept) and hasattr(self.method, "stays") else 0
        held = self.delivery.held * prod(self.shape) * float(prod(self.scale))
        return _SLACK + between + working + held

    def _decoded(self, head: list[int], longest: Sequence[int]) -> int:
        """Voxels of the chunks that a block lies in, which are decoded whole."""
        if self.chunks is None:
            return 0
        voxels = 1
        for n, chunk, most in zip((*head, *longest), self.chunks, self.shape, strict=True):
            aligned = n % chunk == 0 or chunk % n == 0
            voxels *= min(_round_up(n, chunk) + (0 if aligned else chunk), most)
        return voxels

    def _waiting(self, head: list[int], extent: list[int]) -> int:
        """Memory of tiles kept for their neighbours: two rows (layers) of them, and the next one."""
        second, third = (-(-n // e) for n, e in zip(self.shape[-2:], extent[-2:], strict=True))
        row = third if len(extent) == 2 else second * third
        return min(self.blocks(head, extent), 2 * row + 1)

    def _own(self, shape: tuple[int, ...]) -> float:
        """Working memory of a call on a block."""
        if (say := getattr(self.method, "working_bytes", None)) is not None:
            return float(say(shape, self.kept))
        return prod(shape) * self.method.bytes_per_voxel

    def _after(self, workers: int) -> float:
        """Memory of the report, or of results that stay in memory, and of what the blocks left fragmented."""
        threads, voxels = (_THREADS if workers > 1 else 0), prod(self.shape) * float(prod(self.scale))
        taken = threads + voxels * (
            self.delivery.held + (_SPREADING if self.delivery.held and self.delivery.doubt else 0)
        )
        shown, finer = prod(min(n, _SHOWN) for n in self.shape[-2:]), float(prod(self.scale[-2:]))
        filters = 0 if "scipy.ndimage" in sys.modules else _FILTERS
        if not self.delivery.report:
            return _SLACK + taken + filters + shown * _PER_JUDGED
        doubt = 3 * _PER_DOUBT * finer if self.delivery.doubt else 0
        if self.deep >= _THIN and prod(self.shape) * self.itemsize <= _LARGE:
            filters += _RESLICED
        return _SLACK + taken + _DRAWING + filters + shown * (_PER_SHOWN * (1 + finer) + doubt)


def _round_up(value: int, step: int) -> int:
    return -(-value // step) * step


def reach(start: int, stop: int, halo: int, step: int, n: int) -> tuple[int, int]:
    """Start and stop of the read of a core along an axis of ``n`` voxels; beyond ``n`` it is padded."""
    return max(0, start - halo) // step * step, -(-min(stop + halo, n) // step) * step


def longest_read(n: int, extent: int, halo: int, step: int) -> int:
    """Voxels of the longest read along an axis: that of a middle block, as those at an end have half the halo."""
    count = -(-n // extent)
    middle = (reach(i * extent, min((i + 1) * extent, n), halo, step, n) for i in {(count - 1) // 2, count // 2})
    return max(stop - start for start, stop in middle)
