"""A coarser sensor: means over cells of several pixels, by any rational factor per axis."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, prod
from typing import TYPE_CHECKING

from ruska.errors import GeometryError, SettingsError
from ruska.physics.operators.taps import box_taps

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Decimation:
    """``factors`` input pixels make one output pixel, per spatial axis: 4, or 2.5 as ``Fraction(5, 2)``.

    Each output is the mean over its cell, as a detector pixel collects all that falls on it; taking every n-th pixel
    instead would shift the image and alias. Input pixels after the last whole cell are not seen.
    """

    factors: tuple[Fraction, ...]

    def __post_init__(self) -> None:
        for factor in self.factors:
            if not isinstance(factor, int | Fraction) or not 1 <= factor <= 1000:
                raise SettingsError("factor", f"is {factor!r}, expected a whole number or Fraction from 1 to 1000")

    @property
    def scale(self) -> tuple[Fraction, ...]:
        return tuple(1 / Fraction(f) for f in self.factors)

    def forward(self, x: Tensor) -> Tensor:
        for axis, factor in enumerate(self.factors, start=2):
            if factor == 1:
                continue
            if x.shape[axis] < factor:
                raise GeometryError("decimation", f"got {x.shape[axis]} pixels, expected at least {ceil(factor)}")
            x = box_taps(x.shape[axis], Fraction(factor)).forward(x, axis)
        return x

    def adjoint(self, y: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        whole = shape or tuple(ceil(n * f) for n, f in zip(y.shape[2:], self.factors, strict=True))
        for axis, (factor, size) in enumerate(zip(self.factors, whole, strict=True), start=2):
            if factor == 1:
                continue
            taps = box_taps(size, Fraction(factor))
            if len(taps.index) != y.shape[axis]:
                raise GeometryError(
                    "decimation", f"{size} pixels make {len(taps.index)} of {factor}, got {y.shape[axis]}"
                )
            y = taps.adjoint(y, axis)
        return y

    @property
    def solvable(self) -> bool:
        """Cells of whole pixels do not overlap, so that A A' is a number."""
        return all(Fraction(f).denominator == 1 for f in self.factors)

    def nearest(self, y: Tensor, guess: Tensor, ratio: float) -> Tensor:
        """Minimises ``|A x - y|^2 + ratio |x - guess|^2``: cells move by what is missing of their means."""
        power = 1 / prod(int(f) for f in self.factors)
        missing = y - self.forward(guess)
        return guess + self.adjoint(missing / (ratio + power), tuple(guess.shape[2:]))
