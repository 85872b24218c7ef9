"""Over how many pixels an operator averages."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ruska.physics.operators.contract import Operator

_EDGE = {1: 120, 2: 120, 3: 48}  # pixels of the field a point is put into the middle of; multiples of common factors


def spread(operator: Operator) -> tuple[float, ...]:
    """Standard deviation in pixels, per spatial axis, of what one pixel of the specimen is averaged with.

    Of a Gaussian blur it is its sigma; of means over cells of n pixels about n / 5. Half the variance of the operator
    followed by its transpose, on a point.
    """
    import torch

    dimensions = len(operator.scale)
    edge = _EDGE[dimensions]
    point = torch.zeros(1, 1, *(edge,) * dimensions, dtype=torch.float64)
    point[(0, 0, *(edge // 2,) * dimensions)] = 1
    answer = operator.adjoint(operator.forward(point), (edge,) * dimensions)[0, 0].abs()
    at = torch.arange(edge, dtype=answer.dtype)
    found = []
    for axis in range(dimensions):
        others = [a for a in range(dimensions) if a != axis]
        profile = answer.sum(others) if others else answer  # a sum over no axis is one over all
        profile = profile / profile.sum().clamp(min=1e-30)
        found.append(float(((profile * at**2).sum() - (profile * at).sum() ** 2).clamp(min=0) / 2) ** 0.5)
    return tuple(found)
