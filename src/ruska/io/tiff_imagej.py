"""What ImageJ says in the description and the private tags of its TIFF files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.image import Quantity, canonical_unit, is_length

if TYPE_CHECKING:
    from numpy.typing import NDArray

LARGEST_PIXEL_NM = 5000.0
"""Larger pixels come from the printing resolution that programs put in by default (72 to 4800 dpi)."""

# Functions of ij.measure.Calibration: 0 to 13 have coefficients, 21 is optical density, the others are none.
_LINE, _WITH_COEFFICIENTS, _OPTICAL_DENSITY = 0, range(14), 21
_SIGNED_OFFSET = 1 << 15
_LONGEST_UNIT = 40  # letters that are shown


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


def _unit(text: Any) -> str | None:
    """The unit that ImageJ names; it writes letters beyond ASCII as in Java, ``\\u00B5m``."""
    return canonical_unit(re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), str(text)))


def _number(meta: Mapping[str, Any], key: str) -> float:
    """A field of ImageJ's description as a number; 0 where it is missing or no number."""
    value = meta.get(key)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else 0.0


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


def described(meta: Mapping[str, Any], dtype: Any) -> dict[str, Any]:
    """The fields as the header keeps them, of pixels that are ``dtype`` in the file.

    Signed values have had their calibration; what ImageJ shows as black and white is in unsigned ones, and goes.
    """
    if dtype not in (np.uint16, np.int16) or not is_signed(calibration(meta)):
        return dict(meta)
    return {key: value for key, value in meta.items() if key not in ("cf", "c0", "c1", "min", "max", "Ranges")}


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _escaped(text: str) -> str:
    """``text`` as ImageJ writes it in the description: printable ASCII."""
    return "".join(c if " " <= c <= "~" else f"\\u{ord(c):04X}" for c in text if ord(c) <= 0xFFFF)
