"""The long run of damaged files survives what they do to its workers, and says which file did it."""

from __future__ import annotations

import sys

import pytest
from benchmarks.insults import table, watched

WORKER = """
import json, os, sys, time
def say(**facts): print(json.dumps(facts), flush=True)
for seed in range(int(sys.argv[1]), 8):
    say(seed=seed)
    if seed == 2: os.abort()
    if seed == 5: time.sleep(60)
    say(seed=seed, outcome="refused", why="")
    if seed == 3: break  # a worker whose memory has grown ends early
"""


@pytest.mark.slow  # it waits: a shorter silence than this may be that of a busy machine
def test_crashes_and_hangs_cost_one_file_each() -> None:
    found = list(watched(lambda seed: [sys.executable, "-c", WORKER, str(seed)], 0, 8, seconds=8))
    assert [seed for seed, _, _ in found] == list(range(8))
    assert {seed: outcome for seed, outcome, _ in found if outcome != "refused"} == {2: "crash", 5: "hang"}


def test_a_worker_that_does_nothing_is_no_result() -> None:
    with pytest.raises(SystemExit, match="no module"):
        list(watched(lambda seed: [sys.executable, "-c", "raise SystemExit('no module')"], 0, 8, seconds=1.5))


def test_faults_stand_in_the_table() -> None:
    said = {"TIFF": {"done": 9, "outcomes": {"image": 2, "refused": 5, "crash": 2}, "faults": []}}
    assert table(said).splitlines()[-1] == "| TIFF | 9 | 2 | 5 | 0 | 2 crash |"
