"""Runs that are killed, cancelled or interrupted twice, and started again: how many end with the bytes of a calm one.

``python -m benchmarks.stops --count 20`` does each on threads and on processes, for a blended method in many blocks.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

PROGRAM = """
import signal, sys, time
from ruska.engine import plan
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs inherit it ignored
plan._PREFERRED_EDGE[2], plan._SMALLEST_EDGE[2] = 64, 32
if __name__ == "__main__":
    import torch, skimage.restoration, ruska.methods.denoisers, ruska.pipeline.restore
    from ruska.cli.main import main
    from ruska.engine.ledger import Ledger
    add = Ledger.add
    def slowly(self, key, **facts):
        time.sleep(0.01)
        add(self, key, **facts)
    Ledger.add = slowly
    print("ready", flush=True)
    main()
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20)
    asked = parser.parse_args()
    bad = 0
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top)
        (folder / "program.py").write_text(PROGRAM)
        np.save(folder / "a.npy", np.random.default_rng(0).normal(100, 10, (384, 384)).astype(np.float32))
        for executor in ("threads", "processes"):
            calm = folder / f"calm-{executor}.npy"
            finish(start(folder, calm, executor))
            wanted = digest(calm)
            for how in ("kill -9", "cancel", "second Ctrl-C"):
                ended, resumed = 0, 0
                for k in range(asked.count):
                    right, stopped = once(folder, executor, how, wanted, random.Random(f"{executor}{how}{k}"))
                    ended, resumed = ended + right, resumed + stopped
                bad += asked.count - ended
                said = f"{ended} of {asked.count} to the same bytes, {resumed} stopped in the middle"
                print(f"{executor:10} {how:14} {said}", flush=True)
    return bad


def once(folder: Path, executor: str, how: str, wanted: str, chance: random.Random) -> tuple[bool, bool]:
    """Whether the bytes are right and nothing is left, and whether the run was stopped before its end."""
    output = folder / "out.npy"
    output.unlink(missing_ok=True)
    if how == "cancel":
        stopped = cancelled(folder, output, executor, chance.randint(2, 60))
    else:
        process = start(folder, output, executor)
        ledger = output.with_name(f".{output.name}.ruska-work") / "ledger.jsonl"
        lines = chance.randint(2, 70)
        while process.poll() is None and (not ledger.exists() or ledger.read_bytes().count(b"\n") < lines):
            time.sleep(0.002)
        if how == "kill -9":
            process.kill()
        else:
            for _ in range(2):
                process.send_signal(signal.SIGINT)
                time.sleep(0.03)
        process.communicate()
        stopped = not output.exists()
    if stopped:
        finish(start(folder, output, executor))
    left = [p.name for p in folder.iterdir() if p.name.startswith(".")]
    return digest(output) == wanted and not left, stopped


def start(folder: Path, output: Path, executor: str) -> subprocess.Popen[str]:
    words = ["denoise", "a.npy", "-o", output.name, "-m", "tv", "-s", "noise_std=0.1", "-s", "iterations=6",
             "--no-report", "--executor", executor, "--workers", "2"]  # fmt: skip
    process = subprocess.Popen([sys.executable, "program.py", *words], cwd=folder, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    return process


def finish(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=300)
    if process.returncode:
        raise SystemExit(f"a run that was let alone ended with {process.returncode}")


def cancelled(folder: Path, output: Path, executor: str, after: int) -> bool:
    """Run in this process until ``after`` events were told."""
    from ruska import pipeline
    from ruska.engine import plan
    from ruska.errors import JobCancelledError

    plan._PREFERRED_EDGE[2], plan._SMALLEST_EDGE[2] = 64, 32
    seen = []
    request = pipeline.Request(
        task="denoise", method="tv", settings={"noise_std": 0.1, "iterations": 6},
        inputs={"image": pipeline.Input(path=str(folder / "a.npy"))}, output=str(output),
        run=pipeline.RunOptions(report=False, workers=2, executor=executor),
    )  # fmt: skip
    context = pipeline.Here(event=lambda *facts: seen.append(facts), cancelled=lambda: len(seen) > after)
    try:
        pipeline.run(request, context)
    except JobCancelledError:
        return True
    return False


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
