"""What a library logs while it opens a file: kept for the notes, where Python would print it raw."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST = 160


class _Ear(logging.Handler):
    """Keeps what the thread that made it is told. With a handler there, Python's last resort prints nothing."""

    def __init__(self, words: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.words, self.ours = words, threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self.ours:
            self.words.append(record.getMessage())


@contextmanager
def heard(library: str) -> Iterator[list[str]]:
    """Collect the warnings that ``library`` logs meanwhile. A handler of the user's own is told as well."""
    words: list[str] = []
    ear, logger = _Ear(words), logging.getLogger(library)
    logger.addHandler(ear)
    try:
        yield words
    finally:
        logger.removeHandler(ear)


def as_notes(library: str, words: list[str]) -> tuple[str, ...]:
    """One note on all of ``words``, none where there are none."""
    if not words:
        return ()
    more = f", and {len(words) - 1} more" if len(words) > 1 else ""
    return (f"the file is unusual or damaged ({library}: {words[0][:_LONGEST]}{more})",)
