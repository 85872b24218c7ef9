"""Pixel sizes of files that do not state theirs."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from math import isfinite
from typing import Any

from ruska.errors import SettingsError


def stated(name: str, sizes: Mapping[str, float]) -> float | None:
    """Pixel size in nm for ``name``, ``folder/file``: of the first pattern that it or its file matches; None for none.

    Raises SettingsError for a size that is not a positive number.
    """
    for pattern, size in sizes.items():
        if not (isfinite(size) and size > 0):
            raise SettingsError("pixel_sizes", f"says {size} nm for '{pattern}'", "Give a positive number of nm.")
        if fnmatchcase(name, pattern) or fnmatchcase(name.rpartition("/")[2], pattern):
            return float(size)
    return None


def plane_size(plane: Mapping[str, Any], pixel_sizes: Mapping[str, float]) -> float | None:
    """Pixel size in nm of a plane as the manifest lists it, at the scale at which it was kept; None where unknown."""
    if plane.get("pixel_size_nm"):
        return float(plane["pixel_size_nm"])
    size = plane.get("pixel_nm") or stated(f"{plane['group']}/{plane['source'].partition(':')[0]}", pixel_sizes)
    return None if size is None else float(size) * int(plane["level"])


def parse_sizes(texts: list[str]) -> dict[str, float]:
    """``["fib25*=10"]`` as ``{"fib25*": 10.0}``, in nm; SettingsError names the text that says no size."""
    found = {}
    for text in texts:
        pattern, _, size = text.rpartition("=")
        try:
            found[pattern] = float(size.strip().removesuffix("nm"))
        except ValueError:
            pattern = ""
        if not pattern:
            raise SettingsError("--pixel-size", f"'{text}' does not name files and their size",
                                "Write it like --pixel-size 'fib25*=10', in nm.")  # fmt: skip
    stated("", found)
    return found
