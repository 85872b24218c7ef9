"""Errors that name the file or setting, what was found, what was expected, and the way out."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches


class RuskaError(Exception):
    """Base of every error a user can repair.

    Parameters
    ----------
    subject : what the error is about, usually a file name or an option.
    problem : what was found, and what was expected instead.
    fix : what the user can do about it; may be empty when nothing can be done.

    ``exit_code`` is what the command line exits with; each subclass has its own.
    """

    exit_code = 1

    def __init__(self, subject: object, problem: str, fix: str = "") -> None:
        self.subject = str(subject)
        self.problem = problem.rstrip(". ")
        self.fix = fix
        super().__init__(one_line(f"{self.subject}: {self.problem}." + (f" {fix}" if fix else "")))

    def __reduce__(self) -> tuple[type[RuskaError], tuple[str, str, str]]:
        return type(self), (self.subject, self.problem, self.fix)


class SettingsError(RuskaError):
    """An option or setting that does not exist, or a value outside its range."""

    exit_code = 2


class InputError(RuskaError):
    """A file that is missing, empty, truncated, of an unknown format, or not an image."""

    exit_code = 3


class GeometryError(RuskaError):
    """Axes, shapes or boxes that do not fit each other."""

    exit_code = 3


class OutputError(RuskaError):
    """A result that cannot be written: it exists already, no permission, or the format cannot hold it."""

    exit_code = 4


class ResourceError(RuskaError):
    """Not enough memory or disk for what was asked."""

    exit_code = 5


class MissingExtraError(RuskaError):
    """A method or format whose optional package is not installed."""

    exit_code = 6


class JobBusyError(RuskaError):
    """Another process is working on the same output."""

    exit_code = 7


def one_line(text: str) -> str:
    """``text`` without line breaks and without letters that a terminal would obey: it may quote a damaged file."""
    words = re.sub(r"\s*[\r\n]\s*", " ", text)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in words)


def did_you_mean(given: str, valid: Iterable[str]) -> str:
    """Return ``Did you mean 'x'? Valid: a, b, c.`` for an unknown name."""
    names = list(valid)
    near = get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    return f"{hint}Valid: {', '.join(names)}."
