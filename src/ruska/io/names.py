"""Names of files: whether one is there, and whether a result may be called so."""

from __future__ import annotations

import os
import re
import stat
import sys
from pathlib import Path

from ruska.errors import InputError

_LONGEST = 220
"""Bytes of an output's name. Systems allow 255; work folders, partial files and reports beside it add up to 30."""

_DEVICES = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:[ .].*)?", re.IGNORECASE)
_NOT_ON_WINDOWS = re.compile(r'[<>:"|?*\x00-\x1f]|[ .]$')


def is_there(path: Path) -> bool:
    """Whether ``path`` exists; InputError when the system cannot tell (no permission, a name it does not allow)."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    except OSError as error:
        raise InputError(path, f"cannot be looked for ({error.strerror})", "Check its name and permissions.") from error
    return True


_ODD_KINDS = ((stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"), (stat.S_ISCHR, "a device"),
              (stat.S_ISBLK, "a device"))  # fmt: skip


def check_kind(path: Path) -> None:
    """InputError when ``path``, which is there, is a pipe, a socket or a device: to open one may never end."""
    mode = path.stat().st_mode
    for is_kind, words in _ODD_KINDS:
        if is_kind(mode):
            raise InputError(path, f"is {words}, not a file", "Save what it holds to a file, and give that.")


def shown_name(path: Path) -> str:
    """The name of a file as text that can be printed: bytes that are no Unicode become U+FFFD."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def name_problem(name: str) -> str:
    """What keeps a result from being called ``name`` on this system; empty where nothing does.

    On Windows a device (``con.tif``) or a colon would take the bytes elsewhere without a word.
    """
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "its name is not in Unicode"
    if length > _LONGEST:
        return f"its name has {length} bytes, {_LONGEST} leave room for what Ruska writes beside it"
    if "\0" in name:
        return "its name has a null character"
    if sys.platform == "win32":
        if _DEVICES.fullmatch(name):
            return "its name is that of a device on Windows"
        if _NOT_ON_WINDOWS.search(name):
            return 'Windows allows no < > : " | ? * in names, and no space or dot at their end'
    return ""
