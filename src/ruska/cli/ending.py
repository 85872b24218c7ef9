"""How the program ends: on signals, and when its output streams are closed or full.

The first signal raises `KeyboardInterrupt`: blocks in flight are finished, and finished work is kept. A second signal,
or the end of the time that a system allows before it kills, ends the process at once: finished work is on disk, and
threads of libraries would abort a normal exit.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event, Thread
from types import FrameType
from typing import Any, NoReturn, TextIO

_CODES = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129, "SIGBREAK": 130}
_GRACE = 8.0  # seconds from SIGTERM or SIGHUP to the end; containers are killed after 10
_SHOW_CURSOR = b"\x1b[?25h"
RESUMES = "The same command resumes where it stopped."


@dataclass
class Stop:
    """What ended the program: the name of the first signal, or None."""

    signal: str | None = None

    @property
    def code(self) -> int:
        return _CODES.get(self.signal or "SIGINT", 130)

    @property
    def words(self) -> str:
        """The line that tells the user."""
        why = "" if self.signal in (None, "SIGINT") else f" ({self.signal})"
        return f"interrupted{why}. {RESUMES}"


@contextmanager
def signals() -> Iterator[Stop]:
    """Turn the first signal into a `KeyboardInterrupt`; the second ends the process. Ignored signals stay ignored.

    Outside the main thread, where no signals arrive, this does nothing.
    """
    stop, over = Stop(), Event()

    def take(number: int, _: FrameType | None) -> None:
        """Runs in the main thread, as soon as it returns from library code."""
        if stop.signal is None:
            stop.signal = signal.Signals(number).name
            raise KeyboardInterrupt

    before: dict[int, Any] = {}
    for name in _CODES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
            with suppress(ValueError):
                before[number] = signal.signal(number, take)
    if not before:
        yield stop
        return
    heard, rung = socket.socketpair()
    rung.setblocking(False)
    wakeup = signal.set_wakeup_fd(rung.fileno(), warn_on_full_buffer=False)
    watcher = Thread(target=_watch, args=(heard, over), name="ruska-signals", daemon=True)
    watcher.start()
    try:
        yield stop
    finally:
        over.set()
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        rung.close()
        watcher.join()
        heard.close()


def _watch(heard: socket.socket, over: Event) -> None:
    """End the process at the second signal, however long the main thread stays in library code."""
    first: str | None = None
    while True:
        try:
            numbers = heard.recv(64)
        except TimeoutError:
            numbers = None
        if over.is_set() or numbers == b"":
            return
        names = [] if numbers is None else [n for n in map(_name, numbers) if n in _CODES]
        if first is not None and (names or numbers is None):
            _end(Stop(first))
        if names:
            first = names[0]
            if len(names) > 1:
                _end(Stop(first))
            heard.settimeout(None if first == "SIGINT" else _GRACE)


def _name(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return ""


def _end(stop: Stop) -> None:
    with suppress(OSError, ValueError):
        cursor = _SHOW_CURSOR if os.isatty(2) else b""
        os.write(2, cursor + f"ruska: {stop.words}\n".encode())
    os._exit(stop.code)


def end_now(code: int) -> NoReturn:
    """Exit without waiting for threads, which would abort a normal exit; exit handlers still run."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


# Streams


class Watched:
    """A text stream that remembers why a write failed, to tell a full standard output from other errors."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self.problem: OSError | None = None

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except OSError as error:
            self.problem = error
            raise

    def flush(self) -> None:
        try:
            self.stream.flush()
        except OSError as error:
            self.problem = error
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def watched_output() -> Iterator[Watched]:
    """The standard output, flushed at the end; what it cannot take is dropped, without an error at exit."""
    watched = Watched(sys.stdout)
    sys.stdout = watched
    try:
        yield watched
    finally:
        with suppress(OSError, ValueError):
            watched.flush()
        sys.stdout = watched.stream
        if watched.problem is not None:
            _silence(watched.stream)


def _silence(stream: TextIO) -> None:
    """Discard what is left in a stream's buffer, which would fail again at exit."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
