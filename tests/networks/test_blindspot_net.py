"""What a blind-spot network may and may not see."""

from __future__ import annotations

import pytest
import torch

from ruska.networks.blindspot import BlindSpotNet

PIXELS = ((31, 33), (32, 32), (40, 29), (35, 38))  # every phase of the pooling is met by some


def seen_by(network, pixel, edge=80):
    """Gradient of one output pixel with respect to the input frames, absolute."""
    frames = torch.rand(1, network.frames, edge, edge, dtype=torch.double, requires_grad=True)
    network(frames)[0, 0, pixel[0], pixel[1]].backward()
    return frames.grad[0].abs()


@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("widths", [(4, 6), (4, 6, 6, 6)])
@pytest.mark.parametrize("spot", [(1, 1), (1, 5), (5, 1), (3, 3), (3, 7), (7, 7), (1, 11), (11, 11)])
def test_nothing_inside_the_spot_is_seen(spot, widths, frames):
    torch.manual_seed(0)
    network = BlindSpotNet(spot, frames, widths=widths).double()
    rows, columns = spot[0] // 2, spot[1] // 2
    for y, x in PIXELS:
        gradient = seen_by(network, (y, x))
        middle = gradient[frames // 2]
        assert middle[y - rows : y + rows + 1, x - columns : x + columns + 1].max() == 0
        for beside in ((y - rows - 1, x), (y + rows + 1, x), (y, x - columns - 1), (y, x + columns + 1)):
            assert middle[beside] > 0
        for other in range(frames):
            if other != frames // 2:
                assert gradient[other, y, x] > 0


def test_reach_bounds_what_is_seen():
    torch.manual_seed(0)
    network = BlindSpotNet((1, 3), widths=(4, 6, 6)).double()
    edge = 2 * network.reach + 40
    edge += -edge % network.multiple
    middle = edge // 2
    for shift in range(4):
        rows, columns = torch.nonzero(seen_by(network, (middle + shift, middle - shift), edge)[0], as_tuple=True)
        assert max((rows - middle - shift).abs().max(), (columns - middle + shift).abs().max()) <= network.reach


def test_without_a_spot_the_pixel_itself_is_seen():
    torch.manual_seed(0)
    gradient = seen_by(BlindSpotNet(None, widths=(4, 6, 6)).double(), (33, 30))[0]
    assert gradient[33, 30] > 0


def test_even_spots_and_frames_are_refused():
    with pytest.raises(ValueError, match="odd"):
        BlindSpotNet((2, 1))
    with pytest.raises(ValueError, match="odd"):
        BlindSpotNet((1, 1), frames=2)
