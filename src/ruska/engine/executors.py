"""What does the work of a run: the driver itself, threads, or separate processes.

All give the same bytes. Processes are spawned, never forked, so that all systems behave alike; each receives the passes
once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ruska.errors import ResourceError

if TYPE_CHECKING:
    from ruska.engine.contracts import Executor, Facts, Pass, Submit


@dataclass(frozen=True)
class Alone:
    """The driver does everything itself, one block after another."""

    workers: int = 1

    @contextmanager
    def open(self, passes: Sequence[Pass]) -> Iterator[Submit]:
        def submit(number: int, block: int) -> Future[Facts]:
            future: Future[Facts] = Future()
            future.set_result(_work(passes, number, block))  # an error is the driver's own
            return future

        yield submit


@dataclass(frozen=True)
class Threads:
    """A number of threads in this process."""

    workers: int

    @contextmanager
    def open(self, passes: Sequence[Pass]) -> Iterator[Submit]:
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="ruska")
        try:
            yield lambda number, block: pool.submit(_work, passes, number, block)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Processes:
    """A number of processes, each with a copy of the method, which open source and sinks themselves.

    A worker that dies (killed, out of memory) ends the run with ResourceError; the ledger stays valid.
    """

    workers: int

    @contextmanager
    def open(self, passes: Sequence[Pass]) -> Iterator[Submit]:
        from concurrent.futures.process import BrokenProcessPool
        from multiprocessing import get_context

        pool = ProcessPoolExecutor(self.workers, get_context("spawn"), _begin, (tuple(passes), _torch_threads()))
        try:
            yield lambda number, block: pool.submit(_work_here, number, block)
        except BrokenProcessPool as error:
            raise ResourceError("a worker process", "died", "It may have run out of memory: allow fewer --workers. "
                                "The same command resumes.") from error  # fmt: skip
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def executor_of(kind: str, workers: int) -> Executor:
    """``threads`` or ``processes``, for ``workers`` blocks at the same time."""
    if kind == "processes":
        return Processes(workers)
    return Alone() if workers == 1 else Threads(workers)


def _work(passes: Sequence[Pass], number: int, block: int) -> Facts:
    step = passes[number]
    return step.work(step.plan.block(block))


_sent: tuple[Pass, ...] = ()


def _begin(passes: tuple[Pass, ...], threads: int) -> None:
    """In a new process: keep the passes it received. Ctrl-C is left to the driver, so that the block is finished."""
    global _sent
    import signal
    from threading import Thread

    import torch

    from ruska.engine.allocator import share_one_heap

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_the_driver, name="ruska-driver", daemon=True).start()
    torch.set_num_threads(threads)  # the last digit of sums depends on the number of threads
    share_one_heap()
    _sent = passes


def _end_with_the_driver() -> None:
    """End when the driver is killed: otherwise its workers would hold their memory, and write, for ever."""
    import os
    from multiprocessing import parent_process

    if (driver := parent_process()) is not None:
        driver.join()
        os._exit(1)


def _work_here(number: int, block: int) -> Facts:
    return _work(_sent, number, block)


def _torch_threads() -> int:
    import torch

    return torch.get_num_threads()
