"""The way out to the terminal: everything that is printed goes through here, whoever printed it.

Two doors, and both escape whatever cannot be seen (`ruska.plain_text`):

- `guard_streams` puts a guard before stdout and stderr. It sees every write: our lines, warnings of Python and of
  libraries, log messages, tracebacks. Newlines pass, as our own layout has them.
- `screen` is a console of rich for tables and bars, the only thing here that may send escape sequences: its own.
  It draws past the guard, and escapes the text of what it draws. Text is never markup, so ``[red]`` is shown as it is.

A guard cannot tell our newline from that of a stranger. So a stranger's text is made one line where it enters a
message: `say`, `complain`, a cell of a table and the name of a stage do that. A warning and a log message are made one
line that says which library speaks, and each line of a traceback gets a mark, here.
"""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from ruska.plain_text import lines, one_line

_OF_CODE = (
    RuntimeWarning, DeprecationWarning, PendingDeprecationWarning, FutureWarning, ImportWarning, ResourceWarning,
    SyntaxWarning,
)  # fmt: skip
"""Warnings about how a library is used, or of its arithmetic: nothing that a user could look at or mend."""
_FAULT = "| "  # before each line of a traceback, whose message may hold any text


def say(text: str = "") -> None:
    """One line for the user."""
    print(one_line(text))


def complain(text: str) -> None:
    """One line about an error, on the error stream."""
    with suppress(OSError):  # the error stream may be full or gone, too
        print(f"ruska: {one_line(text)}", file=sys.stderr)


def show_fault(error: BaseException) -> None:
    """A traceback, every line of it marked."""
    text = "".join(traceback.format_exception(error))
    print("\n".join(_FAULT + line for line in text.rstrip("\n").split("\n")), file=sys.stderr)


class Guarded:
    """A text stream that writes escapes for what cannot be seen; in all else the stream it stands before."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def rich_proxied_file(self) -> TextIO:
        """By this name, consoles of rich find the stream they draw on: the first that is no guard and no console's."""
        stream = self._stream
        while (behind := getattr(stream, "rich_proxied_file", None)) is not None:
            stream = behind
        return stream

    def write(self, text: str) -> int:
        self._stream.write(lines(text))
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard_streams() -> None:
    """Guard stdout and stderr, for good: what is printed while Python ends is printed by somebody, too.

    A stream that is closed stays None, as Python has it. Letters that a terminal's encoding lacks become escapes, too.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, Guarded):
            continue
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, Guarded(stream))
    warnings.formatwarning = _warning
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_OneLine())


def _warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """One plain line. Nothing where a library speaks to programmers, unless Python was told to show warnings (-W)."""
    library = _library_of(filename)
    if library is not None and issubclass(category, _OF_CODE) and not sys.warnoptions:
        return ""
    return f"ruska: {one_line(message if library is None else f'{library} says: {message}')}\n"


def _library_of(filename: str) -> str | None:
    """The package that a source file belongs to; None for Ruska's own."""
    parts = Path(filename).parts
    if Path(__file__).parents[1] in Path(filename).parents:
        return None
    inside = [k for k, part in enumerate(parts[:-1]) if part in ("site-packages", "dist-packages")]
    return Path(parts[inside[-1] + 1]).stem if inside else Path(filename).stem


class _OneLine(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # logging's name for it
        said = super().formatMessage(record)
        library = record.name.partition(".")[0]
        return one_line(said if library == "ruska" else f"ruska: {library} says: {said}")


class _Screen(Console):
    """A console whose escape sequences are its own, never those of the text it draws."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=lines(segment.text))


def screen(*, stderr: bool = False) -> Console:
    """Where tables and bars are drawn: stdout, or stderr."""
    return _Screen(stderr=stderr, soft_wrap=False, markup=False, emoji=False, highlight=False)
