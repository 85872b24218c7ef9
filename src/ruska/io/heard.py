"""Collect what a library logs while it opens a file, for the notes, so that Python does not print it raw."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST = 160


class _Ear(logging.Handler):
    """Collects log messages of its own thread. With a handler present, Python's last resort prints nothing."""

    def __init__(self, words: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.words, self.ours = words, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.ours:
            self.words.append(record.getMessage())


@contextmanager
def heard(library: str) -> Iterator[list[str]]:
    """Collect the warnings that ``library`` logs meanwhile. The user's own handlers get them as well."""
    words: list[str] = []
    ear, logger = _Ear(words), logging.getLogger(library)
    logger.addHandler(ear)
    try:
        yield words
    finally:
        logger.removeHandler(ear)


def as_notes(library: str, words: list[str]) -> tuple[str, ...]:
    """One note about all of ``words``; empty without any."""
    if not words:
        return ()
    more = f", and {len(words) - 1} more" if len(words) > 1 else ""
    return (f"the file is unusual or damaged ({library}: {words[0][:_LONGEST]}{more})",)
