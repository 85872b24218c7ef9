"""Voxel size, exposure and tilt angles of a file, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def exposure(found: Mapping[str, Any]) -> str:
    """Time, frames and dose of a movie, as far as they are known."""
    words = [f"{found['seconds']:.4g} s"] if "seconds" in found else []
    words += [f"{found['frames']:.0f} frames"] if "frames" in found else []
    words += [f"a dose of {found['dose']:.4g} {found['dose_unit'] or '(no unit given)'}"] if "dose" in found else []
    return ", ".join(words)


def tilts(found: Mapping[str, Any]) -> str:
    """The range of the tilt angles, and their source."""
    angles = [angle for angle in found["angles"] if angle is not None]
    many = len(found["angles"])
    missing = f", unknown in {many - len(angles)}" if len(angles) < many else ""
    steps = f", about {(max(angles) - min(angles)) / (len(angles) - 1):.2g} degrees apart" if len(angles) > 2 else ""
    said = f"{min(angles):.4g} to {max(angles):.4g} degrees" if len(angles) > 1 else f"{angles[0]:.4g} degrees"
    return f"{said} in {many} section{'s' * (many != 1)}{missing}{steps} ({found['from']})"


def sizes(spacing: Mapping[str, Mapping[str, Any]]) -> str:
    """Voxel size by axis; sizes that the file gives without a unit come last and are marked."""
    known = ", ".join(f"{a} {q['value']:.6g} {q['unit']}" for a, q in spacing.items() if q["unit"])
    bare = ", ".join(f"{a} {q['value']:.6g}" for a, q in spacing.items() if not q["unit"])
    lengths = any(a in "ZYX" and not q["unit"] for a, q in spacing.items())
    said = f"{bare} (no unit given{'; --voxel-size gives one' if lengths else ''})" if bare else ""
    return "; ".join(part for part in (known, said) if part)
