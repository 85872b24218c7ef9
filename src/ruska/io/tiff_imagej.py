"""ImageJ's metadata in the description and the private tags of its TIFF files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.image import NO_UNIT, Quantity, canonical_unit, is_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_PIXEL_NM = 5000.0
"""Larger pixels come from the printing resolution that programs put in by default (72 to 4800 dpi)."""

# Functions of ij.measure.Calibration: 0 to 13 have coefficients, 21 is optical density, the others are none.
_LINE, _WITH_COEFFICIENTS, _OPTICAL_DENSITY = 0, range(14), 21
_SIGNED_OFFSET = 1 << 15
_NO_UNITS = ("", "gray value")
_PIXELS = ("", "pixel")
_LONGEST_UNIT = 40  # letters that are shown
_MOST_REGIONS = 10_000


def sizes_and_names(
    meta: Mapping[str, Any], x: float, y: float
) -> tuple[dict[str, Quantity], dict[str, Quantity], tuple[str, ...]]:
    """Spacing, origin and channel names; ``x`` and ``y`` are the length of a pixel in its unit, 0 where unknown.

    ``unit`` is that of X, and of Y and Z as well, unless ``yunit`` or ``zunit`` says otherwise; the origin is in
    pixels.
    """
    spacing: dict[str, Quantity] = {}
    for axis, size in (("Z", abs(_number(meta, "spacing"))), ("Y", y), ("X", x)):
        unit = _unit(meta.get(f"{axis.lower()}unit") or meta.get("unit", ""))
        if unit is not None and is_length(unit) and 0 < size < math.inf:
            spacing[axis] = Quantity(size, unit)
    if "X" in spacing and spacing["X"].unit == "inch" and x * 25.4e6 > LARGEST_PIXEL_NM:
        spacing = {a: size for a, size in spacing.items() if size.unit != "inch"}
    spacing |= _bare_slices(meta, x, y) if not spacing else {}
    step, time = _number(meta, "finterval"), _unit(meta.get("tunit", "s"))
    if 0 < step < math.inf and time is not None:
        spacing["T"] = Quantity(step, time)
    starts = {a: _number(meta, f"{a.lower()}origin") for a in "ZYX"}
    origin = {a: Quantity(-start * spacing[a].value, spacing[a].unit)
              for a, start in starts.items() if start and a in spacing}  # fmt: skip
    labels = meta.get("Labels")
    names: tuple[str, ...] = ()
    channels = int(_number(meta, "channels"))
    if channels > 1 and isinstance(labels, list) and len(labels) == (int(_number(meta, "images")) or channels):
        names = tuple(str(label).partition("\n")[0] for label in labels[:channels])
    return spacing, origin, names


def _bare_slices(meta: Mapping[str, Any], x: float, y: float) -> dict[str, Quantity]:
    """The slice distance of a stack that was given in pixels, which is how ImageJ keeps it where no length is known."""
    depth = abs(_number(meta, "spacing"))
    bare = all(str(meta.get(key, "")).lower().rstrip("s") in _PIXELS for key in ("unit", "yunit", "zunit"))
    if not bare or depth in (0.0, 1.0) or (x, y) not in ((0.0, 0.0), (1.0, 1.0)):
        return {}
    return {"Z": Quantity(depth, NO_UNIT), "Y": Quantity(1.0, NO_UNIT), "X": Quantity(1.0, NO_UNIT)}


def _unit(text: Any) -> str | None:
    """The unit that ImageJ names; it writes letters beyond ASCII as in Java, ``\\u00B5m``."""
    return canonical_unit(re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), str(text)))


def _number(meta: Mapping[str, Any], key: str) -> float:
    """A field of ImageJ's description as a number; 0 where it is missing or no number."""
    value = meta.get(key)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0


# How ImageJ shows an image

_SHOWN = {
    "Labels": "slice labels", "LUTs": "colours", "Ranges": "display ranges", "min": "display range",
    "ROI": "region of interest", "Overlays": "overlay", "mode": "display mode", "Properties": "properties",
}  # fmt: skip


def named(fields: Mapping[str, Any]) -> list[str]:
    """What ImageJ's fields say beyond sizes and names, in words."""
    shown = dict(_SHOWN)
    if fields.get("mode") in (None, "", "grayscale"):  # which is how every program shows it
        del shown["mode"]
    there = [what for key, what in shown.items() if fields.get(key) not in (None, "", [], {})]
    there += ["calibration of the grey levels"] * bool(calibration(fields)) + ["info"] * bool(fields.get("Info"))
    if "cf" not in fields and str(fields.get("vunit", "")).strip('" ').lower() not in _NO_UNITS:  # of signed values
        there.append("unit of the grey levels")
    return list(dict.fromkeys(there))


