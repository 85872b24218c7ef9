"""The passes of an `IterativeMethod`: each sweep visits all blocks before the next begins.

The state is double-buffered: a sweep reads one buffer with its halo and writes the other, so that blocks never see a
neighbour's half-finished step and never drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.engine.passes import check_given, facts, wanted
from ruska.engine.store import BlockStore, MemoryStore

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ruska.engine.contracts import Box, Facts, IterativeMethod, Pass, Sink
    from ruska.engine.job import Job
    from ruska.engine.plan import Block, Plan


def sweeps(job: Job, method: IterativeMethod) -> Iterator[Sequence[Pass]]:
    """``init``, all sweeps and ``finish``, each in its own group: a ledger resumes within a sweep."""
    buffers = [_state(job, method, name) for name in ("even", "odd")]
    for k in range(method.sweeps + 2):
        before, behind = buffers[(k + 1) % 2], buffers[k % 2]
        stage = f"sweep {k} of {method.sweeps}"
        if k == 0:
            yield (Sweep(job, k, None, behind, "preparing"),)
        elif k == method.sweeps + 1:
            yield (Sweep(job, k, before, None, "finishing"),)
        else:
            yield (Sweep(job, k, before, behind, stage),)


@dataclass(frozen=True)
class Sweep:
    """Pass ``k``: 0 is ``init``, 1 to n are sweeps 0 to n-1, the last one is ``finish``.

    before, behind : the state that is read, and the state that is written; None at the ends.
    """

    job: Job
    k: int
    before: Sink | None
    behind: Sink | None
    stage: str

    @property
    def name(self) -> str:
        return f"pass {self.k}"

    @property
    def plan(self) -> Plan:
        return self.job.plan

    def needs(self, block: Block) -> Iterable[int]:
        return ()

    def after(self, block: Block, done: Callable[[int], bool]) -> None:
        """Nothing waits for a block."""

    def reduce(self, said: Mapping[int, Facts]) -> None:
        """Nothing is left to say."""

    def work(self, block: Block) -> Facts:
        job = self.job
        if self.before is None or self.behind is None:
            block = _without_halo(job, block)
        inputs, invalid = job.read(block.read, block.pad)
        random = job.random(block.read, block.pad)
        state = None if self.before is None else _read_state(job, self.before, block)

        def compute(method: IterativeMethod) -> Mapping[str, Tensor]:
            if state is None:
                return {"": method.init(inputs, random)}
            if self.behind is None:
                return method.finish(state, inputs)
            return {"": method.sweep(state, inputs, self.k - 1, random)}

        results, seconds = job.workshop.sweep(compute)
        clipped = 0
        if self.behind is None:
            for output in wanted(job):
                check_given(job, block, output, results)
                values = job.crop(results[output.name], output, block.read, block.core)
                clipped += job.finish(block, output, values, invalid, block.read)
        else:
            first = job.method.outputs[0]
            values = job.crop(results[""], first, block.read, block.core)
            self.behind.write(_state_box(self.behind, block.core, job.plan.first_spatial), values)
        return facts(job, clipped, seconds)


def _state(job: Job, method: IterativeMethod, name: str) -> Sink:
    plan = job.plan
    first = plan.first_spatial

    def with_channels(shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[: first - 1], shape[first - 1] * method.state_channels, *shape[first:])

    dtype = np.float32 if method.domain == "normalised" else np.result_type(job.image.source.dtype, np.float32)
    if job.folder is None:
        return MemoryStore(with_channels(plan.shape), dtype)
    return BlockStore(job.folder / name, with_channels(plan.shape), dtype, with_channels(plan.extent))


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
    plan = job.plan
    first = plan.first_spatial
    pad = tuple(
        -(-p.stop // m) * m - p.stop if p.stop == n else 0
        for p, m, n in zip(block.core[first:], plan.multiple, plan.shape[first:], strict=True)
    )
    return replace(block, read=block.core, pad=pad)
