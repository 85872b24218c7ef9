"""Metadata of the sections of an MRC stack: extended headers (FEI1, FEI2, SerialEM, Agard) and .mdoc files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

MOST_BYTES = 64 << 20  # of an extended header that is kept
MOST_SECTIONS = 20_000
_LONGEST_MDOC = 16 << 20
_FEI = {"tilt_deg": "Alpha tilt", "stage_x_m": "X-Stage", "stage_y_m": "Y-Stage", "stage_z_m": "Z-Stage",
        "defocus_m": "Defocus", "dose_per_m2": "Dose"}  # fmt: skip
_FEI_ONCE = {"voltage_v": "HT", "tilt_axis_deg": "Tilt axis angle", "magnification": "Magnification",
             "microscope": "Microscope type", "application": "Application", "camera": "Camera name",
             "detector": "STEM Detector name", "dwell_time_s": "Dwell time", "integration_time_s": "Integration time",
             "diffraction_camera_length_m": "Camera length"}  # fmt: skip
_AGARD = ("tilt_deg", None, "stage_x_m", "stage_y_m", "stage_z_m", None, None, "defocus_m")
_FIELD = re.compile(r"^\s*([A-Za-z][\w ]*?)\s*=\s*(.*?)\s*$")
_SECTION = re.compile(r"^\s*\[\s*([A-Za-z]\w*)\s*=\s*(.*?)\s*\]\s*$")


def read_extended(header: Any, extended: bytes, order: str, sections: int) -> dict[str, Any]:
    """What an extended header says: lists with a value for each section, and values that hold for all.

    ``pixel_size_m`` is by axis. ``bytes`` each section takes, and its ``number`` in the file, are there so that the
    header of some sections can be written. Empty when its kind is unknown or it is cut short.
    """
    kind = bytes(header["exttyp"]).strip(b" \0")
    sections = min(sections, MOST_SECTIONS)
    if kind in (b"FEI1", b"FEI2"):
        return _fei(kind, extended, order, sections)
    # IMOD's nint and nreal: bytes 128 and 130 of the header, in the field that starts at 112
    integers, reals = (int(n) for n in np.frombuffer(header["extra2"].tobytes(), order + "i2", 2, 128 - 112))
    if kind == b"SERI" or (not kind and integers > 0 and 0 < reals < 64):
        return _serialem(extended, order, sections, integers, reals)
    if kind == b"AGAR" or (not kind and integers == 0 and reals == 32 and len(extended) >= 128 * sections):
        return _agard(extended, order, sections)
    return {}


def _fei(kind: bytes, extended: bytes, order: str, sections: int) -> dict[str, Any]:
    """Thermo Fisher's blocks. The first field of each is its length, which may be more than we know fields of."""
    from mrcfile.dtypes import get_ext_header_dtype

    known = get_ext_header_dtype(kind, order)
    length = int.from_bytes(extended[:4], "little" if order == "<" else "big")
    if length < known.itemsize or len(extended) < known.itemsize:
        return {}
    count = min(sections, (len(extended) - known.itemsize) // length + 1)
    blocks = [np.frombuffer(extended, known, 1, i * length)[0] for i in range(count)]
    found: dict[str, Any] = {"kind": kind.decode()}
    found |= {name: [_finite(b[field]) for b in blocks] for name, field in _FEI.items()}
    found |= {name: _finite(blocks[0][field]) for name, field in _FEI_ONCE.items()}
    sizes = {a: _finite(blocks[0][f"Pixel size {a}"]) for a in "XY"}
    found = {name: value for name, value in found.items() if value not in ("", 0.0) and value != [0.0] * count}
    return found | {"pixel_size_m": sizes} | _numbered(length, count)


def _serialem(extended: bytes, order: str, sections: int, length: int, flags: int) -> dict[str, Any]:
    """SerialEM: ``length`` bytes a section; bit 0 of ``flags``: the tilt angle comes first, in 1/100 degree."""
    if not flags & 1 or not 2 <= length <= 1024:
        return {}
    count = min(sections, len(extended) // length)
    tilts = np.frombuffer(extended[: count * length], np.uint8).reshape(count, length)[:, :2].copy().view(order + "i2")
    if not count:
        return {}
    return {"kind": "SerialEM", "tilt_deg": [float(t) / 100 for t in tilts[:, 0]]} | _numbered(length, count)


def _numbered(length: int, count: int) -> dict[str, Any]:
    return {"bytes": length, "number": list(range(count))}


def _agard(extended: bytes, order: str, sections: int) -> dict[str, Any]:
    """The older layout of FEI and Agard: 32 numbers a section, pixel size (m) the twelfth."""
    count = min(sections, len(extended) // 128)
    if not count:
        return {}
    table = np.frombuffer(extended, order + "f4", count * 32).reshape(count, 32)
    found: dict[str, Any] = {"kind": "Agard"}
    found |= {name: [_finite(v) for v in table[:, i]] for i, name in enumerate(_AGARD) if name and table[:, i].any()}
    if table[0, 11] > 0:
        found["pixel_size_m"] = dict.fromkeys("XY", _finite(table[0, 11]))
    return found | _numbered(128, count)


def _finite(value: Any) -> Any:
    """A NumPy value of a header as a JSON value."""
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, bytes):
        return value.split(b"\0", 1)[0].decode("latin-1").strip()
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else 0.0
    return value


def read_mdoc(path: Path) -> dict[str, Any]:
    """SerialEM's description beside a stack (``stack.mrc.mdoc``): ``{"global": {...}, "sections": [{...}, ...]}``.

    Values stay texts; ``file`` is its path, ``titles`` are its lines ``[T = ...]``. Empty when there is none. One that
    is damaged has no sections, or fewer.
    """
    beside = next((p for p in (Path(f"{path}.mdoc"), path.with_suffix(".mdoc")) if p.is_file()), None)
    if beside is None:
        return {}
    try:
        text = beside.read_text("latin-1") if beside.stat().st_size <= _LONGEST_MDOC else ""
    except OSError:
        text = ""
    everything: dict[str, str] = {}
    titles: list[str] = []
    sections: list[dict[str, str]] = []
    current = everything
    for line in text.splitlines():
        start, field = _SECTION.match(line), _FIELD.match(line)
        if start is not None and start[1] in ("ZValue", "MontSection", "FrameSet"):
            current = {start[1]: start[2]}
            if len(sections) < MOST_SECTIONS:
                sections.append(current)
        elif start is not None and start[1] == "T":
            titles.append(start[2])
        elif field is not None:
            current[field[1]] = field[2]
    return {"file": str(beside.absolute()), "global": everything, "titles": titles, "sections": sections}


def pixel_size_angstrom(sections: Mapping[str, Any], mdoc: Mapping[str, Any]) -> dict[str, float]:
    """Size of a pixel along Y and X, from the .mdoc file, else from the extended header; empty when neither says."""
    for said in (mdoc.get("global", {}), *mdoc.get("sections", ())[:1]):
        try:
            value = float(said.get("PixelSpacing", "nan"))
        except ValueError:
            continue
        if 0 < value < math.inf:
            return {"Y": value, "X": value}
    found = {a: size * 1e10 for a, size in sections.get("pixel_size_m", {}).items() if size > 0}
    return found if len(found) == 2 else {}
