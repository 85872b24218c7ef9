"""Many passes against few: other people's samplers driven by Ruska's own network, on smaller cases.

EM generalist's flow plug-and-play (100 passes) and diffusion posterior sampling (1000, on two small cases), each with
its own step size and with one that Ruska chooses from the noise, and DeepInverse's DPIR and DiffPIR. All are told the
true noise, Ruska is not: what is compared is what is made of one and the same network.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from benchmarks import em_generalist
from benchmarks.cases import Case, cases
from benchmarks.peers import DEBLUR, DENOISE, ENLARGE, PRIOR, Peer
from benchmarks.peers_env import DEEPINVERSE
from benchmarks.tables import Rows, by_peer

EDGE, SMALL = 192, 96  # pixels of the result
DENOISE_EDGE = 256  # a single pass is so short that all else would count
DEPTH = 48  # slices of the volume
SMALL_DATASET = "fib25"
OWN = {"denoise": "Ruska prior", "deblur": "Ruska deblur", "superres": "Ruska prior", "isotropic": "Ruska prior"}
"""Ruska's method for each task, told nothing."""
FLOW, DPS = "flow PnP, same prior (true noise)", "DPS, same prior (true noise)"
STEPPED = "flow PnP, step from the noise, same prior (true noise)"
DPS_STEPPED = "DPS, step from the noise, same prior (true noise)"
_SETTINGS = {"denoise": ("50 e",), "deblur": ("sigma 2",), "superres": ("x2", "x4"), "isotropic": ("x4",)}
_FLOW = Peer(FLOW, em_generalist.flow, passes=100, version=PRIOR, driven=True)
_STEPPED = Peer(STEPPED, lambda case: em_generalist.flow(case, 0), passes=100, version=PRIOR, driven=True)
_DPS = (
    Peer(DPS, em_generalist.gradient, passes=1000, version=PRIOR + 1, driven=True),
    Peer(DPS_STEPPED, lambda case: em_generalist.gradient(case, 0), passes=1000, version=PRIOR, driven=True),
)
_DEEPINVERSE = tuple(
    Peer(f"DeepInverse {name}, same prior (true noise)", DEEPINVERSE.peer("deepinverse_prior.py", sampler=name),
         passes=passes, environment=DEEPINVERSE, version=PRIOR, driven=True)
    for name, passes in (("DPIR", 8), ("DiffPIR", 100))
)  # fmt: skip


def _own(peers: Sequence[Peer], task: str) -> Peer:
    return next(peer for peer in peers if peer.name == OWN[task])


SAMPLERS: Mapping[str, tuple[Peer, ...]] = {
    "denoise": (_own(DENOISE, "denoise"), _FLOW, _STEPPED, *_DPS),
    "deblur": (_own(DEBLUR, "deblur"), *_DEEPINVERSE, _FLOW, _STEPPED, *_DPS),
    "superres": (_own(ENLARGE, "superres"), _DEEPINVERSE[0], _FLOW, _STEPPED),
    "isotropic": (_own(ENLARGE, "isotropic"), _STEPPED),
}


def small_cases(tasks: tuple[str, ...]) -> Iterator[Case]:
    """The judge's own cases of one setting, the middle of each image; and two that are smaller still."""
    for case in cases(tasks):
        if case.clean is None and case.setting in _SETTINGS[case.task]:
            yield _middle(case, DENOISE_EDGE if case.task == "denoise" else EDGE)
            if case.dataset == SMALL_DATASET and case.task in ("denoise", "deblur"):
                yield _middle(case, SMALL)


def peers_of(case: Case) -> Sequence[Peer]:
    """Diffusion posterior sampling on small cases alone."""
    small = case.truth is not None and case.truth.shape == (SMALL, SMALL)
    return [peer for peer in SAMPLERS[case.task] if small or peer not in _DPS]


def _middle(case: Case, edge: int) -> Case:
    """The middle of the result's grid and of the measurement's, ``edge`` pixels of the result each way."""
    assert case.truth is not None
    part, seen = [], []
    for size, measured in zip(case.truth.shape, case.measurement.shape, strict=True):
        wanted = min(size, DEPTH if case.truth.ndim == 3 and not part else edge if case.truth.ndim == 2 else edge // 2)
        step = size // measured
        begin = (size - wanted) // 2 // step
        seen.append(slice(begin, begin + wanted // step))
        part.append(slice(begin * step, (begin + wanted // step) * step))
    return replace(case, setting=f"{case.setting}, {edge} px", truth=case.truth[tuple(part)],
                   measurement=case.measurement[tuple(seen)])  # fmt: skip


def compared(rows: Rows, one: str, other: str) -> tuple[float, float, float, int]:
    """``one`` over ``other`` on the cases that both have: dB more, finer by (a factor), faster by (a factor), cases.

    Fineness is of the resolution by FRC; speed the median of the ratios of the seconds, for the first case of a run
    imports what all others find there.
    """
    first, second = by_peer(rows)[one], by_peer(rows)[other]
    both = [(first[case], second[case]) for case in first if case in second]
    gain = statistics.mean(a["psnr"] - b["psnr"] for a, b in both)
    finer = statistics.geometric_mean(b["resolution_px"] / a["resolution_px"] for a, b in both)
    return gain, finer, statistics.median(b["seconds"] / a["seconds"] for a, b in both), len(both)


def section(rows: Rows) -> str:
    """Markdown: per task every sampler against Ruska's own on the cases it has."""
    head = ("| task | sampler | passes | cases | PSNR dB | Ruska has, dB | SSIM | resolution px | s per Mpx | Ruska is "
            "faster by |")  # fmt: skip
    lines = [head, "|---" * (head.count("|") - 1) + "|"]
    for task in dict.fromkeys(row["task"] for row in rows):
        chosen = [row for row in rows if row["task"] == task]
        for peer, found in by_peer(chosen).items():
            lines.append(_line(chosen, task, peer, list(found.values())))
    return "\n\n".join(["## Samplers with the same network", _ABOUT, "\n".join(lines), ""])


_ABOUT = (
    f"The middle {EDGE} x {EDGE} pixels of the six images ({DENOISE_EDGE} for denoising), or as many as there are, at "
    f"one or two settings a task (a volume of {DEPTH} x {EDGE // 2} x {EDGE // 2} for isotropic); diffusion posterior "
    f"sampling on {SMALL} x {SMALL} pixels of {SMALL_DATASET}. Others are told the true noise, Ruska estimates it. "
    "*Ruska has* is its PSNR less the sampler's on the cases that the sampler has. Seconds are of the processor, of "
    "whole calls."
)


def _line(rows: Rows, task: str, peer: str, found: list[dict[str, Any]]) -> str:
    def mean(name: str) -> float:
        return statistics.mean(row[name] for row in found)

    seconds = statistics.median(row["seconds"] / row["megapixels"] for row in found)
    against = ("", "")
    if peer != OWN[task] and OWN[task] in by_peer(rows):
        gain, _, faster, _ = compared(rows, OWN[task], peer)
        against = (f"{gain:+.2f}", f"{faster:.3g}")
    cells = [task, peer, str(found[0]["passes"]), str(len(found)), f"{mean('psnr'):.2f}", against[0],
             f"{mean('ssim'):.3f}", f"{mean('resolution_px'):.2f}", f"{seconds:.1f}", against[1]]  # fmt: skip
    return "| " + " | ".join(cells) + " |"
