"""Running a method over a source, block by block, into a sink."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from threading import Semaphore
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.engine.allocator import share_one_heap
from ruska.engine.ledger import NoLedger
from ruska.engine.merge import TilePool, assemble, finished_with
from ruska.engine.random_field import PlacedRandomField
from ruska.engine.statistics import Normalisation, fill_invalid
from ruska.engine.workshop import Workshop

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ruska.engine.contracts import Box, IterativeMethod, Method, Progress, Sink, Source
    from ruska.engine.plan import Block, Plan
    from ruska.image import LazyArray


@dataclass
class Outcome:
    """What a run did.

    blocks : blocks computed now; ``resumed`` : found finished in the ledger.
    clipped : voxels that were outside the range of the output's dtype.
    seconds : wall time of the run; ``method_seconds`` : spent inside the method, summed over the workers.
    notes : sentences on what did not go as planned, such as a GPU that ran out of memory.
    """

    blocks: int = 0
    resumed: int = 0
    clipped: int = 0
    seconds: float = 0.0
    method_seconds: float = 0.0
    notes: list[str] = field(default_factory=list)


@dataclass
class Job:
    """Everything the blocks of one run share."""

    source: Source
    plan: Plan
    sink: Sink
    normalisation: Normalisation
    fill: float
    domain: str
    mask: NDArray[np.bool_] | LazyArray | None = None
    seed: int = 0
    ledger: NoLedger = field(default_factory=NoLedger)
    outcome: Outcome = field(default_factory=Outcome)

    def read(self, box: Box, pad: tuple[int, ...]) -> tuple[Tensor, NDArray[np.bool_] | None]:
        """Read a canonical box as (b, c, *spatial) in the method's domain, padded; and where it is invalid."""
        import torch

        layout = self.plan.layout
        native = layout.to_native(box)
        mask = None if self.mask is None else np.asarray(self.mask[native])
        raw = self.source.read(native)
        values, invalid = fill_invalid(raw, mask, self.fill)
        values = layout.to_canonical(values)
        if self.domain == "normalised":
            values = self.normalisation.apply(values)
        else:
            values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
        if any(pad):
            values = np.pad(values, [(0, 0)] * self.plan.first_spatial + [(0, p) for p in pad], mode="symmetric")
        space = values.shape[self.plan.first_spatial :]
        batch = np.ascontiguousarray(values.reshape(-1, values.shape[self.plan.first_spatial - 1], *space))
        # Methods may work in place, and must not reach into the source's array.
        return torch.from_numpy(batch.copy() if np.may_share_memory(batch, raw) else batch), invalid

    def random(self, box: Box, pad: tuple[int, ...]) -> PlacedRandomField:
        """The random field bound to a canonical box; C is not an axis of place, methods name the channel."""
        first = self.plan.first_spatial
        parts = (*box[: first - 1], *box[first:])
        extra = (0,) * (first - 1) + pad
        origin = tuple(p.start for p in parts)
        shape = tuple(p.stop - p.start + e for p, e in zip(parts, extra, strict=True))
        return PlacedRandomField(self.seed, origin, shape, spatial=len(pad))

    def crop(self, values: Tensor, block: Block, box: Box) -> NDArray[Any]:
        """Cut ``box`` (output grid) out of a result for the block's ``read`` box, in canonical shape."""
        first = self.plan.first_spatial
        origin = self.plan.scaled(block.read)
        inside = tuple(
            slice(b.start - o.start, b.stop - o.start) for b, o in zip(box[first:], origin[first:], strict=True)
        )
        cut = values[(slice(None), slice(None), *inside)].detach().cpu().contiguous().numpy()
        head = tuple(b.stop - b.start for b in block.read[: first - 1])
        return cut.reshape(*head, cut.shape[1], *cut.shape[2:])

    def finish(self, block: Block, values: NDArray[Any], invalid: NDArray[np.bool_] | None, whole: Box) -> int:
        """Denormalise, put invalid voxels back, cast, write. Returns the number of voxels clipped.

        ``invalid`` is native and covers the canonical box ``whole``.
        """
        layout = self.plan.layout
        if self.domain == "normalised":
            values = self.normalisation.undo(values)
        if invalid is not None and block.write == block.core:
            native = layout.to_native(block.core)
            inside = tuple(
                slice(c.start - w.start, c.stop - w.start) for c, w in zip(native, layout.to_native(whole), strict=True)
            )
            there = layout.to_canonical(invalid[inside])
            raw = layout.to_canonical(self.source.read(native))
            values = np.where(there, raw, values)
        values, clipped = cast(values, self.sink.dtype)
        self.sink.write(block.write, values)
        return clipped


def cast(values: NDArray[Any], dtype: np.dtype[Any]) -> tuple[NDArray[Any], int]:
    """Round and clip to an integer ``dtype``, or convert to a float one; returns how many values were clipped."""
    if dtype.kind == "b":
        return values >= 0.5, 0
    if dtype.kind == "f":
        return values.astype(dtype, copy=False), 0
    info = np.iinfo(dtype)
    rounded = np.rint(values)
    clipped = int(np.count_nonzero((rounded < info.min) | (rounded > info.max)))
    if clipped:
        np.clip(rounded, info.min, info.max, out=rounded)
    return rounded.astype(dtype), clipped


