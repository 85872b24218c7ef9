"""A warm worker: one process that keeps torch, Ruska and the last network loaded, and runs jobs one after another.

It receives lines of JSON over its standard streams. If it dies, the next job gets a new process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from queue import SimpleQueue
from types import TracebackType
from typing import Any

from ruska.errors import SettingsError
from ruska.jobs.control import Asked, Job, detached, make, note_process, ready_again
from ruska.scratch import Owner

_GRACE = 10.0
"""Seconds that a process has to end by itself."""


class Worker:
    """Runs jobs in the order of submission: ``with Worker() as worker: job = worker.submit(request)``.

    Jobs have folders as with `jobs.submit`: anybody may watch and cancel them. The process starts at once and ends with
    `close`, or when this process ends; a running job is then cancelled, and can be resumed.
    """

    def __init__(self) -> None:
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._process: subprocess.Popen[str] | None = None
        self._closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, daemon=True, name="ruska-worker")
        self._begin()
        self._thread.start()

    def submit(
        self,
        request: Asked,
        folder: str | os.PathLike[str] | None = None,
        *,
        root: str | os.PathLike[str] | None = None,
        memory_bytes: int | None = None,
        workers: int | None = None,
    ) -> Job:
        """Queue a request; otherwise as `jobs.submit`."""
        self._check_open()
        job = make(request, folder, root=root, memory_bytes=memory_bytes, workers=workers)
        return self._queued(job)

    def resume(self, job: Job) -> Job:
        """Queue a job to be resumed; otherwise as `jobs.resume`."""
        self._check_open()
        return self._queued(job) if ready_again(job) else job

    def close(self) -> None:
        """End the process; waiting jobs stay queued, and can be resumed."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
            _hang_up(self._process)
        self._thread.join()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _queued(self, job: Job) -> Job:
        note_process(job, Owner.here())
        self._queue.put(job)
        return job

    def _check_open(self) -> None:
        if self._closed:
            raise SettingsError("worker", "is closed", "Make another one.")

    def _serve(self) -> None:
        while (job := self._queue.get()) is not None and not self._closed:
            self._run(job)
        _end(self._process)

    def _run(self, job: Job) -> None:
        """Run one job until it or the process ends; `state_of` tells which."""
        for _ in range(2):  # the process may have died between two jobs
            process = self._begin()
            if process is None or _ask(process, {"run": str(job.folder)}) is not None:
                return
            _end(process)  # only then is it certain that it is gone
            if job.state.ended:
                self._begin()
                return

    def _begin(self) -> subprocess.Popen[str] | None:
        """The process, restarted if it is gone; None when the worker is closed."""
        with self._lock:
            if self._closed:
                return None
            if self._process is None or self._process.poll() is not None:
                _end(self._process)
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "ruska.jobs.warm"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL, text=True, encoding="utf-8", **detached(),
                )  # fmt: skip
            return self._process


def _ask(process: subprocess.Popen[str], question: dict[str, Any]) -> dict[str, Any] | None:
    """The answer, or None if the process is gone."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(question) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        found = json.loads(answer) if answer else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _hang_up(process: subprocess.Popen[str] | None) -> None:
    """Close its input, which tells it to end; the same happens when this process dies."""
    if process is not None and process.stdin is not None:
        try:
            process.stdin.close()
        except (OSError, ValueError):
            return


def _end(process: subprocess.Popen[str] | None) -> None:
    if process is None:
        return
    _hang_up(process)
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
