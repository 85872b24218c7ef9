"""`Context`: what a run is given from outside. It tells how far it is, and asks whether to go on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ruska.errors import JobCancelledError

if TYPE_CHECKING:
    from ruska.engine import Progress


class Context(Protocol):
    """Asked between blocks, between the steps of a training, and while a result is written.

    folder : where a job keeps its files, None where it has none. memory_bytes, workers : limits that no request may
    pass, None where there are none. own_process : nothing else runs in this process, so freed memory may stay in it.
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
    """A run in this process, watched by a function."""

    event: Callable[..., None] = _nothing
    cancelled: Callable[[], bool] = _never
    folder: Path | None = None
    memory_bytes: int | None = None
    workers: int | None = None
    own_process: bool = False


def progress_of(context: Context) -> Progress:
    """Tells ``context`` how far the run is, and ends it with `JobCancelledError` where nobody wants it any more."""

    def progress(stage: str, done: int, total: int) -> None:
        context.event(stage, done, total)
        if context.cancelled():
            raise JobCancelledError("the run", "was cancelled", "The same request goes on where it stopped.")

    return progress
