"""Images between the passes of a restoration, as a prior learns from them."""

from __future__ import annotations

import pytest
import torch

from ruska.diffusion.half_quadratic import TRUST_COARSE, half_quadratic
from ruska.networks.denoiser import FAINTEST, Denoiser
from ruska.training import restoring
from ruska.training.restoring import EDGE, Course, instrument, meet, set_out, walk


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return Denoiser(widths=(8, 8), blocks=(1, 1))


def walked(network, seed):
    x = torch.randn(2, 1, EDGE, EDGE, generator=torch.Generator().manual_seed(seed))
    return walk(network, x, torch.Generator().manual_seed(seed)), x


def test_a_walk_meets_images_of_falling_levels_and_knows_what_they_should_have_been(network):
    met, x = walked(network, 3)
    assert met.y.shape == met.x.shape == (6, 1, 144, 144)
    assert torch.equal(met.x[2:4], x[..., :144, :144])
    levels = met.sigma[::2].flatten().tolist()
    assert levels == sorted(levels, reverse=True)
    assert min(levels) >= FAINTEST
    assert met.spread.shape == (6, 2, 1, 1)
    assert not met.y.requires_grad  # only the last look of the network is learned from


def test_the_same_random_numbers_walk_the_same_way(network):
    a, b, c = (walked(network, seed)[0] for seed in (5, 5, 6))
    assert torch.equal(a.y, b.y)
    assert not torch.equal(a.y, c.y)


def test_levels_below_the_faintest_that_is_told_are_told_as_that(network, monkeypatch):
    monkeypatch.setattr("ruska.training.restoring._FAINT", 0.01)
    monkeypatch.setattr("ruska.training.restoring._STRONG", 0.02)
    assert walked(network, 3)[0].sigma.min() == pytest.approx(FAINTEST)


@pytest.mark.parametrize("seed", [2, 3, 17])  # cells of 5/2 pixels, a blur, thick slices
def test_a_walk_is_a_restoration_and_the_same_with_matrices_of_one_size(network, seed):
    random = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 1, EDGE, EDGE, generator=random)
    course, white = set_out(2, network.multiple, random)
    x = x[..., : course.edge, : course.edge]
    met = meet(network, x, white, course)
    random = torch.Generator().manual_seed(seed)
    torch.randn(2, 1, EDGE, EDGE, generator=random)
    operator, trust = instrument(random)
    y = operator.forward(x) + course.noise * white
    levels = course.levels.tolist()
    ratios = dict(zip(levels, course.ratios.tolist(), strict=True))
    with torch.no_grad():
        passes = list(half_quadratic(operator, y, levels, ratios.__getitem__, lambda image, level: network(
            image, torch.full((1, 1, 1, 1), level), None, course.told)))  # fmt: skip
    expected = torch.cat([passes[k][0] for k in course.learned])
    torch.testing.assert_close(met.y, expected, rtol=1e-3, atol=1e-3)
    assert trust >= TRUST_COARSE

    def filled(value):
        return restoring._filled(value, course.edge) if value.dim() == 2 else value

    wide = torch.full((2, 1, course.edge, course.edge), 9.0)  # where nothing is recorded it must not matter
    wide[..., : white.shape[-2], : white.shape[-1]] = white
    same = meet(network, x, wide, Course.of([filled(value) for value in course.flat()]))
    torch.testing.assert_close(same.y, met.y, rtol=1e-4, atol=1e-4)


def test_every_kind_of_instrument_comes_up():
    found = [instrument(torch.Generator().manual_seed(seed))[0] for seed in range(200)]
    scales = {tuple(float(1 / s) for s in operator.scale) for operator in found}
    assert {(1.0, 1.0), (1.5, 1.5), (2.5, 2.5), (5.0, 5.0), (1.0, 2.5), (8.0, 1.0), (1.0, 8.0)} <= scales
    blurred = sum(scale == (1.0, 1.0) for scale in (tuple(map(float, o.scale)) for o in found))
    assert 50 < blurred < 110  # about 40 %


def test_every_instrument_records_whole_cells_of_what_is_walked_with():
    network, edges = Denoiser(widths=(4, 4, 4, 4), blocks=(1, 0, 0, 0)), set()
    for seed in range(40):
        met = walked(network, seed)[0]
        operator = instrument(torch.Generator().manual_seed(seed))[0]
        assert all((met.x.shape[-1] * s).denominator == 1 for s in operator.scale)
        assert met.x.shape[-1] % network.multiple == 0
        edges.add(met.x.shape[-1])
    assert edges == {144, 160}


def test_what_is_told_of_the_instrument_can_change_what_is_said(network):
    torch.manual_seed(1)
    trained = Denoiser(widths=(8, 8), blocks=(1, 1))
    for value in trained.parameters():
        torch.nn.init.normal_(value, std=0.2)
    y, sigma = torch.randn(1, 1, 32, 32), torch.full((1, 1, 1, 1), 0.3)
    with torch.inference_mode():
        plain = trained(y, sigma)
        wide = trained(y, sigma, None, torch.full((1, 2, 1, 1), 2.0))
        none = trained(y, sigma, None, torch.zeros(1, 2, 1, 1))
    assert torch.equal(plain, none)
    assert (plain - wide).abs().max() > 1e-3


def test_an_image_far_off_counts_by_how_much_nearer_it_gets(network):
    x = torch.zeros(2, 1, 32, 32)
    y = torch.stack([torch.full((1, 32, 32), 0.3), torch.full((1, 32, 32), 30.0)])
    sigma = torch.full((2, 1, 1, 1), 0.3)
    both, near = network.loss(y, sigma, None, x), network.loss(y[:1], sigma[:1], None, x[:1])
    assert both < 3 * near  # ten thousand times the squared error would else be all there is
