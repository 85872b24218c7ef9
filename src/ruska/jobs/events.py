"""events.jsonl: the progress of a job, one event a line, written by its process and read by any number of others."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

EVERY = 0.25
"""Least seconds between two events of one stage; its first and last are always written."""
_MOST_READ = 1 << 20
_STAGES = 1000


@dataclass(frozen=True)
class Event:
    """One step of progress. time : Unix time in seconds. step : of a workflow, else empty."""

    time: float
    stage: str
    done: int
    total: int
    note: str = ""
    step: str = ""


class EventLog:
    """Writes events; a full disk only loses some of them."""

    def __init__(self, file: Path, step: str = "") -> None:
        self._file, self._step, self._lock = file, step, Lock()
        self._told: dict[str, float] = {}
        self._waiting: Event | None = None
        self._last: tuple[Any, ...] | None = None

    def event(self, stage: str, done: int, total: int, note: str = "") -> None:
        now = Event(round(time.time(), 3), stage, int(done), int(total), note, self._step)
        with self._lock:
            is_first = stage not in self._told and len(self._told) < _STAGES
            if self._waiting is not None and (self._waiting.stage != stage and is_first):
                self._write(self._waiting)
            if is_first or done >= total or time.monotonic() - self._told.get(stage, 0.0) >= EVERY:
                self._told[stage] = time.monotonic()
                self._write(now)
            else:
                self._waiting = now

    def close(self) -> None:
        """Write events that were held back."""
        with self._lock:
            if self._waiting is not None:
                self._write(self._waiting)

    def _write(self, event: Event) -> None:
        self._waiting = None
        facts = (event.stage, event.done, event.total, event.note)
        if facts == self._last:
            return
        self._last = facts
        line = json.dumps({k: v for k, v in asdict(event).items() if k != "step" or v}) + "\n"
        with suppress(OSError), self._file.open("ab") as file:
            file.write(line.encode())


def read_events(file: Path, offset: int) -> tuple[list[Event], int]:
    """The complete lines from ``offset`` on, and the offset of the next; lines that are not events are skipped."""
    try:
        if file.stat().st_size < offset:  # started afresh
            offset = 0
        with file.open("rb") as lines:
            lines.seek(offset)
            text = lines.read(_MOST_READ)
    except OSError:
        return [], offset
    end = text.rfind(b"\n") + 1
    if not end and len(text) == _MOST_READ:
        return [], offset + len(text)  # no line of ours is so long
    return list(_parsed(text[:end])), offset + end


def _parsed(text: bytes) -> Iterator[Event]:
    for line in text.splitlines():
        with suppress(ValueError, TypeError, RecursionError):
            event = Event(**json.loads(line))
            if isinstance(event.stage, str) and isinstance(event.done, int) and isinstance(event.total, int):
                yield event
