"""Tilt angles of a series: from ``.mdoc``, ``.tlt`` and ``.rawtlt`` files beside it, or its extended header.

Files beside a stack are kept with its image (``header["mdoc"]``, ``["tlt"]``, ``["rawtlt"]``, each with the ``file``
and one entry a section under ``sections``) and written beside a result with as many sections. Names are those of
SerialEM (``stack.st.mdoc``) and IMOD (``stack.rawtlt``; ``stack.tlt`` also for ``stack_ali.mrc``).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruska.errors import OutputError
from ruska.image import Image, is_length
from ruska.io.mrc_sections import read_mdoc
from ruska.scratch import write_whole

if TYPE_CHECKING:
    from ruska.image import Quantity

_LISTS = ("tlt", "rawtlt")
BESIDE = ("mdoc", *_LISTS)
"""Names in an image's header of what is written beside a result, whatever its format."""

_LONGEST_LIST = 4 << 20
_ALIGNED = re.compile(r"_(?:pre)?ali$")
_MODES = {"int8": 0, "int16": 1, "float32": 2, "uint16": 6, "uint8": 6, "float16": 12}  # as Ruska writes them
_OLD = "MinMaxMean"  # of the pixels before


@dataclass(frozen=True)
class Tilts:
    """Angle of every section in degrees, None where unknown, and the file they are from."""

    angles: tuple[float | None, ...]
    source: str


def planes_of(image: Image) -> int:
    """Number of sections."""
    return math.prod(image.shape[:-2])


def with_beside(image: Image, path: Path) -> Image:
    """``image`` with the metadata of its sections from files beside ``path``, and notes on errors in them."""
    header, notes = dict(image.header), list(image.notes)
    planes = planes_of(image)
    mdoc = read_mdoc(path)
    if mdoc:
        problem = _mdoc_problem(mdoc, planes)
        if problem is None:
            mdoc, said = _in_order(mdoc)
            notes += said
        elif "Z" not in image.axes:  # a reconstruction lies beside the description of its tilt series
            notes.append(problem)
        header["mdoc"] = mdoc if problem is None else {**mdoc, "sections": []}  # a part of the stack may have as many
    for kind in _LISTS if planes > 1 else ():
        file = _list_beside(path, kind)
        if file is None:
            continue
        angles, wrong = _read_list(file)
        if wrong is None and len(angles) != planes:
            wrong = None if "Z" in image.axes else f"has {len(angles)} angles for {planes} sections"
            angles = []
        if wrong is not None:
            notes.append(f"{file.name} {wrong}: not used")
        elif angles:
            header[kind] = {"file": str(file.absolute()), "sections": angles}
    return replace(image, header=header, notes=tuple(notes))


def _list_beside(path: Path, kind: str) -> Path | None:
    """The file of angles that belongs to a stack, by its whole name, its stem, or its series' name."""
    stem = _stem(path)
    names = dict.fromkeys((f"{path.name}.{kind}", f"{stem}.{kind}", f"{_ALIGNED.sub('', stem)}.{kind}"))
    return next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)


def _read_list(file: Path) -> tuple[list[float], str | None]:
    """The first number of every line, and what is wrong with the file, if anything."""
    try:
        if file.stat().st_size > _LONGEST_LIST:
            return [], f"has {file.stat().st_size >> 20} MB, too much for a list of angles"
        lines = file.read_text("latin-1").splitlines()
    except OSError as error:
        return [], f"cannot be read ({error.strerror})"
    angles = []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        angle = _angle(words[0])
        if angle is None:
            return [], f"has no angle in line {number}"
        angles.append(angle)
    return angles, None if angles else "holds no angles"


def _angle(text: Any) -> float | None:
    """Degrees; None for anything but an angle."""
    try:
        angle = float(text)
    except (ValueError, TypeError):
        return None
    return angle if math.isfinite(angle) and abs(angle) <= 360 else None


def _mdoc_problem(mdoc: Mapping[str, Any], planes: int) -> str | None:
    """Why its sections do not fit the stack."""
    name, count = Path(mdoc["file"]).name, len(mdoc["sections"])
    if count == planes:
        return None
    if not count:
        return f"{name} describes no sections: it is damaged or not an .mdoc file; no tilt angles are taken from it"
    return f"{name} describes {count} sections, the stack has {planes}: not used"


