"""The bars that Ruska sets itself, computed from the rows: what was aimed at, what was found, what lies between.

Ruska's rows are those that are told nothing; peers may be told the true noise, or tuned to the truth.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import forward, pixel_size
from benchmarks.cuts import SHOWN, TRUTH
from benchmarks.samplers import FLOW, OWN, STEPPED, compared
from benchmarks.tables import Rows, best_classical, by_peer

WHITE = "Anscombe BM3D (true noise)"
TUNED = "BM3D, spectrum (tuned to the truth)"
TUNED_PSNR, TUNED_SSIM = 32.4, 0.86
"""Of BM3D tuned to the truth on these pairs, as the data folder has it."""
TUNED_PAIRS = ("kriss pair 1", "kriss pair 10", "kriss pair 19", "kriss pair 28")
BACK_PROJECTED = SHOWN[1]
_MOST_COST = 0.5  # dB, of a change that should not matter


@dataclass(frozen=True)
class Bar:
    """One line. margin : how far the figure is beyond the goal, 0 or more where it is met; None: not measured."""

    task: str
    goal: str
    figure: str
    margin: float | None

    @property
    def line(self) -> str:
        reached = "not measured" if self.margin is None else "yes" if self.margin >= 0 else "**no**"
        margin = "" if self.margin is None else f"{self.margin:+.2f}"
        return f"| {self.task} | {self.goal} | {self.figure} | {margin} | {reached} |"


@dataclass(frozen=True)
class Measured:
    """All that bars are computed from; what was not measured is empty.

    rows : of the judge. samplers : of `samplers`. changes : of `robustness`. sizes : of `pixel_size`. cuts : of `cuts`.
    passes : of `forward`.
    """

    rows: Rows = ()
    samplers: Rows = ()
    changes: Mapping[str, Mapping[str, Sequence[float | None]]] | None = None
    sizes: dict[str, dict[str, list[float]]] | None = None
    cuts: Sequence[Mapping[str, Any]] = ()
    passes: Mapping[str, Any] | None = None


def section(found: Measured) -> str:
    """Markdown."""
    head = ["| task | goal | found | beyond the goal | met |", "|---" * 5 + "|"]
    return "\n".join(["## Bars", "", _ABOUT, "", *head, *(bar.line for bar in bars(found)), ""])


_ABOUT = (
    "Computed from the tables below. Ruska is told nothing; *(true noise)* and *(tuned to the truth)* peers are. "
    "*Beyond the goal* is in the goal's unit, negative where it is missed. Times are of the processor, of all cores "
    "together."
)


def bars(found: Measured) -> list[Bar]:
    """All bars, in the order of the tasks."""
    made = [*_denoise(found.rows), _pairs(found.rows), *_fixed_pairs(found.rows)]
    made += _sampler(found.samplers, "denoise", more=1.0, faster=30)
    made += _best(found.rows, "deblur", 0.7)
    made += [*_best(found.rows, "superres", 0.5), _sharper(found.rows)]
    made += _sampler(found.samplers, "superres", more=0.0, faster=5)
    made += [*_over(found.rows, "isotropic", BACK_PROJECTED, 0.7), _alike(found.cuts)]
    return [*made, *_robust(found), _network(found.passes)]


def _cases(rows: Rows, task: str, peer: str, *, real: bool = False) -> dict[str, dict[str, Any]]:
    return by_peer([r for r in rows if r["task"] == task and r["real"] == real]).get(peer, {})


def _over(rows: Rows, task: str, peer: str | None, more: float, own: str | None = None) -> list[Bar]:
    """Mean PSNR over a peer's, and the dataset where least is gained (of one dataset: the setting)."""
    own = own or OWN[task]
    ours, theirs = _cases(rows, task, own), _cases(rows, task, peer or "")
    gains = {case: ours[case]["psnr"] - theirs[case]["psnr"] for case in ours if case in theirs}
    goal = f"{own}: {peer or 'best classical peer'} + {more:g} dB"
    if not gains:
        return [Bar(task, goal, "", None)]
    mean = statistics.mean(gains.values())
    datasets = {ours[case]["dataset"] for case in gains}
    parts: dict[str, list[float]] = {}
    for case, gain in gains.items():
        parts.setdefault(ours[case]["dataset" if len(datasets) > 1 else "setting"], []).append(gain)
    worst = min(parts, key=lambda part: statistics.mean(parts[part]))
    least = statistics.mean(parts[worst])
    kind = "dataset" if len(datasets) > 1 else "setting"
    return [
        Bar(task, goal, f"{mean:+.2f} dB on {len(gains)} cases", mean - more),
        Bar(task, f"no {kind} below it", f"least {least:+.2f} dB, on {worst}", least),
    ]


def _denoise(rows: Rows) -> list[Bar]:
    """On the cases with noise that is independent from pixel to pixel, which alone the peer applies to."""
    return _over(rows, "denoise", WHITE, 0.3)


def _best(rows: Rows, task: str, more: float) -> list[Bar]:
    chosen = [r for r in rows if r["task"] == task and not r["real"]]
    return _over(rows, task, best_classical(chosen) if chosen else None, more)


def _pairs(rows: Rows) -> Bar:
    ours, theirs = (_cases(rows, "denoise", peer, real=True) for peer in (OWN["denoise"], TUNED))
    goal = f"KRISS pairs: {TUNED} + 0.3 dB"
    gains = [ours[case]["psnr"] - theirs[case]["psnr"] for case in ours if case in theirs]
    if not gains:
        return Bar("denoise", goal, "", None)
    mean = statistics.mean(gains)
    return Bar("denoise", goal, f"{mean:+.2f} dB on {len(gains)} pairs, least {min(gains):+.2f}", mean - 0.3)


