"""Multi-file OME-TIFF: which files belong to one image.

The OME-XML of a file names the others by ``TiffData/UUID FileName``; a file with ``BinaryOnly`` has pixels alone and
names the file with the XML: another TIFF of the set, or a ``.companion.ome``, which is the XML itself.
Source: OME-TIFF specification, 2016-06, "Multi-file OME-TIFF filesets".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from unicodedata import normalize
from xml.etree import ElementTree

from ruska.errors import InputError
from ruska.io.ome_xml import local_name

if TYPE_CHECKING:
    from ruska.image import Image

COMPANION = ".companion.ome"
_TIFF = (".tif", ".tiff", ".btf", ".tf8")
_LONGEST = 64 << 20  # bytes of XML


@dataclass(frozen=True)
class OmeHead:
    """The files that the OME-XML of a file names.

    uuid : of the file itself. master : name of the file that has the XML, where this one has none.
    others : names of the files with further planes, each with its UUID.
    """

    uuid: str | None
    master: str | None
    others: tuple[tuple[str, str], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all other files of the image."""
        return (*(name for name, _ in self.others), *([self.master] if self.master else []))


def one_image_each(files: Sequence[Path]) -> list[Path]:
    """The files to open, one for each image, in the order given.

    For a multi-file OME-TIFF, it is the first with the OME-XML. Unreadable files stay, so that their reader can report
    them. Only names and first directories are read.
    """
    candidates = [file for file in files if file.name.lower().endswith((*_TIFF, COMPANION)) and file.is_file()]
    if len(candidates) < 2:
        return list(files)
    heads = {file: head for file in candidates if (head := head_of(file)) is not None}
    by_key = {_key(file): head for file, head in heads.items()}
    leader: dict[tuple[str, str], tuple[str, str]] = {}

    def lead(key: tuple[str, str]) -> tuple[str, str]:
        while leader.setdefault(key, key) != key:
            key = leader[key]
        return key

    for file, head in heads.items():
        for name, uuid in (*head.others, *([(head.master, "")] if head.master else [])):
            other = _key(file.parent / name)
            if _is_that(by_key.get(other), uuid, file.name):
                leader[lead(other)] = lead(_key(file))
    chosen: dict[tuple[str, str], Path] = {}
    for file in sorted(candidates, key=lambda file: _rank(heads.get(file))):  # sorted keeps the order of equals
        chosen.setdefault(lead(_key(file)), file)
    kept, seen = set(chosen.values()), set(candidates)
    return [file for file in files if file in kept or file not in seen]


def _rank(head: OmeHead | None) -> int:
    """0 for files with the image's OME-XML, more for those with planes only."""
    if head is None or head.master is not None:
        return 2
    return 0 if head.others else 1


def _is_that(head: OmeHead | None, uuid: str, name: str) -> bool:
    """Whether a file is the one that ``name`` means: an unrelated image of its name has another UUID."""
    return head is None or not uuid or head.uuid in (None, uuid) or name in head.names


def members(path: Path) -> list[Path]:
    """All files of the image that ``path`` belongs to, itself first, there or not; itself alone where it is whole."""
    head = head_of(path)
    if head is None or not head.names:
        return [path]
    found = [path, *(path.parent / name for name in head.names)]
    if head.master is not None and (master := head_of(path.parent / head.master)) is not None:
        found += [path.parent / name for name, _ in master.others]
    return list({_key(file): file for file in reversed(found)}.values())[::-1]


def read(path: Path, inner: str | None) -> Image:
    """Open the image that a companion file describes.

    Raises InputError when it is not OME-XML, or none of the files that it names exists.
    """
    from ruska.io.tiff import read_described
    from ruska.io.tiff_limits import check_ome

    if inner is not None:
        raise InputError(path, f"describes one image, '{inner}' cannot be picked from it", "Leave it out.")
    xml = text_of(path)
    head = None if xml is None else parse_head(xml, path.name)
    if xml is None or head is None or not xml.rstrip().endswith("OME>"):
        raise InputError(path, "is not valid OME-XML", "Copy it again from the instrument.")
    check_ome(path, xml)
    there = [path.parent / name for name, _ in head.others if (path.parent / name).is_file()]
    if not there:
        named = f", such as {head.others[0][0]}," if head.others else ""
        raise InputError(path, f"describes an image, but none of its files{named} is beside it",
                         "Copy them into the same folder.")  # fmt: skip
    return replace(read_described(there[0], xml), path=there[0])  # that file is what was read


def _key(file: Path) -> tuple[str, str]:
    """A key that is equal for one file, however its folder is written and its letters are composed."""
    whole = file.absolute()
    return str(whole.parent), normalize("NFC", whole.name)


def head_of(path: Path) -> OmeHead | None:
    """The files of its image, by a file's OME-XML; None without readable OME-XML."""
    xml = text_of(path)
    return None if xml is None else parse_head(xml, path.name)


def text_of(path: Path) -> str | None:
    """The OME-XML of a TIFF or a companion file; None if it has none."""
    try:
        if path.name.lower().endswith(COMPANION):
            with path.open("rb") as stream:
                return stream.read(_LONGEST).decode("utf-8", "replace")
        import tifffile

        from ruska.io.heard import heard

        with heard("tifffile"), tifffile.TiffFile(path) as file:
            return file.ome_metadata
    except Exception:  # of a damaged file, which is not this function's to complain of
        return None


def parse_head(xml: str, name: str) -> OmeHead | None:
    """What ``xml``, of the file ``name``, says about files; None if it is not XML."""
    if "UUID" not in xml and "BinaryOnly" not in xml:
        return OmeHead(None, None, ())
    try:
        root = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError):
        return None
    own = root.get("UUID")
    others: dict[str, str] = {}
    master = None
    for element in root.iter():
        tag = local_name(element)
        if tag == "BinaryOnly":
            master = element.get("MetadataFile") or None
        elif tag == "UUID" and (file := element.get("FileName")) and file != name:
            uuid = (element.text or "").strip()
            if own is None or uuid != own:  # a file that was renamed knows itself by its UUID
                others.setdefault(file, uuid)
    return OmeHead(own, master, tuple(others.items()))
