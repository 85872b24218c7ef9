"""Start-up over bare Python: ``python -m benchmarks.startup``. Medians of paired runs of fresh processes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

LIMITS = {"import ruska": 0.2, "ruska --help": 0.4}


def seconds(code: str) -> float:
    """Wall time of a fresh interpreter that runs ``code``."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def measured(repeats: int = 11) -> dict[str, float]:
    """Median seconds beyond bare Python, by what was started."""
    programs = {
        "import ruska": "import ruska",
        "ruska --help": "import sys; sys.argv = ['ruska', '--help']; from ruska.cli.main import main; main()",
    }
    found = {}
    for name, code in programs.items():
        seconds(code)
        found[name] = statistics.median(seconds(code) - seconds("pass") for _ in range(repeats))
    return found


def table(found: dict[str, float]) -> str:
    rows = [f"| `{name}` | {extra:.3f} s | {LIMITS[name]} s |" for name, extra in found.items()]
    return "\n".join(["| start-up | beyond bare Python | limit |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(table(measured()))
