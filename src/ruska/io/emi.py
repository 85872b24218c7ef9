"""TIA descriptions (.emi): they hold no pixels, but describe the .ser files beside them."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from ruska.errors import InputError
from ruska.image import Image

_LONGEST = 256 << 20
_MOST_FIELDS = 500
_FIELD = re.compile(rb"<Label>([^<]{1,200})</Label><Value>([^<]{0,500})</Value><Unit>([^<]{0,50})</Unit>")
_SINGLE = re.compile(rb"<(AcceleratingVoltage|AcquireDate|Manufacturer|DwellTimePath|FrameTime|DetectorPixelHeight)>"
                     rb"([^<]{0,200})<")  # fmt: skip
_SERIES = re.compile(r"^(?P<stem>.+)_(?P<number>\d+)\.ser$", re.IGNORECASE)


def read(path: Path, inner: str | None) -> Image:
    """Open the series of a description: number ``inner``, else the only one.

    Raises InputError when no series is beside it, or when there are several and none is named.
    """
    from ruska.io import ser

    found = series_of(path)
    names = ", ".join(p.name for p in found.values())
    if not found:
        raise InputError(path, "is a description of TIA series, but no series is beside it",
                         f"Copy {path.stem}_1.ser into the same folder.")  # fmt: skip
    if inner is None and len(found) > 1:
        raise InputError(path, f"describes {len(found)} series: {names}", f"Name one: {path.name}:{next(iter(found))}.")
    wanted = next(iter(found)) if inner is None else inner.strip("/")
    if wanted not in found:
        raise InputError(path, f"has no series '{wanted}'", f"Beside it: {names}.")
    return replace(ser.read(found[wanted], None), path=found[wanted])  # that file is what was read


def series_of(path: Path) -> dict[str, Path]:
    """The .ser files that belong to a description, by their number."""
    matches = ((_SERIES.match(p.name), p) for p in path.parent.iterdir())
    found = {m["number"]: p for m, p in matches if m and m["stem"] == path.stem}
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


def description_of(series: Path) -> dict[str, Any]:
    """The description beside a series: ``{"High tension": "200 kV", ...}``; empty without one."""
    match = _SERIES.match(series.name)
    beside = series.with_name(f"{match['stem']}.emi") if match else None
    if match is None or beside is None or not beside.is_file():
        return {}
    try:
        if beside.stat().st_size > _LONGEST:
            return {}
        objects = re.findall(rb"<ObjectInfo>(.*?)</ObjectInfo>", beside.read_bytes(), re.DOTALL)
    except OSError:
        return {}
    if not objects:
        return {}
    place = int(match["number"]) - 1
    mine = objects[place] if len(objects) == len(series_of(beside)) and place < len(objects) else objects[0]
    return _fields(mine)


def _fields(text: bytes) -> dict[str, str]:
    found = {_say(m[1]): _say(m[2]) for m in _SINGLE.finditer(text)}
    for label, value, unit in _FIELD.findall(text)[:_MOST_FIELDS]:
        found[_say(label)] = f"{_say(value)} {_say(unit)}".strip()
    return found


def _say(text: bytes) -> str:
    return html.unescape(text.decode("utf-8", "replace")).strip()
