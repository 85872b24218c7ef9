"""Networks that belong together are trained as one: all of it is saved, and goes on wherever it ended."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from ruska.errors import JobCancelledError
from ruska.training import Schedule, train
from ruska.weights.tensors import load_weights

INPUTS = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
SCHEDULE = Schedule(steps=24, precision="fp32", average=0.9, learning_rate=0.05, optimizer="adamw", betas=(0.9, 0.95))
TEACHES = 0.9


class Distilled:
    """A student that says what its teacher says, a teacher that follows it, and a centre that keeps the two apart."""

    def __init__(self):
        torch.manual_seed(3)
        layers = [nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)]
        self.network = nn.Sequential(*layers)
        self.teacher = copy.deepcopy(self.network).requires_grad_(False)
        self.centre = torch.zeros(4)
        self.heat = torch.tensor(0.5)  # a schedule of its own
        self.said = []
        self.seen = []

    def groups(self):
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        return [{"params": decayed, "weight_decay": 0.1}, {"params": others, "lr_scale": 0.5}]

    def loss(self, batch, step):
        self.seen.append(step)
        x = INPUTS[batch % 4 * 16 : batch % 4 * 16 + 16]
        with torch.no_grad():
            said = self.teacher(x)
        self.said.append(said.mean(0))
        wanted = ((said - self.centre) / self.heat).softmax(1)
        return -(wanted * self.network(x + 0.1 * INPUTS[:16]).log_softmax(1)).sum(1).mean()

    @torch.no_grad()
    def after_step(self, step):
        for kept, new in zip(self.teacher.parameters(), self.network.parameters(), strict=True):
            kept.lerp_(new, 1 - TEACHES)
        self.centre.lerp_(torch.stack(self.said).mean(0), 0.1)
        self.heat.mul_(0.98)
        self.said.clear()

    def ships(self):
        return self.teacher

    def state(self):
        return {"centre": self.centre, "heat": self.heat} | {
            f"teacher/{name}": value for name, value in self.teacher.state_dict().items()
        }

    def load_state(self, tensors):
        for name, value in self.state().items():
            value.copy_(tensors[name])


def judge(teacher):
    return float(teacher(INPUTS).square().mean())


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("ending", ["ctrl-c in a step", "cancelled after a step", "anything"])
def test_student_teacher_and_centre_go_on_to_the_same_bytes(tmp_path, ending, accumulate):
    schedule = replace(SCHEDULE, accumulate=accumulate, validate_every=6, patience=1)
    own = {"validate": judge, "identity": "d"}
    train(Distilled(), None, schedule, checkpoint=tmp_path / "whole", **own)
    first = Distilled()
    if ending == "ctrl-c in a step":
        loss = first.loss

        def interrupted(batch, step):
            found = loss(batch, step)  # running statistics and what the centre follows are those of half a step
            if step == 11:
                raise KeyboardInterrupt
            return found

        first.loss = interrupted
        with pytest.raises(KeyboardInterrupt):
            train(first, None, schedule, checkpoint=tmp_path / "parts", **own)
    else:
        error = JobCancelledError("the run", "was cancelled") if "cancelled" in ending else ValueError("a bug")

        def progress(stage, done, total):
            if done == 11:
                raise error

        with pytest.raises(type(error)):
            train(first, None, schedule, checkpoint=tmp_path / "parts", progress=progress, **own)
    second = Distilled()
    train(second, None, schedule, checkpoint=tmp_path / "parts", **own)
    assert second.seen[0] == 11
    (ours, facts), (theirs, known) = (load_weights(tmp_path / name) for name in ("whole", "parts"))
    assert {name.partition("/")[0] for name in ours} >= {"network", "average", "best", "optimizer", "trainee"}
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name
    assert {**facts, "seconds": 0} == {**known, "seconds": 0}


def test_what_ships_is_the_average_of_the_teacher():
    trainee = Distilled()
    trained = train(trainee, None, replace(SCHEDULE, average=0.0))
    for kept, taught, learnt in zip(
        trained.network.parameters(), trainee.teacher.parameters(), trainee.network.parameters(), strict=True
    ):
        assert torch.equal(kept, taught)
        assert not torch.equal(kept, learnt)
    assert float(trainee.heat) == pytest.approx(0.5 * 0.98**24)


def test_groups_have_their_own_rate_and_decay():
    class Slow(Distilled):
        def groups(self):
            return [{**group, "lr_scale": 0.0, "weight_decay": 0.0} for group in super().groups()]

    trainee, before = Slow(), Slow()
    train(trainee, None, replace(SCHEDULE, steps=3))
    for now, then in zip(trainee.network.parameters(), before.network.parameters(), strict=True):
        assert torch.equal(now, then)
