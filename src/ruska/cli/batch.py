"""Several files with one command: the progress bar, and the table at the end."""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ruska.cli.terminal import complain, say, screen, show_fault
from ruska.errors import OutputError, RuskaError, SettingsError

if TYPE_CHECKING:
    from ruska.pipeline import Request
    from ruska.pipeline.batch import Batch, Outcome

_NARROW = 80  # columns of a terminal below which a table would be folded beyond reading
_MOST_REMARKS, _MOST_NAMED = 8, 3
_NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?")
_FAULT = "this is a fault in Ruska. Please report the lines marked | above with `ruska doctor --json`."


def is_batch(given: Mapping[str, Any]) -> bool:
    """Whether images are restored one by one into a folder: several files, a pattern or an output folder was given."""
    from ruska.pipeline.gathering import is_pattern

    files, output = given["file"], given["output"]
    if given["recursive"] and not given["batch"]:
        raise SettingsError("--recursive", "applies only with --batch", "Add --batch.")
    return given["batch"] or len(files) > 1 or is_pattern(files[0]) or (output is not None and _is_folder(output))


def _is_folder(output: str) -> bool:
    """Whether it can only mean a folder for results."""
    from ruska.pipeline.gathering import is_plain_folder

    return output.endswith((os.sep, "/")) or is_plain_folder(Path(output))


def run_batch(request: Request, given: Mapping[str, Any]) -> None:
    """Restore every image, or say what would be done; the exit code is that of the first that fails."""
    from ruska.cli import show
    from ruska.pipeline.batch import plan

    output = None if given["output"] is None else Path(given["output"])
    batch = plan(request, given["file"], output, folders=given["batch"], recursive=given["recursive"])
    quiet, dry = given["json"], given["dry_run"]
    for note in () if quiet else batch.notes:
        say(note)
    outcomes: list[Outcome] = []
    try:
        for outcome in _outcomes(batch, quiet=quiet, dry_run=dry):
            outcomes.append(outcome)
    finally:  # what was done until Ctrl-C is told, too
        summary = None if dry else _summary(batch, outcomes)
        if quiet:
            show.json([_facts(outcome) for outcome in outcomes])
        elif outcomes or not batch.each:
            _tell(batch, outcomes, summary, dry_run=dry)
    failed = [outcome.error for outcome in outcomes if outcome.error is not None]
    if failed:
        raise typer.Exit(getattr(failed[0], "exit_code", 1))


def _outcomes(batch: Batch, *, quiet: bool, dry_run: bool) -> Iterator[Outcome]:
    """One by one under one progress bar; without a terminal, a line for each."""
    from ruska import pipeline
    from ruska.cli import show
    from ruska.pipeline.batch import foresee, run

    with show.progress(quiet=quiet) as progress:
        context = pipeline.Here(event=_told(show.told(progress), quiet=quiet), own_process=True)
        for number, outcome in enumerate((foresee if dry_run else run)(batch, context), 1):
            if progress is None and not quiet:
                say(f"{number} of {len(batch.each)}  {_line(outcome, dry_run=dry_run)}")
                sys.stdout.flush()
            if outcome.error is not None and not isinstance(outcome.error, RuskaError):
                show_fault(outcome.error)
                outcome.error.__traceback__ = None
            yield outcome


def _told(event: Callable[..., None], *, quiet: bool) -> Callable[..., None]:
    """Print ``event``; with JSON output, without notes."""
    return lambda stage, done, total, note="": event(stage, done, total, "" if quiet else note)


def _facts(outcome: Outcome) -> dict[str, Any]:
    from ruska.pipeline.summary import row_of

    report = None if outcome.report is None else str(outcome.report)
    return {**row_of(outcome), "report": report, "record": dict(outcome.record)}


def _summary(batch: Batch, outcomes: Sequence[Outcome]) -> Path | None:
    from ruska.pipeline.summary import write_summary

    if batch.folder is None or not batch.folder.is_dir() or not outcomes:
        return None
    try:
        return write_summary(batch.folder, outcomes)
    except OutputError as error:
        complain(str(error))
        return None


