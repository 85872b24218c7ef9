"""The methods by name. A new method is one module that says what it is (an `About`), its test, and one line here.

Methods of other packages come by entry points: group ``ruska.methods`` (and ``ruska.trainings``), name = the method's,
value = ``module:ABOUT``. Nothing is imported before it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from ruska.errors import SettingsError, did_you_mean
from ruska.methods.about import DEBLUR, DENOISE, ISOTROPIC, SUPERRES, About
from ruska.methods.settings import parse


class Line(NamedTuple):
    """What is known of a method without importing it: its task, where its `About` is, and inputs besides the image."""

    task: str
    place: str
    roles: frozenset[str] = frozenset()


METHODS = {
    "identity": Line(DENOISE, "ruska.methods.filters:IDENTITY"),
    "gaussian": Line(DENOISE, "ruska.methods.filters:GAUSSIAN"),
    "median": Line(DENOISE, "ruska.methods.filters:MEDIAN"),
    "tv": Line(DENOISE, "ruska.methods.denoisers:TOTAL_VARIATION"),
    "nlm": Line(DENOISE, "ruska.methods.denoisers:NON_LOCAL_MEANS"),
    "wavelet": Line(DENOISE, "ruska.methods.denoisers:WAVELET"),
    "bm3d": Line(DENOISE, "ruska.methods.denoisers:BM3D_ABOUT"),
    "prior": Line(DENOISE, "ruska.methods.prior:PRIOR"),
    "blindspot": Line(DENOISE, "ruska.methods.blindspot:BLIND_SPOT"),
    "noise2void": Line(DENOISE, "ruska.methods.blindspot:NOISE2VOID"),
    "udvd": Line(DENOISE, "ruska.methods.blindspot:UDVD"),
    "shine": Line(DENOISE, "ruska.methods.blindspot:SHINE"),
    "deblur": Line(DEBLUR, "ruska.methods.deblur:DEBLUR_ABOUT"),
    "richardson-lucy": Line(DEBLUR, "ruska.methods.richardson_lucy:RICHARDSON_LUCY"),
    "superres": Line(SUPERRES, "ruska.methods.superres:SUPERRES_ABOUT"),
    "isotropic": Line(ISOTROPIC, "ruska.methods.isotropic:ISOTROPIC_ABOUT"),
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
    return every if task is None else tuple(name for name in every if _task_of(name) == task)


def _task_of(name: str) -> str:
    return METHODS[name].task if name in METHODS else about(name).task


def other_inputs(task: str) -> tuple[str, ...]:
    """Inputs besides the image that methods of a task take."""
    found: set[str] = set()
    for name in names(task):
        found |= METHODS[name].roles if name in METHODS else about(name).roles
    return tuple(sorted(found - {"image"}))


def tasks() -> tuple[str, ...]:
    """What the methods are for, in the order of the registry."""
    return tuple(dict.fromkeys(map(_task_of, names())))


def about(name: str) -> About:
    """What is known of a method; SettingsError names the nearest valid one."""
    if name in _added:
        return _added[name]
    if name in METHODS:
        return _loaded(METHODS[name].place)
    elsewhere = _elsewhere()
    if name not in elsewhere:
        raise SettingsError("method", f"'{name}' is unknown", did_you_mean(name, ["auto", *names()]))
    found = elsewhere[name].load()
    if not isinstance(found, About):
        raise SettingsError("method", f"'{name}' of another package is no About", "Ask those who wrote it.")
    return found


def _known(name: str) -> str:
    """``name``, of a method that is there; SettingsError otherwise."""
    return name if name in METHODS else about(name).name


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
    return DENOISE if name == "auto" else _task_of(_known(name))


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
