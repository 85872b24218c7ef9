"""Restorations of one file or of many, as the commands ask for them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ruska.cli.arguments import open_image, settings_of
from ruska.cli.batch import named_apart, said
from ruska.cli.terminal import complain, say
from ruska.errors import OutputError, RuskaError, SettingsError

if TYPE_CHECKING:
    from ruska.pipeline import Options


class Run:
    """A restoration with its options, for one file or a folder of them."""

    def __init__(
        self, task: str, method: str, settings: dict[str, str], options: Options, opening: tuple[str | None, ...],
        overwrite: bool, report: bool, dry_run: bool, json: bool,
    ) -> None:  # fmt: skip
        self.task, self.method, self.settings, self.options, self.opening = task, method, settings, options, opening
        self.overwrite, self.report, self.dry_run, self.json = overwrite, report, dry_run, json

    def one(self, file: str, output: Path) -> None:
        from ruska.cli import show

        facts = self._restore(file, output)
        if self.json:
            show.json(facts)
        elif self.dry_run:
            show.dry_run(facts, output)
        else:
            show.result(facts, output)

    def folder(self, folder: Path, output: Path | None) -> None:
        """Denoise every image of ``folder``; a bad one is reported and does not stop the others.

        No two results share a file: see `named_apart`.
        """
        from ruska.cli import show
        from ruska.io.folder import members

        target = output or folder.with_name(folder.name + "_denoised")
        if not self.dry_run:
            try:
                target.mkdir(exist_ok=True)
            except OSError as error:
                raise OutputError(target, f"cannot be made ({error.strerror})", "Choose another folder.") from error
        done: dict[str, Any] = {}
        failed: list[RuskaError] = []
        found = named_apart(members(folder, every_format=True), self.options.samples)
        if not self.json and (note := said(found)):
            say(note)
        for one in found:
            try:
                done[one.file.name] = self._restore(str(one.file), target / one.output, one.whole)
            except RuskaError as error:
                failed.append(error)
                complain(str(error))
        if self.json:
            show.json({"done": done, "failed": [str(e) for e in failed]})
        else:
            say(f"{len(done)} images denoised into {target}, {len(failed)} failed.")
        if failed:
            raise typer.Exit(failed[0].exit_code)

    def _restore(self, file: str, output: Path, whole_names: bool = False) -> dict[str, Any]:
        from ruska.cli import show
        from ruska.io.registry import check_name
        from ruska.pipeline import predict_job, run_job

        check_name(output)
        reuse_memory(self.method)
        image = open_image(file, *self.opening)
        with show.progress(quiet=self.json) as progress:
            if self.dry_run:
                return predict_job(image, output, self.method, self.settings, self.options,
                                   overwrite=self.overwrite, report=self.report, whole_names=whole_names,
                                   progress=progress)  # fmt: skip
            result = run_job(self.task, image, output, self.method, self.settings, self.options,
                             overwrite=self.overwrite, report=self.report, whole_names=whole_names,
                             progress=progress)  # fmt: skip
        report = str(result.report) if result.report else None
        return {**result.record, "report": report, "written": str(output)}


def restoration(
    task: str, own: dict[str, Any], set_: list[str] | None, options: Options,
    opening: tuple[str | None, ...], overwrite: bool, report: bool, dry_run: bool, json: bool,
) -> Run:  # fmt: skip
    """A run of ``task`` with its own options, those that were given, before ``--set``."""
    settings = {name: str(value) for name, value in own.items() if value is not None} | settings_of(set_)
    return Run(task, task, settings, options, opening, overwrite, report, dry_run, json)


def reuse_memory(method: str) -> None:
    """Networks are faster when freed memory stays. Here and not in the pipeline: the process is ours alone."""
    from ruska import methods
    from ruska.engine.allocator import keep_freed_memory

    if methods.learns(method):
        keep_freed_memory()


def with_model(model: str | None, method: str, settings: dict[str, str]) -> tuple[str, dict[str, str]]:
    """The method that runs ``model``, and the settings with it among them."""
    if model is None:
        return method, settings
    from ruska.weights import find_card

    card = find_card(model)
    if method not in ("auto", card.method):
        raise SettingsError("--model", f"{model} is a model for {card.method}, not for {method}", "Leave --method out.")
    return card.method, {**settings, "model": model}
