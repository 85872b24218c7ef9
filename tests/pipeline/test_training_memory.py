"""``--memory`` of trainings: kept where there is room, refused before the first step where there is not."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from ruska.errors import ResourceError, SettingsError
from ruska.pipeline import Input, Request, RunOptions, run

_CHILD = """
import json, sys
from ruska.cli.main import _run
from ruska.engine.memory import peak_memory
class Watched: problem = None
sys.argv = ["ruska", *json.loads(sys.argv[1])]
print(json.dumps([_run(Watched()), peak_memory()]))
"""


def _child(*words: object) -> tuple[int, int, str]:
    """Exit code, peak in bytes and messages of a command in a process of its own."""
    command = [sys.executable, "-c", _CHILD, json.dumps([*map(str, words), "--json"])]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=alone)
    code, peak = json.loads(done.stdout.splitlines()[-1])
    return code, peak, done.stderr


@pytest.fixture
def noisy(tmp_path):
    file = tmp_path / "noisy.npy"
    rng = np.random.default_rng(0)
    np.save(file, (100 + 20 * np.sin(np.arange(96) / 9)[:, None] + rng.normal(0, 8, (96, 96))).astype("u1"))
    return file


def test_a_training_on_the_file_keeps_to_the_least_memory_it_accepts(noisy, tmp_path):
    """A bound that is too low is refused with what is lacking; with that it trains, and takes no more."""
    words = ("denoise", noisy, "-o", tmp_path / "out.npy", "--method", "noise2void", "--no-report", "--set", "steps=3",
             "--set", "batch=2", "--memory")  # fmt: skip
    code, _, said = _child(*words, "300MB")
    assert code == 5, said
    lacking = float(re.search(r"Allow ([0-9.]+) GB more", said)[1])
    allowed = 300 + 1000 * lacking
    code, peak, said = _child(*words, f"{allowed:.0f}MB")
    assert code == 0, said
    assert peak < allowed * 1e6


def test_a_model_is_not_trained_where_memory_is_lacking(noisy, tmp_path):
    request = Request(task="train", method="noise2void", inputs={"data": Input(path=str(noisy))},
                      output=str(tmp_path / "model"), run=RunOptions(memory="1MB"))  # fmt: skip
    with pytest.raises(ResourceError, match="leaves 0 GB for training"):
        run(request)


def test_another_packages_training_says_that_it_knows_no_bound(noisy, tmp_path, monkeypatch):
    monkeypatch.setattr("ruska.methods.trainings", lambda: ("theirs",))
    monkeypatch.setattr("ruska.methods.training", lambda name: type("About", (), {"name": name}))
    request = Request(task="train", method="theirs", inputs={"data": Input(path=str(noisy))},
                      output=str(tmp_path / "model"), run=RunOptions(memory="1GB"))  # fmt: skip
    with pytest.raises(SettingsError, match="does not say what it takes"):
        run(request)
