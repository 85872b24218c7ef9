"""The tables of the results, as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

_RESAMPLES = 2000
Rows = Sequence[dict[str, Any]]


def tables(rows: Rows, peaks: Mapping[tuple[str, str], float] | None = None) -> str:
    """Per task a summary over all cases and every case's PSNR. peaks : megabytes by task and peer."""
    text = []
    for task in dict.fromkeys(row["task"] for row in rows):
        for real in (False, True):
            chosen = [row for row in rows if row["task"] == task and row["real"] == real]
            if chosen:
                kind = "real pairs" if real else "semi-synthetic (no fit)"
                text += [f"## {task}: {kind}", "", _summary(chosen, peaks or {}), "", verdict(chosen), "",
                         _matrix(chosen), ""]  # fmt: skip
    return "\n".join(text)


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    random = np.random.default_rng(seed)
    means = random.choice(np.asarray(values), (_RESAMPLES, len(values))).mean(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def best_classical(rows: Rows) -> str | None:
    """The peer without a network and not Ruska's that has every case and the best mean PSNR of those."""
    most = max(len(found) for found in by_peer(rows).values())
    means = {
        peer: statistics.mean(r["psnr"] for r in found.values())
        for peer, found in by_peer(rows).items()
        if len(found) == most and next(iter(found.values()))["classical"]
    }
    return max(means, key=lambda peer: means[peer]) if means else None


def error_ratio(rows: Rows, peer: str, reference: str) -> tuple[float, float, float]:
    """Squared error of ``peer`` over that of ``reference``: geometric mean over the cases both have, and interval."""
    one, other = by_peer(rows)[peer], by_peer(rows)[reference]
    gains = [other[case]["psnr"] - one[case]["psnr"] for case in one if case in other]
    low, high = interval(gains)
    return 10 ** (statistics.mean(gains) / 10), 10 ** (low / 10), 10 ** (high / 10)


def by_peer(rows: Rows) -> dict[str, dict[str, dict[str, Any]]]:
    """Rows by peer and case."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["peer"], {})[f"{row['dataset']} {row['setting']}"] = row
    return found


def verdict(rows: Rows) -> str:
    """Ruska's best method against the best classical peer, in a sentence."""
    reference = best_classical(rows)
    peers = by_peer(rows)
    most = max(len(found) for found in peers.values())
    own = {p: statistics.mean(r["psnr"] for r in f.values()) for p, f in peers.items()
           if len(f) == most and next(iter(f.values()))["ours"]}  # fmt: skip
    if reference is None:
        return "There is no classical peer to compare with."
    if not own:
        return f"Best classical peer: {reference}. Ruska has no method of its own for this task yet."
    best = max(own, key=lambda peer: own[peer])
    ratio, low, high = error_ratio(rows, best, reference)
    sure = "ahead" if high < 1 else "behind" if low > 1 else "level within the interval"
    speed = _speed(list(peers[reference].values())) / _speed(list(peers[best].values()))
    return (f"Best classical peer: {reference}. Ruska's best, {best}, has {ratio:.2f} times its squared error "
            f"({low:.2f} to {high:.2f}: {sure}) and is {speed:.2g} times as fast.")  # fmt: skip


def _summary(rows: Rows, peaks: Mapping[tuple[str, str], float]) -> str:
    """Means over cases; the peer with the best mean PSNR, of those that have every case, in bold."""
    real, task, peers, reference = rows[0]["real"], rows[0]["task"], by_peer(rows), best_classical(rows)
    most = max(len(found) for found in peers.values())
    means = {peer: statistics.mean(r["psnr"] for r in found.values()) for peer, found in peers.items()}
    top = max(mean for peer, mean in means.items() if len(peers[peer]) == most)
    scored = "PSNR dB, fitted (95 %) | PSNR dB, as it is (95 %)" if real else "PSNR dB (95 %)"
    similar = "SSIM, fitted | SSIM, as it is" if real else "SSIM"
    head = (f"| method | cases | {scored} | error / best classical | {similar} | GMSD | resolution px | contrast | "
            "residual dB | s per Mpx | MB | passes |")  # fmt: skip
    lines = [head, "|---" * (head.count("|") - 1) + "|"]
    for peer, found in peers.items():
        of_peer = list(found.values())
        mark = "**" if len(found) == most and means[peer] == top else ""
        cells = [f"{mark}{peer}{mark}", str(len(found)), _with_interval(of_peer, "psnr")]
        cells += [_with_interval(of_peer, "psnr_as_is")] if real else []
        cells += ["" if reference is None else f"{error_ratio(rows, peer, reference)[0]:.2f}"]
        columns = [("ssim", 3), ("ssim_as_is", 3)] if real else [("ssim", 3)]
        for name, digits in (*columns, ("gmsd", 3), ("resolution_px", 2), ("gain", 3), ("residual_db", 1)):
            cells.append(cell(statistics.mean(r[name] for r in of_peer), digits))
        peak = peaks.get((task, peer))
        cells += [cell(_speed(of_peer), 1), cell(peak, 0), str(of_peer[0]["passes"])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _speed(rows: Rows) -> float:
    """Median seconds per megapixel of the result."""
    return statistics.median(r["seconds"] / r["megapixels"] for r in rows)


def _with_interval(rows: Rows, name: str) -> str:
    values = [r[name] for r in rows]
    low, high = interval(values)
    return f"{statistics.mean(values):.2f} ({low:.2f} to {high:.2f})"


def _matrix(rows: Rows) -> str:
    """PSNR of every peer on every case."""
    peers = by_peer(rows)
    lines = ["| PSNR dB | " + " | ".join(peers) + " |", "|---" * (len(peers) + 1) + "|"]
    for case in dict.fromkeys(case for found in peers.values() for case in found):
        values = [found[case]["psnr"] if case in found else None for found in peers.values()]
        top = max(v for v in values if v is not None)
        lines.append(f"| {case} | " + " | ".join(cell(v, 2, bold=v == top) for v in values) + " |")
    return "\n".join(lines)


def cell(value: float | None, digits: int, *, bold: bool = False) -> str:
    """A number for a table; nothing for None."""
    text = "" if value is None else f"{value:.{digits}f}"
    return f"**{text}**" if bold and text else text
