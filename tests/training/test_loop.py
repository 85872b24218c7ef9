"""The training loop: it learns, it stops in time, and a resumed training is the one that was not interrupted."""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ruska.compute.precision import multiplies_bf16
from ruska.errors import InputError, JobCancelledError, OutputError, ResourceError, SettingsError
from ruska.training import Schedule, loop, train
from ruska.training.prefetch import Prefetched
from ruska.weights.tensors import load_weights, save_weights

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


@pytest.mark.parametrize(("facts", "said"), [
    ({"identity": "another"}, "other settings or other data"),
    ({"form": 1}, "another version"),
    ({"form": 99}, "another version"),
    ({"optimizer": "sgd"}, "optimiser sgd, not adam"),
])  # fmt: skip
def test_the_state_of_another_training_is_refused_unless_it_may_be_replaced(tmp_path, facts, said):
    file, calls = tmp_path / "state.safetensors", []
    train(network(), loss, replace(SCHEDULE, steps=5), checkpoint=file, identity="a")
    tensors, known = load_weights(file)
    save_weights(file, tensors, {**known, **facts})
    left = file.read_bytes()
    with pytest.raises(OutputError, match=rf"state\.safetensors: .*{said}.*--overwrite"):
        train(network(), remembered(calls), SCHEDULE, checkpoint=file, identity="a")
    assert not calls
    assert file.read_bytes() == left
    train(network(), remembered(calls), SCHEDULE, checkpoint=file, identity="a", overwrite=True)
    assert calls == list(range(60))


def test_a_state_of_the_form_before_goes_on(tmp_path):
    file, calls = tmp_path / "state.safetensors", []
    train(network(), loss, replace(SCHEDULE, steps=20), checkpoint=file, identity="a")
    tensors, known = load_weights(file)
    assert known.pop("optimizer") == "adam"
    save_weights(file, tensors, {**known, "form": 2})
    train(network(), remembered(calls), replace(SCHEDULE, steps=25), checkpoint=file, identity="a")
    assert calls == list(range(20, 25))


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


def judged_worse_after(best, until=10**9):
    """Scores that fall until step ``best`` of judgements every ten steps, and then rise; new ones after ``until``."""
    count = [0]

    def validate(net):
        count[0] += 1
        step = 10 * count[0]
        return float(best - step if step <= best else step - best if step < until else -step)

    return validate


LONG = replace(SCHEDULE, steps=10_000, validate_every=10, patience=1.0)


def test_where_judgements_get_worse_the_rate_falls_from_the_best_weights(tmp_path):
    trained = train(network(), loss, LONG, validate=judged_worse_after(60), log=tmp_path)
    assert trained.best == 60
    assert trained.steps == 60 + 40 + 140  # found out after four judgements; a fall as long as if planned so
    lines = (line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()[1:])
    rates = {int(line[0]): float(line[4]) for line in lines}
    assert rates[90] == pytest.approx(0.1)
    assert 0.04 < rates[170] < 0.07  # half way down
    assert rates[240] < 0.002


def test_the_fall_begins_at_the_best_weights():
    seen = {}

    def spied(net, step):
        seen[step] = net.weight.detach().clone()
        return loss(net, step)

    trained = train(network(), spied, LONG, validate=judged_worse_after(60))
    assert torch.equal(seen[100], trained.network.weight)  # judged best after 60 steps, and gone back to after 100
    assert not torch.equal(seen[99], seen[100])


def test_an_early_fall_goes_on_where_it_was_interrupted(tmp_path):
    whole = train(network(), loss, LONG, validate=judged_worse_after(60, until=200))
    file, always = tmp_path / "state.safetensors", replace(LONG, checkpoint_seconds=0)
    judge = judged_worse_after(60, until=200)

    def failing(net, step):
        if step == 133:
            raise InterruptedTrainingError
        return loss(net, step)

    with pytest.raises(InterruptedTrainingError):
        train(network(), failing, always, validate=judge, checkpoint=file)
    resumed = train(network(), loss, always, validate=judge, checkpoint=file)
    assert resumed.steps == whole.steps == 240
    assert resumed.best == whole.best == 240
    assert torch.equal(resumed.network.weight, whole.network.weight)


