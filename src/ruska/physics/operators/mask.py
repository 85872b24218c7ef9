"""Pixels, columns or slices that were not recorded, or are damaged."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Mask:
    """Keeps what was recorded.

    recorded : bool or 0-1, broadcastable to (*spatial).
    """

    recorded: Tensor
    dimensions: int = 2

    @property
    def scale(self) -> tuple[Fraction, ...]:
        return (Fraction(1),) * self.dimensions

    def forward(self, x: Tensor) -> Tensor:
        return x * self.recorded.to(x.device, x.dtype)

    def adjoint(self, y: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        return self.forward(y)
