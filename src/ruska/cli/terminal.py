"""Output to the terminal: everything that is printed goes through here, whoever printed it.

There are two ways, and both escape invisible characters (`ruska.plain_text`):

- `guard_streams` puts a guard in front of stdout and stderr. It sees every write: our lines, warnings from Python and
  libraries, log messages, tracebacks. Newlines pass, as our own layout needs them.
- `screen` is a rich console for tables and progress bars. Only it may send escape sequences, and only its own. It
  bypasses the guard, and escapes the text it draws. Text is never markup, so ``[red]`` is shown unchanged.

A guard cannot tell our newlines from those in untrusted text. So untrusted text is made one line where it enters a
message: `say`, `complain`, table cells and stage names do that. Here, warnings and log messages are made one line that
names the library, and each line of a traceback gets a mark.
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
    """Print one line for the user."""
    print(one_line(text))


def complain(text: str) -> None:
    """Print one line about an error, on the error stream."""
    with suppress(OSError):  # the error stream may be full or gone, too
        print(f"ruska: {one_line(text)}", file=sys.stderr)


_REMARKED: set[str] = set()


def remark(text: str) -> None:
    """One line on what is coming, on the error stream; the same one once: a batch would repeat it for every file."""
    if text in _REMARKED:
        return
    _REMARKED.add(text)
    with suppress(OSError):
        print(one_line(text), file=sys.stderr)


def show_fault(error: BaseException) -> None:
    """Print a traceback, with every line marked."""
    text = "".join(traceback.format_exception(error))
    print("\n".join(_FAULT + line for line in text.rstrip("\n").split("\n")), file=sys.stderr)


class Guarded:
    """A text stream that escapes invisible characters; otherwise it behaves like the stream it wraps."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def rich_proxied_file(self) -> TextIO:
        """The stream that rich consoles, which look for this name, draw on: the first that is not a guard or rich's."""
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
    """Guard stdout and stderr until the process ends: text printed while Python shuts down passes the guard, too.

    A closed stream stays None, as Python sets it. Characters that a terminal's encoding lacks are escaped, too.
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
    """A console that sends only its own escape sequences, never those in the text it draws."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=lines(segment.text))


def screen(*, stderr: bool = False) -> Console:
    """The console for tables and progress bars, on stdout or stderr."""
    return _Screen(stderr=stderr, soft_wrap=False, markup=False, emoji=False, highlight=False)