@pytest.fixture
def clock(monkeypatch):
    """Time as the loop sees it: 0.01 s pass whenever it looks."""
    looks = count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: 0.01 * next(looks)))


@pytest.mark.usefixtures("clock")
def test_a_time_limit_is_kept():
    trained = train(network(), loss, Schedule(steps=10**9, minutes=0.01, precision="fp32"))
    assert trained.steps < 60
    assert 0.6 <= trained.seconds < 0.65


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


def remembered(calls):
    """The loss, which notes the batches it was asked for."""
    return lambda net, step: calls.append(step) or loss(net, step)


def stopping(step):
    """The loss, until the user has enough of it."""

    def interrupted(net, at):
        if at == step:
            net(INPUTS)  # in the middle of the step
            raise KeyboardInterrupt
        return loss(net, at)

    return interrupted


def normalising_network():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 1))


def test_the_users_interruption_saves_the_last_whole_step(tmp_path):
    file = tmp_path / "state.safetensors"
    whole = train(normalising_network(), loss, SCHEDULE)
    with pytest.raises(KeyboardInterrupt):
        train(normalising_network(), stopping(37), SCHEDULE, checkpoint=file)
    calls = []
    resumed = train(normalising_network(), remembered(calls), SCHEDULE, checkpoint=file)
    assert calls[0] == 37
    torch.testing.assert_close(resumed.network.state_dict(), whole.network.state_dict(), rtol=0, atol=0)


def test_an_interrupted_judgement_is_made_again(tmp_path):
    file = tmp_path / "state.safetensors"
    schedule = replace(SCHEDULE, validate_every=20)

    def validate(net):
        return float(net.weight.detach().abs().sum())

    def interrupted(net):
        raise KeyboardInterrupt

    whole = train(network(), loss, schedule, validate=validate)
    with pytest.raises(KeyboardInterrupt):
        train(network(), loss, schedule, validate=interrupted, checkpoint=file)
    assert train(network(), loss, schedule, validate=validate, checkpoint=file).scores == whole.scores
    assert [step for step, _ in whole.scores] == [20, 40, 60]


def test_what_was_judged_is_not_judged_again(tmp_path):
    file = tmp_path / "state.safetensors"
    schedule = replace(SCHEDULE, validate_every=20, patience=1)
    with pytest.raises(KeyboardInterrupt):
        train(network(), stopping(40), schedule, validate=lambda net: 1.0, checkpoint=file)
    resumed = train(network(), loss, schedule, validate=lambda net: 2.0, checkpoint=file)
    assert resumed.scores == [(20, 1.0), (40, 1.0), (60, 2.0)]


def test_a_step_that_was_cut_in_two_is_not_saved(tmp_path, monkeypatch):
    file = tmp_path / "state.safetensors"

    def interrupted(state, value, decay):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop._State, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(network(), loss, SCHEDULE, checkpoint=file)
    assert not file.exists()


def test_a_longer_training_goes_on_and_a_shorter_one_is_over(tmp_path):
    file, calls = tmp_path / "state.safetensors", []
    train(network(), loss, replace(SCHEDULE, steps=20), checkpoint=file, identity="a")
    longer = train(network(), remembered(calls), replace(SCHEDULE, steps=30), checkpoint=file, identity="a")
    assert calls == list(range(20, 30))
    assert longer.steps == 30
    again = train(network(), remembered(calls), replace(SCHEDULE, steps=10), checkpoint=file, identity="a")
    assert len(calls) == 10
    assert again.steps == 30
    torch.testing.assert_close(again.network.state_dict(), longer.network.state_dict(), rtol=0, atol=0)


@pytest.mark.usefixtures("clock")
def test_more_minutes_go_on_and_fewer_are_over(tmp_path):
    file, calls = tmp_path / "state.safetensors", []
    schedule = replace(SCHEDULE, steps=10**9, minutes=0.002)
    short = train(network(), loss, schedule, checkpoint=file)
    longer = train(network(), remembered(calls), replace(schedule, minutes=0.004), checkpoint=file)
    assert calls[0] == short.steps
    assert 0.12 <= short.seconds < 0.24 <= longer.seconds < 0.36
    count = len(calls)
    train(network(), remembered(calls), schedule, checkpoint=file)
    assert len(calls) == count


