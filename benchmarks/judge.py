"""Runs every peer on every case, remembers what it has computed, and keeps the history."""

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
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ruska
from benchmarks.cases import Case
from benchmarks.peers import PEERS, Peer, applies
from benchmarks.peers_env import Elsewhere
from benchmarks.scoring import SCORES_VERSION, score


@dataclass(frozen=True)
class Memory:
    """Results on disk, by what they depend on: the input, the peer and its version, Ruska's weights and code."""

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
        slug = "".join(c if c.isalnum() else "-" for c in peer.name)
        return self.folder / f"{case.digest}_{slug}_{peer.version}_{peer.code(case)}.json"


def judge(
    found: Iterable[Case], memory: Memory, *, slow: bool = False, only: Sequence[str] = (),
    peers: Callable[[Case], Sequence[Peer]] = lambda case: PEERS[case.task],
    say: Callable[[str], None] = print,
) -> list[dict[str, Any]]:  # fmt: skip
    """One row per case and peer (of those named in ``only``, slow ones too, if it names any).

    peers : of a case, in the order of the table.

    A peer that fails is said and left out; one that is not there is said once, with how to have it.
    """
    rows, absent = [], set()
    for case in found:
        for peer in peers(case):
            wanted = peer.name in only if only else slow or not peer.slow
            if not wanted or not applies(peer, case):
                continue
            if peer.missing:
                if peer.name not in absent:
                    say(f"SKIPPED {peer.name}: {peer.missing}")
                absent.add(peer.name)
                continue
            try:
                row = _row(case, peer, memory)
            except Exception as error:
                say(f"FAILED {peer.name} on {case.name}: {error}")
                traceback.print_exc(limit=3, file=sys.stderr)
                continue
            rows.append(row)
            say(f"{case.name}: {peer.name} {row['psnr']:.2f} dB, {row['seconds']:.1f} s")
    return rows


def _row(case: Case, peer: Peer, memory: Memory) -> dict[str, Any]:
    """As remembered; scored anew when what is measured has changed since; else computed."""
    row, restored = memory.recall(case, peer), memory.image(case, peer)
    if row is None or restored is None:
        row = measure(case, peer, memory)
    elif row.get("version") != SCORES_VERSION:
        row = {**row, **score(restored, case), "version": SCORES_VERSION}
        memory.keep(case, peer, row, restored)
    return {
        **row,
        "real": case.clean is not None,
        "ours": peer.ours,
        "classical": peer.classical,
        "passes": peer.passes,
    }


def measure(case: Case, peer: Peer, memory: Memory) -> dict[str, Any]:
    """Run one peer on one case and score it; ``seconds`` are those of the processor, of all cores together."""
    started = time.process_time()  # not the clock, which counts other programs of a busy machine too
    found = peer.restore(case)
    seconds = time.process_time() - started
    restored, seconds = (found.image, found.seconds) if isinstance(found, Elsewhere) else (np.asarray(found), seconds)
    row = {"task": case.task, "dataset": case.dataset, "setting": case.setting, "peer": peer.name,
           "seconds": seconds, "megapixels": restored.size / 1e6,
           "version": SCORES_VERSION, **score(restored, case)}  # fmt: skip
    memory.keep(case, peer, row, restored)
    return row


def history(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Append the mean of every peer and task, with the commit, as one line; real pairs on their own."""
    means: dict[str, float] = {}
    for row in rows:
        name = f"{row['task']}{', real' * row['real']}: {row['peer']}"
        if name not in means:
            same = [r["psnr"] for r in rows if all(r[k] == row[k] for k in ("task", "real", "peer"))]
            means[name] = round(statistics.mean(same), 3)
    cases = {(r["task"], r["dataset"], r["setting"]) for r in rows}
    line = {"date": datetime.now(UTC).date().isoformat(), "commit": _commit(), "ruska": ruska.__version__,
            "cases": len(cases), "mean_psnr": means}  # fmt: skip
    with file.open("a", encoding="utf-8") as out:
        print(json.dumps(line), file=out)


def _commit() -> str:
    try:
        found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True,
                               cwd=Path(__file__).parent)  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()
