"""Half-quadratic splitting: alternates between a measurement and a prior, at decreasing levels.

Source: Zhang et al. (2021), "Plug-and-play image restoration with deep denoiser prior" (DPIR), eq. 6 and 7, with its
weight of the prior. Differs: levels begin at the signal's own standard deviation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from ruska.physics.operators import Operator

TRUST = 0.2  # weight of the prior against the measurement, if a blur may amplify noise; no change from 0.15 to 0.3
TRUST_COARSE = 0.05  # the same where pixels or slices are means over an area: 0.085 dB better than 0.2 for x2 and x3


def half_quadratic(
    operator: Operator, y: Tensor, levels: Sequence[float], ratio: Callable[[float], float],
    denoise: Callable[[Tensor, float], Tensor],
) -> Iterator[tuple[Tensor, float, Tensor]]:  # fmt: skip
    """Yield for each of ``levels``: the image near the guess that explains ``y``, the level, and the next guess.

    y : (b, c, *coarse), signal with a standard deviation near 1. ratio : weight of the guess against the measurement,
    by level. denoise : denoises an image at a level. The last guess is the result.
    """
    from ruska.physics.operators import data_step

    guess = enlarged(y, [float(1 / s) for s in operator.scale])
    for level in levels:
        explained = data_step(operator, y, guess, ratio(level))
        guess = denoise(explained, level)
        yield explained, level, guess


def falling_levels(noise: float, passes: int) -> list[float]:
    """Noise levels of the passes, falling by equal factors from the signal's standard deviation to the noise."""
    return [float(level) for level in np.geomspace(max(1.0, noise), noise, passes)] if passes > 1 else [noise]


def enlarged(y: Tensor, factors: Sequence[float]) -> Tensor:
    """Linear interpolation between the centres of cells, on a grid that is ``factors`` times finer."""
    from torch.nn import functional

    if all(f == 1 for f in factors):
        return y.clone()
    size = [int(n * f) for n, f in zip(y.shape[2:], factors, strict=True)]
    mode: Callable[..., Any] = functional.interpolate
    return mode(y, size=size, mode="bilinear" if y.dim() == 4 else "trilinear", align_corners=False)