@pytest.mark.usefixtures("clock")
def test_what_time_cut_short_is_judged_in_the_end():
    schedule = replace(SCHEDULE, steps=10**9, minutes=0.002, validate_every=10**6)
    trained = train(network(), loss, schedule, validate=lambda net: 1.0)
    assert trained.scores == [(trained.steps, 1.0)]


def test_a_score_that_is_no_number_does_not_hide_the_best():
    scores = iter([float("nan"), 3.0, 1.0, float("nan"), 2.0, 5.0])
    trained = train(network(), loss, replace(SCHEDULE, validate_every=10), validate=lambda net: next(scores))
    assert trained.best == 30


def test_judging_by_noisy_pixels_alone_ends_before_the_noise_is_learned_by_heart():
    random = np.random.default_rng(5)
    x = np.linspace(-2, 2, 60, dtype=np.float32)[:, None]
    truth, noise = np.sin(2 * x), random.normal(0, 0.5, x.shape).astype(np.float32)
    places, noisy, true = (torch.from_numpy(a) for a in (x, truth + noise, truth))
    held = torch.from_numpy(random.random(x.shape[0]) < 0.3)

    def fresh():
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(1, 64), torch.nn.GELU(), torch.nn.Linear(64, 64),
                                   torch.nn.GELU(), torch.nn.Linear(64, 1))  # fmt: skip

    def aimed(net, step):
        return ((net(places[~held]) - noisy[~held]) ** 2).mean()

    def judge(net):
        return ((net(places[held]) - noisy[held]) ** 2).mean().item()

    def error(net):
        return ((net(places) - true) ** 2).mean().item()

    schedule = Schedule(steps=600, precision="fp32", average=0.9, learning_rate=1e-2, decay="none", validate_every=20)
    judged = train(fresh(), aimed, schedule, validate=judge)
    assert judged.steps < 600
    assert error(judged.network) < 0.8 * error(train(fresh(), aimed, schedule).network)


def test_running_statistics_are_those_of_the_network():
    net = normalising_network()
    averaged = train(net, loss, SCHEDULE).network
    assert averaged[1].num_batches_tracked == 60
    torch.testing.assert_close(averaged[1].running_mean, net[1].running_mean, rtol=0, atol=0)
    assert (averaged[0].weight != net[0].weight).all()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_learns(precision):
    kinds = set()

    def watched(net, step):
        kinds.add(net(INPUTS).dtype)
        return loss(net, step)

    trained = train(network(), watched, replace(SCHEDULE, precision=precision))
    assert loss(trained.network, 0).item() < 0.1 * loss(network(), 0).item()
    bf16 = torch.bfloat16 if multiplies_bf16("cpu") else torch.float32
    assert kinds == {{"bf16": bf16, "fp16": torch.float16}[precision]}


def large(net, step):
    """Its scaled gradients overflow 16 bits until the scale has come down."""
    return 100 * loss(net, step)


def test_the_scale_of_fp16_is_part_of_the_state(tmp_path):
    schedule = replace(SCHEDULE, precision="fp16", checkpoint_seconds=0)
    files = [tmp_path / name for name in ("whole.safetensors", "resumed.safetensors")]
    whole = train(network(), large, schedule, checkpoint=files[0])

    def failing(net, step):
        if step == 37:
            raise InterruptedTrainingError
        return large(net, step)

    with pytest.raises(InterruptedTrainingError):
        train(network(), failing, schedule, checkpoint=files[1])
    resumed = train(network(), large, schedule, checkpoint=files[1])
    torch.testing.assert_close(resumed.network.state_dict(), whole.network.state_dict(), rtol=0, atol=0)
    scalers = [load_weights(file)[1]["scaler"] for file in files]
    assert scalers[0] == scalers[1]
    assert scalers[0]["scale"] < 65536


def test_a_training_may_go_on_in_another_precision(tmp_path):
    file = tmp_path / "state.safetensors"
    for steps, precision in ((20, "fp32"), (40, "fp16"), (60, "bf16")):
        trained = train(network(), loss, replace(SCHEDULE, steps=steps, precision=precision), checkpoint=file)
        assert trained.steps == steps
    assert loss(trained.network, 0).item() < 0.2 * loss(network(), 0).item()


