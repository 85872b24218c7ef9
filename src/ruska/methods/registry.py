"""The methods by name. A new method is one module, its mirrored test, and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from ruska.errors import SettingsError, did_you_mean

METHODS = {
    "identity": "ruska.methods.filters:Identity",
    "gaussian": "ruska.methods.filters:Gaussian",
    "median": "ruska.methods.filters:Median",
    "tv": "ruska.methods.denoisers:TotalVariation",
    "nlm": "ruska.methods.denoisers:NonLocalMeans",
    "wavelet": "ruska.methods.denoisers:Wavelet",
    "bm3d": "ruska.methods.denoisers:BM3D",
    "prior": "ruska.methods.prior:Prior",
    "blindspot": "ruska.methods.blindspot:BlindSpot",
    "noise2void": "ruska.methods.blindspot:Noise2Void",
    "udvd": "ruska.methods.blindspot:Udvd",
    "shine": "ruska.methods.blindspot:Shine",
    "deblur": "ruska.methods.deblur:Deblur",
    "superres": "ruska.methods.superres:Superres",
    "isotropic": "ruska.methods.isotropic:Isotropic",
}
WITH_PRIOR = ("auto", "prior", "deblur", "superres", "isotropic")
"""Methods that take, or may take, the prior that comes with Ruska."""


def names() -> tuple[str, ...]:
    """Names of all methods."""
    return tuple(METHODS)


def create(name: str, settings: Mapping[str, Any] | None = None) -> Any:
    """The recipe ``name`` with ``settings``; SettingsError names the nearest valid method, setting or range."""
    return _recipe(name).create(settings or {})


def learns(name: str) -> bool:
    """Whether the method trains or runs a network."""
    return name in METHODS and bool(getattr(_recipe(name), "learns", False))


def task(name: str) -> str:
    """What the method is for: denoise, deblur, superres or isotropic; ``auto`` denoises."""
    return "denoise" if name == "auto" else getattr(_recipe(name), "task", "denoise")


def describe(name: str) -> dict[str, Any]:
    """A method's summary and settings (default and meaning), JSON-like."""
    recipe = _recipe(name)
    settings = {
        field: f"{about.default if about.default is not None else 'none'}: {about.description}"
        for field, about in recipe.record.model_fields.items()
    }
    return {"summary": recipe.summary, "settings": settings}


def _recipe(name: str) -> Any:
    if name not in METHODS:
        raise SettingsError("method", f"'{name}' is unknown", did_you_mean(name, ["auto", *METHODS]))
    module, _, attribute = METHODS[name].partition(":")
    return getattr(import_module(module), attribute)
