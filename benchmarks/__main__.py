"""``python -m benchmarks``: every method on every case, tables, pictures and history. Never needs the network.

Writes ``benchmarks/RESULTS.md``, the bars that Ruska sets itself first, and ``benchmarks/history.jsonl``; pictures and
remembered results go to the ignored folder ``benchmarks/work``. ``--quick`` takes one case of each kind, ``--slow``
adds what trains for minutes and larger volumes. Stopped, it goes on where it was.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import bars, cuts, pixel_size, robustness, samplers, speed
from benchmarks.cases import TASKS, Case, cases
from benchmarks.judge import Memory, history, judge
from benchmarks.memory import peak_memory
from benchmarks.notes import Notes
from benchmarks.peers import PEERS, card
from benchmarks.samplers import SAMPLERS
from benchmarks.strips import draw
from benchmarks.tables import by_peer, tables
from ruska.engine.allocator import keep_freed_memory

HERE = Path(__file__).parent
SECTIONS = ("quality", "samplers", "robustness", "speed")
STRIPS = HERE / "work" / "strips"
_HEAD = """# Results

Written by `python -m benchmarks{flags}` with the weights {weights} ({digest}) in {minutes:.0f} minutes, {work:.0f} of
them of the processor (remembered results cost nothing), {cores} cores, Python {python}. Cases and seeds:
`benchmarks/cases.py`; methods and their settings: `benchmarks/peers.py`, `benchmarks/samplers.py`; how to read the
columns: `docs/benchmark.md`. Semi-synthetic truths are area-downsampled micrographs; PSNR has a range of 1 and nothing
is fitted. Real pairs are scored by the data folder's `score_pairs.py`. Means over cases, with the 95 % bootstrap
interval. *error / best classical* is the squared error over that of the strongest peer without a network (geometric
mean over cases: below 1 is better). *resolution* is where result and truth correlate by 1/2; *contrast* the slope of
the result over the truth; *residual* how far what was removed is from the noise's spectrum; *s per Mpx* seconds of the
processor; *MB* the peak of memory over what the process held before, on one image or volume in a process of its own;
*passes* those of a network. Methods marked (true noise) are told what no user knows; (tuned to the truth) has the best
of three strengths for each image.

Left out: {absent}.

