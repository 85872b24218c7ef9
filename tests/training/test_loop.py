"""The training loop: it learns, it stops in time, and a resumed training is the one that was not interrupted."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ruska.errors import InputError, ResourceError
from ruska.training import Schedule, load_weights, save_weights, train

INPUTS = torch.from_numpy(np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32))
TARGETS = INPUTS @ torch.linspace(-1, 1, 8)[:, None]
SCHEDULE = Schedule(steps=60, precision="fp32", average=0.9, learning_rate=0.1)


def network():
    torch.manual_seed(1)
    return torch.nn.Linear(8, 1)


def loss(net, step):
    part = slice(step % 4 * 16, step % 4 * 16 + 16)
    return ((net(INPUTS[part]) - TARGETS[part]) ** 2).mean()


class InterruptedTrainingError(Exception):
    pass


def test_it_learns_and_returns_the_averaged_network():
    before = loss(network(), 0).item()
    trained = train(network(), loss, SCHEDULE)
    assert trained.steps == 60
    assert loss(trained.network, 0).item() < 0.1 * before
    assert not trained.network.training


def test_a_resumed_training_ends_like_one_that_was_not_interrupted(tmp_path):
    whole = train(network(), loss, SCHEDULE)
    file = tmp_path / "state.safetensors"
    always = Schedule(**{**SCHEDULE.__dict__, "checkpoint_seconds": 0})

    def failing(net, step):
        if step == 37:
            raise InterruptedTrainingError
        return loss(net, step)

    with pytest.raises(InterruptedTrainingError):
        train(network(), failing, always, checkpoint=file, identity="a")
    resumed_from = []

    def watched(net, step):
        resumed_from.append(step)
        return loss(net, step)

    resumed = train(network(), watched, always, checkpoint=file, identity="a")
    assert resumed_from[0] == 37
    for name, value in whole.network.state_dict().items():
        torch.testing.assert_close(resumed.network.state_dict()[name], value, rtol=0, atol=0)
    assert train(network(), failing, always, checkpoint=file, identity="a").steps == 60  # nothing left to do


def test_the_state_of_another_training_is_not_taken(tmp_path):
    file = tmp_path / "state.safetensors"
    train(network(), loss, SCHEDULE, checkpoint=file, identity="a")
    steps = []
    train(network(), lambda net, step: steps.append(step) or loss(net, step), SCHEDULE, checkpoint=file, identity="b")
    assert steps[0] == 0
    tensors, _ = load_weights(file)
    save_weights(file, tensors, {"identity": "b", "step": 60})  # as an older version might have left it
    assert train(network(), loss, SCHEDULE, checkpoint=file, identity="b").steps == 60


def test_the_weights_that_were_judged_best_are_returned():
    seen = []

    def validate(net):
        seen.append({name: value.clone() for name, value in net.state_dict().items()})
        return abs(len(seen) - 3.0)

    schedule = Schedule(**{**SCHEDULE.__dict__, "steps": 100, "validate_every": 10, "patience": 0.4})
    trained = train(network(), loss, schedule, validate=validate)
    assert trained.best == 30
    assert trained.steps == 71  # 40 steps brought nothing better
    torch.testing.assert_close(trained.network.state_dict()["weight"], seen[2]["weight"], rtol=0, atol=0)


def test_a_time_limit_is_kept():
    trained = train(network(), loss, Schedule(steps=10**9, minutes=0.01, precision="fp32"))
    assert trained.steps < 10**9
    assert 0.6 <= trained.seconds < 5


def test_a_loss_that_is_no_number_is_an_error():
    with pytest.raises(ResourceError, match="learning rate"):
        train(network(), lambda net, step: loss(net, step) * float("nan"), SCHEDULE)


def test_weights_come_back_with_their_facts(tmp_path):
    file = tmp_path / "w.safetensors"
    save_weights(file, network().state_dict(), {"spot": [1, 5]})
    tensors, facts = load_weights(file)
    torch.testing.assert_close(tensors["weight"], network().weight.data)
    assert facts == {"spot": [1, 5]}
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


@pytest.mark.parametrize("content", [b"", b"hello", bytes(1000), b"\x80\x04\x95"])
def test_what_is_no_model_is_refused(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(InputError, match=r"w\.safetensors"):
        load_weights(tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="does not exist"):
        load_weights(tmp_path / "other.safetensors")


def test_accumulated_batches_are_one_large_batch():
    schedule = Schedule(**{**SCHEDULE.__dict__, "steps": 5})
    parts = Schedule(**{**schedule.__dict__, "accumulate": 4})
    whole = train(network(), lambda net, step: ((net(INPUTS) - TARGETS) ** 2).mean(), schedule)
    pieces = train(network(), loss, parts)
    torch.testing.assert_close(pieces.network.state_dict(), whole.network.state_dict(), rtol=1e-4, atol=1e-6)
