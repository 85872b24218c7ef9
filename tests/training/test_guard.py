"""What keeps one batch from undoing what thousands taught: bounds that follow what is usual, and their counts."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from ruska.errors import ResourceError
from ruska.networks.denoiser import Denoiser
from ruska.networks.unet import Modulated
from ruska.training import Schedule, train
from ruska.training.guard import FAR, LONG, Guard, bounded
from ruska.weights.tensors import load_weights

SCHEDULE = Schedule(steps=60, precision="fp32", learning_rate=2e-2, decay="flat")


def losses(net, step):
    """Of ordinary noisy images: as strong as they are, and nothing far out."""
    random = torch.Generator().manual_seed(step)
    x = 5 * functional.avg_pool2d(torch.randn(4, 1, 20, 20, generator=random), 5, 1)
    sigma = torch.exp(1.15 * torch.randn(4, 1, 1, 1, generator=random) - 0.6).clamp(0.1, 20)
    return net.losses(x + sigma * torch.randn(x.shape, generator=random), sigma, None, x)


def course():
    """Losses of a training at a rate that is much too high, step by step."""
    torch.manual_seed(0)
    found = []

    def noted(net, step):
        found.append(float((loss := losses(net, step)).detach().mean()))
        return loss

    train(Denoiser(widths=(8, 32), blocks=(1, 4)), noted, SCHEDULE)
    return found


def jumps(found):
    """Steps whose loss is ten times the median of those before."""
    return [k for k in range(20, len(found)) if not found[k] < 10 * statistics.median(found[:k])]


def test_a_training_that_jumped_jumps_no_more(monkeypatch):
    assert not jumps(course())
    monkeypatch.setattr(Modulated, "_follow", lambda block, middle: None)
    found = course()  # without limits blocks in a row multiply what each of them gains
    assert jumps(found)
    assert max(found) > 100


def test_limits_follow_what_is_learned_from_alone():
    torch.manual_seed(0)
    block, told = Modulated(4), torch.zeros(1, 32, 1, 1)
    x = torch.randn(1, 4, 8, 8)
    with torch.no_grad():
        block(x, told)  # as a walk asks it
    block.eval()(x, told)
    assert math.isinf(block.limit)
    block.train()(x, told)
    first = float(block.limit)
    block(100 * x, told)
    assert first < float(block.limit) < 1.01 * first  # one image lets it grow by little
    block(x * torch.nan, told)
    assert math.isfinite(block.limit)


def test_an_example_that_is_far_off_counts_by_the_square_root():
    values = torch.tensor([1.0, 2.0, 40_000.0], requires_grad=True)
    loss, far = bounded(values, torch.tensor(4.0))
    assert float(far) == 1
    assert float(loss.detach()) == pytest.approx((1 + 2 + 2 * math.sqrt(4 * 40_000) - 4) / 3)
    loss.backward()
    assert values.grad.tolist() == pytest.approx([1 / 3, 1 / 3, 0.01 / 3])
    usual = bounded(values.detach(), torch.tensor(torch.inf))
    assert (float(usual[0]), float(usual[1])) == (pytest.approx(float(values.detach().mean())), 0)
    assert float(bounded(torch.tensor(-7.0), torch.tensor(4.0))[0]) == -7  # one number is taken as it is


def weights(*gradient):
    weight = torch.zeros(len(gradient))
    weight.grad = torch.tensor(gradient)
    return weight


def test_a_gradient_is_cut_to_little_more_than_usual_and_counted():
    guard, none = Guard.on(torch.device("cpu")), torch.zeros(())
    for _ in range(40):
        assert not guard.shorten([weights(0.3, 0.4)], torch.tensor(0.2), none, clip=1.0)
    assert float(guard.most) == pytest.approx(FAR * 0.2, rel=1e-4)
    long = weights(30.0, 40.0)
    assert not guard.shorten([long], torch.tensor(0.2), torch.tensor(2.0), clip=10.0)
    assert float(long.grad.norm()) == pytest.approx(LONG * 0.5, rel=1e-4)
    assert guard.total() == {"bounded": 2, "shortened": 1, "left_out": 0}
    assert guard.shorten([weights(math.nan, 1.0)], torch.tensor(0.2), none, clip=10.0)
    assert guard.shorten([weights(1.0, 1.0)], torch.tensor(math.inf), none, clip=10.0)
    assert guard.total()["left_out"] == 2
    assert torch.isfinite(guard.usual).all()


def spoilt(*steps):
    """A loss that is no number in these steps."""
    return lambda net, step: ((net(torch.ones(3)) - 1) ** 2).mean() * (math.nan if step in steps else 1)


def linear():
    torch.manual_seed(0)
    return torch.nn.Linear(3, 1)


def test_a_step_that_is_no_number_is_left_out_and_many_in_a_row_are_an_error(tmp_path):
    schedule, file = replace(SCHEDULE, learning_rate=0.01), tmp_path / "state.safetensors"
    trained = train(linear(), spoilt(7, 30), schedule, checkpoint=file)
    assert trained.guarded["left_out"] == 2
    assert all(torch.isfinite(value).all() for value in trained.network.state_dict().values())
    assert all(math.isfinite(value) for value in trained.losses)
    assert load_weights(file)[0]["guard/counts"].tolist()[2:] == [2, 0, 58]
    with pytest.raises(ResourceError, match="last 23 steps"):
        train(linear(), spoilt(*range(27, 60)), schedule)


def test_an_interrupted_training_keeps_its_bounds(tmp_path):
    def stopping(net, step):
        if step == 31:
            raise KeyboardInterrupt
        return losses(net, step)

    def fresh():
        torch.manual_seed(2)
        return Denoiser(widths=(4, 8), blocks=(1, 1))

    schedule, ends = replace(SCHEDULE, steps=40), [tmp_path / "whole", tmp_path / "parts"]
    train(fresh(), losses, schedule, checkpoint=ends[0])
    with pytest.raises(KeyboardInterrupt):
        train(fresh(), stopping, schedule, checkpoint=ends[1])
    train(fresh(), losses, schedule, checkpoint=ends[1])
    one, other = (load_weights(end)[0] for end in ends)
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, rtol=0, atol=0)