def _fixed_pairs(rows: Rows) -> list[Bar]:
    """Against the data folder's own figures."""
    ours = _cases(rows, "denoise", OWN["denoise"], real=True)
    goals = (f"KRISS pairs 1, 10, 19, 28: {TUNED_PSNR} + 0.3 dB", f"the same: SSIM {TUNED_SSIM}")
    if not set(TUNED_PAIRS) <= set(ours):
        return [Bar("denoise", goal, "", None) for goal in goals]
    psnr, ssim = (statistics.mean(ours[pair][name] for pair in TUNED_PAIRS) for name in ("psnr", "ssim"))
    return [Bar("denoise", goals[0], f"{psnr:.2f} dB", psnr - TUNED_PSNR - 0.3),
            Bar("denoise", goals[1], f"{ssim:.3f}", ssim - TUNED_SSIM)]  # fmt: skip


def _sampler(rows: Rows, task: str, more: float, faster: float) -> list[Bar]:
    """Against 100 passes of flow plug-and-play with the same network, told the true noise; the better of its steps."""
    chosen = [row for row in rows if row["task"] == task]
    there = by_peer(chosen)
    means = {flow: statistics.mean(row["psnr"] for row in there[flow].values())
             for flow in (FLOW, STEPPED) if flow in there}  # fmt: skip
    best = max(means, key=lambda flow: means[flow], default=FLOW)
    goals = (f"{best} + {more:g} dB", f"{faster:g} times faster than that")
    if not {best, OWN[task]} <= set(there):
        return [Bar(task, goal, "", None) for goal in goals]
    gain, _, ratio, cases = compared(chosen, OWN[task], best)
    return [Bar(task, goals[0], f"{gain:+.2f} dB on {cases} small cases", gain - more),
            Bar(task, goals[1], f"{ratio:.3g} times", ratio - faster)]  # fmt: skip


def _sharper(rows: Rows) -> Bar:
    """Resolution by ring correlation with the truth: of Ruska, and of the peer that has the finest."""
    found = by_peer([r for r in rows if r["task"] == "superres"])
    means = {peer: statistics.mean(r["resolution_px"] for r in own.values()) for peer, own in found.items()
             if next(iter(own.values()))["classical"]}  # fmt: skip
    goal = "sharper by FRC than every peer"
    if not means or OWN["superres"] not in found:
        return Bar("superres", goal, "", None)
    ours = statistics.mean(r["resolution_px"] for r in found[OWN["superres"]].values())
    best = min(means, key=lambda peer: means[peer])
    return Bar("superres", goal, f"{ours:.2f} px, the finest peer ({best}) {means[best]:.2f} px", means[best] - ours)


def _alike(cuts: Sequence[Mapping[str, Any]]) -> Bar:
    """Power along Z over that along X in the octave beyond what the slices measured: nearer to the truth's."""
    goal = f"XZ and YZ look like XY, more than those of {BACK_PROJECTED}"
    names = {row["name"] for row in cuts}
    if not {*SHOWN, TRUTH} <= names:
        return Bar("isotropic", goal, "", None)
    octave = {name: statistics.mean(row["bands"][1] for row in cuts if row["name"] == name) for name in names}
    ours, theirs, truth = octave[SHOWN[0]], octave[BACK_PROJECTED], octave[TRUTH]
    figure = f"along Z over along X, the octave beyond: {ours:+.1f} dB, the peer {theirs:+.1f}, the truth {truth:+.1f}"
    return Bar("isotropic", goal, figure, abs(theirs - truth) - abs(ours - truth))


def _robust(found: Measured) -> list[Bar]:
    """What inverting and other pixel sizes cost the prior."""
    made, own = [], OWN["denoise"]
    for change, against in (
        ("contrast inverted", "none"),
        ("noise the same everywhere, contrast inverted", "noise the same everywhere"),
    ):
        goal = f"{change}: costs less than {_MOST_COST} dB"
        if found.changes is None or own not in found.changes.get(change, {}):
            made.append(Bar("robustness", goal, "", None))
            continue
        costs = [a - b for a, b in zip(found.changes[against][own], found.changes[change][own], strict=True)
                 if a is not None and b is not None]  # fmt: skip
        mean = statistics.mean(costs)
        made.append(Bar("robustness", goal, f"{mean:+.2f} dB, at most {max(costs):+.2f}", _MOST_COST - mean))
    return [*made, *_sizes(found.sizes)]


def _sizes(sizes: dict[str, dict[str, list[float]]] | None) -> list[Bar]:
    goals = (f"pixels of half to twice the size: a detour by the native size wins less than {_MOST_COST} dB",
             f"the same: of the lead over {pixel_size.RIVAL} less than {_MOST_COST} dB is lost")  # fmt: skip
    costs = pixel_size.costs(sizes) if sizes else {}
    made = []
    for k, goal in enumerate(goals):
        known = {size: cost for size, both in costs.items() if (cost := both[k]) is not None}
        if not known:
            made.append(Bar("robustness", goal, "", None))
            continue
        worst = max(known, key=lambda size: known[size])
        made.append(Bar("robustness", goal, f"at most {known[worst]:+.2f} dB, at x {worst}", _MOST_COST - known[worst]))
    return made


def _network(passes: Mapping[str, Any] | None) -> Bar:
    goal = f"{forward.EDGE} x {forward.EDGE}: the network's part at most {forward.LIMIT} bare passes"
    if passes is None:
        return Bar("speed", goal, "", None)
    figure = f"{passes['ratio']:.2f} times; the command {passes['command']:.1f} s"
    return Bar("speed", goal, figure, forward.LIMIT - passes["ratio"])
