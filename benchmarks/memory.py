"""Peak memory of each peer, measured in a process of its own: ``python -m benchmarks.memory TASK CASE PEER``.

What counts is the largest resident memory while the peer restores the case, sampled every 2 ms, over what the process
held before, with the case and the usual packages loaded. Prints it in bytes.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping

import psutil

from benchmarks.cases import Case, cases
from benchmarks.notes import Notes, source_digest
from benchmarks.peers import PEERS, Peer, applies

VERSION = 1


def peak_memory(found: Iterable[Case], notes: Notes, names: Mapping[str, set[str]]) -> dict[tuple[str, str], float]:
    """Megabytes by task and peer, on the first quick case of each task that has the peer among ``names[task]``."""
    peaks: dict[tuple[str, str], float] = {}
    for case in found:
        for peer in PEERS[case.task]:
            key = (case.task, peer.name)
            if not case.quick or case.truth is None or key in peaks or peer.name not in names.get(case.task, ()):
                continue
            if peer.slow or peer.missing or not applies(peer, case):
                continue
            code = source_digest() if peer.ours else "peer"
            about = f"memory {case.digest} {peer.name} {peer.version} {VERSION} {code}"
            peaks[key] = notes.recall(about, lambda case=case, peer=peer: _measured(case, peer)) / 1e6
    return peaks


def peak_of_this_process() -> int:
    """Most bytes this process ever held, in memory; of Linux, not ``ru_maxrss``, which begins with the parent's."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) << 10 for line in status if line.startswith("VmHWM"))
    except OSError:
        from benchmarks.insults import peak_memory as elsewhere

        return elsewhere()


def _measured(case: Case, peer: Peer) -> int:
    command = [sys.executable, "-m", "benchmarks.memory", case.task, case.name, peer.name]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def _here(task: str, case_name: str, peer_name: str) -> int:
    """The peak over what is held now, in bytes."""
    import scipy.ndimage  # noqa: F401  # else the imports count
    import skimage.restoration  # noqa: F401
    import torch  # noqa: F401

    case = next(c for c in cases((task,)) if c.name == case_name)
    peer = next(p for p in PEERS[task] if p.name == peer_name)
    if peer.needs:
        __import__(peer.needs)
    process, peak, done = psutil.Process(), 0, threading.Event()
    before = process.memory_info().rss

    def sample() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, process.memory_info().rss)

    sampler = threading.Thread(target=sample)
    sampler.start()
    peer.restore(case)
    done.set()
    sampler.join()
    return max(peak, process.memory_info().rss) - before


if __name__ == "__main__":
    print(_here(*sys.argv[1:4]))
