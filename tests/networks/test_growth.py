"""A deeper network begins where the shallower one ended."""

from __future__ import annotations

import pytest
import torch

from ruska.networks.denoiser import Denoiser
from ruska.networks.growth import deepened
from ruska.weights.tensors import fill

WIDTHS = (8, 12, 16)


def shallow(widths=WIDTHS, blocks=(1, 1, 2)):
    torch.manual_seed(0)
    network = Denoiser(widths=widths, blocks=blocks)
    with torch.no_grad():
        for value in network.parameters():
            value.normal_(0, 0.2)
    return network.eval()


@pytest.mark.parametrize("blocks", [(2, 1, 2), (1, 3, 4), (5, 4, 12)])
def test_it_computes_the_same_at_first_and_can_learn(blocks):
    before, after = shallow(), Denoiser(widths=WIDTHS, blocks=blocks)
    weights = dict(sorted(before.state_dict().items()))  # as a file has them: down.10 before down.2
    fill(after, deepened(weights, after))
    y, sigma = torch.randn(1, 1, 32, 48), torch.full((1, 1, 1, 1), 0.5)
    torch.testing.assert_close(after(y, sigma), before(y, sigma))
    after.loss(y, sigma, None, torch.zeros_like(y)).backward()
    assert all(block.second.weight.grad.abs().max() > 0 for block in after.network.down)


def test_a_grown_network_grows_again():
    before = Denoiser(widths=WIDTHS, blocks=(4, 4, 4))
    fill(before, deepened(shallow().state_dict(), before))
    with torch.no_grad():
        for value in before.parameters():
            value.normal_(0, 0.2)
    after = Denoiser(widths=WIDTHS, blocks=(5, 5, 5))
    fill(after, deepened(dict(sorted(before.state_dict().items())), after))
    y, sigma = torch.randn(1, 1, 32, 32), torch.full((1, 1, 1, 1), 0.5)
    torch.testing.assert_close(after(y, sigma), before(y, sigma))


@pytest.mark.parametrize(
    ("widths", "blocks"),
    [(WIDTHS, (1, 1, 2)), (WIDTHS, (2, 1, 1)), ((8, 16), (2, 2))],
    ids=["the same", "shallower somewhere", "fewer scales"],
)
def test_what_is_not_deeper_is_left_to_those_who_check(widths, blocks):
    assert deepened(shallow().state_dict(), Denoiser(widths=widths, blocks=blocks)) is None


def test_scales_of_one_width_are_not_mixed_up():
    same = (8, 8, 16)
    assert deepened(shallow(same).state_dict(), Denoiser(widths=same, blocks=(2, 1, 2))) is None