def _tell(batch: Batch, outcomes: Sequence[Outcome], summary: Path | None, *, dry_run: bool) -> None:
    """Print the table, the totals, and the failures."""
    if sys.stdout.isatty():
        _draw(outcomes, batch.folder, dry_run=dry_run)
    say(_counts(batch, outcomes, dry_run=dry_run))
    if summary is not None:
        say(f"These numbers are in {summary}.")
    for line in (*_losses(outcomes), *_remarks(outcomes)):
        say(line)
    for line in _doubts(outcomes):
        say(line)
    sys.stdout.flush()
    for line in _reasons(outcomes):
        complain(line)


def _doubts(outcomes: Sequence[Outcome]) -> list[str]:
    """Results that are probably spoiled, or no better than their input: a line for all of which the same is true."""
    from ruska.cli import show

    found: dict[str, list[str]] = {}
    for file, headline in show.doubtful({one.file: one.record for one in outcomes if one.error is None}):
        found.setdefault(headline, []).append(file)
    return [f"{_some(files)}: {headline}" for headline, files in found.items()]


def _some(files: Sequence[str]) -> str:
    more = len(files) - _MOST_NAMED
    return ", ".join(files) if more <= 1 else f"{', '.join(files[:_MOST_NAMED])} and {more} more"


def _remarks(outcomes: Sequence[Outcome]) -> list[str]:
    """What runs warned of, in a line for all of which the same is true but for its numbers, with those of the first."""
    found: dict[str, tuple[str, list[str]]] = {}
    for outcome in outcomes:
        record = outcome.record if outcome.state in ("done", "foreseen") else {}
        for sentence in record.get("warnings" if outcome.state == "done" else "notes") or ():
            _, files = found.setdefault(_NUMBER.sub("#", sentence), (sentence, []))
            files.append(outcome.file)
    lines = [f"{files[0]}{f' and {len(files) - 1} more' * (len(files) > 1)}: {sentence}"
             for sentence, files in found.values()]  # fmt: skip
    left = len(lines) - _MOST_REMARKS
    return [*lines[:_MOST_REMARKS], f"{left} more remarks are in the records."] if left > 0 else lines


def _losses(outcomes: Sequence[Outcome]) -> list[str]:
    """What the results of a dry run could not hold; files that lose the same share a line."""
    found: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.state == "foreseen" and (sentence := outcome.record.get("losses")):
            found.setdefault(sentence, []).append(outcome.output.name)
    return [f"{files[0]}{f' and {len(files) - 1} more' * (len(files) > 1)}: {sentence}"
            for sentence, files in found.items()]  # fmt: skip


def _reasons(outcomes: Sequence[Outcome]) -> list[str]:
    """Why images failed: a line for all for which the same is true, which begins with their names."""
    found: dict[str, list[str]] = {}
    for outcome in outcomes:
        if outcome.error is not None:
            words = _reason(outcome)
            known = words.startswith(f"{outcome.file}: ")
            found.setdefault(words[len(outcome.file) :] if known else words, []).append(outcome.file if known else "")
    return [f"{_some(files) if files[0] else ''}{words}" for words, files in found.items()]


def _reason(outcome: Outcome) -> str:
    """Why it failed, beginning with the name of the image."""
    from ruska.plain_text import one_line

    words = str(outcome.error) if isinstance(outcome.error, RuskaError) else _FAULT
    if outcome.file in words:
        return words
    name = one_line(Path(outcome.file).name)
    return outcome.file + (words.removeprefix(name) if words.startswith(f"{name}:") else f": {words}")


