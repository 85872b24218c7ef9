"""Reading what strangers wrote: no more bytes than it may have, and JSON that is not nested, doubled or endless."""

from __future__ import annotations

import json
import os
import stat
from math import isfinite
from pathlib import Path
from typing import Any

from ruska.errors import InputError

DEEPEST = 32
"""Arrays and objects within each other that JSON may have."""


def parse_json(text: str) -> Any:
    """What the JSON ``text`` says.

    Raises ValueError when it is none, is nested more than `DEEPEST` deep, names a key of an object twice, or holds a
    number that is not finite.
    """
    try:
        found = json.loads(text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_once)
    except RecursionError:
        raise ValueError(f"it is nested deeper than {DEEPEST}") from None
    level = [found]
    for _ in range(DEEPEST + 1):
        level = [part for outer in level for part in _parts(outer)]
        if not level:
            return found
    raise ValueError(f"it is nested deeper than {DEEPEST}")


def _parts(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [part for part in inner if isinstance(part, dict | list)]


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"it has {name[:40]!r} twice")
        found[name] = value
    return found


def _finite(text: str) -> float:
    if not isfinite(number := float(text)):
        raise ValueError(f"{text[:40]} is too large a number")
    return number


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is not a JSON number")


def size_of(file: Path) -> int:
    """Bytes in a plain ``file``. InputError for a pipe, a device, or a link that leads out of the file's folder.

    Raises FileNotFoundError where there is none, OSError where it may not be read.
    """
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise InputError(file, "is not a plain file", "A model is two plain files in a folder.")
    # Otherwise a folder from elsewhere could show, and `models add` copy, any file of this machine.
    if Path(os.path.realpath(file)).parent != Path(os.path.realpath(file.parent)):
        raise InputError(file, "is a link that leads out of its folder", "Put the file itself there.")
    return found.st_size


def read_text(file: Path, most: int) -> str:
    """The text of a plain ``file`` of at most ``most`` bytes; raises as `size_of`, and UnicodeDecodeError."""
    size = size_of(file)
    if size <= most:
        with file.open("rb") as stream:
            data = stream.read(most + 1)  # it may have grown
        size = max(size, len(data))
    if size > most:
        raise InputError(
            file, f"has {size} bytes, expected at most {most}", "Get the complete folder of the model again."
        )
    return data.decode("utf-8")
