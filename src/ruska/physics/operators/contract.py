"""What the rest of Ruska asks of an operator, and where its output lies in space."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor


@runtime_checkable
class Operator(Protocol):
    """A linear map from a specimen (b, c, *spatial) to what the instrument would record of it without noise.

    scale : output pixels per input pixel, per spatial axis. A method that inverts the operator has its reciprocal.
    """

    @property
    def scale(self) -> tuple[Fraction, ...]: ...
    def forward(self, x: Tensor) -> Tensor: ...
    def adjoint(self, y: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        """The exact transpose: <A x, y> = <x, A' y>.

        shape : spatial shape of the specimen, where it cannot be told from that of ``y``; the smallest that fits
            when None.
        """
        ...


@dataclass(frozen=True)
class Geometry:
    """Where pixels lie along each spatial axis: pixel ``i`` is centred at ``origin + i * spacing``.

    Pixels are cells: ``n`` of them cover ``n * spacing``, from half a pixel before the first centre.
    """

    spacing: tuple[float, ...]
    origin: tuple[float, ...]

    def after(self, scale: tuple[Fraction, ...]) -> Geometry:
        """Of the same field with ``scale`` times as many pixels: the outer edge of the first pixel stays in place."""
        spacing = tuple(s / float(f) for s, f in zip(self.spacing, scale, strict=True))
        origin = tuple(o + (new - old) / 2 for o, old, new in zip(self.origin, self.spacing, spacing, strict=True))
        return Geometry(spacing, origin)
