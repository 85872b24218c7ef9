"""The folder of a job: which files it holds, and how they are read with care and written whole.

request.json or workflow.json : the request. terms.json : the folder that relative paths start from, and the limits.
state.json, events.jsonl, record.json, log.txt : what happened. cancel : exists once the job is to be cancelled.
steps/ : the state of each step. results/ : outputs without a name of their own.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ruska.errors import InputError, JobBusyError, OutputError
from ruska.scratch import tidy, write_whole

REQUEST, WORKFLOW, TERMS = "request.json", "workflow.json", "terms.json"
STATE, EVENTS, RECORD, LOG, CANCEL, PROCESS = (
    "state.json", "events.jsonl", "record.json", "log.txt", "cancel", "process.json")  # fmt: skip
STEPS, RESULTS = "steps", "results"
_LOCK = "job.lock"
_LARGEST = 16 << 20
"""Most bytes of a JSON file that are read."""
_PATIENCE = 2.0
"""Seconds for which to retry on Windows, where a file cannot be replaced while somebody reads it."""
_T = TypeVar("_T")


def jobs_folder() -> Path:
    """Where jobs go by default: RUSKA_JOBS, or the user's cache folder on this system."""
    if given := os.environ.get("RUSKA_JOBS"):
        return Path(given).expanduser().absolute()
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "ruska" / "jobs"


def read_json(file: Path) -> Any:
    """The contents of a JSON file in the folder; InputError if it is missing, a link, too large or not JSON."""
    try:
        found = patiently(file.lstat)
        if not stat.S_ISREG(found.st_mode):
            raise InputError(file, "is a link, a folder or a device, expected a file", "Put the file itself there.")
        if found.st_size > _LARGEST:
            raise InputError(file, f"has {found.st_size / 1e6:,.0f} MB, expected at most {_LARGEST / 1e6:.0f}",
                             "Ruska does not write such files.")  # fmt: skip
        return json.loads(patiently(file.read_bytes))
    except FileNotFoundError as error:
        raise InputError(file, "does not exist") from error
    except OSError as error:
        raise InputError(file, f"cannot be read ({error.strerror or error})", "Check its permissions.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(file, f"is not JSON ({error})", "It may be truncated: write it again.") from error


def read_object(file: Path) -> dict[str, Any]:
    """As `read_json`, for a file that holds an object."""
    found = read_json(file)
    if not isinstance(found, dict):
        raise InputError(file, f"holds a {type(found).__name__}, expected a JSON object", "It begins with {.")
    return found


def write_json(file: Path, content: Any) -> None:
    """Write a JSON file that appears whole or not at all. Raises OSError, e.g. for a full disk."""
    text = (json.dumps(content, indent=2) + "\n").encode()
    patiently(lambda: write_whole(file, text))


def patiently(work: Callable[[], _T]) -> _T:
    """Do ``work``, retrying for two seconds while Windows says that another process has the file open."""
    until = time.monotonic() + (_PATIENCE if sys.platform == "win32" else 0.0)
    while True:
        try:
            return work()
        except PermissionError:
            if time.monotonic() >= until:
                raise
            time.sleep(0.02)


def check_folder(folder: Path) -> None:
    """Raise InputError unless ``folder`` is a real folder, without links in it that lead elsewhere."""
    from ruska.io.names import check_plain

    try:
        if folder.is_symlink():
            raise InputError(folder, "is a link, expected the folder of a job", "Give the folder itself.")
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "does not exist"
            raise InputError(folder, what, "Give the folder of a job, with a request.json.")
        for child in folder.iterdir():
            check_plain(child)  # a link would lead writes elsewhere
    except OSError as error:
        raise InputError(folder, f"cannot be read ({error.strerror or error})", "Check its permissions.") from error


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Lock the folder for this process; JobBusyError if another one works in it, OutputError if it is not writable."""
    from filelock import FileLock, Timeout

    check_folder(folder)
    lock = FileLock(folder / _LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise JobBusyError(folder, "another process is working on this job", "Wait for it, or cancel it.") from error
    except (OSError, NotImplementedError) as error:
        raise OutputError(folder, f"cannot be written ({getattr(error, 'strerror', None) or error})",
                          "Check free space and permissions.") from error  # fmt: skip
    try:
        tidy(folder)
        yield
    finally:
        lock.release()
