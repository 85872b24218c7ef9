"""Hamamatsu's description of a TIFF (HPD-TA, HiPic): ``[Section],key="value",...`` in the ImageDescription tag."""

from __future__ import annotations

import re
from collections.abc import Mapping

_SECTION = re.compile(r"\[([A-Za-z][\w .]{0,40})\],?([^\[]*)")
_FIELD = re.compile(r'([A-Za-z][\w .]{0,60})=("[^"]*"|[^,"\r\n]*)')
_KEPT = ("Application", "Camera", "Acquisition", "Scaling")
_LINEAR = "1"


def parse(description: str) -> dict[str, dict[str, str]]:
    """The sections that say what instrument and scale it was; empty when it is no such description."""
    if "[Application]" not in description or "[Scaling]" not in description:
        return {}
    found = {m[1]: m[2] for m in _SECTION.finditer(description)}
    return {name: {m[1]: m[2].strip('"') for m in _FIELD.finditer(found[name])} for name in _KEPT if name in found}


def scales(sections: Mapping[str, Mapping[str, str]]) -> tuple[float, float, str, str]:
    """Step and unit along X and Y; 0 where it is not linear. Streak images have wavelength (nm) and time there."""
    said = sections.get("Scaling", {})
    steps, units = [], []
    for axis in "XY":
        linear = said.get(f"Scaling{axis}Type") == _LINEAR
        try:
            steps.append(float(said.get(f"Scaling{axis}Scale", "0")) if linear else 0.0)
        except ValueError:
            steps.append(0.0)
        units.append(said.get(f"Scaling{axis}Unit", ""))
    return steps[0], steps[1], units[0], units[1]
