"""``python -m ruska.jobs.warm``: the process of a `Worker`. It reads lines of JSON, and answers each with one line.

In: ``{"run": FOLDER}``. Out: ``{"ran": FOLDER, "code": EXIT CODE}``. It ends when its standard input closes, which
happens when the process that started it ends; a running job then has a few seconds to stop as if cancelled.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO, NoReturn

from ruska.jobs.process import Stop, signals, work
from ruska.streams import stand_on_open_streams

_GRACE = 8.0
"""Seconds that a job has to end once the parent is gone."""
_LONGEST = 1 << 16


def main() -> NoReturn:
    """Entry point."""
    stand_on_open_streams()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # printed text must not pass for an answer
    with signals() as stop:
        folders: SimpleQueue[str | None] = SimpleQueue()
        listener = threading.Thread(target=_listen, args=(sys.stdin.buffer, folders, stop), daemon=True)
        listener.start()
        _warm_up()
        while (folder := folders.get()) is not None and stop.signal is None:
            code = work(Path(folder), stop)
            with suppress(OSError):
                answers.write(json.dumps({"ran": folder, "code": code}) + "\n")
                answers.flush()
            _tidy()
        os._exit(0)


def _listen(questions: BinaryIO, folders: SimpleQueue[str | None], stop: Stop) -> None:
    """Pass on requests; when the parent is gone, end what runs."""
    while line := questions.readline(_LONGEST):
        try:
            folder = json.loads(line)["run"]
        except (ValueError, KeyError, TypeError):
            break
        folders.put(str(folder))
    stop.asked = True
    folders.put(None)
    time.sleep(_GRACE)
    os._exit(stop.code)


def _warm_up() -> None:
    """Import what the first job would import, and keep a job's network for the next job."""
    import scipy.ndimage
    import tifffile
    import torch  # noqa: F401

    from ruska import pipeline  # noqa: F401
    from ruska.methods import prior

    _ = scipy.ndimage, tifffile
    prior.keep_network()


def _tidy() -> None:
    """Give freed memory back between jobs: once a network has run, the process keeps it otherwise."""
    from ruska.engine.allocator import give_back_freed_memory

    give_back_freed_memory()


if __name__ == "__main__":
    main()
