"""One operator after another, and none at all."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from ruska.physics.operators.contract import Operator


@dataclass(frozen=True)
class Identity:
    """The instrument adds noise and nothing else: denoising."""

    dimensions: int = 2

    @property
    def scale(self) -> tuple[Fraction, ...]:
        return (Fraction(1),) * self.dimensions

    def forward(self, x: Tensor) -> Tensor:
        return x

    def adjoint(self, y: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        return y


class Composition:
    """``Composition(blur, decimation)`` blurs first, then decimates: written in the order in which light meets them.

    Only the first may see pixels that the later ones drop; the shape of its input is remembered from the last forward
    pass, or given to ``adjoint``.
    """

    def __init__(self, *operators: Operator) -> None:
        if not operators:
            raise ValueError("a composition needs an operator")
        self.operators = operators

    @property
    def scale(self) -> tuple[Fraction, ...]:
        return tuple(
            prod(factors, start=Fraction(1)) for factors in zip(*(o.scale for o in self.operators), strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        for operator in self.operators:
            x = operator.forward(x)
        return x

    def adjoint(self, y: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        shapes = self._shapes(y, shape)
        for operator, before in zip(reversed(self.operators), reversed(shapes), strict=True):
            y = operator.adjoint(y, before)
        return y

    def _shapes(self, y: Tensor, shape: tuple[int, ...] | None) -> list[tuple[int, ...] | None]:
        """Spatial shape of the input of each operator, from that of the first."""
        if shape is None:
            return [None] * len(self.operators)
        shapes: list[tuple[int, ...] | None] = [shape]
        for operator in self.operators[:-1]:
            before = shapes[-1]
            assert before is not None
            shapes.append(tuple(int(n * f) for n, f in zip(before, operator.scale, strict=True)))
        return shapes
