"""The U-Net of the priors: local, of any size, the same for a map of the noise as for a number."""

from __future__ import annotations

import pytest
import torch

from ruska.networks.denoiser import Denoiser
from ruska.networks.unet import Bounds, Modulated, UNet

SMALL = {"widths": (8, 12, 16), "blocks": (1, 1, 2)}


def awake(network):
    """Blocks start as the identity: give them something to do."""
    torch.manual_seed(0)
    with torch.no_grad():
        for value in network.parameters():
            value.normal_(0, 0.2)
    return network.eval()


def test_nothing_beyond_the_reach_matters():
    network = awake(UNet(**SMALL))
    x = torch.randn(1, 1, 256, 256, requires_grad=True)
    network(x, torch.zeros(1, 3, 1, 1))[0, 0, 128, 129].backward()
    rows, columns = torch.nonzero(x.grad[0, 0], as_tuple=True)
    farthest = max((rows - 128).abs().max(), (columns - 129).abs().max())
    assert farthest <= network.reach
    assert farthest > network.reach / 2


def test_a_crop_with_its_halo_equals_the_whole():
    network = awake(Denoiser(**SMALL)).double()
    y, sigma = torch.randn(1, 1, 256, 320).double(), torch.rand(1, 1, 256, 320).double() + 0.1
    halo = -(-network.reach // network.multiple) * network.multiple
    whole = network(y, sigma)
    inside = slice(halo, 256 - halo)
    part = network(y[..., : 256 + halo], sigma[..., : 256 + halo])
    assert halo < 100
    torch.testing.assert_close(part[..., inside, inside], whole[..., inside, inside], rtol=1e-5, atol=1e-6)


def test_a_number_is_a_map_that_is_the_same_everywhere():
    network = awake(Denoiser(**SMALL)).double()
    y, lags = torch.randn(2, 1, 32, 48).double(), torch.rand(2, 4, 1, 1).double()
    sigma = torch.tensor([0.3, 2.0]).view(2, 1, 1, 1).double()
    torch.testing.assert_close(network(y, sigma.expand(-1, -1, 32, 48), lags), network(y, sigma, lags))


def test_the_noise_it_is_told_of_matters():
    network = awake(Denoiser(**SMALL))
    y = torch.randn(1, 1, 32, 32)
    one, other = (network(y, torch.full((1, 1, 1, 1), sigma)) for sigma in (0.5, 1.0))
    assert (one - other).abs().mean() > 0.01
    streaks = network(y, torch.full((1, 1, 1, 1), 0.5), torch.tensor([0.6, 0.2, 0, 0]).view(1, 4, 1, 1))
    assert (one - streaks).abs().mean() > 1e-4


def test_before_training_it_is_the_best_linear_guess():
    y, sigma = torch.randn(1, 1, 32, 32), torch.full((1, 1, 1, 1), 0.5)
    torch.testing.assert_close(Denoiser(**SMALL)(y, sigma), y / 1.25)


def test_images_do_not_see_their_batch_mates():
    network = awake(Denoiser(**SMALL)).double()
    y, sigma = torch.randn(3, 1, 32, 32).double(), torch.rand(3, 1, 1, 1).double() + 0.1
    torch.testing.assert_close(network(y, sigma)[1:2], network(y[1:2], sigma[1:2]))


@pytest.mark.parametrize("size", [(16, 24), (40, 8)])
def test_any_multiple_will_do(size):
    network = UNet(**SMALL)
    assert network.multiple == 8
    assert network(torch.zeros(1, 1, *size), torch.zeros(1, 3, 1, 1)).shape == (1, 1, *size)


def test_the_embedded_size_keeps_to_its_budget():
    from torch.utils.flop_counter import FlopCounterMode

    from ruska.training.prior import PRESETS

    own = PRESETS["cpu"]
    network = Denoiser(widths=own.widths, blocks=own.blocks).eval()
    assert sum(p.numel() for p in network.parameters()) <= 6e6
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, 1, 512, 512), torch.ones(1, 1, 1, 1))
    assert counter.get_total_flops() <= 60e9


def test_whatever_the_network_says_a_pixel_moves_by_little_more_than_the_noise():
    network = awake(Denoiser(**SMALL))
    with torch.no_grad():
        network.network.leave.bias.fill_(1e6)
    y = torch.randn(1, 1, 32, 32)
    for sigma in (0.001, 0.05, 0.3):
        moved = (network(y, torch.full((1, 1, 1, 1), sigma)) - y).abs()
        assert (moved <= 6 * sigma + 2 * sigma**2 * (1 + y.abs())).all()


def test_faint_noise_is_taken_in_proportion_to_its_variance():
    network = awake(Denoiser(**SMALL)).double()
    y = torch.randn(1, 1, 32, 32).double()
    taken = [network(y, torch.full((1, 1, 1, 1), sigma).double()) - y for sigma in (0.08, 0.02)]
    torch.testing.assert_close(taken[1], taken[0] / 16)


def test_bounds_hold_what_was_seen_and_stop_what_was_not():
    network = awake(Denoiser(**SMALL))
    y, sigma = torch.randn(4, 1, 32, 32), torch.full((4, 1, 1, 1), 0.5)
    before = network(y, sigma)
    with torch.inference_mode(), Bounds(network.network, slack=2.0, share=1.0):
        network(y, sigma)
    blocks = [m for m in network.modules() if isinstance(m, Modulated)]
    assert all(torch.isfinite(block.limit) for block in blocks)
    torch.testing.assert_close(network(y, sigma), before)  # what was seen passes unchanged
    wild = {}
    blocks[0].second.register_forward_pre_hook(lambda _, given: wild.update(most=given[0].max().item()))
    with torch.no_grad():
        network(1000 * y, sigma)
    assert wild["most"] <= blocks[0].limit.item()