def test_gradients_are_clipped_at_their_true_size(monkeypatch):
    norms, length = {"fp32": [], "fp16": []}, torch.nn.utils.get_total_norm
    for precision, found in norms.items():
        with monkeypatch.context() as patched:
            measured = lambda grads, found=found: found.append(length(grads)) or found[-1]  # noqa: E731
            patched.setattr(torch.nn.utils, "get_total_norm", measured)
            small = replace(SCHEDULE, steps=5, precision=precision)
            train(network(), lambda net, step: 1e-3 * loss(net, step), small)  # or its first scale is too large
    assert len(norms["fp32"]) == 5
    np.testing.assert_allclose(norms["fp16"], norms["fp32"], rtol=0.02)


def test_an_unknown_precision_names_the_nearest():
    with pytest.raises(SettingsError, match="'fp16'"):
        train(network(), loss, replace(SCHEDULE, precision="f16"))


@pytest.mark.parametrize("as_file", [False, True])
def test_a_warm_start_begins_with_the_given_weights(tmp_path, as_file):
    weights = train(network(), loss, SCHEDULE).network.state_dict()
    save_weights(tmp_path / "w.safetensors", weights, {})
    first = []

    def watched(net, step):
        first.append(net.weight.detach().clone())
        return loss(net, step)

    train(network(), watched, replace(SCHEDULE, steps=2), start=tmp_path / "w.safetensors" if as_file else weights)
    torch.testing.assert_close(first[0], weights["weight"], rtol=0, atol=0)
    assert (first[1] != first[0]).any()


@pytest.mark.parametrize(("weights", "message"), [
    ({"weight": torch.zeros(1, 8)}, "no parameter bias"),
    ({"weight": torch.zeros(2, 8), "bias": torch.zeros(2)}, "weight is 2 x 8, the network's is 1 x 8"),
    ({"weight": torch.zeros(1, 8), "bias": torch.zeros(1), "gain": torch.zeros(1)}, "gain is not one"),
])  # fmt: skip
def test_weights_of_another_network_are_refused(tmp_path, weights, message):
    with pytest.raises(InputError, match=message):
        train(network(), loss, SCHEDULE, start=weights)
    save_weights(tmp_path / "w.safetensors", weights, {})
    with pytest.raises(InputError, match=rf"w\.safetensors: .*{message}"):
        train(network(), loss, SCHEDULE, start=tmp_path / "w.safetensors")


def test_an_unfinished_training_is_not_begun_again_by_a_warm_start(tmp_path):
    file, calls = tmp_path / "state.safetensors", []
    start = network().state_dict()
    with pytest.raises(KeyboardInterrupt):
        train(network(), stopping(37), SCHEDULE, checkpoint=file, start=start)
    resumed = train(network(), remembered(calls), SCHEDULE, checkpoint=file, start=start)
    assert calls[0] == 37
    torch.testing.assert_close(
        resumed.network.state_dict(), train(network(), loss, SCHEDULE).network.state_dict(), rtol=0, atol=0
    )


ENDINGS = [KeyboardInterrupt(), JobCancelledError("the run", "was cancelled"), InterruptedTrainingError(), OSError(28)]


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda e: type(e).__name__)
@pytest.mark.parametrize("where", ["progress", "watch", "validate"])
def test_whatever_ends_it_between_two_steps_leaves_a_state_to_go_on_from(tmp_path, where, ending):
    schedule = replace(SCHEDULE, validate_every=20, patience=1)

    def validate(net):
        return float(net[2].weight.detach().abs().sum())

    def ended(*given):
        step = {"progress": lambda: given[1], "watch": lambda: given[1], "validate": lambda: 20}[where]()
        if step == 20:
            raise ending
        return 0.0

    whole = train(normalising_network(), loss, schedule, validate=validate, checkpoint=tmp_path / "whole")
    with pytest.raises(type(ending)):
        train(normalising_network(), loss, schedule, checkpoint=tmp_path / "parts",
              **{"validate": validate, where: ended})  # fmt: skip
    calls = []
    resumed = train(normalising_network(), remembered(calls), schedule, validate=validate,
                    checkpoint=tmp_path / "parts")  # fmt: skip
    assert calls == list(range(20, 60))
    assert resumed.scores == whole.scores
    same_states(tmp_path / "whole", tmp_path / "parts")


