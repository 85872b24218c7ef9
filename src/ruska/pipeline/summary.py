"""The outcomes of a batch in a table: a row for each image, for reading and as ``summary.csv`` beside the results."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruska.errors import JobBusyError
from ruska.pipeline.earlier import inside

if TYPE_CHECKING:
    from ruska.pipeline.batch import Outcome

FIELDS = ("file", "output", "state", "method", "noise_before", "noise_after", "verdict", "better_than_input",
          "seconds", "reason")  # fmt: skip
_NAME = "summary.csv"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what makes a cell a formula in spreadsheets


def row_of(outcome: Outcome) -> dict[str, Any]:
    """By `FIELDS`; None where unknown.

    noise_before, noise_after : standard deviation, grey levels of the input. seconds : to measure, learn and
    restore. reason : why it failed.
    """
    record = outcome.record
    verdict = dict(inside(record, "verdict") or {})
    return {
        "file": outcome.file,
        "output": str(outcome.output),
        "state": outcome.state,
        "method": record.get("method"),
        "noise_before": inside(verdict, "numbers", "noise_before"),
        "noise_after": inside(verdict, "numbers", "noise_after"),
        "verdict": verdict.get("level"),
        "better_than_input": verdict.get("better_than_input"),
        "seconds": _seconds(record),
        "reason": None if outcome.error is None else str(outcome.error),
    }


def _seconds(record: Mapping[str, Any]) -> float | None:
    times = record.get("times")
    if not isinstance(times, Mapping):
        return None
    spent = [times.get(name) for name in ("statistics", "method", "run")]
    spent.append(inside(record, "samples", "seconds"))
    return float(sum(t for t in spent if isinstance(t, int | float)))


def write_summary(folder: Path, outcomes: Sequence[Outcome]) -> Path:
    """Write a row for each of ``outcomes`` (done, now or before, or failed) into ``summary.csv``; returns its path.

    Rows of other results are kept, those that another run wrote meanwhile included. A file of that name that is not a
    summary is left alone, and a number is added to the name. Raises OutputError when it cannot be written.
    """
    from ruska.report import place

    file, before = _own(folder)
    rows = {row["output"]: row for row in before}
    for outcome in outcomes:
        row = row_of(outcome)
        row |= {"output": _relative(outcome.output, folder), "state": "failed" if outcome.error else "done"}
        cells = {name: _cell(value) for name, value in row.items()}
        if isinstance(outcome.error, JobBusyError) and rows.get(cells["output"], {}).get("state") == "done":
            continue  # by the batch beside this one
        rows[cells["output"]] = cells
    text = StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows.values())
    place(file, text.getvalue().encode("utf-8", "backslashreplace"))
    return file


def _own(folder: Path) -> tuple[Path, list[dict[str, str]]]:
    """Path of a folder's summary, existing or not, and its rows."""
    number = 1
    while True:
        file = folder / (_NAME if number == 1 else f"summary.{number}.csv")
        if not os.path.lexists(file):
            return file, []
        rows = _rows(file)
        if rows is not None:
            return file, rows
        number += 1


def _rows(file: Path) -> list[dict[str, str]] | None:
    """None if it is not a summary by Ruska."""
    if file.is_symlink() or not file.is_file():
        return None
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            return list(reader) if tuple(reader.fieldnames or ()) == FIELDS else None
    except (OSError, ValueError, csv.Error):
        return None


def _relative(output: Path, folder: Path) -> str:
    return output.relative_to(folder).as_posix() if folder in output.parents else str(output)


def _cell(value: Any) -> Any:
    """Numbers with five digits; text that a spreadsheet would take for a formula with ``'`` before it."""
    if isinstance(value, float):
        return f"{value:.5g}"
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