"""


def main() -> None:
    """Run what was asked for."""
    keep_freed_memory()  # as the command line does
    options = _options()
    started = time.perf_counter(), _processor()
    memory, notes = Memory(HERE / "work" / "results"), Notes(HERE / "work" / "results")
    chosen = [case for case in cases(tuple(options.tasks)) if _wanted(case, options)]
    rows = judge(chosen, memory, slow=options.slow, only=options.peers or ())
    text, found = _sections(options, rows, chosen, memory, notes)
    whole = (
        not (options.quick or options.datasets or options.cases or options.peers)
        and set(options.tasks) == set(TASKS)
        and set(options.sections) == set(SECTIONS)
    )
    folder = options.output or (HERE if whole else HERE / "work")
    folder.mkdir(parents=True, exist_ok=True)
    spent = (time.perf_counter() - started[0]) / 60, (_processor() - started[1]) / 60
    flags = "".join(f" --{name}" for name in ("quick", "slow") if getattr(options, name))
    head = _HEAD.format(flags=flags, minutes=spent[0], work=spent[1], cores=os.cpu_count(), weights=card().name,
                        digest=card().sha256[:12], python=platform.python_version(),
                        absent=_absent([*rows, *found.samplers], options) or "nothing")  # fmt: skip
    (folder / "RESULTS.md").write_text(head + "\n".join(text).rstrip() + "\n", encoding="utf-8")
    if whole:
        history(rows, HERE / "history.jsonl")
    _draw(chosen, rows, memory)
    print(f"{folder / 'RESULTS.md'}; pictures in {STRIPS}; {spent[0]:.1f} minutes")


def _sections(
    options: argparse.Namespace, rows: list[dict[str, Any]], chosen: list[Case], memory: Memory, notes: Notes
) -> tuple[list[str], bars.Measured]:
    """The text, bars first, and what they are computed from."""
    text, found = [], bars.Measured(rows)
    if "quality" in options.sections:
        others = [r for r in rows if not (r["ours"] and "(true noise)" in r["peer"])]  # told or not, it takes the same
        names = {task: set(by_peer([r for r in others if r["task"] == task])) for task in options.tasks}
        text.append(tables(rows, {} if options.quick else peak_memory(chosen, notes, names)))
    if "isotropic" in options.tasks and "quality" in options.sections:
        found = replace(found, cuts=cuts.measured([c for c in chosen if c.task == "isotropic"], memory))
        text.append(cuts.table(found.cuts))
    if "samplers" in options.sections:
        small = judge(samplers.small_cases(tuple(options.tasks)), memory, peers=samplers.peers_of)
        found = replace(found, samplers=small)
        text.append(samplers.section(small))
    if "robustness" in options.sections:
        found = replace(found, changes=robustness.measured(notes), sizes=pixel_size.measured(notes))
        text.append(robustness.section(found.changes or {}, found.sizes or {}))
    if "speed" in options.sections:
        found = replace(found, passes=speed.passes(notes))
        text.append(speed.section(rows, notes, dict(found.passes or {}), slow=options.slow))
    return [bars.section(found), *text], found


def _processor() -> float:
    """Seconds of the processor so far, with those of processes that were started and have ended."""
    return sum(os.times()[:4])


def _draw(chosen: list[Case], rows: list[dict[str, Any]], memory: Memory) -> None:
    for case in chosen:
        name = case.name.replace(" ", "_").replace(",", "")
        draw(case, rows, memory, STRIPS / f"{name}.png")
        if case.task == "isotropic":
            cuts.draw(case, memory, STRIPS / f"cuts_{case.setting}.png")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one case of each kind, under five minutes")
    parser.add_argument("--slow", action="store_true", help="also what trains for minutes, and larger volumes")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, help="default: all; of a part: quality")
    parser.add_argument("--datasets", nargs="+", help="only these")
    parser.add_argument("--cases", nargs="+", help="only these, by name: 'denoise isbi2012 50 e'")
    parser.add_argument("--peers", nargs="+", help="only these, slow ones too, by name: 'CAREamics Noise2Void'")
    parser.add_argument(
        "-o", "--output", type=Path, help="folder; by default benchmarks/ itself, for less than all benchmarks/work"
    )
    options = parser.parse_args()
    unknown = set(options.peers or ()) - {peer.name for peers in PEERS.values() for peer in peers}
    if unknown:
        parser.error(f"no peer is called {', '.join(sorted(unknown))}: see benchmarks/peers.py")
    if options.sections is None:
        part = options.quick or options.datasets or options.cases or options.peers
        options.sections = SECTIONS[:1] if part else SECTIONS
    return options


def _wanted(case: Case, options: argparse.Namespace) -> bool:
    return (
        (case.quick or not options.quick)
        and (not options.datasets or case.dataset in options.datasets)
        and (not options.cases or case.name in options.cases)
    )


def _absent(rows: list[dict[str, Any]], options: argparse.Namespace) -> str:
    """Peers that were asked for and have no row, and why."""
    there = {row["peer"] for row in rows}
    asked = {row["task"] for row in rows}
    found = {
        peer.name: peer.missing or ("trains for minutes: --slow" if peer.slow and not options.peers
                                     else "failed, or fits none of the cases")
        for task in asked for peer in (*PEERS[task], *(SAMPLERS[task] if "samplers" in options.sections else ()))
        if peer.name not in there and peer.name in (options.peers or (peer.name,))
    }  # fmt: skip
    return "; ".join(f"{name} ({why})" for name, why in found.items())


if __name__ == "__main__":
    main()
