"""Recognise files that hold a spectrum or a diffraction pattern instead of an image."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ruska.errors import InputError

_ENERGY = re.compile(r"^\s*[kmM]?eV\s*$")
_RECIPROCAL = re.compile(r"^\s*1\s*/|\^?\s*-\s*1\s*$|⁻¹|^\s*m?rad\s*$")


def is_energy(unit: str) -> bool:
    """Whether ``unit`` is an energy, as on the axis of a spectrum."""
    return bool(_ENERGY.match(unit))


def is_reciprocal(unit: str) -> bool:
    """Whether ``unit`` is a reciprocal length or an angle, as on the axes of a diffraction pattern."""
    return bool(_RECIPROCAL.search(unit))


def check_image_units(path: object, units: Iterable[str]) -> None:
    """InputError when the units of the axes, Y and X last, are those of a spectrum or a diffraction pattern."""
    found = list(units)
    for unit in found:
        if is_energy(unit):
            raise spectrum(path, f"one of its axes is an energy in {unit.strip()}")
    for unit in found[-2:]:
        if is_reciprocal(unit):
            raise diffraction(path, f"its pixels are measured in {unit.strip()}")


def spectrum(path: object, why: str) -> InputError:
    """The error for spectra and spectrum images."""
    return InputError(path, f"is a spectrum or a spectrum image ({why}), not a micrograph",
                      "Sum it over the energies first, and save the image as TIFF.")  # fmt: skip


def diffraction(path: object, why: str) -> InputError:
    """The error for diffraction patterns and transforms."""
    return InputError(path, f"is a diffraction pattern ({why}), not a micrograph",
                      "Ruska restores images in real space. To treat it as one, save it as TIFF.")  # fmt: skip
