"""Steps recorded as CUDA graphs are the steps. Needs a GPU; without one, that the loop asks a swift trainee first."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ruska.networks.denoiser import Denoiser
from ruska.training import Schedule, train
from ruska.training.guard import bounded
from ruska.training.trainee import Single

SCHEDULE = Schedule(steps=12, precision="fp32", learning_rate=1e-3)


def network():
    torch.manual_seed(0)
    return Denoiser(widths=(8, 8), blocks=(1, 1))


def asked(net, step):
    random = torch.Generator().manual_seed(step)
    device = next(net.parameters()).device
    edge = 16 * (1 + step % 2)
    y, x = (torch.randn(2, 1, edge, edge, generator=random).to(device) for _ in range(2))
    return "noise", (y, torch.full((2, 1, 1, 1), 0.5, device=device), x)


def losses(net, y, sigma, x):
    return net.losses(y, sigma, None, x)


def plainly(net, step):
    return losses(net, *asked(net, step)[1])


class Swiftly(Single):
    """Finds gradients by itself, unless it is not asked in its turn."""

    calls = 0

    def learn(self, batch, step, most, precision):
        if step == 3:
            return None
        self.calls += 1
        found = plainly(self.network, batch)
        loss, far = bounded(found, most)
        loss.backward()
        return found.detach().mean(), far


def test_a_swift_trainee_trains_the_same_network():
    swift = Swiftly(network(), plainly)
    one, other = train(swift, None, SCHEDULE), train(network(), plainly, SCHEDULE)
    assert swift.calls == 11
    torch.testing.assert_close(one.network.state_dict(), other.network.state_dict(), rtol=0, atol=0)
    divided = Swiftly(network(), plainly)
    train(divided, None, replace(SCHEDULE, accumulate=2, steps=2))
    assert divided.calls == 0  # gradients of several batches are added up plainly


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("compiled", [False, True])
def test_recorded_steps_are_the_steps(compiled):
    from ruska.training.recording import Recorded

    one = network().to("cuda")
    trainee = Recorded(one, plainly, asked, {"noise": losses}, one.network if compiled else None)
    swift = train(trainee, None, SCHEDULE, device="cuda")
    plain = train(network(), plainly, SCHEDULE, device="cuda")
    assert len(trainee._known) == 2
    assert all(trainee._known.values())
    for name, value in plain.network.state_dict().items():
        torch.testing.assert_close(swift.network.state_dict()[name], value, rtol=1e-3, atol=2e-4)
