"""Two processes that train one network are one process with twice the batches, and survive a death like one."""

from __future__ import annotations

import csv
import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ruska.errors import ResourceError
from ruska.training import train
from ruska.training.ranks import Ranks, join
from ruska.weights.tensors import load_weights

JOB = Path(__file__).with_name("together.py")


def torchrun(folder, when):
    """What both processes said, and the exit code of all."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(JOB)]
    process = subprocess.Popen(
        [*command, str(folder), when], env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        return process.communicate(timeout=600)[1], process.returncode
    except subprocess.TimeoutExpired:
        process.terminate()  # killed, it would leave the two behind
        process.communicate(timeout=30)
        raise


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What both processes left: of one run, in the end of which the second dies, and of one more."""
    folder = tmp_path_factory.mktemp("ranks")
    said, code = torchrun(folder, "first")
    assert code
    assert (folder / "died").exists(), said
    said, code = torchrun(folder, "again")
    assert code == 0, said
    return folder


@pytest.fixture
def together():
    spec = importlib.util.spec_from_file_location("together", JOB)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def left(folder, name):
    return [load_weights(folder / f"{name}-{rank}.safetensors") for rank in (0, 1)]


@pytest.mark.slow
def test_two_processes_are_one_with_twice_the_batches(folder, together):
    alone = train(together.network(), together.loss, replace(together.SCHEDULE, accumulate=2)).network.state_dict()
    start = together.network().state_dict()
    for tensors, _ in left(folder, "whole"):
        for name, value in alone.items():
            torch.testing.assert_close(tensors[name], value, rtol=0, atol=1e-6)
            assert (value - start[name]).abs().max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", ["whole", "images", "judged", "timed", "again"])
def test_all_processes_end_with_the_same_weights_after_the_same_steps(folder, name):
    (one, facts), (other, others) = left(folder, name)
    assert facts["steps"] == others["steps"] > 0
    assert facts["best"] == others["best"]
    torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.slow
def test_every_process_takes_its_own_batches(folder):
    assert [facts["seen"] for _, facts in left(folder, "whole")] == [list(range(0, 48, 2)), list(range(1, 48, 2))]


@pytest.mark.slow
def test_the_first_one_judges_and_all_stop(folder):
    for _, facts in left(folder, "judged"):
        assert (facts["best"], facts["steps"]) == (12, 29)  # 16 of 40 steps brought nothing better


@pytest.mark.slow
def test_the_first_one_keeps_the_log_and_says_what_is_missing(folder):
    with (folder / "log" / "log.csv").open(encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == []  # 24 steps, never judged
    assert [len(facts["notes"]) for _, facts in left(folder, "whole")] == [1, 0]


@pytest.mark.slow
def test_after_a_death_both_go_on_and_end_as_if_nothing_had_happened(folder):
    for (tensors, facts), (whole, _) in zip(left(folder, "again"), left(folder, "whole"), strict=True):
        assert 0 < facts["seen"][0] // 2 <= 17
        torch.testing.assert_close(tensors, whole, rtol=0, atol=0)


def test_one_process_is_alone(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    assert join(torch.device("cpu")) == Ranks(torch.device("cpu"))
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("LOCAL_RANK")  # a job of another launcher, that did not ask for this
    assert join(torch.device("cpu")).world == 1


@pytest.mark.parametrize(("steps", "agreed"), [((7, 7), True), ((7, 0), False)])
def test_processes_that_would_go_on_from_different_steps_stop(monkeypatch, steps, agreed):
    def all_reduce(ends, operation):
        ends.copy_(torch.tensor([max(steps), max(-s for s in steps)]))

    monkeypatch.setattr("ruska.training.ranks.dist.all_reduce", all_reduce)
    ranks = Ranks(torch.device("cpu"), 0, 2)
    if agreed:
        ranks.must_agree(7)
    else:
        with pytest.raises(ResourceError, match="folder that all"):
            ranks.must_agree(7)
