"""Pixel size and header fields that microscope makers put into private TIFF tags, or into a text file beside."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ruska.image import Quantity, canonical_unit, is_length
from ruska.io import eer, tiff_hamamatsu
from ruska.io.ome_xml import local_name
from ruska.io.tiff_records import RECORDS, sizes_of, square

FEI_INI, FEI_XML, ZEISS, TESCAN = 34682, 34680, 34118, 50431
_KEY_VALUE = re.compile(r"^\s*([^=\r\n]+?)\s*=\s*([^\r\n]*?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Found:
    """What a maker's fields say. ``spacing["Q"]`` is the step of a stack whose axis its unit tells (Z or T)."""

    header: dict[str, Any] = field(default_factory=dict)
    spacing: dict[str, Quantity] = field(default_factory=dict)
    origin: dict[str, Quantity] = field(default_factory=dict)


def read_vendor_fields(file: Any, page: Any, path: Path) -> Found:
    """Collect what the tags of ``page`` (a tifffile page of the open ``file``) and a text file beside ``path`` say.

    A maker's block that cannot be parsed is left out: the pixels are useful without it.
    """
    header: dict[str, Any] = {}
    spacing: dict[str, Quantity] = {}
    origin: dict[str, Quantity] = {}
    for reader in _READERS:
        try:
            found = reader(file, page, path)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError, OSError, ElementTree.ParseError):
            continue
        header |= found.header
        origin = found.origin | origin
        spacing = found.spacing | spacing
    return Found(header, spacing, origin)


def raw_tag(file: Any, page: Any, code: int) -> bytes:
    """The bytes of a tag as they are in the file; empty when the page does not have it."""
    tag = page.tags.get(code)
    if tag is None:
        return b""
    file.filehandle.seek(tag.valueoffset)
    return bytes(file.filehandle.read(tag.valuebytecount))


def original_tags(header: Mapping[str, Any], spacing: Mapping[str, Quantity]) -> list[tuple[int, bytes]]:
    """The makers' tags that ``header`` came from, as (code, text), to be written again.

    Left out when the pixel size has changed since: other programs would believe the old one.
    """
    tags = []
    fei = header.get("fei")
    if isinstance(fei, Mapping) and isinstance(fei.get("ini"), Mapping) and _same(fei_pixel_size(fei["ini"]), spacing):
        tags.append((FEI_INI, ini_text(fei["ini"]).encode("latin-1", "replace")))
    zeiss = header.get("zeiss")
    if isinstance(zeiss, Mapping) and _same(zeiss_pixel_size(zeiss), spacing):
        tags.append((ZEISS, zeiss_text(zeiss).encode("latin-1", "replace")))
    return tags


def _same(found: Mapping[str, Quantity], spacing: Mapping[str, Quantity]) -> bool:
    return bool(found) and all(
        a in spacing and is_length(spacing[a].unit) and math.isclose(q.to("nm"), spacing[a].to("nm"), rel_tol=1e-6)
        for a, q in found.items()
    )


# FEI / Thermo Fisher


def parse_ini(text: str) -> dict[str, dict[str, str]]:
    """``[Section]`` and ``key=value`` lines as dictionaries of text, in their order."""
    sections: dict[str, dict[str, str]] = {}
    current: dict[str, str] = {}
    for line in re.split(r"[\r\n]+", text.strip("\0\r\n")):
        if line.startswith("[") and line.rstrip().endswith("]"):
            current = sections.setdefault(line.strip()[1:-1], {})
        elif "=" in line:
            key, _, value = line.partition("=")
            current[key] = value
    return sections


def ini_text(sections: Mapping[str, Mapping[str, str]]) -> str:
    """The text `parse_ini` reads."""
    return "\r\n\r\n".join(
        "\r\n".join([f"[{name}]", *(f"{k}={v}" for k, v in fields.items())]) for name, fields in sections.items()
    )


