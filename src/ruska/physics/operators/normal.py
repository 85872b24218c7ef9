"""The data step of a guided sampler: as near to a prior's guess as the measurement allows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from ruska.physics.operators.contract import Operator


@runtime_checkable
class Solvable(Protocol):
    """An operator whose data step needs no iterations."""

    @property
    def solvable(self) -> bool: ...
    def nearest(self, y: Tensor, guess: Tensor, ratio: float) -> Tensor: ...


def data_step(
    operator: Operator, y: Tensor, guess: Tensor, ratio: Tensor | float, *, weight: Tensor | None = None,
    iterations: int = 20, tolerance: float = 1e-5,
) -> Tensor:  # fmt: skip
    """Minimise ``|W^(1/2) (A x - y)|^2 + ratio |x - guess|^2`` over x.

    y : measurement (b, c, *coarse). guess : (b, c, *spatial), what the prior believes.
    ratio : noise variance over the variance of the guess's error; a number, or one per pixel of ``guess``.
    weight : per pixel of ``y``, relative to 1: smaller where the noise is stronger.

    Solved at once by operators that can (``nearest``), where ratio and weight are the same everywhere; by conjugate
    gradients from ``guess`` otherwise, until the residual is ``tolerance`` of the first or for ``iterations``. Source:
    Hestenes & Stiefel (1952), J. Res. NBS 49, 409.
    """
    if weight is None and isinstance(ratio, float) and isinstance(operator, Solvable) and operator.solvable:
        return operator.nearest(y, guess, ratio)
    shape = tuple(guess.shape[2:])

    def normal(x: Tensor) -> Tensor:
        seen = operator.forward(x)
        return operator.adjoint(seen if weight is None else seen * weight, shape) + ratio * x

    target = operator.adjoint(y if weight is None else y * weight, shape) + ratio * guess
    x = guess.clone()
    residual = target - normal(x)
    direction = residual.clone()
    power = _dot(residual, residual)
    enough = tolerance**2 * power
    for _ in range(iterations):
        if bool((power <= enough).all()):
            break
        image = normal(direction)
        # a part of the batch that is solved already has no direction left to go
        step = power / _dot(direction, image).clamp(min=1e-30)
        x = x + step * direction
        residual = residual - step * image
        left = _dot(residual, residual)
        direction = residual + left / power.clamp(min=1e-30) * direction
        power = left
    return x


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each element of the batch, kept broadcastable."""
    return (a * b).flatten(1).sum(1).view(-1, *(1,) * (a.dim() - 1))
