"""Numbers of the random field are standard normal, independent between neighbours, steps, samples and channels."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from ruska.engine.random_field import PlacedRandomField


def field(seed=0, origin=(0, 0), shape=(400, 500), **call):
    return PlacedRandomField(seed, origin, shape, 2).normal(**{"step": 0, **call}).numpy()[0]


def test_moments_are_those_of_a_standard_normal():
    values = field().ravel()
    n = values.size
    assert abs(values.mean()) < 4 / np.sqrt(n)
    assert abs(values.var() - 1) < 4 * np.sqrt(2 / n)
    assert abs((values**3).mean()) < 4 * np.sqrt(15 / n)
    assert abs((values**4).mean() - 3) < 4 * np.sqrt(96 / n)


@pytest.mark.parametrize("shift", [(0, 1), (1, 0), (1, 1), (0, 2), (16, 0)])
def test_neighbours_are_uncorrelated(shift):
    values = field()
    moved = np.roll(values, shift, (0, 1))
    assert abs((values * moved).mean()) < 4 / np.sqrt(values.size)


@pytest.mark.parametrize("other", [{"step": 1}, {"sample": 1}, {"channel": 1}, {"seed": 1}])
def test_every_argument_gives_another_field(other):
    assert abs((field() * field(**other)).mean()) < 4 / np.sqrt(200000)


def test_a_crop_sees_the_numbers_of_the_whole():
    whole = field()
    np.testing.assert_array_equal(whole[30:60, 100:190], field(origin=(30, 100), shape=(30, 90)))


def test_blocks_agree_on_a_finer_grid():
    scale = (Fraction(3, 2), Fraction(2))
    whole = PlacedRandomField(5, (0, 0), (20, 12), 2).finer(scale).normal(1)
    part = PlacedRandomField(5, (6, 4), (8, 5), 2).finer(scale).normal(1)
    assert whole.shape == (1, 30, 24)
    assert torch.equal(part, whole[:, 9:21, 8:18])


def test_only_space_becomes_finer():
    stack = PlacedRandomField(5, (3, 0, 0), (2, 4, 4), 2)
    assert stack.finer((Fraction(2), Fraction(2))).normal(0).shape == (2, 8, 8)
    assert torch.equal(stack.finer((Fraction(1),) * 2).normal(0), stack.normal(0))