def same_states(one, other):
    """But for the clock."""
    (ours, facts), (theirs, known) = load_weights(one), load_weights(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert {**facts, "seconds": 0} == {**known, "seconds": 0}


def test_an_error_in_a_step_leaves_the_last_checkpoint_alone(tmp_path):
    def broken(net, step):
        if step == 37:
            raise InterruptedTrainingError
        return loss(net, step)

    with pytest.raises(InterruptedTrainingError):
        train(network(), broken, SCHEDULE, checkpoint=tmp_path / "state")
    assert not (tmp_path / "state").exists()


def test_cancelled_within_a_step_it_goes_on_before_that_step(tmp_path):
    def cancelled(net, step):
        net(INPUTS)
        if step == 37:
            raise JobCancelledError("the run", "was cancelled")
        return loss(net, step)

    whole = train(normalising_network(), loss, SCHEDULE)
    with pytest.raises(JobCancelledError):
        train(normalising_network(), lambda net, step: cancelled(net, step) if step == 37 else loss(net, step),
              SCHEDULE, checkpoint=tmp_path / "state")  # fmt: skip
    resumed = train(normalising_network(), loss, SCHEDULE, checkpoint=tmp_path / "state")
    torch.testing.assert_close(resumed.network.state_dict(), whole.network.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("own", [
    {"optimizer": "adamw", "weight_decay": 0.1}, {"optimizer": "sgd", "betas": (0.9, 0.0)},
    {"optimizer": "sgd", "betas": (0.0, 0.0)}, {"warm_up": 20, "flat": 0.0, "lowest": 0.0},
], ids=str)  # fmt: skip
def test_optimisers_and_schedules_learn_and_go_on(tmp_path, own):
    schedule = replace(SCHEDULE, learning_rate=0.05, **own)
    whole = train(network(), loss, schedule, checkpoint=tmp_path / "whole")
    assert loss(whole.network, 0).item() < 0.5 * loss(network(), 0).item()
    with pytest.raises(KeyboardInterrupt):
        train(network(), stopping(31), schedule, checkpoint=tmp_path / "parts")
    train(network(), loss, schedule, checkpoint=tmp_path / "parts")
    same_states(tmp_path / "whole", tmp_path / "parts")


def test_the_learning_rate_rises_for_as_long_as_told_and_falls_to_what_is_told(tmp_path):
    schedule = replace(SCHEDULE, steps=100, warm_up=40, flat=0.5, lowest=0.2, validate_every=1, patience=1)
    better = count(0, -1)  # always, or it would fall earlier
    train(network(), loss, schedule, validate=lambda net: float(next(better)), log=tmp_path)
    rows = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()[1:]]
    rates = {int(row[0]): float(row[4]) / 0.1 for row in rows}
    assert rates[19] == pytest.approx(0.5)
    assert rates[39] == rates[50] == pytest.approx(1.0)
    assert rates[75] == pytest.approx(0.6)
    assert rates[100] == pytest.approx(0.2)


def test_an_unknown_optimiser_names_the_nearest():
    with pytest.raises(SettingsError, match="'sgd'"):
        train(network(), loss, replace(SCHEDULE, optimizer="sgdm"))


@pytest.mark.parametrize("ahead", [False, True])
def test_batches_are_made_by_number_and_ahead_where_the_network_is_elsewhere(monkeypatch, ahead):
    made, names = [], set()

    def make(number):
        made.append(number)
        names.add(threading.current_thread().name)
        return slice(number % 4 * 16, number % 4 * 16 + 16)

    def on(net, part):
        return ((net(INPUTS[part]) - TARGETS[part]) ** 2).mean()

    whole = train(network(), loss, SCHEDULE)
    if ahead:  # as on a GPU
        monkeypatch.setattr(loop, "_ahead", lambda batches, device: Prefetched(batches))
    trained = train(network(), on, SCHEDULE, batches=make)
    assert torch.equal(trained.network.weight, whole.network.weight)
    assert made[:60] == list(range(60))
    assert all(("prefetch" in name) == ahead for name in names)
