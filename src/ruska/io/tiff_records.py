"""Pixel sizes in the makers' records that tifffile parses."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ruska.image import Quantity, canonical_unit

_FINEST_NM = 1e-4  # no microscope has finer pixels


def square(value: float, unit: str) -> dict[str, Quantity]:
    return sizes_of(value, value, unit)


def sizes_of(x: float, y: float, unit: str) -> dict[str, Quantity]:
    """Y and X sizes; empty unless both are positive. Metres are given in nm, as people write them."""
    known = canonical_unit(unit)
    if known is None or not (0 < x < math.inf and 0 < y < math.inf):
        return {}
    if known == "m":
        x, y, known = float(f"{x * 1e9:.12g}"), float(f"{y * 1e9:.12g}"), "nm"
    return {"Y": Quantity(y, known), "X": Quantity(x, known)}


def sis_pixel_size(record: Mapping[str, Any]) -> dict[str, Quantity]:
    """Olympus SIS, metres."""
    return sizes_of(float(record.get("pixelsizex", 0)), float(record.get("pixelsizey", 0)), "m")


def tvips_pixel_size(record: Mapping[str, Any]) -> dict[str, Quantity]:
    """TVIPS EM-Menu, nanometres (version 2 of the block only), which some versions of tifffile turn into metres."""
    x, y = (float(record.get(f"PixelSize{axis}", 0)) for axis in "XY")
    return sizes_of(x, y, "m" if 0 < x < _FINEST_NM else "nm")


def lsm_pixel_size(record: Mapping[str, Any]) -> dict[str, Quantity]:
    """Zeiss LSM, metres and seconds."""
    sizes = sizes_of(float(record.get("VoxelSizeX", 0)), float(record.get("VoxelSizeY", 0)), "m")
    depth = square(float(record.get("VoxelSizeZ", 0)), "m")
    step = float(record.get("TimeIntervall", 0))
    return sizes | ({"Z": depth["X"]} if depth else {}) | ({"T": Quantity(step, "s")} if step > 0 else {})


def metaseries_pixel_size(record: Mapping[str, Any]) -> dict[str, Quantity]:
    """MetaMorph's XML description, when it says that the image is calibrated."""
    plane = record.get("PlaneInfo", {})
    if plane.get("spatial-calibration-state") is False:
        return {}
    x, y = (float(plane.get(f"spatial-calibration-{a}", 0)) for a in "xy")
    return sizes_of(x, y, str(plane.get("spatial-calibration-units", "")))


def stk_pixel_size(record: Mapping[str, Any]) -> dict[str, Quantity]:
    """MetaMorph STK."""
    x, y = (float(record.get(f"{a}Calibration", 0)) for a in "XY")
    return sizes_of(x, y, str(record.get("CalibrationUnits", "")))


def micromanager_pixel_size(record: Mapping[str, Any]) -> dict[str, Quantity]:
    """Micro-Manager, micrometres."""
    summary = record.get("Summary", {})
    sizes = square(float(summary.get("PixelSize_um", 0) or summary.get("PixelSizeUm", 0) or 0), "um")
    step = abs(float(summary.get("z-step_um", 0) or 0))
    return sizes | ({"Z": Quantity(step, "um")} if step else {})


RECORDS: tuple[tuple[str, str, Callable[[Mapping[str, Any]], dict[str, Quantity]]], ...] = (
    ("olympus_sis", "sis", sis_pixel_size),
    ("tvips", "tvips_metadata", tvips_pixel_size),
    ("lsm", "lsm_metadata", lsm_pixel_size),
    ("metaseries", "metaseries_metadata", metaseries_pixel_size),
    ("stk", "stk_metadata", stk_pixel_size),
    ("micromanager", "micromanager_metadata", micromanager_pixel_size),
)