def fei_pixel_size(ini: Mapping[str, Mapping[str, str]]) -> dict[str, Quantity]:
    """PixelWidth and PixelHeight (metres) of the scan that made the image; else the field width over its pixels."""
    beam = ini.get("Beam", {})
    for name in (beam.get("Scan", ""), "Scan", "EScan", "IScan"):
        section = ini.get(name, {})
        if "PixelWidth" in section:
            return sizes_of(
                _number(section["PixelWidth"]), _number(section.get("PixelHeight", section["PixelWidth"])), "m"
            )
    width = _number(ini.get(beam.get("Beam", ""), {}).get("HFW", ""))
    return square(width / (_number(ini.get("Image", {}).get("ResolutionX", "")) or 1), "m") if width else {}


def _fei(file: Any, page: Any, path: Path) -> Found:
    header: dict[str, Any] = {}
    spacing: dict[str, Quantity] = {}
    for code in (FEI_INI, FEI_XML):
        text = raw_tag(file, page, code).decode("latin-1").rstrip("\0")
        if text.lstrip().startswith("<"):
            header["xml"] = text
        elif "[" in text:
            header["ini"] = parse_ini(text)
            spacing = fei_pixel_size(header["ini"])
    if not spacing and "xml" in header:
        spacing = fei_xml_pixel_size(header["xml"])
    return Found({"fei": header} if header else {}, spacing)


def fei_xml_pixel_size(text: str) -> dict[str, Quantity]:
    """Pixel size in the XML of newer microscopes: ``<PixelSize><X unit="m">`` or ``<pixelWidth unit="m">``."""
    sizes: dict[str, Quantity] = {}
    for element in ElementTree.fromstring(text.strip()).iter():
        name = local_name(element).lower()
        if name == "pixelsize":
            parts = {local_name(child).upper(): child for child in element}
        elif name in ("pixelwidth", "pixelheight"):
            parts = {"X" if name == "pixelwidth" else "Y": element}
        else:
            continue
        for axis in set("XY") & set(parts):
            found = square(_number(parts[axis].text or ""), parts[axis].get("unit", "m"))
            if found:
                sizes[axis] = found["X"]
    return sizes if set(sizes) == {"X", "Y"} else {}


# Zeiss


def parse_zeiss(text: str) -> dict[str, Any]:
    """The SmartSEM block: names like ``AP_...`` and ``DP_...`` with the line after each; bare numbers under ``""``."""
    lines = text.rstrip("\0").split("\r\n")
    fields: dict[str, Any] = {"": []}
    place = 0
    while place < len(lines):
        if re.match(r"^[A-Z]{2}_\w+$", lines[place]) and place + 1 < len(lines):
            fields[lines[place]] = lines[place + 1]
            place += 2
        else:
            fields[""].append(lines[place])
            place += 1
    return fields


def zeiss_text(fields: Mapping[str, Any]) -> str:
    """The block `parse_zeiss` reads."""
    lines = [str(line) for line in fields.get("", []) if line]
    for key, value in fields.items():
        if key:
            lines += [key, str(value)]
    return "\r\n".join([*lines, ""])


def zeiss_pixel_size(fields: Mapping[str, Any]) -> dict[str, Quantity]:
    """``Image Pixel Size = 593.3 nm``; older files have only ``Pixel Size``, or the bare number in metres."""
    for key in ("AP_IMAGE_PIXEL_SIZE", "AP_PIXEL_SIZE"):
        match = re.search(r"=\s*([-+\d.eE]+)\s*(\S+)", str(fields.get(key, "")))
        if match and square(_number(match[1]), match[2]):
            return square(_number(match[1]), match[2])
    numbers = fields.get("", [])
    return square(_number(numbers[3]), "m") if len(numbers) > 3 else {}


def _zeiss(file: Any, page: Any, path: Path) -> Found:
    text = raw_tag(file, page, ZEISS).decode("latin-1")
    if not text:
        return Found()
    fields = parse_zeiss(text)
    return Found({"zeiss": fields}, zeiss_pixel_size(fields))


# TESCAN, JEOL, Hitachi


def _tescan(file: Any, page: Any, path: Path) -> Found:
    text = raw_tag(file, page, TESCAN).decode("latin-1")
    # The block starts with a preview picture; the fields are the only lines of the form name=value.
    fields = {m[1]: m[2] for m in re.finditer(r"(?:^|[\n\0\x01-\x1f])([A-Za-z0-9]{2,40})=([^\r\n\0]*)\r?\n", text)}
    sidecar = path.with_suffix(".hdr")
    if not fields and sidecar.is_file():
        fields = {k: v for part in parse_ini(_text_of(sidecar)).values() for k, v in part.items()}
    if "PixelSizeX" not in fields:
        return Found()
    x = _number(fields["PixelSizeX"])
    return Found({"tescan": fields}, sizes_of(x, _number(fields.get("PixelSizeY", "")) or x, "m"))


