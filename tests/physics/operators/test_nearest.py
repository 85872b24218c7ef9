"""Data steps that need no iterations agree with those that do."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from ruska.physics.operators import Decimation, GaussianBlur, data_step, spread
from ruska.physics.operators.normal import Solvable


@pytest.mark.parametrize("ratio", [1e-4, 0.01, 3.0])
@pytest.mark.parametrize(
    ("operator", "shape"),
    [
        (GaussianBlur((1.0, 2.5)), (40, 33)),
        (GaussianBlur((0.0, 3.0)), (16, 25)),
        (GaussianBlur((0.6, 0.8, 1.1)), (9, 12, 16)),
        (Decimation((2, 3)), (16, 18)),
        (Decimation((4, 4)), (18, 21)),  # pixels after the last whole cell stay as guessed
        (Decimation((Fraction(4), Fraction(1), Fraction(1))), (12, 5, 6)),
    ],
)
def test_it_is_where_the_gradient_vanishes(operator, shape, ratio):
    random = torch.Generator().manual_seed(0)
    guess = torch.randn(2, 1, *shape, generator=random, dtype=torch.float64)
    y = operator.forward(torch.randn(2, 1, *shape, generator=random, dtype=torch.float64))
    assert isinstance(operator, Solvable)
    assert operator.solvable
    x = data_step(operator, y, guess, ratio)
    gradient = operator.adjoint(operator.forward(x) - y, shape) + ratio * (x - guess)
    assert gradient.abs().max() < 1e-9
    assert (x - guess).abs().max() > 1e-3


def test_cells_that_share_pixels_are_solved_by_iterations():
    operator = Decimation((Fraction(5, 2), Fraction(1)))
    assert not operator.solvable
    y = torch.ones(1, 1, 4, 6, dtype=torch.float64)
    x = data_step(operator, y, torch.zeros(1, 1, 10, 6, dtype=torch.float64), 1e-3, tolerance=1e-9)
    assert torch.allclose(operator.forward(x), y, atol=0.01)


@pytest.mark.parametrize(
    ("operator", "expected"),
    [
        (GaussianBlur((1.0, 2.0)), ((1 + 1 / 12) ** 0.5, (4 + 1 / 12) ** 0.5)),  # and of a pixel
        (Decimation((4, 1)), ((16 - 1) ** 0.5 / 24**0.5, 0.0)),  # half the variance of four even pixels
        (Decimation((Fraction(1), Fraction(8), Fraction(1))), (0.0, 63**0.5 / 24**0.5, 0.0)),
    ],
)
def test_spread(operator, expected):
    assert spread(operator) == pytest.approx(expected, abs=0.01)
