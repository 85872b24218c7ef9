"""Who does the work makes no difference: the driver alone, threads, or spawned processes. Nothing is forked."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from engine_methods import BoxFilter, Diffusion, Noise, run_whole

import ruska
from ruska.engine.executors import Alone, Processes, Threads
from ruska.engine.ledger import NoLedger
from ruska.engine.store import BlockStore

_ALLOWED = {
    "executors.py": {"multiprocessing", "signal", "ProcessPoolExecutor"},
    "ending.py": {"signal"},
    "process.py": {"signal"},
}
"""Modules and calls that not all systems have alike, and where they are used in a way that all have."""
_MODULES = {"multiprocessing", "signal"}
_CALLS = {"fork", "forkpty", "ProcessPoolExecutor", "posix_spawn"}
VALUES = np.random.default_rng(0).normal(5, 1, (60, 70)).astype(np.float32)


def _found(code: str) -> set[str]:
    """Modules that are imported and calls that are named, of those that not all systems have alike."""
    modules, names = set(), set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            modules |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add((node.module or "").partition(".")[0])
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
    return modules & _MODULES | names & _CALLS


def test_no_process_is_forked():
    files = list(Path(ruska.__file__).parent.rglob("*.py"))
    assert len(files) > 100
    found = {file.name: found for file in files if (found := _found(file.read_text("utf-8")))}
    assert {name: what - _ALLOWED.get(name, set()) for name, what in found.items()} == {name: set() for name in found}
    assert _found("import os, signal\nos.fork()") == {"fork", "signal"}
    assert 'get_context("spawn")' in (Path(ruska.__file__).parent / "engine" / "executors.py").read_text("utf-8")


def test_threads_take_what_no_process_could_be_sent():
    """A method made of a local function, and a source that counts its reads: neither can be pickled."""
    reads = []

    class Local(BoxFilter):
        def change(self, y, random):
            reads.append(y.shape)
            return super().change(y, random)

    out, outcome, plan = run_whole(Local(), VALUES, edge=16, workers=3)
    alone, *_ = run_whole(BoxFilter(), VALUES, edge=16, workers=1)
    np.testing.assert_array_equal(out, alone)
    assert outcome.blocks == plan.size == len(reads) == 20


class OnDisk(NoLedger):
    """A ledger with a folder, which processes need to hand tiles and states to each other."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        folder.mkdir()
        self.folder = folder


@pytest.mark.parametrize("method", [
    BoxFilter(), BoxFilter(radius=6, merge="mean"), Noise(merge="mean", domain="normalised"), Diffusion(sweeps=3),
], ids=["cut", "blended", "noise", "sweeps"])  # fmt: skip
def test_every_executor_gives_the_same_bytes(method, tmp_path):
    results = []
    for name, executor in {"alone": Alone(), "threads": Threads(3), "processes": Processes(2)}.items():
        ledger = OnDisk(tmp_path / name)

        def store(plan, folder=ledger.folder):
            return BlockStore(folder / "blocks", plan.output_shape, np.float32, plan.extent_of(plan.outputs[0]))

        out, outcome, plan = run_whole(
            method, VALUES, edge=24, seed=3, ledger=ledger, executor=executor, store=store
        )  # fmt: skip
        results.append((out, outcome.blocks, sorted(ledger.entries)))
        assert plan.size > 4
    for out, blocks, entries in results[1:]:
        np.testing.assert_array_equal(out, results[0][0])
        assert (blocks, entries) == results[0][1:]


def _alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text("ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


DRIVER = """
import os, sys, time
from ruska.engine.executors import Processes

class Slow:
    class plan:
        block = staticmethod(lambda index: index)
    def work(self, block):
        print(os.getpid(), flush=True)
        time.sleep(60)

if __name__ == "__main__":
    with Processes(1).open([Slow()]) as submit:
        submit(0, 0).result()
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc who lives")
def test_workers_end_with_a_driver_that_is_killed(tmp_path):
    (tmp_path / "driver.py").write_text(DRIVER, encoding="utf-8")
    with subprocess.Popen([sys.executable, tmp_path / "driver.py"], stdout=subprocess.PIPE, text=True) as driver:
        worker = int(driver.stdout.readline())
        driver.kill()
        driver.wait()
        for _ in range(100):
            if not _alive(worker):
                return
            time.sleep(0.1)
        os.kill(worker, 9)
    pytest.fail("the worker lives on")
