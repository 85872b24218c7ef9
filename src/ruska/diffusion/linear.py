"""Solves linear equations image by image: the result for one never depends on the rest of its batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def conjugate_gradients(
    multiply: Callable[[Tensor], Tensor], target: Tensor, iterations: int, tolerance: float
) -> Tensor:
    """Solve ``multiply(x) = target`` for a symmetric positive definite map that acts on each image by itself.

    target : (b, c, *spatial). Each image stops changing once its residual is ``tolerance`` of its target, or if the map
        turns out not to be positive, as may happen with the derivative of a network.
    Source: Hestenes & Stiefel (1952), J. Res. NBS 49, 409.
    """
    x = target.new_zeros(target.shape)
    residual, direction = target, target
    power = inner(residual, residual)
    enough = tolerance**2 * power
    for _ in range(iterations):
        if not bool((power > enough).any()):
            break
        image = multiply(direction)
        curvature = inner(direction, image)
        busy = (power > enough) & (curvature > 0)
        step = (power / curvature).where(busy, power.new_zeros(()))
        x = x + step * direction
        residual = residual - step * image
        left = inner(residual, residual)
        direction = residual + (left / power).where(busy, power.new_zeros(())) * direction
        power = left
    return x


def inner(a: Tensor, b: Tensor) -> Tensor:
    """Inner product of each image of the batch, kept broadcastable."""
    return (a * b).flatten(1).sum(1).view(-1, *(1,) * (a.dim() - 1))
