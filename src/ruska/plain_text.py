r"""Text that others wrote, made safe to show: what cannot be seen is written as an escape, like ``\x1b`` or ``\n``.

Names of files, channels, datasets and models come from strangers. Raw, an escape sequence in one rewrites the screen, a
newline forges a line of ours, and a bidirectional override turns a name round. Letters of every script, µ, é and 日本,
stay as they are.
"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterable
from unicodedata import category

# Letters and marks to Unicode, but nothing to the eye: fillers of Hangul and Khmer, and the grapheme joiner.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
_PLAIN_WORD = re.compile(r"[\w./:\\=,+@-]+", re.ASCII)  # that cmd does not take apart


def one_line(text: object) -> str:
    r"""``text`` on one line: controls, line breaks, bidirectional and zero-width marks and lone surrogates escaped.

    A backslash stays one backslash, as Windows writes them in paths: an escape is for the eye, not to be undone.
    """
    words = str(text)
    if words.isprintable() and _BLANK.isdisjoint(words):
        return words
    return "".join(letter if _is_seen(letter) else ascii(letter)[1:-1] for letter in words)


def lines(text: str) -> str:
    """Like `one_line`, but the newlines stay, as those of our own layout have to."""
    return "\n".join(map(one_line, text.split("\n")))


def _is_seen(letter: str) -> bool:
    """Spaces of every width count as seen."""
    return (letter.isprintable() and letter not in _BLANK) or category(letter) == "Zs"


def command_line(words: Iterable[str], *, windows: bool = sys.platform == "win32") -> str:
    """``words`` as a command for the shell of this system: a POSIX one, or cmd."""
    return " ".join(_for_windows(word) for word in words) if windows else shlex.join(words)


def _for_windows(word: str) -> str:
    r"""In double quotes, with the backslashes before a quote doubled, as programs there take arguments apart."""
    if _PLAIN_WORD.fullmatch(word):
        return word
    return '"' + re.sub(r"(\\+)$", r"\1\1", re.sub(r'(\\*)"', r"\1\1\\" + '"', word)) + '"'


def no_option(path: str) -> str:
    """A path that begins with a dash would be taken for an option."""
    return f"./{path}" if path.startswith("-") else path


def copyable(command: str, *, windows: bool = sys.platform == "win32") -> str:
    r"""A `command_line` without anything unseen, to be copied from a page: ``$'a\012b'`` for a name with a newline.

    Bash, zsh, ksh and POSIX 2024 read that. On Windows no name has such a character but bidirectional marks, which
    become escapes.
    """
    if windows or one_line(command) == command:
        return one_line(command)
    try:
        return " ".join(map(_for_posix, shlex.split(command)))
    except ValueError:  # it is no command
        return one_line(command)


def _for_posix(word: str) -> str:
    if one_line(word) == word:
        return shlex.quote(word)
    seen = "".join(
        "\\" + letter if letter in "\\'" else letter if _is_seen(letter) else _octal(letter) for letter in word
    )
    return f"$'{seen}'"


def _octal(letter: str) -> str:
    """Its bytes in a file's name, where U+DC80 to U+DCFF stand for those that are no Unicode."""
    undecoded = "\udc80" <= letter <= "\udcff"
    return "".join(
        f"\\{byte:03o}" for byte in letter.encode("utf-8", "surrogateescape" if undecoded else "surrogatepass")
    )