def _sidecar(file: Any, page: Any, path: Path) -> Found:
    """JEOL and Hitachi write a text file with the name of the image beside it."""
    beside = next((p for p in (path.with_suffix(s) for s in (".txt", ".TXT")) if p.is_file()), None)
    text = _text_of(beside) if beside is not None else ""
    if "$CM_FORMAT" in text or "$$SM_MICRON_BAR" in text:
        fields = {m[1]: m[2] for m in re.finditer(r"^(\$\S+)[ \t]+([^\r\n]*?)\s*$", text, re.MULTILINE)}
        return Found({"jeol": fields}, jeol_pixel_size(fields))
    if "[SemImageFile]" in text:
        fields = {m[1]: m[2] for m in _KEY_VALUE.finditer(text)}
        return Found({"hitachi": fields}, square(_number(fields.get("PixelSize", "")), "nm"))
    return Found()


def _hamamatsu(file: Any, page: Any, path: Path) -> Found:
    sections = tiff_hamamatsu.parse(str(page.tags.valueof(270) or ""))
    if not sections:
        return Found()
    x, y, *units = tiff_hamamatsu.scales(sections)
    same = units[0] == units[1] and canonical_unit(units[0]) is not None and is_length(units[0])
    return Found({"hamamatsu": sections}, sizes_of(x, y, units[0]) if same else {})


def jeol_pixel_size(fields: Mapping[str, str]) -> dict[str, Quantity]:
    """The micron bar's length (``$$SM_MICRON_MARKER 100um``) over its pixels (``$$SM_MICRON_BAR 138``)."""
    match = re.match(r"([\d.]+)\s*(\S+)", fields.get("$$SM_MICRON_MARKER", ""))
    bar = _number(fields.get("$$SM_MICRON_BAR", ""))
    return square(_number(match[1]) / bar, match[2]) if match and bar else {}


def _text_of(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(1 << 18)
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "latin-1", "replace")


# Gatan Digital Micrograph: per axis X, Y, Z the origin in pixels, the scale, and the unit.


def _digital_micrograph(file: Any, page: Any, path: Path) -> Found:
    values = {code: page.tags.valueof(code) for code in (*range(65002, 65018), *range(65024, 65027))}
    if values[65009] is None or page.tags.get(65027) is None:
        return Found()
    spacing, origin = {}, {}
    for i, axis in enumerate("XYQ"):
        scale, unit = values[65009 + i], canonical_unit(str(values[65003 + i] or values.get(65012 + i) or ""))
        if unit is None or not scale or not 0 < float(scale) < math.inf:
            continue
        spacing[axis] = Quantity(float(scale), unit)
        start = float(values[65006 + i] or 0.0)
        if start:
            origin[axis] = Quantity(-start * float(scale), unit)
    return Found({"digital_micrograph": {str(k): v for k, v in values.items() if v is not None}}, spacing, origin)


def _eer(file: Any, page: Any, path: Path) -> Found:
    said = eer.parse(raw_tag(file, page, eer.TAG)) or eer.parse(raw_tag(file, file.pages.first, eer.TAG))
    return Found({"eer": said}, eer.sizes(said)) if said else Found()


# What tifffile itself takes apart


def _others(file: Any, page: Any, path: Path) -> Found:
    for name, attribute, sizes in RECORDS:
        record = page.tags.valueof(33560) if attribute == "sis" else getattr(file, attribute)
        if isinstance(record, Mapping):
            return Found({name: dict(record)}, sizes(record))
    return Found()


_READERS: tuple[Callable[[Any, Any, Path], Found], ...] = (
    _fei,
    _zeiss,
    _tescan,
    _digital_micrograph,
    _others,
    _hamamatsu,
    _eer,
    _sidecar,
)


def _number(text: str) -> float:
    """``text`` as a number; 0 if it is not one."""
    try:
        return float(text)
    except ValueError:
        return 0.0
