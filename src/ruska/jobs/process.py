"""The process of a job: locks its folder, runs the request, and writes the outcome there."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ruska.errors import InputError, JobCancelledError, OutputError, RuskaError
from ruska.jobs.events import EventLog
from ruska.jobs.folder import CANCEL, EVENTS, LOG, RECORD, RESULTS, TERMS, claimed, patiently, read_object, write_json
from ruska.jobs.state import write_failure, write_state
from ruska.jobs.workflow import (
    ONLY,
    Made,
    Step,
    delivered,
    done_before,
    is_begun,
    key_of,
    made_of,
    note_begun,
    note_done,
    placed,
    read_steps,
    resolved,
)
from ruska.pipeline.request import Request, checked
from ruska.plain_text import one_line
from ruska.scratch import Owner

_CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129, "SIGBREAK": 130}
_LOOK_EVERY = 0.2
"""Seconds between two checks for the cancel file."""


class Terms(BaseModel):
    """How a job is run. directory : where relative paths start; None: the current folder of the process.

    memory_bytes, workers : limits that no request may exceed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    directory: str | None = None
    memory_bytes: int | None = Field(None, ge=1)
    workers: int | None = Field(None, ge=1)


@dataclass
class Stop:
    """Why the process is to end. signal : name of the first one received. asked : by the parent, without a signal."""

    signal: str | None = None
    asked: bool = False
    over: bool = True

    @property
    def code(self) -> int:
        return _CODES.get(self.signal or "SIGINT", 130)


@contextmanager
def signals() -> Iterator[Stop]:
    """Make the first signal a `KeyboardInterrupt` while a job runs; the second ends the process. Work can resume."""
    stop, before = Stop(), {}

    def take(number: int, _: FrameType | None) -> None:
        if stop.signal is not None:
            os._exit(stop.code)
        stop.signal = signal.Signals(number).name
        if not stop.over:
            raise KeyboardInterrupt

    for name in _CODES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, take)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass
class JobContext:
    """The `pipeline.Context` of a run whose outside is a job folder."""

    folder: Path
    log: EventLog
    memory_bytes: int | None
    workers: int | None
    stop: Stop
    own_process: bool = True
    _looked: float = field(default=0.0, init=False)
    _unwanted: bool = field(default=False, init=False)

    def event(self, stage: str, done: int, total: int, note: str = "") -> None:
        self.log.event(stage, done, total, note)

    def cancelled(self) -> bool:
        now = time.monotonic()
        if not self._unwanted and now - self._looked >= _LOOK_EVERY:
            self._looked = now
            self._unwanted = os.path.lexists(self.folder / CANCEL)
        return self._unwanted or self.stop.asked or self.stop.signal is not None


def work(folder: Path, stop: Stop) -> int:
    """Run the job in ``folder`` and return the exit code, the same as the command line's.

    One line on the error stream says what went wrong; so does state.json, unless the folder is in use or unwritable.
    """
    try:
        with claimed(folder):
            return _attended(folder.absolute(), stop)
    except RuskaError as error:
        complain(error)
        return error.exit_code
    except OSError as error:
        failed = OutputError(folder, f"cannot be written ({error.strerror or error})",
                             "Check free space and permissions, then resume the job.")  # fmt: skip
        complain(failed)
        return failed.exit_code


def _attended(folder: Path, stop: Stop) -> int:
    """Run the job, and write how it ended. Raises OSError if its running state cannot be written."""
    if (folder / RECORD).exists():
        return 0
    write_state(folder, "running", owner=Owner.here())
    error: BaseException | None = None
    stop.over = False
    try:
        with logged(folder / LOG) as is_elsewhere:
            try:
                _run(folder, stop)
            except BaseException as found:
                error = found
                _say(found)
            stop.over = True
    except KeyboardInterrupt as late:
        error, is_elsewhere = late, False
    stop.over = True
    code = _end(folder, stop, error)
    if error is not None and is_elsewhere:
        _say(error, trace=False)
    return code


def _end(folder: Path, stop: Stop, error: BaseException | None) -> int:
    """Write the final state and return the exit code."""
    if error is None or (folder / RECORD).exists():
        with suppress(OSError):  # the record says it, too
            write_state(folder, "done")
        return 0
    if isinstance(error, KeyboardInterrupt | JobCancelledError):
        with suppress(OSError):
            patiently(lambda: (folder / CANCEL).unlink(missing_ok=True))
            write_state(folder, "cancelled", message="resume it to continue", exit_code=stop.code)
        return stop.code
    code = error.exit_code if isinstance(error, RuskaError) else 5 if isinstance(error, MemoryError) else 1
    write_failure(folder, error, code)
    return code


