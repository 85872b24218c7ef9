"""Scores every peer on every case, remembers what it has computed, and writes the tables."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ruska
from benchmarks.cases import Case, score_pairs
from benchmarks.peers import PEERS, Peer, applies
from ruska.evaluation import find_faults
from ruska.metrics import fit_gain_offset, frc, gmsd, psnr, radial_spectrum, ssim

SCORES_VERSION = 1  # counts up when what is measured changes
COLUMNS = ("psnr", "ssim", "gmsd", "resolution_px", "gain", "offset")
_BANDS = (1 / 16, 1 / 4)  # cycles per pixel between coarse, middle and fine error
_RESAMPLES = 2000


@dataclass(frozen=True)
class Memory:
    """Results on disk, by what they depend on: the input, the peer and its version, Ruska's own code."""

    folder: Path

    def recall(self, case: Case, peer: Peer) -> dict[str, Any] | None:
        file = self._file(case, peer)
        return json.loads(file.read_text()) if file.exists() else None

    def image(self, case: Case, peer: Peer) -> NDArray[Any] | None:
        file = self._file(case, peer).with_suffix(".npy")
        return np.load(file) if file.exists() else None

    def keep(self, case: Case, peer: Peer, row: dict[str, Any], restored: NDArray[Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self._file(case, peer)
        np.save(file.with_suffix(".npy"), restored.astype(np.float32))
        file.write_text(json.dumps(row))

    def _file(self, case: Case, peer: Peer) -> Path:
        code = source_digest() if peer.ours else "peer"
        slug = "".join(c if c.isalnum() else "-" for c in peer.name)
        return self.folder / f"{case.digest}_{slug}_{peer.version}_{SCORES_VERSION}_{code}.json"


_digest: list[str] = []


def source_digest() -> str:
    """Of Ruska's code that a result may depend on."""
    if not _digest:
        import hashlib

        found = hashlib.sha256()
        package = Path(ruska.__file__).parent
        for room in ("physics", "networks", "methods", "engine", "training"):
            for file in sorted((package / room).rglob("*.py")):
                found.update(file.read_bytes())
        _digest.append(found.hexdigest()[:8])
    return _digest[0]


def judge(
    found: Iterable[Case], memory: Memory, *, slow: bool = False, say: Callable[[str], None] = print
) -> list[dict[str, Any]]:
    """One row per case and peer. A peer that fails is said and left out; one that is not installed is said once."""
    rows, absent = [], set()
    for case in found:
        for peer in PEERS[case.task]:
            if (peer.slow and not slow) or not applies(peer, case):
                continue
            if peer.missing:
                if peer.name not in absent:
                    say(f"SKIPPED {peer.name}: {peer.needs} is not installed")
                absent.add(peer.name)
                continue
            row = memory.recall(case, peer)
            if row is None:
                try:
                    row = measure(case, peer, memory)
                except Exception as error:
                    say(f"FAILED {peer.name} on {case.name}: {error}")
                    traceback.print_exc(limit=3, file=sys.stderr)
                    continue
            rows.append(row)
            say(f"{case.name}: {peer.name} {row['psnr']:.2f} dB, {row['seconds']:.1f} s")
    return rows


def measure(case: Case, peer: Peer, memory: Memory) -> dict[str, Any]:
    """Run one peer on one case and score it."""
    started = time.perf_counter()
    restored = np.asarray(peer.restore(case))
    seconds = time.perf_counter() - started
    row = {"task": case.task, "dataset": case.dataset, "setting": case.setting, "peer": peer.name, "ours": peer.ours,
           "seconds": seconds, "megapixels": restored.size / 1e6, **score(restored, case)}  # fmt: skip
    memory.keep(case, peer, row, restored)
    return row


def score(restored: NDArray[Any], case: Case) -> dict[str, Any]:
    """Against the truth as it is, with a data range of 1; a real pair by the data folder's own script, which fits."""
    if case.clean is not None:
        found = score_pairs().score(restored, case.measurement, case.clean)
        return {"psnr": float(found[0]), "ssim": float(found[1])}
    assert case.truth is not None
    planes = list(zip(restored, case.truth, strict=True)) if restored.ndim == 3 else [(restored, case.truth)]
    pairs = [(r.astype(np.float64), t.astype(np.float64)) for r, t in planes]
    gain, offset = fit_gain_offset(case.truth, restored)
    scores = {
        "psnr": psnr(restored, case.truth, 1.0),
        "ssim": statistics.mean(ssim(r, t, 1.0) for r, t in pairs),
        "gmsd": statistics.mean(gmsd(r, t, 1.0) for r, t in pairs),
        "resolution_px": statistics.mean(frc(r, t, 0.5).resolution_px or 2.0 for r, t in pairs),
        "gain": gain,
        "offset": offset,
    }
    across = restored[:, :, restored.shape[2] // 2] if restored.ndim == 3 else restored
    truth = case.truth[:, :, case.truth.shape[2] // 2] if restored.ndim == 3 else case.truth
    frequency, power = radial_spectrum(across.astype(np.float64) - truth)
    edges = (0.0, *_BANDS, 0.51)
    bands = [float(power[(frequency >= a) & (frequency < b)].mean()) for a, b in pairwise(edges)]
    faults = find_faults(across, truth).said if min(across.shape) >= 64 else ()
    return {**scores, "error_spectrum": bands, "faults": list(faults)}


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean."""
    random = np.random.default_rng(seed)
    means = random.choice(np.asarray(values), (_RESAMPLES, len(values))).mean(1)
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975))


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: per task a summary over all cases, then every case."""
    text = []
    for task in dict.fromkeys(row["task"] for row in rows):
        of_task = [row for row in rows if row["task"] == task]
        for real in (False, True):
            chosen = [row for row in of_task if (row["dataset"] == "kriss") == real]
            if chosen:
                kind = "real pairs (gain and offset fitted)" if real else "semi-synthetic (no fit)"
                text += [f"## {task}: {kind}", "", _summary(chosen), "", _matrix(chosen), ""]
    return "\n".join(text)


def _summary(rows: Sequence[dict[str, Any]]) -> str:
    """Means over the cases that all peers of the table have; the peer with the best mean PSNR in bold."""
    cases_of = {peer: {_case(r): r for r in rows if r["peer"] == peer} for peer in _peers(rows)}
    most = max(len(found) for found in cases_of.values())
    lines = ["| method | cases | PSNR dB (95 %) | SSIM | GMSD | resolution px | contrast | s per Mpx |",
             "|---|---|---|---|---|---|---|---|"]  # fmt: skip
    complete = [found.values() for found in cases_of.values() if len(found) == most]
    best = max(statistics.mean(r["psnr"] for r in found) for found in complete)
    for peer, found in cases_of.items():
        column = {name: [r[name] for r in found.values() if name in r] for name in (*COLUMNS, "seconds", "megapixels")}
        mean = {name: statistics.mean(values) if values else None for name, values in column.items()}
        low, high = interval(column["psnr"])
        mark = "**" if len(found) == most and mean["psnr"] == best else ""
        speed = statistics.median(s / m for s, m in zip(column["seconds"], column["megapixels"], strict=True))
        numbers = [_cell(mean[name], digits) for name, digits in
                   (("ssim", 3), ("gmsd", 3), ("resolution_px", 2), ("gain", 3))]  # fmt: skip
        lines.append(f"| {mark}{peer}{mark} | {len(found)} | {mean['psnr']:.2f} ({low:.2f} to {high:.2f}) | "
                     f"{' | '.join(numbers)} | {speed:.1f} |")  # fmt: skip
    return "\n".join(lines)


def _matrix(rows: Sequence[dict[str, Any]]) -> str:
    """PSNR of every peer on every case."""
    peers = _peers(rows)
    lines = ["| PSNR dB | " + " | ".join(peers) + " |", "|---" * (len(peers) + 1) + "|"]
    known = {(_case(r), r["peer"]): r["psnr"] for r in rows}
    for case in dict.fromkeys(_case(r) for r in rows):
        values = [known.get((case, peer)) for peer in peers]
        top = max(v for v in values if v is not None)
        lines.append(f"| {case} | " + " | ".join(_cell(v, 2, bold=v == top) for v in values) + " |")
    return "\n".join(lines)


def _cell(value: float | None, digits: int, *, bold: bool = False) -> str:
    text = "" if value is None else f"{value:.{digits}f}"
    return f"**{text}**" if bold and text else text


def _case(row: dict[str, Any]) -> str:
    return f"{row['dataset']} {row['setting']}"


def _peers(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["peer"] for row in rows))


def history(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Append the mean of every peer and task, with the commit, as one line."""
    means: dict[str, float] = {}
    for task in dict.fromkeys(r["task"] for r in rows):
        for peer in _peers([r for r in rows if r["task"] == task]):
            scores = [r["psnr"] for r in rows if r["task"] == task and r["peer"] == peer]
            means[f"{task}: {peer}"] = round(statistics.mean(scores), 3)
    line = {"date": datetime.now(UTC).date().isoformat(), "commit": _commit(), "ruska": ruska.__version__,
            "cases": len({(r["task"], _case(r)) for r in rows}), "mean_psnr": means}  # fmt: skip
    with file.open("a", encoding="utf-8") as out:
        print(json.dumps(line), file=out)


def _commit() -> str:
    try:
        found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
