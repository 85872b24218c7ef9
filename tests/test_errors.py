"""Errors are one line that a terminal can show, whatever a damaged file made them quote."""

from __future__ import annotations

import pickle

import pytest

from ruska.errors import GeometryError, InputError
from ruska.plain_text import one_line


@pytest.mark.parametrize("odd", ["a\nb", "a\r\nb", "a\x1b[2Jb", "a\0b", "a\udcffb", "a\u202eb", "a\u2028b", "a\x85b"])
def test_an_error_is_one_line_of_printable_letters(odd: str) -> None:
    for error in (InputError(odd, "is damaged"), InputError("x", f"holds '{odd}'"), GeometryError("x", "y", odd)):
        assert str(error).isprintable()
        assert str(error).count("a") >= 1
        again = pickle.loads(pickle.dumps(error))
        assert (str(again), again.problem) == (str(error), error.problem)


def test_plain_words_of_any_language_stay() -> None:
    text = "Präparat 3, 試料 µm: is empty"
    assert one_line(text) == text