def _run(folder: Path, stop: Stop) -> None:
    steps = read_steps(folder)
    given = read_object(folder / TERMS) if (folder / TERMS).exists() else {}
    terms: Terms = checked(Terms, given, TERMS)
    patiently((folder / EVENTS).open("wb").close)
    with _standing_in(terms.directory):
        records = _run_steps(folder, steps, terms, stop)
    try:
        write_json(folder / RECORD, records[ONLY] if set(records) == {ONLY} else {"steps": records})
    except OSError as error:
        raise OutputError(folder / RECORD, f"could not be written ({error.strerror or error})",
                          "Check free space, then resume the job.") from error  # fmt: skip


def _run_steps(folder: Path, steps: tuple[Step, ...], terms: Terms, stop: Stop) -> dict[str, Any]:
    done: dict[str, tuple[Request, Made]] = {}
    keys: dict[str, str] = {}
    for step in steps:
        keys[step.name] = key_of(step, keys)
        log = EventLog(folder / EVENTS, "" if step.name == ONLY else step.name)
        context = JobContext(folder, log, terms.memory_bytes, terms.workers, stop)
        request = resolved(placed(folder, step), done)
        try:
            done[step.name] = request, _made(folder, step.name, keys[step.name], request, context)
        finally:
            log.close()
    return {name: dict(made.record) for name, (_, made) in done.items()}


def _made(folder: Path, name: str, key: str, request: Request, context: JobContext) -> Made:
    """What a step makes, or has already made."""
    from ruska import pipeline

    begun = is_begun(folder, name, key)
    before = done_before(folder, name, key, request) or (delivered(request) if begun else None)
    if before is not None:
        return before
    if context.cancelled():
        raise JobCancelledError("the job", "was cancelled", "Resume it to continue.")
    try:
        if request.output is not None:
            target = Path(request.output)
            if target.parent == folder / RESULTS:
                target.parent.mkdir(exist_ok=True)
            if not begun and not os.path.lexists(target):
                note_begun(folder, name, key)
            elif begun and request.task in ("evaluate", "noise"):  # existing files are from the process that was ended
                request = request.model_copy(update={"run": request.run.model_copy(update={"overwrite": True})})
        made = made_of(pipeline.run(request, context))
        note_done(folder, name, key, made)
    except OSError as error:
        raise OutputError(folder, f"cannot be written ({error.strerror or error})",
                          "Check free space and permissions, then resume the job.") from error  # fmt: skip
    return made


@contextmanager
def _standing_in(directory: str | None) -> Iterator[None]:
    """Make relative paths start in ``directory``."""
    if directory is None:
        yield
        return
    before = os.getcwd()
    try:
        os.chdir(directory)
    except (OSError, ValueError) as error:
        raise InputError(directory, f"cannot be entered ({getattr(error, 'strerror', None) or error})",
                         "The job's relative paths start there.") from error  # fmt: skip
    try:
        yield
    finally:
        with suppress(OSError):
            os.chdir(before)


@contextmanager
def logged(file: Path) -> Iterator[bool]:
    """Redirect everything printed to ``file``; yields whether the error stream went elsewhere before."""
    log = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    is_elsewhere = not _is_open_as(2, log)
    kept = {number: os.dup(number) for number in (1, 2)}
    try:
        _flush()
        for number in kept:
            os.dup2(log, number)
        yield is_elsewhere
    finally:
        _flush()
        for number, before in kept.items():
            os.dup2(before, number)
            os.close(before)
        os.close(log)


def _is_open_as(number: int, other: int) -> bool:
    try:
        return os.path.samestat(os.fstat(number), os.fstat(other))
    except OSError:
        return False


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _say(error: BaseException, *, trace: bool = True) -> None:
    if isinstance(error, RuskaError):
        complain(error)
    elif isinstance(error, KeyboardInterrupt):
        complain("interrupted. Resume the job to continue.")
    else:
        if trace:
            with suppress(OSError, ValueError):
                traceback.print_exception(error)
        complain(f"{type(error).__name__}: {error}")


def complain(problem: object) -> None:
    """Write one line to the real error stream, even if the program has replaced `sys.stderr`."""
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    with suppress(OSError, ValueError):
        os.write(2, f"ruska: {one_line(problem)}\n".encode(encoding, "backslashreplace"))


def leave(code: int, stop: Stop) -> None:
    """Exit at once after an interruption: threads of libraries would abort a normal exit."""
    if stop.signal is not None or stop.asked:
        _flush()
        os._exit(code)
