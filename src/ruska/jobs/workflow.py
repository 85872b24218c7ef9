"""Requests that use each other's outputs: checked before any runs, run in order, resumed where one is missing.

A single request is a workflow of one step, called ``result``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ruska
from ruska import methods
from ruska.errors import InputError, RuskaError, SettingsError, did_you_mean
from ruska.image import Output
from ruska.io.names import is_there
from ruska.jobs.folder import REQUEST, RESULTS, STEPS, WORKFLOW, read_json, read_object, write_json
from ruska.pipeline.door import TOOLS, record_of
from ruska.pipeline.request import Input, Request
from ruska.pipeline.restore import Result, check_request, with_model
from ruska.pipeline.samples import companion, drawn_names
from ruska.report import beside

ONLY = "result"
"""The step of a job that is a single request."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
_MOST = 1000
_IN_FOLDERS = ("noise", methods.TRAIN)
"""Tasks whose output is a folder."""


@dataclass(frozen=True)
class Step:
    """A request, with the name by which others refer to it."""

    name: str
    request: Request


@dataclass(frozen=True)
class Made:
    """What a finished step made.

    first : name of the image in the output itself. further : names of those beside it.
    """

    record: Mapping[str, Any]
    first: str = "mean"
    further: tuple[str, ...] = ()


# What is asked for


def read_steps(folder: Path) -> tuple[Step, ...]:
    """The steps of the job in ``folder``, checked. Raises InputError (not JSON), SettingsError (not valid)."""
    if not (folder / WORKFLOW).exists():
        return checked_steps([Step(ONLY, Request.of(read_object(folder / REQUEST)))])
    found = read_object(folder / WORKFLOW)
    steps = found.get("steps")
    if set(found) != {"steps"} or not isinstance(steps, list) or not 0 < len(steps) <= _MOST:
        raise SettingsError(WORKFLOW, f'expected {{"steps": [...]}} with 1 to {_MOST} steps, and nothing else')
    return checked_steps([_step(k, one) for k, one in enumerate(steps)])


def _step(number: int, given: Any) -> Step:
    if not isinstance(given, dict) or set(given) != {"name", "request"} or not isinstance(given["request"], dict):
        raise SettingsError(f"steps.{number}", 'expected {"name": ..., "request": {...}}, and nothing else')
    return Step(str(given["name"]), Request.of(given["request"]))


def write_steps(folder: Path, steps: Sequence[Step]) -> None:
    """request.json or workflow.json; `read_steps` reads them back. Raises OSError."""
    if [step.name for step in steps] == [ONLY]:
        write_json(folder / REQUEST, steps[0].request.to_json())
    else:
        content = [{"name": step.name, "request": step.request.to_json()} for step in steps]
        write_json(folder / WORKFLOW, {"steps": content})


def checked_steps(steps: Sequence[Step]) -> tuple[Step, ...]:
    """``steps``, if each can run after those before it; otherwise SettingsError says which cannot, and why."""
    before: dict[str, Step] = {}
    names = [step.name for step in steps]
    for step in steps:
        if not _NAME.fullmatch(step.name):
            raise SettingsError("step", f"'{step.name}' is not a name", "Use letters, digits, - and _; a letter first.")
        if step.name.lower() in map(str.lower, before):  # their files would collide on some disks
            raise SettingsError("step", f"'{step.name}' appears twice", "Give each step its own name.")
        try:
            _check_alone(step.request)
            for role, name, output in _references(step.request):
                _check_reference(f"inputs.{role}", name, output, before, names)
        except SettingsError as error:
            where = error.subject if names == [ONLY] else f"{step.name}: {error.subject}"
            raise SettingsError(where, error.problem, error.fix) from error
        before[step.name] = step
    return tuple(steps)


def _check_alone(request: Request) -> None:
    """Raise SettingsError for a request that is wrong, whatever its files hold."""
    for role in request.inputs:
        if any(one.array is not None for one in request.each(role)):
            raise SettingsError(f"inputs.{role}", "is an array in this process, which a job cannot see",
                                "Write it to a file, and give its path.")  # fmt: skip
    if request.task == methods.TRAIN or request.task in TOOLS:
        roles = {"data"} if request.task == methods.TRAIN else TOOLS[request.task].roles
        for role in request.inputs:
            if role not in roles:
                raise SettingsError(f"inputs.{role}", f"is not an input of {request.task}", did_you_mean(role, roles))
        return
    known = with_model(request)
    check_request(known)
    if known.method != "auto":
        methods.create(known.method, known.settings)


def _references(request: Request) -> list[tuple[str, str, str]]:
    """Role, step and output of every input that an earlier step makes."""
    found = [(role, one.step) for role in request.inputs for one in request.each(role) if one.step is not None]
    return [(role, *_taken_apart(reference)) for role, reference in found]


def _taken_apart(reference: str) -> tuple[str, str]:
    """``@restore.mean`` -> restore, mean."""
    name, _, output = reference.removeprefix("@").partition(".")
    return name, output


