"""Starts jobs from Python, and watches, cancels, resumes and lists them, all through their folders."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruska.errors import JobBusyError, OutputError
from ruska.jobs.events import Event, read_events
from ruska.jobs.folder import (
    CANCEL,
    EVENTS,
    LOG,
    PROCESS,
    RECORD,
    REQUEST,
    STATE,
    TERMS,
    WORKFLOW,
    check_folder,
    jobs_folder,
    patiently,
    read_object,
    write_json,
)
from ruska.jobs.process import Terms
from ruska.jobs.state import State, state_of, write_state
from ruska.jobs.workflow import ONLY, Step, checked_steps, write_steps
from ruska.pipeline.request import Request, checked
from ruska.scratch import Owner

_LOOK_EVERY = 0.05
"""Seconds between two polls of a watcher."""
Asked = Request | Sequence[Request] | Mapping[str, Request]


@dataclass(frozen=True)
class Job:
    """A folder in which a request runs, has run, or will run."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def state(self) -> State:
        """The current state, from the disk and from whether its process is alive."""
        return state_of(self.folder)

    @property
    def status(self) -> str:
        """queued, running, done, failed, cancelled, or dead: its process ended unexpectedly."""
        return self.state.status

    @property
    def record(self) -> dict[str, Any]:
        """The record of the run; of several steps, ``{"steps": {NAME: record}}``. InputError while there is none."""
        return read_object(self.folder / RECORD)

    def wait(self) -> State:
        """Return once the job has ended, in whatever state."""
        while not (state := self.state).ended:
            time.sleep(_LOOK_EVERY)
        return state


def submit(
    request: Asked,
    folder: str | os.PathLike[str] | None = None,
    *,
    root: str | os.PathLike[str] | None = None,
    memory_bytes: int | None = None,
    workers: int | None = None,
) -> Job:
    """Start a request in a separate process, which goes on when this one ends.

    request : one; or several that use each other's outputs (``Input(step="@restore.mean")``), as a dict by name, or as
        a list (``step1``, ``step2``, ...). Relative paths are relative to the current folder.
    folder : new or empty; when None, a new one is made in ``root`` (None: RUSKA_JOBS, or the user's cache).
    memory_bytes, workers : limits that no request may exceed.

    Raises SettingsError if a request is not valid, before anything is started; OutputError if the folder cannot be
    written.
    """
    job = make(request, folder, root=root, memory_bytes=memory_bytes, workers=workers)
    start(job)
    return job


def make(
    request: Asked,
    folder: str | os.PathLike[str] | None = None,
    *,
    root: str | os.PathLike[str] | None = None,
    memory_bytes: int | None = None,
    workers: int | None = None,
) -> Job:
    """Make the folder of a job without starting it. See `submit`."""
    steps = checked_steps(_named(request))
    limits = {"directory": os.getcwd(), "memory_bytes": memory_bytes, "workers": workers}
    terms: Terms = checked(Terms, limits, "limits")
    place = _new_folder(root) if folder is None else Path(folder).absolute()
    try:
        place.mkdir(0o700, parents=True, exist_ok=True)
        if place.is_symlink() or any(place.iterdir()):
            raise OutputError(place, "is a link, or is not empty", "Choose another folder, or resume the job in it.")
        write_json(place / TERMS, terms.model_dump(exclude_none=True))
        write_state(place, "queued")
        write_steps(place, steps)
    except OSError as error:
        raise OutputError(place, f"cannot be written ({error.strerror or error})",
                          "Check free space and permissions.") from error  # fmt: skip
    return Job(place)


def _named(request: Asked) -> list[Step]:
    if isinstance(request, Request):
        return [Step(ONLY, request)]
    if isinstance(request, Mapping):
        return [Step(name, one) for name, one in request.items()]
    return [Step(f"step{k}", one) for k, one in enumerate(request, 1)]


def _new_folder(root: str | os.PathLike[str] | None) -> Path:
    parent = jobs_folder() if root is None else Path(root).absolute()
    return parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{uuid.uuid4().hex[:8]}"


def start(job: Job) -> None:
    """Start the process of a queued job, without waiting for it."""
    words = [sys.executable, "-P", "-m", "ruska.jobs", str(job.folder)]  # -P: no import from this folder
    try:
        with (job.folder / LOG).open("ab") as log:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log, cwd=job.folder, **detached()
            )
    except OSError as error:
        raise OutputError(job.folder, f"its process cannot be started ({error.strerror or error})") from error
    note_process(job, Owner.of(process.pid))
    threading.Thread(target=process.wait, daemon=True, name="ruska-job").start()  # reaps the process


def detached() -> dict[str, Any]:
    """For `subprocess`: a process that survives Ctrl-C and the end of this one."""
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return {"start_new_session": True}


def note_process(job: Job, owner: Owner) -> None:
    """Note which process will run the queued job: once that process is gone, the job is dead."""
    try:
        write_json(job.folder / PROCESS, {"owner": str(owner)})
    except OSError:
        return  # a full disk; the process reports it itself


def watch(job: Job) -> Iterator[Event]:
    """Yield all events, from the first one, as they come, until the job ends. Several processes may watch.

    The last event is the end itself: its stage is done, failed, cancelled or dead, and its note is the message.
    """
    offset = 0
    while True:
        state = job.state  # before the events are read: once it has ended, no more will come
        events, offset = read_events(job.folder / EVENTS, offset)
        yield from events
        if events:
            continue
        if state.ended:
            yield Event(state.since, state.status, 1, 1, state.message or "")
            return
        time.sleep(_LOOK_EVERY)


def cancel(job: Job) -> None:
    """Ask the job to stop, which it does within a block. Finished work is kept, and `resume` continues it."""
    if job.state.ended:
        return
    try:
        (job.folder / CANCEL).touch()
    except OSError as error:
        raise OutputError(job.folder, f"cannot be written ({error.strerror or error})") from error


def resume(job: Job) -> Job:
    """Continue a job that failed, died or was cancelled; the result is the same, byte for byte, as without the stop.

    A job that is done stays as it is. Raises JobBusyError while it runs.
    """
    if ready_again(job):
        start(job)
    return job


def ready_again(job: Job) -> bool:
    """Queue a job again that has ended; False if it is done."""
    check_folder(job.folder)
    state = job.state
    if state.status == "done":
        return False
    if not state.ended and not (state.status == "queued" and not (job.folder / PROCESS).exists()):
        raise JobBusyError(job.folder, f"is {state.status}", "Wait for it, or cancel it first.")
    try:
        for name in (CANCEL, PROCESS):
            patiently((job.folder / name).unlink if (job.folder / name).exists() else lambda: None)
        write_state(job.folder, "queued")
    except OSError as error:
        raise OutputError(job.folder, f"cannot be written ({error.strerror or error})",
                          "Check free space and permissions.") from error  # fmt: skip
    return True


def list_jobs(root: str | os.PathLike[str] | None = None) -> list[Job]:
    """The jobs in ``root`` (None: as in `submit`), oldest first. Links are skipped."""
    parent = jobs_folder() if root is None else Path(root).absolute()
    try:
        folders = sorted(entry.path for entry in os.scandir(parent) if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise OutputError(parent, f"cannot be read ({error.strerror or error})") from error
    return [Job(Path(folder)) for folder in folders if _is_job(Path(folder))]


def _is_job(folder: Path) -> bool:
    try:
        return any((folder / name).is_file() for name in (REQUEST, WORKFLOW, STATE))
    except OSError:
        return False
