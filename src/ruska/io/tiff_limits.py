"""Limits on what a TIFF may claim: no files outside its folder, no planes or strips that it cannot hold."""

from __future__ import annotations

import math
from pathlib import Path, PureWindowsPath
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from ruska.errors import InputError
from ruska.io.archive import is_bomb
from ruska.io.ome_xml import local_name

if TYPE_CHECKING:
    from ruska.io.tiff_pixels import Stored

_MOST_PLANES = 1 << 20


def check_ome(path: Path, xml: str) -> None:
    """Check OME-XML before tifffile follows it.

    Raises InputError when it names files outside of the folder of ``path``, or more than a million planes.
    """
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:  # tifffile ignores it then
        return
    for element in root.iter():
        for word in ("FileName", "MetadataFile"):
            if _leads_out(element.get(word, "")):
                raise _outside(path, element.get(word, ""))
        if local_name(element) == "Pixels":
            planes = math.prod(_count(element.get(f"Size{axis}", "1")) for axis in "CZT")
            listed = max((_count(data.get("PlaneCount", "1")) for data in element), default=1)
            if max(planes, listed) > _MOST_PLANES:
                raise InputError(path, f"is damaged: its OME-XML claims {max(planes, listed)} planes",
                                 "Copy it again from the instrument.")  # fmt: skip


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError:  # tifffile ignores the XML then
        return 1


def _leads_out(name: str) -> bool:
    """Whether a file name, of whatever system, is more than a name in or below the same folder."""
    parts = PureWindowsPath(name)
    return bool(parts.drive or parts.root) or ".." in parts.parts


def check_files(path: Path, stored: Stored) -> None:
    """InputError when pages are in files outside the folder of ``path``, however they are named."""
    folder = path.parent.resolve()
    for file in {page.file for page in stored.pages if page is not None}:
        # of links, it is where they lie that counts, not where they lead
        if folder not in (file.parent.resolve() / file.name).parents:
            raise _outside(path, str(file))


def _outside(path: Path, name: str) -> InputError:
    return InputError(path, f"refers to a file outside of its folder ({name})",
                      "Ruska does not follow it. Put the files of one image into one folder.")  # fmt: skip


def check_unpacked(path: Path, stored: Stored, samples: int) -> None:
    """InputError when a compressed strip or tile claims much more than its bytes can hold.

    samples : that are interleaved in a strip.
    """
    if stored.raw:
        return
    unpacked = math.prod(stored.segment) * samples * stored.dtype.itemsize
    for page in stored.pages:
        packed = 0 if page is None else max(page.counts, default=0)
        if page is not None and is_bomb(packed, unpacked):
            raise InputError(path, f"claims strips of {unpacked >> 20} MB in {packed} bytes: it is damaged or a "
                             "decompression bomb", "Save it in tiles if you trust it.")  # fmt: skip
