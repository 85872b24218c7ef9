"""Errors that name the file or setting, what was found, what was expected, and the way out."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from ruska.plain_text import one_line


class RuskaError(Exception):
    """Base of every error a user can repair.

    Parameters
    ----------
    subject : what the error is about, usually a file name or an option.
    problem : what was found, and what was expected instead.
    fix : what the user can do about it; empty when nothing can be done.

    ``exit_code`` is the exit code of the command line; each subclass has its own. Errors may hold names from untrusted
    files, and other programs print them too: each part is one line, with control characters escaped.
    """

    exit_code = 1

    def __init__(self, subject: object, problem: str, fix: str = "") -> None:
        self.subject = one_line(subject)
        self.problem = one_line(problem).rstrip(". ")
        self.fix = one_line(fix)
        super().__init__(f"{self.subject}: {self.problem}." + (f" {self.fix}" if fix else ""))

    def __reduce__(self) -> tuple[type[RuskaError], tuple[str, str, str]]:
        return type(self), (self.subject, self.problem, self.fix)


class SettingsError(RuskaError):
    """An option or setting that does not exist, or a value outside its range."""

    exit_code = 2


class InputError(RuskaError):
    """A file that is missing, empty, truncated, of an unknown format, or not an image."""

    exit_code = 3


class ChangedInputError(InputError):
    """A file that changed after it was opened, so what was read may mix two versions."""


class GeometryError(RuskaError):
    """Axes, shapes or boxes that do not fit each other."""

    exit_code = 3


class OutputError(RuskaError):
    """A result that cannot be written: it exists already, no permission, or the format cannot hold it."""

    exit_code = 4


class ResourceError(RuskaError):
    """Not enough memory or disk space."""

    exit_code = 5


class MissingExtraError(RuskaError):
    """A method or format whose optional package is not installed."""

    exit_code = 6


class JobBusyError(RuskaError):
    """Another process is working on the same output."""

    exit_code = 7


class JobCancelledError(RuskaError):
    """The run was cancelled. Finished work is kept, as after Ctrl-C; the same request resumes it."""

    exit_code = 130


def did_you_mean(given: str, valid: Iterable[str]) -> str:
    """Return ``Did you mean 'x'? Valid: a, b, c.`` for an unknown name."""
    names = list(valid)
    near = get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    return f"{hint}Valid: {', '.join(names)}."
