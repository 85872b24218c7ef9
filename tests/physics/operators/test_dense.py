"""Operators as matrices do what the operators do, and so do their data steps."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch

from ruska.diffusion.half_quadratic import enlarged
from ruska.physics.operators import Decimation, GaussianBlur, data_step, lines

EDGE = 30


@pytest.mark.parametrize("operator", [
    GaussianBlur((0.8, 2.5)),
    Decimation((Fraction(3), Fraction(1))),
    Decimation((Fraction(5, 2), Fraction(3, 2))),
], ids=str)  # fmt: skip
def test_matrices_do_what_the_operator_does(operator):
    random = torch.Generator().manual_seed(0)
    x, guess = (torch.randn(2, 1, EDGE, EDGE, generator=random, dtype=torch.float64) for _ in range(2))
    along = lines(operator, EDGE)
    (ty, tx), (vy, vx), (uy, ux) = (
        [torch.from_numpy(getattr(line, name)) for line in along] for name in ("there", "waves", "larger")
    )
    y = ty @ x @ tx.mT
    torch.testing.assert_close(y, operator.forward(x))
    torch.testing.assert_close(uy @ y @ ux.mT, enlarged(y, [float(1 / s) for s in operator.scale]))
    power = torch.outer(*(torch.from_numpy(line.power) for line in along))
    for waves in (vy, vx):
        torch.testing.assert_close(waves.mT @ waves, torch.eye(EDGE, dtype=waves.dtype))
    missing = vy.mT @ ty.mT @ (y - ty @ guess @ tx.mT) @ tx @ vx
    explained = guess + vy @ (missing / (power + 0.05)) @ vx.mT
    exact = data_step(operator, y, guess, 0.05, iterations=300, tolerance=1e-12)
    torch.testing.assert_close(explained, exact, rtol=1e-6, atol=1e-8)