def display(
    old: Mapping[str, Any], lead: Mapping[str, int], pixels: tuple[int, int, str], names: Sequence[str]
) -> tuple[dict[str, Any], list[str]]:
    """Which of the fields ``old`` (of a header) still apply to an image, as tifffile writes them, and which do not.

    lead : sizes of the image's axes T, Z and C. pixels : its height, width and type, as in `described`.
    names : of its channels.

    Labels need as many slices in the same order, colours and ranges as many channels, ranges the same type as well,
    and regions planes of the same size too.
    """
    then = [int(_number(old, key)) or 1 for key in ("channels", "slices", "frames")]
    images = int(_number(old, "images")) or 1
    now = [lead.get(a, 1) for a in "CZT"]
    if math.prod(then) != images:
        then = [1, images, 1]
    same_stack = [n for n in now if n > 1] == [n for n in then if n > 1]
    same_channels = now[0] == then[0]
    was = old.get("pixels")
    same_plane = isinstance(was, list) and was[:2] == list(pixels[:2])
    same_type = isinstance(was, list) and was[2:] == [pixels[2]]
    found = {
        "Labels": _labels(old.get("Labels"), images, names) if same_stack else None,
        "LUTs": _colours(old.get("LUTs"), now[0]) if same_channels else None,
        "Ranges": _ranges(old.get("Ranges"), now[0]) if same_channels and same_type else None,
        "ROI": _blocks(old.get("ROI")) if same_stack and same_plane else None,
        "Overlays": _blocks(old.get("Overlays")) if same_stack and same_plane else None,
        "mode": old.get("mode") if same_channels and old.get("mode") in ("composite", "color", "grayscale") else None,
        "Properties": _texts(old.get("Properties")),
    }
    if same_type and _is_finite(old.get("min")) and _is_finite(old.get("max")):
        found |= {"min": float(old["min"]), "max": float(old["max"])}
    record = {key: value for key, value in found.items() if value}
    if "min" in found:
        record |= {"min": found["min"], "max": found["max"]}
    lost = [what for key, what in _SHOWN.items() if old.get(key) not in (None, "", [], {}) and key not in record]
    return record, lost


def _labels(value: Any, images: int, names: Sequence[str]) -> list[str] | None:
    """A label for each slice; None if the channels were renamed."""
    labels = [value] if isinstance(value, str) else value
    if not isinstance(labels, list) or len(labels) != images or not all(isinstance(label, str) for label in labels):
        return None
    first = [label.partition("\n")[0] for label in labels[: len(names)]]
    return labels if first == list(names) else None


def _colours(value: Any, channels: int) -> list[NDArray[np.uint8]] | None:
    """A palette (3, 256) for each channel."""
    try:
        palettes = np.array(value)
    except ValueError:
        return None
    palettes = palettes[None] if palettes.ndim == 2 else palettes
    if palettes.shape != (channels, 3, 256) or palettes.dtype.kind not in "iu":
        return None
    return list(palettes.astype(np.uint8)) if palettes.min() >= 0 and palettes.max() <= 255 else None


def _ranges(value: Any, channels: int) -> list[float] | None:
    """Black and white of each channel."""
    whole = isinstance(value, list) and len(value) == 2 * channels and all(map(_is_finite, value))
    return [float(n) for n in value] if whole else None


def _blocks(value: Any) -> list[bytes] | None:
    """Regions in ImageJ's own form, which the header has as hexadecimal text."""
    blocks = [value] if isinstance(value, str) else value
    if not isinstance(blocks, list) or len(blocks) > _MOST_REGIONS:
        return None
    try:
        return [bytes.fromhex(block) for block in blocks]
    except (TypeError, ValueError):
        return None


def _texts(value: Any) -> dict[str, str] | None:
    whole = isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
    return value if whole else None


# Calibration of the grey levels


def calibration(meta: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a calibration of the grey levels (``cf``, ``c0``..., ``vunit``); empty where there is none."""
    function = meta.get("cf")
    if not isinstance(function, int) or isinstance(function, bool):
        return {}
    coefficients: dict[str, Any] = {}
    while _is_finite(meta.get(key := f"c{len(coefficients)}")):
        coefficients[key] = float(meta[key])
    if function == _OPTICAL_DENSITY:
        coefficients = {}
    elif function not in _WITH_COEFFICIENTS or len(coefficients) < 2:
        return {}
    unit = {"vunit": _escaped(str(meta["vunit"]))} if "vunit" in meta else {}
    return {"cf": function, **coefficients, **unit}


def is_signed(told: Mapping[str, Any]) -> bool:
    """Whether a calibration is that of signed 16-bit values, which ImageJ keeps 32768 higher as unsigned ones."""
    return (told.get("cf"), told.get("c0"), told.get("c1"), "c2" in told) == (_LINE, -_SIGNED_OFFSET, 1, False)


def signed(values: NDArray[Any]) -> NDArray[np.int16]:
    """The signed values that ImageJ keeps 32768 higher, uint16."""
    return (values.astype(np.int32) - _SIGNED_OFFSET).astype(np.int16)


def calibration_text(told: Mapping[str, Any]) -> str:
    """What a calibration does to a grey level, for people."""
    unit = f", {told['vunit'][:_LONGEST_UNIT]}" if told.get("vunit") else ""
    if told["cf"] == _LINE:
        return f"{told['c0']:g} + {told['c1']:g} x value in ImageJ{unit}"
    return f"optical density in ImageJ{unit}" if told["cf"] == _OPTICAL_DENSITY else f"a curve in ImageJ{unit}"


def described(meta: Mapping[str, Any], page: Any) -> dict[str, Any]:
    """The fields as the header keeps them, with ``pixels``: height, width and type of a (tifffile) page.

    Signed values have had their calibration; what ImageJ shows as black and white, in unsigned ones, has it as well.
    """
    kept = dict(meta)
    if page.dtype in (np.uint16, np.int16) and is_signed(calibration(meta)):
        kept = {key: value for key, value in meta.items() if key not in ("cf", "c0", "c1")}
        kept |= {key: kept[key] - _SIGNED_OFFSET for key in ("min", "max") if _is_finite(kept.get(key))}
        if isinstance(kept.get("Ranges"), list | tuple) and all(map(_is_finite, kept["Ranges"])):
            kept["Ranges"] = [n - _SIGNED_OFFSET for n in kept["Ranges"]]
    return kept | {"pixels": [page.imagelength, page.imagewidth, str(page.dtype)]}


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _escaped(text: str) -> str:
    """``text`` as ImageJ writes it in the description: printable ASCII."""
    return "".join(c if " " <= c <= "~" else f"\\u{ord(c):04X}" for c in text if ord(c) <= 0xFFFF)
