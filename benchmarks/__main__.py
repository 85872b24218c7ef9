"""``python -m benchmarks``: every method on every case, tables, pictures and history. Never needs the network.

Writes ``benchmarks/RESULTS.md`` and ``benchmarks/history.jsonl``; pictures and remembered results go to the ignored
folder ``benchmarks/work``. ``--quick`` takes one case of each kind, ``--slow`` adds what trains for minutes.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path

from benchmarks.cases import TASKS, cases
from benchmarks.judge import Memory, history, judge, tables
from benchmarks.strips import draw

HERE = Path(__file__).parent
_HEAD = """# Results

Written by `python -m benchmarks{flags}` in {minutes:.0f} minutes (remembered results cost nothing), {cores} cores,
Python {python}. Cases and seeds: `benchmarks/cases.py`; methods and their settings: `benchmarks/peers.py`.
Semi-synthetic truths are area-downsampled micrographs; PSNR has a range of 1 and nothing is fitted. Means over cases,
with the 95 % bootstrap interval; *contrast* is the slope of the result over the truth; *resolution* is where their
Fourier ring correlation falls below 1/2. Methods marked (true noise) are told what no user knows.

"""


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one case of each kind, under five minutes")
    parser.add_argument("--slow", action="store_true", help="also what trains for minutes on each image")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--datasets", nargs="+", help="only these")
    parser.add_argument(
        "-o", "--output", type=Path, help="folder; by default benchmarks/ itself, with --quick benchmarks/work"
    )
    options = parser.parse_args()
    started = time.perf_counter()
    memory = Memory(HERE / "work" / "results")
    chosen = [
        case for case in cases(tuple(options.tasks))
        if (case.quick or not options.quick) and (not options.datasets or case.dataset in options.datasets)
    ]  # fmt: skip
    rows = judge(chosen, memory, slow=options.slow)
    whole = not (options.quick or options.datasets) and set(options.tasks) == set(TASKS)
    folder = options.output or (HERE if whole else HERE / "work")
    folder.mkdir(parents=True, exist_ok=True)
    spent = (time.perf_counter() - started) / 60
    flags = "".join(f" --{name}" for name in ("quick", "slow") if getattr(options, name))
    head = _HEAD.format(flags=flags, minutes=spent, cores=os.cpu_count(), python=platform.python_version())
    (folder / "RESULTS.md").write_text(head + tables(rows), encoding="utf-8")
    if whole:
        history(rows, HERE / "history.jsonl")
    for case in chosen:
        draw(case, rows, memory, HERE / "work" / "strips" / f"{case.name.replace(' ', '_').replace(',', '')}.png")
    print(f"{folder / 'RESULTS.md'}; pictures in {HERE / 'work' / 'strips'}; {spent:.1f} minutes")


if __name__ == "__main__":
    main()
