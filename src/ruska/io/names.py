"""File names: whether a file exists, and whether a result may have a name."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

from ruska.errors import InputError, OutputError

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


_ODD = ((stat.S_ISLNK, "a symbolic link"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"))  # fmt: skip


def check_plain(path: Path) -> None:
    """OutputError when ``path`` exists but is neither a file nor a folder: the bytes would go elsewhere.

    Every link counts, even a dangling one. Links among the parent folders are the user's own arrangement.
    """
    try:
        mode = path.lstat().st_mode
    except (OSError, ValueError):  # not there, or of a name that others complain of
        return
    what = next((name for is_one, name in _ODD if is_one(mode)), None)
    if what is None and hasattr(os.path, "isjunction") and os.path.isjunction(path):
        what = "a junction"
    if what is not None:
        raise OutputError(path, f"is {what}, and Ruska writes only files and stores of its own",
                          "Choose another name.")  # fmt: skip


def check_free(files: Iterable[Path], *, overwrite: bool) -> None:
    """OutputError unless each of ``files`` is missing, or is a plain file that may be replaced."""
    for file in files:
        check_plain(file)
        if file.is_dir():
            raise OutputError(file, "is a folder", "Move it away, or choose another place.")
        if file.exists() and not overwrite:
            raise OutputError(file, "exists already", "Choose another folder, or pass --overwrite.")


def shown_name(path: Path) -> str:
    """The name of a file as text that can be printed: bytes that are no Unicode become U+FFFD."""
    return os.fsencode(path.name).decode("utf-8", "replace")


def name_problem(name: str) -> str:
    """Why a result cannot have ``name`` on this system; empty if it can.

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
