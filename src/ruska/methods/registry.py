"""The methods by name. A new method is one module that says what it is (an `About`), its test, and one line here.

Those of other packages come by entry points: group ``ruska.methods``, and ``ruska.trainings`` for ways to train; name =
that of the method, value = ``module:ABOUT``. One that cannot be used is left out, with a warning that names it; see
`broken`. Nothing is imported before it is asked for.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple

from ruska.errors import SettingsError, did_you_mean
from ruska.methods.about import DEBLUR, DENOISE, ISOTROPIC, SUPERRES, TRAIN, About
from ruska.methods.settings import Settings, parse
from ruska.plain_text import one_line


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
TRAININGS: dict[str, Line] = {}
"""Ways to train that come with Ruska, as `METHODS`."""
_GROUPS = {"ruska.methods": METHODS, "ruska.trainings": TRAININGS}
_WORD = re.compile(r"[a-z][a-z0-9_-]*\Z")
_added: dict[str, About] = {}
_added_trainings: dict[str, About] = {}
_broken: dict[str, str] = {}


def register(about: About) -> About:
    """Add a method (or, with task ``train``, a way to train) of one's own to this process, under its name.

    Raises SettingsError where the name is taken, or where it is no `About` that Ruska can use.
    """
    known, place = (trainings(), _added_trainings) if about.task == TRAIN else (names(), _added)
    if about.name in known or about.name == "auto":
        raise SettingsError("method", f"'{about.name}' exists already", "Choose another name.")
    if (fault := _fault(about, about.name, train=about.task == TRAIN)) is not None:
        raise SettingsError(f"method '{about.name}'", fault, "See docs/extending.md.")
    place[about.name] = about
    return about


def unregister(name: str) -> None:
    """Take back what `register` added."""
    _added.pop(name, None)
    _added_trainings.pop(name, None)


def added() -> tuple[str, ...]:
    """Names of the methods that `register` added to this process."""
    return tuple(_added)


def names(task: str | None = None) -> tuple[str, ...]:
    """Names of all methods, or of those for a task."""
    every = (*METHODS, *_elsewhere("ruska.methods"), *_added)
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
    found = _find("ruska.methods", name, _added)
    if found is None:
        raise SettingsError("method", f"'{name}' is unknown", did_you_mean(name, ["auto", *names()]))
    return found


def _known(name: str) -> str:
    """``name``, of a method that is there; SettingsError otherwise."""
    return name if name in METHODS else about(name).name


def trainings() -> tuple[str, ...]:
    """Names of all ways to train that are in the registry."""
    return (*TRAININGS, *_elsewhere("ruska.trainings"), *_added_trainings)


def training(name: str) -> About:
    """What is known of a way to train; SettingsError names the nearest valid one."""
    found = _find("ruska.trainings", name, _added_trainings)
    if found is None:
        raise SettingsError("method", f"'{name}' cannot be trained", did_you_mean(name, trainings()))
    return found


def broken() -> dict[str, str]:
    """Name of each method and training of another package that could not be used, and why."""
    for group in _GROUPS:
        _elsewhere(group)
    return dict(_broken)


def _find(group: str, name: str, own: Mapping[str, About]) -> About | None:
    if name in own:
        return own[name]
    if name in _GROUPS[group]:
        return _loaded(_GROUPS[group][name].place)
    return _elsewhere(group).get(name)


@cache
def _loaded(place: str) -> About:
    module, _, attribute = place.partition(":")
    found: About = getattr(import_module(module), attribute)
    return found


@cache
def _elsewhere(group: str) -> dict[str, About]:
    """What other packages add to a group. Ruska goes on without those that cannot be used."""
    from importlib.metadata import entry_points

    found: dict[str, About] = {}
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        try:
            about: Any = point.load()
            fault = _fault(about, point.name, train=group == "ruska.trainings")
        except (Exception, SystemExit) as error:  # whatever a stranger's module does when it is imported
            about, fault = None, f"cannot be imported ({type(error).__name__}: {error})"
        if point.name in _GROUPS[group] or point.name in found:
            fault = "has a name that is taken"
        if fault is None:
            found[point.name] = about
            continue
        _broken[point.name] = fault
        warnings.warn(one_line(f"{point.name} ({point.value}), of another package, is left out: it {fault}"),
                      stacklevel=2)  # fmt: skip
    return found


def _fault(about: Any, name: str, *, train: bool) -> str | None:
    """Why something cannot stand in the registry under ``name``; None where it can."""
    if not isinstance(about, About):
        return f"is not a ruska.methods.About but a {type(about).__name__}"
    if about.name != name:
        return f"calls itself '{about.name}', the entry point '{name}'"
    for word in (about.name, about.task):
        if not isinstance(word, str) or not _WORD.match(word):
            return f"has the name or task {word!r}, expected small letters, digits, - and _"
    if not (isinstance(about.record, type) and issubclass(about.record, Settings)):
        return "has settings that are not ruska.methods.Settings"
    if (about.task == TRAIN) != train:
        return f"is for '{about.task}', so it belongs to the other group: ruska.methods, or ruska.trainings for 'train'"
    about.schema()  # which fails where a setting has a type that JSON has no word for
    return None


def create(name: str, settings: Mapping[str, Any] | None = None) -> Any:
    """The recipe ``name`` with ``settings``; SettingsError names the nearest valid method, setting or range."""
    known = about(name)
    return known.make(parse(known.record, name, settings or {}))


def learns(name: str) -> bool:
    """Whether the method trains or runs a network; ``auto`` is not a method yet."""
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
