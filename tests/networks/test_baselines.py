"""The baselines: what SHINE's, UDVD's and Noise2Void's networks may and may not see."""

from __future__ import annotations

import pytest
import torch

from ruska.networks.noise2void import Noise2VoidNet
from ruska.networks.shine import ShineNet, dilations
from ruska.networks.udvd import UdvdNet


def seen_by(network, pixel, edge):
    """Gradient of one output pixel with respect to the input frames, absolute."""
    frames = torch.rand(1, network.frames, edge, edge, requires_grad=True)
    network(frames)[0, 0, pixel[0], pixel[1]].backward()
    return frames.grad[0].abs()


def assert_only_the_spot_is_hidden(gradient, spot, y, x):
    rows, columns = spot[0] // 2, spot[1] // 2
    assert gradient[y - rows : y + rows + 1, x - columns : x + columns + 1].max() == 0
    for beside in ((y - rows - 1, x), (y + rows + 1, x), (y, x - columns - 1), (y, x + columns + 1)):
        assert gradient[beside] > 0


@pytest.mark.parametrize("frames", [1, 3, 5])
@pytest.mark.parametrize("spot", [(1, 1), (1, 5), (5, 1), (3, 3), (7, 7), (1, 11), (11, 11)])
def test_shine_hides_the_spot_in_the_middle_frame_only(spot, frames):
    torch.manual_seed(0)
    network = ShineNet(spot, frames)
    for y, x in ((31, 33), (40, 29)):
        gradient = seen_by(network, (y, x), 72)
        assert_only_the_spot_is_hidden(gradient[frames // 2], spot, y, x)
        assert all(gradient[k, y, x] > 0 for k in range(frames) if k != frames // 2)


def test_shine_is_the_network_that_was_described():
    assert dilations(0) == [(3, 5), (6, 8), (8, 10), (9, 11)]
    assert dilations(1) == [(4, 6), (7, 9), (8, 10), (9, 11)]
    assert dilations(2) == [(5, 7), (7, 9), (8, 10), (9, 11)]
    assert dilations(4) == [(7, 9), (8, 10), (9, 11), (9, 11)]
    used = sum(p.numel() for p in ShineNet().parameters()) - 9 * 64 * 64  # the centres of the donuts are never used
    assert used == pytest.approx(1.09e6, rel=0.02)


@pytest.mark.parametrize("frames", [1, 3, 5])
@pytest.mark.parametrize("spot", [(1, 1), (1, 5), (5, 1), (3, 7)])
def test_udvd_hides_the_spot_in_every_frame(spot, frames):
    torch.manual_seed(0)
    network = UdvdNet(spot, frames)
    for y, x in ((31, 33), (40, 29)):
        for gradient in seen_by(network, (y, x), 64):
            assert_only_the_spot_is_hidden(gradient, spot, y, x)


@pytest.mark.parametrize(("network", "pixel"), [
    (ShineNet((1, 3)), (201, 197)), (UdvdNet((3, 1), 1), (201, 197)), (Noise2VoidNet(), (203, 197)),
])  # fmt: skip
def test_reach_bounds_what_is_seen(network, pixel):
    rows, columns = torch.nonzero(seen_by(network, pixel, 400)[0], as_tuple=True)
    far = max(int((rows - pixel[0]).abs().max()), int((columns - pixel[1]).abs().max()))
    assert 0.8 * network.reach <= far <= network.reach


@pytest.mark.parametrize("network", [ShineNet, UdvdNet, Noise2VoidNet])
def test_even_spots_and_frames_are_refused(network):
    with pytest.raises(ValueError, match="odd"):
        network((2, 1), 1)
    with pytest.raises(ValueError, match="odd"):
        network((1, 1), 2)
