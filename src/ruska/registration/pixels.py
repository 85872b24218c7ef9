"""Whether two images have pixels of one size."""

from __future__ import annotations

from ruska.errors import GeometryError
from ruska.image import Image, is_length

_SAME = 0.02  # by which pixel sizes may differ


def check_pixels(fixed: Image, moving: Image) -> None:
    """Raise GeometryError when both sizes are known and differ by more than 2 %, or when ``moving`` holds labels."""
    if moving.meaning == "labels":
        raise GeometryError(moving.name, "holds labels, which cannot be interpolated", "Register its image instead.")
    for axis in "YX":
        here, there = fixed.spacing.get(axis), moving.spacing.get(axis)
        if here is None or there is None or not (is_length(here.unit) and is_length(there.unit)):
            continue
        ratio = there.to(here.unit) / here.value
        if abs(ratio - 1) > _SAME:
            raise GeometryError(moving.name, f"has pixels of {there} along {axis}, {fixed.name} of {here}",
                                "Resample one of them first, or correct its size: --voxel-size.")  # fmt: skip
