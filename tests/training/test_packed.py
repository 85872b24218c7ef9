"""Batches from a packed corpus: turned both ways, drawn evenly, and with the noise that is left after the zoom."""

from __future__ import annotations

import pytest
import torch

from ruska.training.packed import Packed, _shares


def packed(plane: torch.Tensor, noise: float = 0.0) -> Packed:
    """A corpus of this one plane."""
    height, width = plane.shape
    whole = [torch.tensor([n]) for n in (0, height, width)]
    return Packed(plane.reshape(-1).half(), *whole, torch.tensor([noise]), torch.ones(1))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_patches_are_turned_half_the_time():
    along_x = packed(torch.arange(64.0).expand(96, 64))
    patches, _ = along_x.draw(400, 32, generator())
    varies_along_x = patches.std(dim=3).amax((1, 2)) > 1
    varies_along_y = patches.std(dim=2).amax((1, 2)) > 1
    assert (varies_along_x ^ varies_along_y).all()
    assert 0.4 < varies_along_y.float().mean() < 0.6


def test_mirrored_patches_run_both_ways():
    patches, _ = packed(torch.arange(64.0).expand(96, 64)).draw(200, 32, generator())
    upright = patches[patches.std(dim=3).amax((1, 2)).squeeze() > 1]
    rising = (upright[..., -1] > upright[..., 0]).all(-1).float().mean()
    assert 0.35 < rising < 0.65


def test_zooming_out_takes_noise_away_and_says_so():
    corpus = packed(torch.randn(256, 256, generator=generator()), noise=0.5)
    told, measured = [], []
    for seed in range(40):
        patches, noise = corpus.draw(8, 64, generator(seed))
        assert noise.unique().numel() == 1
        told.append(float(noise[0]) / 0.5)
        measured.append(float(patches.std()))
    assert min(told) == pytest.approx(1 / 1.45, abs=0.03)
    assert max(told) == 1
    assert 0.3 < sum(t == 1 for t in told) / len(told) < 0.8
    # interpolation averages over more than a pixel's area: what is told is the most there can be
    left = [m / t for t, m in zip(told, measured, strict=True) if t < 1]
    assert min(left) > 0.6
    assert max(left) < 1
    assert max(left) / min(left) < 1.05
    assert all(m == pytest.approx(1, abs=0.05) for t, m in zip(told, measured, strict=True) if t == 1)


def test_groups_are_drawn_more_evenly_than_their_sizes():
    planes = [{"group": "large"}, {"group": "large"}, {"group": "small"}]
    share = _shares(planes, torch.tensor([1200, 400, 100]))
    assert share.sum().item() == pytest.approx(1)
    assert (share[0] / share[1]).item() == pytest.approx(3)  # within a group: by pixels
    assert ((share[0] + share[1]) / share[2]).item() == pytest.approx(4)  # 16 times the pixels


def test_planes_with_fine_detail_are_drawn_more_often():
    planes = [{"group": "one", "detail": detail} for detail in (0.1, 0.4)]
    share = _shares(planes, torch.tensor([100, 100]))
    assert (share[1] / share[0]).item() == pytest.approx(4**0.25)
    even = _shares([{"group": "one"}] * 2, torch.tensor([100, 100]))  # packed before detail was measured
    assert even[0] == even[1]
