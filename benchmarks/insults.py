"""Thousands of damaged files for every reader: ``python -m benchmarks.insults [--per-reader 5000] [--readers TIFF]``.

Each is read in a process of its own kind, which a crash, a hang or too much memory ends without harm: what happened
is written down and the next file follows. What counts as a fault: an exception that is none of Ruska's errors, a
crash of a C library, more than `SECONDS` for one small file, and a header that makes Ruska take or promise memory
that the file cannot fill. Stopped, it goes on where it was (``benchmarks/work/insults.json``).
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
from tests.conftest import DATA
from tests.io.mutate import mutated
from tests.io.specimens import READERS, Specimen

from ruska.errors import RuskaError
from ruska.io import read

STATE = Path(__file__).parent / "work" / "insults.json"
SECONDS = 20.0
MEMORY = 1 << 30
"""Bytes that reading a small damaged file may take over what the process holds: the limit of what is unpacked."""

PROMISE = 1 << 30
FAULTS = ("traceback", "crash", "hang", "memory", "promise")


def attempt(target: str, sparse: bool) -> tuple[str, str]:
    """Read ``target`` as far as it goes: what came of it, and why."""
    try:
        image = read(target)
        if image.nbytes >= PROMISE:
            if not sparse:
                return "promise", f"{image.shape} {image.dtype}"
            return "corner", str(image.data[tuple(slice(0, min(n, 4)) for n in image.shape)].shape)
        image.numpy()
    except RuskaError as error:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, MemoryError):
                return "memory", str(error)
            cause = cause.__cause__ or cause.__context__
        return ("foreign" if "open it in Fiji and save it anew" in error.fix else "refused"), str(error)
    except MemoryError:
        return "memory", traceback.format_exc()[-1500:]
    except Exception:
        return "traceback", traceback.format_exc()[-1500:]
    return "image", ""


def work(folder: Path, first: int, last: int) -> None:
    """Damage and read specimens in ``folder``, a line of JSON before and after each. Ends early when memory grew."""
    specimens = [Specimen(**one) for one in json.loads((folder / "specimens.json").read_text())]
    shutil.rmtree(folder / "here", ignore_errors=True)
    shutil.copytree(folder / "sound", folder / "here")
    logging.disable()
    warnings.simplefilter("ignore")
    for one in specimens:  # so that imports are not counted
        outcome, why = attempt(str(folder / "here" / one.target), one.sparse)
        if outcome != "image":
            raise SystemExit(f"{one.target} is no sound specimen: {why}")
    held = limit_memory()
    for seed in range(first, last):
        _say(seed=seed)
        one = specimens[seed % len(specimens)]
        part = one.parts[seed // len(specimens) % len(one.parts)]
        sound = (folder / "sound" / part).read_bytes()
        (folder / "here" / part).write_bytes(mutated(sound, seed, text=sound[:1] in (b"{", b"P")))
        started = time.perf_counter()
        outcome, why = attempt(str(folder / "here" / one.target), one.sparse)
        (folder / "here" / part).write_bytes(sound)
        grown = peak_memory() - held
        if grown > MEMORY:
            outcome, why = "memory", f"{grown >> 20} MB. {why}"
        _say(seed=seed, outcome=outcome, why=f"{part}: {why}", seconds=time.perf_counter() - started)
        if grown > MEMORY // 2:
            return


def _say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def limit_memory() -> int:
    """Forbid more than `MEMORY` twice over what is held now, where the system can; returns the peak so far."""
    try:
        import resource
    except ImportError:  # Windows
        return peak_memory()
    size = psutil.Process().memory_info().vms + 2 * MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    return peak_memory()


def peak_memory() -> int:
    """Most bytes this process ever held, in memory."""
    try:
        import resource
    except ImportError:
        return int(psutil.Process().memory_info().peak_wset)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def watched(
    command: Callable[[int], list[str]], first: int, last: int, seconds: float
) -> Iterator[tuple[int, str, str]]:
    """(seed, outcome, why) of every seed, from workers that `command` starts at a seed, one after the other.

    A worker that dies is a crash of the seed it had begun; one that is silent for ``seconds`` is killed, a hang.
    """
    seed = first
    patience = max(seconds, 120.0)  # of the first line, which waits for imports
    while seed < last:
        begun, ended = None, ""
        with tempfile.TemporaryFile("w+") as errors:
            process = subprocess.Popen(command(seed), stdout=subprocess.PIPE, stderr=errors, text=True)
            lines = _lines(process)
            while True:
                try:
                    line = lines.get(timeout=patience if begun is None else seconds)
                except queue.Empty:
                    process.kill()
                    ended = "hang"
                    while lines.get() is not None:
                        pass
                    break
                if line is None:
                    break
                said = json.loads(line)
                begun = said["seed"]
                if "outcome" in said:
                    yield begun, said["outcome"], said["why"]
                    seed = begun + 1
            process.wait()
            errors.seek(0)
            said_last = errors.read()[-1500:]
        if begun is None or (seed <= begun and not ended and process.returncode == 0):
            raise SystemExit(f"a worker ended without reading anything: {said_last}")
        if begun >= seed:
            yield begun, ended or "crash", f"exit code {process.returncode}: {said_last}"
            seed = begun + 1


def _lines(process: subprocess.Popen[str]) -> queue.Queue[str | None]:
    """Lines of the output of ``process`` as they come, then None."""
    found: queue.Queue[str | None] = queue.Queue()

    def pump() -> None:
        assert process.stdout is not None
        with process.stdout as out:
            for line in out:
                found.put(line)
        found.put(None)

    threading.Thread(target=pump, daemon=True).start()
    return found


def insult(reader: str, first: int, last: int) -> Iterator[tuple[int, str, str]]:
    """(seed, outcome, why) of damaged specimens of ``reader``."""
    with tempfile.TemporaryDirectory(prefix="ruska-insults-") as name:
        folder = Path(name)
        (folder / "sound").mkdir()
        specimens = READERS[reader](folder / "sound", DATA / "formats")
        (folder / "specimens.json").write_text(json.dumps([vars(one) for one in specimens]))
        base = [sys.executable, "-X", "faulthandler", "-m", "benchmarks.insults", "--worker", name]
        yield from watched(lambda seed: [*base, str(seed), str(last)], first, last, SECONDS)


def table(state: dict[str, Any]) -> str:
    rows = ["| reader | files | image | refused | in its library's words | faults |", "|---" * 6 + "|"]
    for reader, found in state.items():
        said = Counter(found["outcomes"])
        faults = ", ".join(f"{said[name]} {name}" for name in FAULTS if said[name]) or "0"
        counts = (found["done"], said["image"] + said["corner"], said["refused"], said["foreign"])
        rows.append(f"| {reader} | {' | '.join(map(str, counts))} | {faults} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-reader", type=int, default=5000)
    parser.add_argument("--first-seed", type=int, default=0, help="other damage than that of seeds from 0 on")
    parser.add_argument("--readers", nargs="+", choices=READERS, default=list(READERS))
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this; start again to go on")
    parser.add_argument("--fresh", action="store_true", help="forget what was done")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(Path(options.worker[0]), int(options.worker[1]), int(options.worker[2]))
        return
    os.environ |= {"MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1"}
    state = json.loads(STATE.read_text()) if STATE.exists() and not options.fresh else {}
    until = time.monotonic() + options.seconds
    for reader in options.readers:
        name = f"{reader}, seeds from {options.first_seed}" if options.first_seed else reader
        found = state.setdefault(name, {"done": 0, "outcomes": {}, "faults": []})
        first = options.first_seed
        for seed, outcome, why in insult(reader, first + found["done"], first + options.per_reader):
            found["done"] = seed + 1 - first
            found["outcomes"][outcome] = found["outcomes"].get(outcome, 0) + 1
            if outcome in FAULTS:
                found["faults"].append({"seed": seed, "outcome": outcome, "why": why})
                print(reader, seed, outcome, why, flush=True)
            if time.monotonic() > until:
                break
        STATE.parent.mkdir(parents=True, exist_ok=True)
        STATE.write_text(json.dumps(state, indent=1))
        if time.monotonic() > until:
            break
    print(table(state))


if __name__ == "__main__":
    main()