def _in_order(mdoc: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Its sections in the order of the stack, and what is missing in them."""
    name, sections = Path(mdoc["file"]).name, list(mdoc["sections"])
    notes = []
    if all("ZValue" in one for one in sections):
        numbers = [int(one["ZValue"]) if one["ZValue"].isdecimal() else -1 for one in sections]
        if sorted(numbers) == list(range(len(sections))):
            sections = [sections[numbers.index(i)] for i in range(len(sections))]
        else:
            notes.append(f"the ZValues in {name} are not 0 to {len(sections) - 1}: taken in the order of the file")
    given = [one.get("TiltAngle") for one in sections]
    wrong = [i for i, text in enumerate(given) if _angle(text) is None]
    if wrong and any(text is not None for text in given):
        which = ", ".join(map(str, wrong[:5])) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        notes.append(f"{name} gives no tilt angle for section {which} (counted from 0)")
    return {**mdoc, "sections": sections}, notes


def tilts(image: Image) -> Tilts | None:
    """The tilt angles of ``image``: by its .mdoc, .tlt, .rawtlt or extended header, in this order; None without any."""
    planes, said = planes_of(image), {kind: _said(image, kind) for kind in BESIDE}
    found: list[tuple[Sequence[Any], str]] = []
    for kind, one in said.items():
        values = [s.get("TiltAngle") for s in one["sections"]] if kind == "mdoc" else one["sections"]
        found.append((values, Path(one["file"]).name))
    mrc = image.header.get("mrc")
    sections = mrc.get("sections") if isinstance(mrc, Mapping) else None
    if isinstance(sections, Mapping) and isinstance(sections.get("tilt_deg"), list):
        found.append((sections["tilt_deg"], f"{sections.get('kind', '')} header"))
    for values, source in found:
        angles = tuple(map(_angle, values))
        if len(angles) == planes and any(a is not None for a in angles):
            return Tilts(angles, source)
    return None


def _said(image: Image, kind: str) -> dict[str, Any]:
    """What ``header[kind]`` has under ``file`` and ``sections`` (and of an .mdoc ``global`` and ``titles``).

    No sections if it differs from what `with_beside` makes: the header may come from anyone's file.
    """
    said = image.header.get(kind)
    said = said if isinstance(said, Mapping) else {}
    entries = said.get("sections")
    kinds: Any = Mapping if kind == "mdoc" else int | float
    if not isinstance(entries, list) or not all(isinstance(e, kinds) and e != {} for e in entries):
        said = {}
    found = {"file": "", "global": {}, "titles": [], "sections": []}
    return {k: said[k] if isinstance(said.get(k), type(v)) else v for k, v in found.items()}


# Beside a result


def files_beside(target: Path, image: Image) -> dict[Path, bytes]:
    """What to write beside ``target``, by file; never a file that belongs to the input."""
    planes, files = planes_of(image), {}
    mdoc = _said(image, "mdoc")
    if len(mdoc["sections"]) == planes:
        files[_beside(target, "mdoc", mdoc["file"], whole=True)] = _mdoc_text(mdoc, target, image)
    for kind in _LISTS:
        said = _said(image, kind)
        if len(said["sections"]) == planes:
            text = "".join(f"{angle:.2f}\n" for angle in said["sections"])
            files[_beside(target, kind, said["file"])] = text.encode()
    return files


def not_beside(image: Image) -> tuple[str, ...]:
    """What a result with another number of sections loses."""
    planes = planes_of(image)
    gone = [kind for kind in BESIDE if len(_said(image, kind)["sections"]) not in (0, planes)]
    return (f".{', .'.join(gone)} (it describes another number of sections)",) if gone else ()


def check_beside(target: Path, image: Image, *, overwrite: bool) -> dict[Path, bytes]:
    """`files_beside`; OutputError when one exists with other content and may not be replaced."""
    files = files_beside(target, image)
    for file, content in files.items():
        if file.is_dir() or (file.exists() and not overwrite and file.read_bytes() != content):
            raise OutputError(file, "exists already and does not match the result",
                              "Choose another output name, or pass --overwrite.")  # fmt: skip
    return files


def write_beside(files: Mapping[Path, bytes]) -> None:
    """Write them whole; OSError as the file system says."""
    for file, content in files.items():
        write_whole(file, content)


def _beside(target: Path, kind: str, source: str, *, whole: bool = False) -> Path:
    name = target.name if whole else _stem(target)
    file = target.with_name(f"{name}.{kind}")
    if not whole and file.absolute() == Path(source):
        return target.with_name(f"{target.name}.{kind}")
    return file


def _stem(path: Path) -> str:
    """The name without its suffix, which is two of ``.ome.tif``."""
    name = path.name.removesuffix(path.suffix)
    return name[:-4] if name.lower().endswith(".ome") and len(name) > 4 else name


def _mdoc_text(mdoc: Mapping[str, Any], target: Path, image: Image) -> bytes:
    """The description adapted to the result: name, size, type, pixel size and numbers of the sections."""
    own: dict[str, str] = {"ImageFile": target.name, "ImageSize": f"{image.shape[-1]} {image.shape[-2]}"}
    if image.dtype.name in _MODES:
        own["DataMode"] = str(_MODES[image.dtype.name])
    pixel = _angstrom(image.spacing.get("X"))
    if pixel is not None:
        own["PixelSpacing"] = f"{pixel:.6g}"
    lines = [f"{key} = {own.get(key, value)}" for key, value in mdoc["global"].items()]
    for title in mdoc.get("titles", ()):
        lines += ["", f"[T = {title}]"]
    for number, section in enumerate(mdoc["sections"]):
        (head, value), *fields = section.items()
        lines += ["", f"[{head} = {number if head == 'ZValue' else value}]"]
        lines += [f"{k} = {pixel:.6g}" if k == "PixelSpacing" and pixel is not None else f"{k} = {v}"
                  for k, v in fields if k != _OLD]  # fmt: skip
    return ("\r\n".join(lines) + "\r\n").encode("latin-1", "replace")


def _angstrom(size: Quantity | None) -> float | None:
    return size.to("angstrom") if size is not None and is_length(size.unit) else None
