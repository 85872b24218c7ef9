"""`Context`: what a run is given from outside. Through it, a run reports progress and asks whether to go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ruska.errors import JobCancelledError

if TYPE_CHECKING:
    from ruska.engine import Progress


class Context(Protocol):
    """Called between blocks, between training steps, and while a result is written.

    folder : where a job keeps its files, or None. memory_bytes, workers : limits that no request may exceed, or None.
    own_process : nothing else runs in this process, so freed memory may stay in it.
    """

    @property
    def folder(self) -> Path | None: ...
    @property
    def memory_bytes(self) -> int | None: ...
    @property
    def workers(self) -> int | None: ...
    @property
    def own_process(self) -> bool: ...
    def event(self, stage: str, done: int, total: int, note: str = "") -> None: ...
    def cancelled(self) -> bool: ...


def _nothing(stage: str, done: int, total: int, note: str = "") -> None:
    """Nobody watches."""


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Here:
    """A run in this process, which reports to a function."""

    event: Callable[..., None] = _nothing
    cancelled: Callable[[], bool] = _never
    folder: Path | None = None
    memory_bytes: int | None = None
    workers: int | None = None
    own_process: bool = False


def progress_of(context: Context) -> Progress:
    """Report progress to ``context``, and end the run with `JobCancelledError` once it is cancelled."""

    def progress(stage: str, done: int, total: int) -> None:
        context.event(stage, done, total)
        if context.cancelled():
            raise JobCancelledError("the run", "was cancelled", "The same request resumes where it stopped.")

    return progress
