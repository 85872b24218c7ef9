"""Workers are threads: nothing is forked, no worker needs a signal, so all systems behave alike."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
from engine_methods import BoxFilter, run_whole

import ruska

_MODULES = {"multiprocessing", "signal"}
_CALLS = {"fork", "forkpty", "ProcessPoolExecutor", "posix_spawn"}


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


def test_no_process_is_forked_and_signals_are_left_to_the_command_line():
    files = list(Path(ruska.__file__).parent.rglob("*.py"))
    assert len(files) > 100
    found = {file.name: found for file in files if (found := _found(file.read_text("utf-8")))}
    assert found == {"ending.py": {"signal"}}  # which takes those that a system has
    assert _found("import os, signal\nos.fork()") == {"fork", "signal"}


def test_workers_take_what_no_process_could_be_sent():
    """A method made of a local function, and a source that counts its reads: neither can be pickled."""
    values, reads = np.random.default_rng(0).normal(5, 1, (60, 70)).astype(np.float32), []

    class Local(BoxFilter):
        def __call__(self, y, random):
            reads.append(y.shape)
            return super().__call__(y, random)

    out, outcome, plan = run_whole(Local(), values, edge=16, workers=3)
    alone, *_ = run_whole(BoxFilter(), values, edge=16, workers=1)
    np.testing.assert_array_equal(out, alone)
    assert outcome.blocks == plan.size == len(reads) == 20