def _check_reference(subject: str, name: str, output: str, before: Mapping[str, Step], names: Sequence[str]) -> None:
    reference = f"@{name}.{output}"
    if name not in before:
        if name in names:
            raise SettingsError(subject, f"names {reference}, but '{name}' runs later", "Change the order.")
        hint = did_you_mean(name, before) if before else "There is no step before it."
        raise SettingsError(subject, f"names {reference}, but there is no step '{name}'", hint)
    valid = outputs_of(before[name].request)
    if valid is not None and output not in valid:
        hint = did_you_mean(output, valid) if valid else f"A step with task {before[name].request.task} makes no image."
        raise SettingsError(subject, f"names {reference}, but '{name}' has no output '{output}'", hint)


def outputs_of(request: Request) -> tuple[str, ...] | None:
    """Names of the images that a request makes; None where only running another package's method can tell."""
    if request.task == methods.TRAIN or request.task in TOOLS:
        return ("mean",) if request.task == "register" else ()
    known = with_model(request).method
    declared = (Output(),) if known in ("auto", *methods.METHODS) else None
    if known != "auto":
        declared = getattr(methods.about(known).make, "outputs", declared)
    if not isinstance(declared, tuple):
        return None
    return tuple(dict.fromkeys([*(o.name for o in declared if o.merge != "table"), *drawn_names(request.run.samples)]))


# Where it goes


def placed(folder: Path, step: Step) -> Request:
    """The request with an output: its own, or one in the job's folder, which may then be overwritten."""
    own = step.request
    if own.output is not None or own.task == "evaluate":
        return own
    name = step.name if own.task in _IN_FOLDERS else f"{step.name}.ome.tif"
    run = own.run.model_copy(update={"overwrite": True})
    return own.model_copy(update={"output": str(folder / RESULTS / name), "run": run})


def resolved(request: Request, before: Mapping[str, tuple[Request, Made]]) -> Request:
    """The request with the files of earlier steps in place of their names."""

    def one(given: Input) -> Input:
        if given.step is None:
            return given
        name, output = _taken_apart(given.step)
        return given.model_copy(update={"step": None, "path": file_of(*before[name], output, name)})

    inputs = {r: tuple(map(one, g)) if isinstance(g, tuple) else one(g) for r, g in request.inputs.items()}
    return request.model_copy(update={"inputs": inputs})


def file_of(request: Request, made: Made, output: str, name: str) -> str:
    """Where an output of the finished step ``name`` is, as `ruska.read` takes it."""
    assert request.output is not None
    target = Path(request.output)
    if output == made.first:
        return str(target)
    if output not in made.further:
        raise SettingsError(f"@{name}.{output}", f"is not an output of '{name}'",
                            did_you_mean(output, [made.first, *made.further]))  # fmt: skip
    file = companion(beside(target, whole=request.run.whole_names), output)
    if target not in file.parents:
        return str(file)
    inside = file if file.exists() else target / "labels" / output  # where NGFF has labels
    return f"{target}:/{inside.relative_to(target).as_posix()}"


# What is done already


def key_of(step: Step, keys: Mapping[str, str]) -> str:
    """Identifies a step by its request and those it depends on."""
    builds_on = sorted({name: keys[name] for _, name, _ in _references(step.request)}.items())
    facts = [ruska.__version__, step.request.to_json(), builds_on]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def note_begun(folder: Path, name: str, key: str) -> None:
    """Note that the step begins, while nothing has the name of its output. Raises OSError."""
    (folder / STEPS).mkdir(exist_ok=True)
    write_json(folder / STEPS / f"{name}.begun.json", {"key": key})


def is_begun(folder: Path, name: str, key: str) -> bool:
    """Whether an earlier process began this very step, so that files under its output's name are its own."""
    try:
        return bool(read_object(folder / STEPS / f"{name}.begun.json").get("key") == key)
    except InputError:
        return False


def note_done(folder: Path, name: str, key: str, made: Made) -> None:
    """Note that the step is done. Raises OSError."""
    (folder / STEPS).mkdir(exist_ok=True)  # a step that replaces a file was not noted as begun
    content = {"key": key, "first": made.first, "further": list(made.further), "record": dict(made.record)}
    write_json(folder / STEPS / f"{name}.json", content)


def done_before(folder: Path, name: str, key: str, request: Request) -> Made | None:
    """What an earlier process made in this very step, if its output still exists."""
    try:
        found = read_object(folder / STEPS / f"{name}.json")
        if found.get("key") != key or (request.output is not None and not is_there(Path(request.output))):
            return None
        return Made(found["record"], str(found["first"]), tuple(map(str, found["further"])))
    except (RuskaError, KeyError, TypeError):
        return None


def delivered(request: Request) -> Made | None:
    """What a process made that was killed after its output was in place, before it wrote the job's own files."""
    from ruska.engine.ledger import clear_delivered

    if request.output is None or request.task in (*_IN_FOLDERS, "evaluate"):
        return None
    target = Path(request.output)
    try:
        record = read_json(beside(target, whole=request.run.whole_names).record)
        if not is_there(target) or (request.task not in TOOLS and record["request"] != request.to_json()):
            return None
        clear_delivered(target)
        return Made(record, further=tuple(record.get("outputs", ())))
    except (RuskaError, KeyError, TypeError):
        return None


def made_of(result: Any) -> Made:
    """What to remember about a result that is written to its files."""
    record = record_of(result)
    if not isinstance(result, Result):
        return Made(record)
    return Made(record, result.first, tuple(result.outputs))
