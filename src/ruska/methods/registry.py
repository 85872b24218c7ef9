"""The methods by name. A new method is one module that says what it is (an `About`), its test, and one line here.

Methods of other packages come by entry points: group ``ruska.methods`` (and ``ruska.trainings``), name = the method's,
value = ``module:ABOUT``. Nothing is imported before it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any

from ruska.errors import SettingsError, did_you_mean
from ruska.methods.about import DENOISE, About
from ruska.methods.settings import parse

METHODS = {
    "identity": "ruska.methods.filters:IDENTITY",
    "gaussian": "ruska.methods.filters:GAUSSIAN",
    "median": "ruska.methods.filters:MEDIAN",
    "tv": "ruska.methods.denoisers:TOTAL_VARIATION",
    "nlm": "ruska.methods.denoisers:NON_LOCAL_MEANS",
    "wavelet": "ruska.methods.denoisers:WAVELET",
    "bm3d": "ruska.methods.denoisers:BM3D_ABOUT",
    "prior": "ruska.methods.prior:PRIOR",
    "blindspot": "ruska.methods.blindspot:BLIND_SPOT",
    "noise2void": "ruska.methods.blindspot:NOISE2VOID",
    "udvd": "ruska.methods.blindspot:UDVD",
    "shine": "ruska.methods.blindspot:SHINE",
    "deblur": "ruska.methods.deblur:DEBLUR_ABOUT",
    "richardson-lucy": "ruska.methods.richardson_lucy:RICHARDSON_LUCY",
    "superres": "ruska.methods.superres:SUPERRES_ABOUT",
    "isotropic": "ruska.methods.isotropic:ISOTROPIC_ABOUT",
}
_added: dict[str, About] = {}


def register(about: About) -> About:
    """Add a method of one's own to this process, under its name. Raises SettingsError where the name is taken."""
    if about.name in names() or about.name == "auto":
        raise SettingsError("method", f"'{about.name}' is there already", "Choose another name.")
    _added[about.name] = about
    return about


def unregister(name: str) -> None:
    """Take back what `register` added."""
    _added.pop(name, None)


def added() -> tuple[str, ...]:
    """Names of what `register` added to this process."""
    return tuple(_added)


def names(task: str | None = None) -> tuple[str, ...]:
    """Names of all methods, or of those for a task."""
    every = (*METHODS, *_elsewhere(), *_added)
    return every if task is None else tuple(name for name in every if about(name).task == task)


def tasks() -> tuple[str, ...]:
    """What the methods are for, in the order of the registry."""
    return tuple(dict.fromkeys(about(name).task for name in names()))


def about(name: str) -> About:
    """What is known of a method; SettingsError names the nearest valid one."""
    if name in _added:
        return _added[name]
    if name in METHODS:
        return _loaded(METHODS[name])
    elsewhere = _elsewhere()
    if name not in elsewhere:
        raise SettingsError("method", f"'{name}' is unknown", did_you_mean(name, ["auto", *names()]))
    found = elsewhere[name].load()
    if not isinstance(found, About):
        raise SettingsError("method", f"'{name}' of another package is no About", "Ask those who wrote it.")
    return found


@cache
def _loaded(place: str) -> About:
    module, _, attribute = place.partition(":")
    found: About = getattr(import_module(module), attribute)
    return found


@cache
def _elsewhere() -> dict[str, Any]:
    """Entry points of other packages, by name; not loaded."""
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group="ruska.methods") if point.name not in METHODS}


def create(name: str, settings: Mapping[str, Any] | None = None) -> Any:
    """The recipe ``name`` with ``settings``; SettingsError names the nearest valid method, setting or range."""
    known = about(name)
    return known.make(parse(known.record, name, settings or {}))


def learns(name: str) -> bool:
    """Whether the method trains or runs a network; ``auto`` is no method yet."""
    return name != "auto" and about(name).learns


def task(name: str) -> str:
    """What the method is for; ``auto`` denoises."""
    return DENOISE if name == "auto" else about(name).task


def takes_prior(name: str) -> bool:
    """Whether the prior that comes with Ruska may be what runs."""
    return name == "auto" or about(name).prior


def describe(name: str) -> dict[str, Any]:
    """A method's summary and settings (default and meaning), JSON-like."""
    known = about(name)
    settings = {
        field: f"{info.default if info.default is not None else 'none'}: {info.description}"
        for field, info in known.record.model_fields.items()
    }
    return {"summary": known.summary, "task": known.task, "settings": settings}
