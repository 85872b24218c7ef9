"""The log of a training: one row each 50 steps and after each judgement, once, whatever interrupted it."""

from __future__ import annotations

import csv
import sys
from dataclasses import replace

import pytest
import torch

from ruska.training import Schedule, train
from ruska.training.guard import COUNTS
from ruska.training.log import Log

SCHEDULE = Schedule(steps=130, precision="fp32", learning_rate=0.01, validate_every=40, patience=1)


@pytest.fixture
def no_board(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)


def network():
    torch.manual_seed(0)
    return torch.nn.Linear(4, 1)


def loss(net, step):
    return ((net(torch.ones(4)) - step % 3) ** 2).mean()


def validate(net):
    return float(net.weight.detach().abs().sum())


def rows(folder):
    with (folder / "log.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("no_board")
def test_it_holds_what_the_training_returns(tmp_path):
    trained = train(network(), loss, SCHEDULE, validate=validate, log=tmp_path / "log")
    found = rows(tmp_path / "log")
    assert list(found[0]) == ["step", "seconds", "loss", "score", "learning_rate", "bounded", "shortened", "left_out"]
    assert {name: int(found[-1][name]) for name in COUNTS} == trained.guarded
    assert [int(row["step"]) for row in found] == [40, 50, 80, 100, 120, 130]
    scores = [(int(row["step"]), float(row["score"])) for row in found if row["score"]]
    assert scores == [(step, pytest.approx(score, rel=1e-5)) for step, score in trained.scores]
    losses = [float(row["loss"]) for row in found if int(row["step"]) % 50 == 0]
    assert losses == pytest.approx(trained.losses, rel=1e-5)
    seconds = [float(row["seconds"]) for row in found]
    assert seconds == sorted(seconds)
    assert 0 < float(found[-1]["learning_rate"]) < 0.001 < float(found[0]["learning_rate"]) <= 0.01


@pytest.mark.usefixtures("no_board")
@pytest.mark.parametrize("killed", [0, 39, 40, 99, 110])
def test_a_resumed_training_writes_the_log_of_one_that_was_not_interrupted(tmp_path, killed):
    train(network(), loss, SCHEDULE, validate=validate, log=tmp_path / "whole")
    file = tmp_path / "state.safetensors"
    train(network(), loss, replace(SCHEDULE, steps=1), checkpoint=file)

    def interrupted(net, step):
        if step == killed:
            raise KeyboardInterrupt
        return loss(net, step)

    with pytest.raises(KeyboardInterrupt):
        train(network(), interrupted, SCHEDULE, validate=validate, checkpoint=file, identity="a", log=tmp_path / "log",
              overwrite=True)  # fmt: skip  # another training's state is there
    train(network(), loss, SCHEDULE, validate=validate, checkpoint=file, identity="a", log=tmp_path / "log")
    names = ("step", "loss", "score", "learning_rate")
    one, other = ([[row[n] for n in names] for row in rows(tmp_path / name)] for name in ("whole", "log"))
    assert one == other


@pytest.mark.usefixtures("no_board")
def test_rows_after_the_resumed_step_and_halves_of_rows_are_dropped(tmp_path):
    log = Log(tmp_path, 0)
    for step in (50, 100, 150):
        log.write(step, 1.0, 2.0, None, 3.0)
    with log.table.open("a", encoding="utf-8") as file:
        file.write("20")  # a kill in the middle of a row; not step 20
    log = Log(tmp_path, 120)
    assert [row["step"] for row in rows(tmp_path)] == ["50", "100"]
    log.write(100, 9.0, 9.0, None, 9.0, dict.fromkeys(COUNTS, 4))  # there already
    log.write(150, 9.0, 9.0, 8.0, 9.0)
    assert [(row["step"], row["loss"], row["score"]) for row in rows(tmp_path)] == [
        ("50", "2", ""), ("100", "2", ""), ("150", "9", "8")
    ]  # fmt: skip


@pytest.mark.usefixtures("no_board")
def test_a_table_with_fewer_columns_is_gone_on_with(tmp_path):
    (tmp_path / "log.csv").write_text("step,seconds,loss,score,learning_rate\n50,1.0,2,,3\n", encoding="utf-8")
    Log(tmp_path, 50).write(100, 2.0, 2.0, None, 3.0, {"bounded": 7, "shortened": 0, "left_out": 1})
    assert [(row["step"], row["bounded"], row["left_out"]) for row in rows(tmp_path)] == [
        ("50", "", ""),
        ("100", "7", "1"),
    ]


@pytest.mark.usefixtures("no_board")
def test_a_missing_tensorboard_is_said_once(tmp_path):
    notes = train(network(), loss, SCHEDULE, log=tmp_path).notes
    assert len(notes) == 1
    assert "pip install tensorboard" in notes[0]
    assert [p.name for p in tmp_path.iterdir()] == ["log.csv"]
    assert train(network(), loss, SCHEDULE).notes == ()


def test_tensorboard_shows_each_step_once(tmp_path):
    pytest.importorskip("tensorboard", reason="TensorBoard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = Log(tmp_path, 0)
    assert first.notes == ()
    for step in (50, 100, 150):
        first.write(step, 1.0, step, None, 3.0)
    first.close()
    second = Log(tmp_path, 100)
    second.write(150, 1.0, 7.0, 5.0, 3.0)
    second.close()
    board = EventAccumulator(str(tmp_path)).Reload()
    assert [(event.step, event.value) for event in board.Scalars("loss")] == [(50, 50), (100, 100), (150, 7)]
    assert [(event.step, event.value) for event in board.Scalars("score")] == [(150, 5)]
