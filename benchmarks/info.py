"""``ruska info`` on every instrument file and one image of each dataset: ``python -m benchmarks.info [--limit 1]``.

Seconds beyond start-up, in one process that has imported everything: wall time, and the processor's, which other
programs do not change. A traceback is a fault. Needs the folder of real micrographs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cases import DATA


@dataclass(frozen=True)
class Look:
    """What one ``ruska info`` came to. ``said``: the error in a sentence, empty when there was none."""

    file: str
    exit_code: int
    wall: float
    processor: float
    said: str

    @property
    def traceback(self) -> bool:
        return "Traceback" in self.said


def inputs() -> Iterator[Path]:
    """Every file of ``formats`` and the first of each dataset of ``val``."""
    yield from sorted(p for p in (DATA / "formats").rglob("*") if p.is_file())
    for folder in sorted(p for p in (DATA / "val").iterdir() if p.is_dir()):
        yield next(p for p in sorted(folder.rglob("*")) if p.is_file())


def look(path: Path) -> Look:
    """Run the command here, its output thrown away."""
    from ruska.cli.main import main

    words, code, said = sys.argv, 0, io.StringIO()
    sys.argv = ["ruska", "info", str(path)]
    wall, processor = time.perf_counter(), time.process_time()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.argv = words
    passed = (time.perf_counter() - wall, time.process_time() - processor)
    return Look(path.relative_to(DATA).as_posix(), code, *passed, said.getvalue().strip())


def table(looks: list[Look], limit: float) -> str:
    slow = sorted((one for one in looks if one.processor > limit), key=lambda one: -one.processor)
    rows = [f"| {one.file} | {one.wall:.2f} s | {one.processor:.2f} s |" for one in slow]
    refused = sum(one.exit_code != 0 for one in looks)
    worst = max(one.processor for one in looks)
    head = (f"{len(looks)} files, {refused} refused in a sentence, {sum(one.traceback for one in looks)} tracebacks; "
            f"{len(slow)} above {limit:g} s of processor time, the longest {worst:.2f} s.")  # fmt: skip
    return "\n".join([head, "", "| slower | wall | processor |", "|---|---|---|", *rows] if rows else [head])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=float, default=1.0, help="seconds above which a file is listed")
    parser.add_argument("--part", choices=("formats", "val"), help="only these")
    options = parser.parse_args()
    look(next(inputs()))  # imports
    found = [look(path) for path in inputs() if options.part in (None, path.relative_to(DATA).parts[0])]
    print(table(found, options.limit))
    for one in found:
        if one.traceback or one.exit_code == 1:
            print(one.file, one.said)
    if any(one.traceback for one in found):
        raise SystemExit("tracebacks reached the user")


if __name__ == "__main__":
    main()
