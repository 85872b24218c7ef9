"""Runs a method over its inputs, block by block and pass by pass, into sinks."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from ruska.engine.allocator import share_one_heap
from ruska.engine.executors import executor_of
from ruska.engine.job import IMAGE, Feed, Job
from ruska.engine.labels import label_passes
from ruska.engine.ledger import NoLedger
from ruska.engine.passes import Blend, Compute
from ruska.engine.statistics import ChannelScales, Normalisation

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ruska.engine.contracts import Executor, Facts, IterativeMethod, Method, Pass, Progress, Sink, Source, Submit
    from ruska.engine.plan import Plan
    from ruska.image import LazyArray


@dataclass
class Outcome:
    """What a run did.

    blocks : computed in this run; ``resumed`` : found finished in the ledger.
    clipped : voxels that were outside the range of the output's dtype.
    seconds : wall time of the run; ``method_seconds`` : spent inside the method, summed over the workers.
    notes : sentences about what did not go as planned, such as a GPU that ran out of memory.
    tables : rows (n, columns) of outputs that are tables, by name.
    """

    blocks: int = 0
    resumed: int = 0
    clipped: int = 0
    seconds: float = 0.0
    method_seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    tables: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    def add(self, facts: Facts) -> None:
        """Add the report of a block."""
        self.method_seconds += facts.get("seconds", 0.0)
        self.notes += facts.get("notes", ())


def run(
    source: Source,
    method: Method | IterativeMethod,
    sinks: Sink | Mapping[str, Sink | None],
    plan: Plan,
    *,
    normalisation: Normalisation | ChannelScales | None = None,
    fill: float | NDArray[np.float64] = 0.0,
    mask: NDArray[np.bool_] | LazyArray | None = None,
    others: Mapping[str, Feed] | None = None,
    seed: int = 0,
    ledger: NoLedger | None = None,
    progress: Progress | None = None,
    executor: Executor | None = None,
) -> Outcome:
    """Run ``method`` over every block of ``plan`` and write its outputs to ``sinks``.

    Parameters
    ----------
    sinks : one for each output that is wanted, by its name (None for a table), or one for the first output. Canonical
        axis order and the output's grid; the grain divides the plan's blocks.
    normalisation : for methods of the ``normalised`` domain; the same for the whole source, or for each channel.
    fill : replaces invalid voxels in the method's input, raw units; they are written back unchanged.
    mask : True where a voxel is valid, native axis order.
    others : inputs besides the image, by name.
    ledger : records finished blocks; those it already holds are not computed again.
    executor : does the work; None: as many threads as the plan has workers.

    When interrupted (Ctrl-C, or an exception in a block or in ``progress``), it stops after the blocks in flight; the
    ledger stays valid.
    """
    share_one_heap()
    started, ledger = time.perf_counter(), ledger or NoLedger()
    targets = sinks if isinstance(sinks, Mapping) else {method.outputs[0].name: sinks}
    feeds = {IMAGE: Feed(source, normalisation or Normalisation(), fill), **(others or {})}
    job = Job(feeds, method, plan, targets, mask, seed, ledger.folder)
    groups = list(passes_of(job))
    every = [step for group in groups for step in group]
    with (executor or executor_of("threads", plan.workers)).open(every) as submit:
        run_ = _Run(job, ledger, progress, submit, (executor or plan).workers)
        for group in groups:
            run_.do(group, every.index(group[0]))
    run_.outcome.clipped = sum(e.get("clipped", 0) for e in ledger.entries.values())
    run_.outcome.tables = job.tables
    run_.outcome.seconds = time.perf_counter() - started
    return run_.outcome


def passes_of(job: Job) -> Iterator[Sequence[Pass]]:
    """Groups of passes. A block starts once those it needs of the previous pass are done; groups run in turn."""
    if hasattr(job.method, "sweeps"):
        from ruska.engine.sweeps import sweeps

        yield from sweeps(job, cast("IterativeMethod", job.method))
        return
    if job.plan.merge == "mean":
        yield Compute(job, "tile"), Blend(job)
    else:
        yield (Compute(job),)
    yield from label_passes(job)


class _Run:
    """The driver: hands out blocks, writes the ledger, reports progress."""

    def __init__(
        self, job: Job, ledger: NoLedger, progress: Progress | None, submit: Submit, workers: int
    ) -> None:  # fmt: skip
        self.job, self.ledger, self.progress, self.submit, self.workers = job, ledger, progress, submit, workers
        self.outcome = Outcome()

    def do(self, group: Sequence[Pass], before: int) -> None:
        """Do all blocks of a group of passes, a few at a time; those of later passes first, as soon as possible.

        before : number of passes in earlier groups.
        """
        plan, first = self.job.plan, group[0]
        done = len(self._known(first))
        self.outcome.resumed += done
        self.outcome.blocks += plan.size - done
        todo = (i for i in range(plan.size) if not self._done(first, i))  # never a list: there may be millions
        ready = deque(self._left_ready(group))
        waiting: dict[Future[Facts], tuple[int, int]] = {}
        self._say(first.stage, done)
        while True:
            while len(waiting) < self.workers and (following := _following(ready, todo)) is not None:
                waiting[self.submit(before + following[0], following[1])] = following
            if not waiting:
                break
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                number, index = waiting.pop(future)
                self._record(group[number], index, future.result())
                ready.extend(self._made_ready(group, number, index))
                if number == 0:
                    done += 1
                    self._say(first.stage, done)
        for step in group:
            step.reduce({i: self.ledger.entries[f"{step.name} {i}"] for i in self._known(step)})

    def _done(self, step: Pass, index: int) -> bool:
        return f"{step.name} {index}" in self.ledger.entries

    def _say(self, stage: str, done: int) -> None:
        if self.progress is not None:
            self.progress(stage, done, self.job.plan.size)

    def _record(self, step: Pass, index: int, facts: Facts) -> None:
        self.ledger.add(f"{step.name} {index}", **facts)
        self.outcome.add(facts)
        step.after(self.job.plan.block(index), lambda i: self._done(step, i))

    def _known(self, step: Pass) -> list[int]:
        """Blocks of a pass that the ledger holds, in order."""
        prefix = f"{step.name} "
        return sorted(int(key[len(prefix) :]) for key in self.ledger.entries if key.startswith(prefix))

    def _left_ready(self, group: Sequence[Pass]) -> Iterator[tuple[int, int]]:
        """Blocks of later passes that were ready to start before a kill."""
        for number in range(1, len(group)):
            for index in self._known(group[number - 1]):
                if self._can(group, number, index):
                    yield number, index

    def _made_ready(self, group: Sequence[Pass], number: int, index: int) -> Iterator[tuple[int, int]]:
        """Blocks of the next pass that waited only for this one."""
        if number + 1 == len(group):
            return
        for other in group[number + 1].needs(self.job.plan.block(index)):  # a need is mutual
            if self._can(group, number + 1, other):
                yield number + 1, other

    def _can(self, group: Sequence[Pass], number: int, index: int) -> bool:
        step = group[number]
        if self._done(step, index):
            return False
        return all(self._done(group[number - 1], i) for i in step.needs(self.job.plan.block(index)))


def _following(ready: deque[tuple[int, int]], todo: Iterator[int]) -> tuple[int, int] | None:
    """(number of the pass, block) that comes next."""
    if ready:
        return ready.popleft()
    index = next(todo, None)
    return None if index is None else (0, index)
