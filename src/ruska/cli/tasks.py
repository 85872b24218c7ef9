"""The restoration commands, one for each task, made from the descriptions of the methods.

Options come from the JSON Schema of the settings and of `RunOptions`, so a new method or setting, here or in another
package, needs no change in this room. A command is made when it is called, not when it is listed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from ruska.cli.arguments import parse_roi, settings_of
from ruska.cli.completion import one_of

TASKS = {
    "denoise": "Remove noise from an image, stack or volume of any size. The same command resumes a run.",
    "deblur": "Undo a blur in every slice, known or unknown, with the prior.",
    "superres": "Make the pixels of every slice finer along Y and X, with the prior.",
    "isotropic": "Make the voxels of a volume isotropic by adding slices, with the prior.",
}
"""What the built-in tasks are for, in the order of the help; others follow."""
_HIDDEN = ("whole_names",)  # run options that no command has
_OF_THE_INPUT = ("axes", "voxel_size", "dark", "dark_as", "gain", "gain_as", "defects", "defects_as")
_KINDS = {"integer": "INTEGER", "number": "FLOAT", "string": "TEXT"}
Option = tuple[str, Any, Any]  # name, annotation, default


class Commands(TyperGroup):
    """The program's commands: the fixed ones, and one for each task."""

    _listing = False

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Without making any command of a task."""
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        written = super().list_commands(ctx)
        return [written[0], *(name for name in summaries() if name not in written), *written[1:]]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        written = super().get_command(ctx, cmd_name)  # no task of another package stands before it
        known = {} if written is not None else summaries()
        if cmd_name not in known:
            return written
        if self._listing:
            return TyperCommand(cmd_name, help=known[cmd_name])
        return command_of(cmd_name, known[cmd_name])


def summaries() -> dict[str, str]:
    """Every task, built-in or added, with its purpose. Methods are searched only if some were added."""
    from importlib.metadata import entry_points
    from sys import modules

    registry = modules.get("ruska.methods.registry")
    if not entry_points(group="ruska.methods") and not (registry is not None and registry.added()):
        return TASKS
    from ruska.pipeline import methods

    more: dict[str, str] = {}
    for name in methods.names():
        if name not in methods.METHODS and (known := methods.about(name)).task not in TASKS:
            more.setdefault(known.task, known.summary)
    return {**TASKS, **more}


def command_of(task: str, summary: str) -> Any:
    """The command of a task, with its options."""
    from ruska.pipeline import methods
    from ruska.pipeline.request import FLAGS, RunOptions

    names = methods.names(task)
    usual = "auto" if task == "denoise" else task if task in names else names[0]
    fixed = [
        *_fixed_options(usual, alone=names == (task,)),
        *_run_options(RunOptions.model_json_schema()["properties"], FLAGS),
    ]
    roles = [role for role in methods.other_inputs(task) if role not in _names(fixed)]
    fixed += [_role_option(role) for role in roles]
    # a setting whose name is that of another option goes by --set
    own = [] if usual == "auto" else _setting_options(methods.about(usual).record, _names(fixed))
    first = sum(name not in RunOptions.model_fields and name not in roles for name, *_ in fixed)
    options = [*fixed[:first], *own, *fixed[first:]]
    settings = _names(own)

    def call(**given: Any) -> None:
        run_command(task, {"method": usual, **given}, settings, roles)

    app = typer.Typer(add_completion=False)
    app.command(task, help=summary)(_with_options(call, options))
    return typer.main.get_command(app)


def _with_options(call: Callable[..., None], options: list[Option]) -> Callable[..., None]:
    """``call`` with the signature of these parameters."""
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(n, keyword, default=default, annotation=kind) for n, kind, default in options]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {name: kind for name, kind, _ in options}
    return call


def _fixed_options(usual: str, *, alone: bool) -> list[Option]:
    """alone : the task has one method, of the same name, so there is nothing to choose."""
    from ruska.cli import options as known

    chosen = [] if alone else [("method", known.Method, usual)]
    return [
        ("file", known.Files, inspect.Parameter.empty), ("output", known.Output, None), *chosen,
        ("set_", known.Set, None), ("model", known.Model, None), ("axes", known.Axes, None),
        ("voxel_size", known.VoxelSize, None), ("dark", known.Dark, None), ("dark_as", known.DarkAs, None),
        ("gain", known.Gain, None), ("gain_as", known.GainAs, None), ("defects", known.Defects, None),
        ("defects_as", known.DefectsAs, None),
        ("batch", known.Batch, False), ("recursive", known.Recursive, False),
        ("dry_run", known.DryRun, False), ("json", known.Json, False),
    ]  # fmt: skip


def _names(options: list[Option]) -> set[str]:
    return {name for name, *_ in options}


def _setting_options(record: Any, taken: set[str]) -> list[Option]:
    """The basic settings of a method; the others go by ``--set``. Values are checked by the record, in one place."""
    found: list[Option] = []
    for name, about in record.model_json_schema().get("properties", {}).items():
        if about["level"] == "basic" and name not in taken:
            option = _valued(name, about)
            found.append((name, Annotated[str | None, option], None))
    return found


def _run_options(properties: Mapping[str, Any], flags: Mapping[str, str]) -> list[Option]:
    """flags : of `request.FLAGS`."""
    found: list[Option] = []
    for name, about in properties.items():
        if name in _HIDDEN:
            continue
        if name in flags:
            kind = Annotated[bool, typer.Option(f"--{flags[name]}-{name}", help=about["description"])]
            found.append((name, kind, False))
            continue
        if about.get("type") == "boolean":
            both = f"{_dashed(name)}/--no-{_dashed(name)[2:]}"
            found.append((name, Annotated[bool, typer.Option(both, help=about["description"])], about["default"]))
            continue
        option = _valued(name, about)
        found.append((name, Annotated[str | None, option], None))
    return found


def _valued(name: str, about: Mapping[str, Any]) -> Any:
    """An option with a value; the shell completes it if it is one of a few words."""
    kind = _kind(about)
    return typer.Option(_dashed(name), metavar=kind, help=_help(about), autocompletion=one_of(kind))


def _role_option(role: str) -> Option:
    return (
        role,
        Annotated[str | None, typer.Option(_dashed(role), metavar="FILE", help=f"The {role} beside the image.")],
        None,
    )


def _dashed(name: str) -> str:
    return "--" + name.replace("_", "-")


def _kind(about: Mapping[str, Any]) -> str:
    """How the help shows a value: its kind, or the words allowed."""
    for part in (about, *about.get("anyOf", ())):
        if "enum" in part:
            return "|".join(map(str, part["enum"]))
        if part.get("type") in _KINDS:
            return "FILE" if part.get("format") == "file" else _KINDS[part["type"]]
    return "TEXT"


def _help(about: Mapping[str, Any]) -> str:
    default = about.get("default")
    return about["description"] + ("" if default is None else f" [default: {default}]")


def run_command(task: str, given: Mapping[str, Any], settings: set[str], roles: Sequence[str]) -> None:
    """Make the request, and run it on the file, or on each of several."""
    from ruska.cli.batch import is_batch, run_batch
    from ruska.pipeline.output_names import default_output

    request = request_of(task, given, settings, roles)
    if is_batch(given):
        run_batch(request, given)
        return
    output = given["output"] or default_output(given["file"][0], task)
    _one(request.model_copy(update={"output": str(output)}), given)


def request_of(task: str, given: Mapping[str, Any], settings: set[str], roles: Sequence[str]) -> Any:
    """The command line as a request, without its output."""
    from ruska.pipeline import Input, Request, RunOptions
    from ruska.pipeline.request import FLAGS, checked

    own = {name: given[name] for name in sorted(settings) if given[name] is not None} | settings_of(given["set_"])
    if given["model"] is not None:
        own["model"] = given["model"]
    image = Input(path=given["file"][0], **{name: given[name] for name in _OF_THE_INPUT})
    others = {role: Input(path=given[role]) for role in roles if given[role] is not None}
    asked = {name: given[name] for name in RunOptions.model_fields if given.get(name) is not None}
    for name in FLAGS.keys() & asked.keys():
        flagged = asked.pop(name)
        asked |= {name: FLAGS[name]} if flagged else {}
    if "roi" in asked:
        asked["roi"] = parse_roi(asked["roi"])
    return Request(task=task, method=given["method"], settings=own, inputs={"image": image, **others},
                   run=checked(RunOptions, asked, "options"))  # fmt: skip


def _one(request: Any, given: Mapping[str, Any]) -> None:
    from ruska.cli import show

    facts = carry_out(request, quiet=given["json"], dry_run=given["dry_run"])
    output = Path(request.output)
    if given["json"]:
        show.json(facts)
    elif given["dry_run"]:
        show.dry_run(facts, output)
    else:
        show.result(facts, output)


def carry_out(request: Any, *, quiet: bool, dry_run: bool = False) -> dict[str, Any]:
    """The record of a run, or what it would do."""
    from ruska import pipeline
    from ruska.cli import show

    with show.progress(quiet=quiet) as progress:
        context = pipeline.Here(event=show.told(progress, quiet=quiet), own_process=True)
        if dry_run:
            return pipeline.foresee(request, context)
        result = pipeline.run(request, context)
    report = str(result.report) if result.report else None
    return {**result.record, "report": report, "written": request.output}