def run(
    source: Source,
    method: Method | IterativeMethod,
    sink: Sink,
    plan: Plan,
    *,
    normalisation: Normalisation | None = None,
    fill: float = 0.0,
    mask: NDArray[np.bool_] | LazyArray | None = None,
    seed: int = 0,
    ledger: NoLedger | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Run ``method`` over every block of ``plan`` and write the result to ``sink``.

    Parameters
    ----------
    sink : canonical axis order and output grid of ``plan``; its grain divides the plan's blocks.
    normalisation : for methods of the ``normalised`` domain; taken once for the whole source.
    fill : what invalid voxels are given to the method as, raw units; they are written back as they were.
    mask : True where a voxel is valid, native axis order.
    ledger : remembers finished blocks; those it holds already are not computed again.

    Interrupted (Ctrl-C or an exception in a block), it stops after the blocks in flight; the ledger stays valid.
    """
    share_one_heap()
    started, workshop = time.perf_counter(), Workshop(method, tidy=plan.size > 1)
    job = Job(
        source, plan, sink, normalisation or Normalisation(), fill, method.domain, mask, seed, ledger or NoLedger(),
        Outcome(notes=workshop.notes),
    )  # fmt: skip
    if hasattr(method, "sweeps"):
        from ruska.engine.sweeps import run_sweeps

        run_sweeps(job, method, workshop, progress)  # type: ignore[arg-type]
    elif plan.merge == "mean":
        _run_blended(job, workshop, progress)
    else:
        _run_plain(job, workshop, progress)
    job.outcome.seconds = time.perf_counter() - started
    return job.outcome


def _run_plain(job: Job, workshop: Workshop, progress: Progress | None) -> None:
    def work(block: Block) -> tuple[int, float]:
        y, invalid = job.read(block.read, block.pad)
        estimate, seconds = workshop.estimate(y, job.random(block.read, block.pad))
        values = job.crop(estimate.mean, block, block.write)
        del y, estimate  # before the copies that finishing makes
        return job.finish(block, values, invalid, block.read), seconds

    def record(block: Block, result: tuple[int, float]) -> None:
        clipped, seconds = result
        job.ledger.add(f"block {block.index}", clipped=clipped)
        job.outcome.method_seconds += seconds

    drive(job, "block", work, record, progress, "restoring")
    job.outcome.clipped = sum(e.get("clipped", 0) for e in job.ledger.entries.values())


def _run_blended(job: Job, workshop: Workshop, progress: Progress | None) -> None:
    plan, entries = job.plan, job.ledger.entries
    pool = TilePool(None if job.ledger.folder is None else job.ledger.folder / "tiles")

    def is_assembled(index: int) -> bool:
        return f"block {index}" in entries

    def work(block: Block) -> float:
        y, _ = job.read(block.read, block.pad)
        estimate, seconds = workshop.estimate(y, job.random(block.read, block.pad))
        # float32 is what methods of the normalised domain return; raw ones keep their float64
        pool.put(block.index, job.crop(estimate.mean, block, block.tile))
        return seconds

    def settle(block: Block) -> None:
        """Assemble every core around ``block`` whose tiles are all there, and drop tiles nobody waits for."""
        around = [plan.block(i) for i in plan.neighbours(block)]
        for core in around:
            ready = all(f"tile {i}" in entries for i in plan.neighbours(core))
            if ready and not is_assembled(core.index):
                values = assemble(plan, core, pool.get)
                invalid = _invalid_in(job, core.core)
                job.ledger.add(f"block {core.index}", clipped=job.finish(core, values, invalid, core.core))
        for core in around:
            for index in plan.neighbours(core):
                if finished_with(plan, plan.block(index), is_assembled):
                    pool.drop(index)

    def record(block: Block, seconds: float) -> None:
        job.ledger.add(f"tile {block.index}")
        job.outcome.method_seconds += seconds
        settle(block)

    for index in range(plan.size):  # a kill may have come between a tile and the cores it completed
        if f"tile {index}" in entries and not is_assembled(index):
            settle(plan.block(index))
    drive(job, "tile", work, record, progress, "restoring")
    job.outcome.clipped = sum(e.get("clipped", 0) for e in entries.values())


def _invalid_in(job: Job, box: Box) -> NDArray[np.bool_] | None:
    if job.mask is None and job.source.dtype.kind != "f":
        return None
    native = job.plan.layout.to_native(box)
    mask = None if job.mask is None else np.asarray(job.mask[native])
    return fill_invalid(job.source.read(native), mask, job.fill)[1]


def drive(
    job: Job,
    unit: str,
    work: Callable[[Block], Any],
    record: Callable[[Block, Any], None],
    progress: Progress | None,
    stage: str,
) -> None:
    """Do ``work`` for every block whose ``unit`` is not in the ledger, a few at a time, and ``record`` each here.

    A method that has a device for itself gets one block at a time on each; reading and writing of their neighbours go
    on beside them.
    """
    plan = job.plan
    todo = [i for i in range(plan.size) if f"{unit} {i}" not in job.ledger.entries]
    done = plan.size - len(todo)
    job.outcome.resumed += done
    job.outcome.blocks += len(todo)
    if progress is not None:
        progress(stage, done, plan.size)
    for block, result in side_by_side(work, (plan.block(i) for i in todo), plan.workers):
        record(block, result)
        done += 1
        if progress is not None:
            progress(stage, done, plan.size)


def side_by_side(work: Callable[[Block], Any], blocks: Iterable[Block], workers: int) -> Iterable[tuple[Block, Any]]:
    """Yield (block, result) as they finish, with at most ``workers`` under way. One worker: no threads at all."""
    if workers == 1:
        for block in blocks:
            yield block, work(block)
        return
    room = Semaphore(workers)
    waiting: dict[Future[Any], Block] = {}
    with ThreadPoolExecutor(workers, thread_name_prefix="ruska") as pool:
        try:
            for block in blocks:
                while not room.acquire(blocking=False):
                    finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in finished:
                        yield waiting.pop(future), future.result()
                        room.release()
                waiting[pool.submit(work, block)] = block
            while waiting:
                finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield waiting.pop(future), future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