def _counts(batch: Batch, outcomes: Sequence[Outcome], *, dry_run: bool) -> str:
    """``27 of 40 images restored into out; 12 of 40 already done, skipped; 1 of 40 failed.``"""
    from ruska.cli.show import duration
    from ruska.pipeline import format_bytes

    number = {state: sum(o.state == state for o in outcomes) for state in ("done", "skipped", "failed", "foreseen")}
    total = len(batch.each)
    into = "" if batch.folder is None else f" into {batch.folder}"
    parts = [f"{number['foreseen' if dry_run else 'done']} of {total} images {'would be ' * dry_run}restored{into}"]
    parts += [
        f"{number[state]} of {total} {words}"
        for state, words in (("skipped", "already done, skipped"), ("failed", "would fail" if dry_run else "failed"))
        if number[state]
    ]
    parts += [f"{total - len(outcomes)} of {total} not begun"] if len(outcomes) < total else []
    jobs = [o.record["job"] for o in outcomes if o.state == "foreseen" and o.record["job"]]
    takes = (
        f" It would take {duration(sum(job['seconds'] for job in jobs))} on this machine, and up to "
        f"{format_bytes(max(job['memory_bytes'] for job in jobs))} of memory." if jobs else ""
    )  # fmt: skip
    return f"{'Nothing was done. ' * dry_run}{'; '.join(parts)}.{takes}"


def _draw(outcomes: Sequence[Outcome], folder: Path | None, *, dry_run: bool) -> None:
    """Draw a table, or in a narrow terminal a line for each."""
    from rich.table import Table
    from rich.text import Text

    from ruska.plain_text import one_line

    if shutil.get_terminal_size().columns < _NARROW:
        for outcome in outcomes:
            say(_line(outcome, dry_run=dry_run))
        return
    grid = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    told = ("size", "method", "time", "memory") if dry_run else ("method", "noise", "verdict", "time")
    columns = ("file", *told, "output")
    for name in columns:
        grid.add_column(name, overflow="fold", no_wrap=name in ("time", "memory"))
    images = _common_folder([outcome.file for outcome in outcomes])
    for outcome in outcomes:
        cells = _cells(outcome)
        cells |= {"file": _below(images, cells["file"]), "output": _below(folder or images, cells["output"])}
        if outcome.error is not None:
            cells["method" if dry_run else "verdict"] = "would fail, see below" if dry_run else "failed, see below"
        grid.add_row(*(Text(one_line(cells.get(name, ""))) for name in columns))
    screen().print(grid)


def _common_folder(files: Sequence[str]) -> Path | None:
    """A folder that holds all files; None if there is none."""
    try:
        return Path(os.path.commonpath([os.path.dirname(file) for file in files]))
    except ValueError:
        return None


def _below(folder: Path | None, file: str) -> str:
    """``file`` as it is called from ``folder``."""
    path = Path(file)
    return str(path.relative_to(folder)) if folder is not None and folder in path.parents else file


def _line(outcome: Outcome, *, dry_run: bool = False) -> str:
    """An outcome without a table."""
    cells = _cells(outcome)
    if outcome.error is not None and dry_run:
        cells["verdict"] = "would fail"
    said = {name: cells[name] for name in ("size", "method", "noise", "verdict", "time", "memory") if cells.get(name)}
    if "noise" in said:
        said["noise"] = f"noise {said['noise']}"
    return f"{cells['file']}: {', '.join(said.values())}" + f" ({cells['output']})" * (outcome.error is None)


def _cells(outcome: Outcome) -> dict[str, str]:
    """An outcome by column, as far as known."""
    from ruska.cli.show import MARK
    from ruska.pipeline import format_bytes
    from ruska.pipeline.summary import row_of

    row = row_of(outcome)
    cells = {"file": outcome.file, "output": str(outcome.output), "method": row["method"] or ""}
    if outcome.error is not None:
        return {"file": outcome.file, "verdict": "failed", "output": ""}
    if outcome.state == "foreseen":
        job = outcome.record["job"]
        cells["size"] = f"{' x '.join(map(str, outcome.record['shape']))} {outcome.record['dtype']}"
        if job:
            cells |= {"time": _time(job["seconds"]), "memory": format_bytes(job["memory_bytes"])}
        return cells
    if row["noise_before"] is not None and row["noise_after"] is not None:
        cells["noise"] = f"{row['noise_before']:.3g} -> {row['noise_after']:.3g}"
    cells["verdict"] = MARK.get(row["verdict"], "")
    cells["time"] = "done before" if outcome.state == "skipped" else _time(outcome.seconds)
    return cells


def _time(seconds: float) -> str:
    from ruska.cli.show import duration

    return f"{max(seconds, 0.1):.1f} s" if seconds < 10 else duration(seconds)
