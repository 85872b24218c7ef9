"""Text of strangers: what cannot be seen becomes an escape, and commands survive their shell."""

from __future__ import annotations

import pickle
import shlex
import shutil
import subprocess
import sys
from unicodedata import category

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ruska.errors import InputError, OutputError, RuskaError
from ruska.plain_text import command_line, copyable, lines, no_option, one_line

HOSTILE = "\x1b]0;title\x07\x1b[31m\r\n\t\x7f\x85\x9b\u202e\u2066\u200b\u2028\u2029\ufeff\u3164\udcff"
anything = st.text(st.characters(codec=None, exclude_categories=()))  # lone surrogates, too


@given(anything)
def test_nothing_unseen_is_left(text: str) -> None:
    shown = one_line(text)
    assert not [letter for letter in shown if category(letter) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    shown.encode("utf-8")
    assert one_line(shown) == shown
    assert lines(text).split("\n") == [one_line(part) for part in text.split("\n")]


@pytest.mark.parametrize(
    "text", ["µ é 日本 한국 עברית العربية.tif", r"C:\data\new.tif", "a\u3000b\xa0c", "$x_1$ [red] 'q'", ""]
)
def test_what_can_be_read_stays(text: str) -> None:
    assert one_line(text) == text


def test_escapes_look_like_those_of_python() -> None:
    assert one_line("a\x1b[31m\nb\x9b\u202e\udcff\U000e0041") == r"a\x1b[31m\nb\x9b\u202e\udcff\U000e0041"


@given(anything, anything, anything)
def test_an_error_is_one_line_whatever_it_is_about(subject: str, problem: str, fix: str) -> None:
    error = OutputError(subject, problem, fix)
    assert one_line(error) == str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (OutputError, str(error))


@pytest.mark.parametrize("part", range(3))
def test_every_part_of_an_error_is_escaped(part: int) -> None:
    words = ["file", "is damaged", "Copy it."]
    words[part] = HOSTILE
    error: RuskaError = InputError(*words)
    for said in (str(error), error.subject, error.problem, error.fix):
        assert one_line(said) == said


words = st.lists(anything.filter(lambda word: "\0" not in word), min_size=1)


@given(words)
def test_a_posix_shell_reads_the_words_of_a_command(given: list[str]) -> None:
    assert shlex.split(command_line(given, windows=False)) == given


@given(st.lists(st.text(st.sampled_from("ab \\\"'&|^%$-é日")), min_size=1))
def test_windows_reads_the_words_of_a_command(given: list[str]) -> None:
    command = command_line(given, windows=True)
    assert _taken_apart(command) == given


@given(st.text(st.characters(exclude_characters='"')))
def test_cmd_sees_its_own_signs_in_quotes_only(name: str) -> None:
    """In names of files, which have no quotes on Windows."""
    quoted = command_line([name], windows=True)
    assert quoted == f'"{quoted[1:-1]}"' or not set(name) & set("&|^<>()%!;' \t\n")


def _taken_apart(command: str) -> list[str]:
    """As programs on Windows do: 2n backslashes before a quote are n, one more makes the quote a letter."""
    found, word, quoted, slashes = [], "", False, 0
    for letter in command + " ":
        if letter == "\\":
            slashes += 1
            continue
        if letter == '"':
            word += "\\" * (slashes // 2)
            word, quoted = (word + '"', quoted) if slashes % 2 else (word, not quoted)
        else:
            word += "\\" * slashes
            if letter == " " and not quoted:
                found.append(word)
                word = ""
            else:
                word += letter
        slashes = 0
    return found


@pytest.mark.skipif(sys.platform == "win32" or shutil.which("bash") is None, reason="needs bash")
def test_bash_reads_a_command_that_was_copied_from_a_page() -> None:
    given = ["a b", "it's", '"q"', "$x `y` \\n", "-dash", "", HOSTILE, f"'{HOSTILE}\\", "日本\n本", "*", "a\\\nb"]
    command = copyable(command_line(["printf", r"%s\0", *given], windows=False), windows=False)
    assert one_line(command) == command
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=True)
    assert done.stdout.split(b"\0")[:-1] == [word.encode("utf-8", "surrogateescape") for word in given]


def test_a_command_that_can_be_read_is_not_touched() -> None:
    assert copyable("ruska denoise 'a b.tif' -o µ.tif") == "ruska denoise 'a b.tif' -o µ.tif"
    assert copyable("it's none\x1b", windows=False) == r"it's none\x1b"
    assert copyable('ruska "a\u202eb"', windows=True) == r'ruska "a\u202eb"'


def test_a_path_is_no_option() -> None:
    assert [no_option(path) for path in ("-a.tif", "a.tif", "/-a")] == ["./-a.tif", "a.tif", "/-a"]
