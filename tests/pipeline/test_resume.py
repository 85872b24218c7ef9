"""A run killed at random moments, started again with the same command, ends with the bytes of one that was not."""

from __future__ import annotations

import ast
import hashlib
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import ruska
from ruska.errors import InputError, OutputError
from ruska.image import Image, Quantity
from ruska.pipeline import restore

SCRIPT = Path(__file__).with_name("killed_run.py")


def start(*words, pause):
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), *map(str, words), str(pause)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finish(process):
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return ast.literal_eval(out)


def await_lines(target, more, process):
    """Wait until the run's ledger has grown by ``more`` lines. Not a time: the machine may be busy."""
    ledger = target.with_name(f".{target.name}.ruska-work") / "ledger.jsonl"
    first = None
    while process.poll() is None:
        lines = ledger.read_bytes().count(b"\n") if ledger.exists() else 0
        first = lines if first is None else first
        if lines >= first + more:
            return
        time.sleep(0.005)
    pytest.fail("the run ended before it could be killed: make it slower")


def contents(path):
    """Digest of a file, or of every file of a store except its metadata, which hold the times of the run."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file() and p.name[0] not in "z.")
    assert files
    return {str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture
def noisy(tmp_path):
    values = np.random.default_rng(3).normal(1000, 100, (512, 512)).astype(np.uint16)
    nm = Quantity(4.0, "nm")
    ruska.write(tmp_path / "noisy.tif", Image(values, "YX", {"Y": nm, "X": nm}))
    return tmp_path / "noisy.tif"


@pytest.mark.parametrize(
    ("suffix", "method"),
    [
        (".npy", "gaussian"),
        pytest.param(".npy", "tv", marks=pytest.mark.slow),
        pytest.param(".ome.zarr", "gaussian", marks=pytest.mark.slow),
        pytest.param(".mrc", "tv", marks=pytest.mark.slow),
    ],
)
def test_killed_runs_resume_to_the_same_bytes(noisy, suffix, method):
    calm, killed = (noisy.with_name(name + suffix) for name in ("calm", "killed"))
    finish(start(noisy, calm, method, pause=0))
    chance = random.Random(suffix + method)
    for _ in range(3):
        process = start(noisy, killed, method, pause=0.03)
        await_lines(killed, chance.randint(1, 9), process)
        time.sleep(chance.uniform(0, 0.06))
        process.kill()
        process.communicate()
        assert not killed.exists()
    blocks = finish(start(noisy, killed, method, pause=0))
    assert blocks["resumed"] > 0
    assert blocks["resumed"] + blocks["computed"] == 64
    assert contents(killed) == contents(calm)
    assert not list(noisy.parent.glob(".*"))


def test_a_changed_input_is_not_resumed(noisy):
    out = noisy.with_name("clean.npy")
    process = start(noisy, out, "gaussian", pause=0.03)
    await_lines(out, 3, process)
    process.kill()
    process.communicate()
    ruska.write(noisy, Image(np.full((512, 512), 7, np.uint16), "YX"), overwrite=True)
    assert finish(start(noisy, out, "gaussian", pause=0))["resumed"] == 0
    assert (np.load(out) == 7).all()


def test_a_resumed_run_works_in_the_parts_it_began_with(noisy, monkeypatch):
    """Which follow from the memory that was free then: in others a training would end in other bytes."""
    out, jobs, real = noisy.with_name("clean.npy"), [], restore.prepare

    def spied(*args, **options):
        jobs.append(real(*args, **options))
        return jobs[-1]

    def stopped(*args, **options):
        raise KeyboardInterrupt

    def again(free):
        monkeypatch.setattr("ruska.engine.memory.available_memory", lambda: free)
        ruska.denoise(noisy, out, method="gaussian", report=False)

    monkeypatch.setattr(restore, "prepare", spied)
    with monkeypatch.context() as here:
        here.setattr(restore, "_open_sinks", stopped)
        with pytest.raises(KeyboardInterrupt):
            again(8 << 30)
    again(4 << 30)
    assert jobs[0].budget.memory_bytes - jobs[1].budget.memory_bytes > 1 << 30
    assert jobs[0].budget.room == jobs[1].budget.room


def test_finished_blocks_that_are_lost_before_the_result_is_written_are_no_zeros(noisy):
    calm, lost = noisy.with_name("calm.npy"), noisy.with_name("lost.npy")
    ruska.denoise(noisy, calm, method="gaussian", report=False)
    blocks = lost.with_name(".lost.npy.ruska-work") / "blocks"

    def lose(stage, done, total):
        if stage == "writing lost.npy":
            blocks.rename(noisy.with_name("elsewhere"))

    with pytest.raises(InputError, match="was finished, but is gone"):
        ruska.denoise(noisy, lost, method="gaussian", report=False, progress=lose)
    assert not lost.exists()
    noisy.with_name("elsewhere").rename(blocks)
    assert ruska.denoise(noisy, lost, method="gaussian", report=False).record["blocks"]["computed"] == 0
    assert lost.read_bytes() == calm.read_bytes()


@pytest.mark.parametrize("suffix", [".npy", ".ome.zarr"])
def test_killed_when_the_result_is_in_place(noisy, monkeypatch, suffix):
    """The same command says that all is there; told to overwrite, it does it again, not from a store that has left."""
    calm, out = noisy.with_name(f"calm{suffix}"), noisy.with_name(f"clean{suffix}")
    ruska.denoise(noisy, calm, method="gaussian", report=False)

    def killed(*_):
        raise KeyboardInterrupt

    for _ in range(2):
        with monkeypatch.context() as patch:
            patch.setattr(restore, "_result", killed)
            with pytest.raises(KeyboardInterrupt):
                ruska.denoise(noisy, out, method="gaussian", report=False, overwrite=True)
        assert list(noisy.parent.glob(".*"))
    with pytest.raises(OutputError, match="is complete"):
        ruska.denoise(noisy, out, method="gaussian", report=False)
    assert not list(noisy.parent.glob(".*"))
    with pytest.raises(OutputError, match="exists already\\. "):
        ruska.denoise(noisy, out, method="gaussian", report=False)
    assert contents(out) == contents(calm)


def test_killed_when_the_store_of_blocks_has_left(noisy):
    """No store, no finished blocks, whatever the ledger says."""
    calm, out = noisy.with_name("calm.ome.zarr"), noisy.with_name("clean.ome.zarr")
    ruska.denoise(noisy, calm, method="gaussian", report=False)

    def stop(stage, done, total):
        if stage.startswith("writing"):
            shutil.rmtree(out.with_name(f".{out.name}.ruska-work") / "blocks.zarr")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ruska.denoise(noisy, out, method="gaussian", report=False, progress=stop)
    ruska.denoise(noisy, out, method="gaussian", report=False)
    assert contents(out) == contents(calm)
