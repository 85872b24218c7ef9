"""Running an `IterativeMethod`: every sweep goes over all blocks before the next begins.

The state is double-buffered: a sweep reads one buffer with its halo and writes the other, so blocks never see a
neighbour's half-finished step and never drift apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.engine.run import drive
from ruska.engine.store import BlockStore, MemoryStore

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ruska.engine.contracts import Box, IterativeMethod, Progress, Sink
    from ruska.engine.plan import Block
    from ruska.engine.run import Job
    from ruska.engine.workshop import Workshop


def run_sweeps(job: Job, method: IterativeMethod, workshop: Workshop, progress: Progress | None) -> None:
    """Run ``init``, all sweeps and ``finish``; a ledger resumes within a sweep."""
    buffers = [_state(job, method, name) for name in ("even", "odd")]
    for k in range(method.sweeps + 2):
        before, after = buffers[(k + 1) % 2], buffers[k % 2]
        last = k == method.sweeps + 1
        _pass(job, method.sweeps, workshop, k, before, None if last else after, progress)
    job.outcome.clipped = sum(e.get("clipped", 0) for e in job.ledger.entries.values())


def _pass(
    job: Job, sweeps: int, workshop: Workshop, k: int, before: Sink, after: Sink | None, progress: Progress | None
) -> None:
    """Pass 0 is ``init``, passes 1 to n are sweeps 0 to n-1, the last one is ``finish``."""

    def work(block: Block) -> tuple[int, float]:
        if after is None or k == 0:
            block = _without_halo(job, block)
        y, invalid = job.read(block.read, block.pad)
        random = job.random(block.read, block.pad)
        state = None if k == 0 else _read_state(job, before, block)

        def compute(method: IterativeMethod) -> Tensor:
            if state is None:
                return method.init(y, random)
            return method.sweep(state, y, k - 1, random) if after is not None else method.finish(state, y).mean

        result, seconds = workshop.sweep(compute)
        values = job.crop(result, block, block.write)
        if after is None:
            return job.finish(block, values, invalid, block.read), seconds
        after.write(_state_box(after, block.core, job.plan.first_spatial), values)
        return 0, seconds

    def record(block: Block, result: tuple[int, float]) -> None:
        clipped, seconds = result
        job.ledger.add(f"pass {k} {block.index}", clipped=clipped)
        job.outcome.method_seconds += seconds

    stage = "preparing" if k == 0 else "finishing" if after is None else f"sweep {k} of {sweeps}"
    drive(job, f"pass {k}", work, record, progress, stage)


def _state(job: Job, method: IterativeMethod, name: str) -> Sink:
    plan = job.plan
    first = plan.first_spatial

    def with_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[: first - 1], shape[first - 1] * method.state_channels, *shape[first:])

    dtype = np.float32 if method.domain == "normalised" else np.result_type(job.source.dtype, np.float32)
    if job.ledger.folder is None:
        return MemoryStore(with_channels(plan.shape), dtype)
    return BlockStore(job.ledger.folder / name, with_channels(plan.shape), dtype, with_channels(plan.extent))


def _state_box(state: Sink, box: Box, first: int) -> Box:
    """``box`` with all channels of the state."""
    return (*box[: first - 1], slice(0, state.shape[first - 1]), *box[first:])


def _read_state(job: Job, state: Sink, block: Block) -> Tensor:
    """The state over the block's ``read`` box as (b, c, *spatial), padded like the measurement."""
    import torch

    first = job.plan.first_spatial
    values: NDArray[Any] = state.read(_state_box(state, block.read, first))
    if any(block.pad):
        values = np.pad(values, [(0, 0)] * first + [(0, p) for p in block.pad], mode="symmetric")
    return torch.from_numpy(values.reshape(-1, *values.shape[first - 1 :]).copy())


def _without_halo(job: Job, block: Block) -> Block:
    """The same block, reading only its core (aligned): ``init`` and ``finish`` look at one voxel at a time."""
    from dataclasses import replace

    plan = job.plan
    first = plan.first_spatial
    pad = tuple(
        -(-p.stop // m) * m - p.stop if p.stop == n else 0
        for p, m, n in zip(block.core[first:], plan.multiple, plan.shape[first:], strict=True)
    )
    return replace(block, read=block.core, pad=pad)
