"""A step of the reverse process with its true variance: few steps give samples with the right spread.

`ancestral` treats the guess as the image, so a long step loses the uncertainty of the guess: with seven steps, the
spread of a denoiser's samples was measured to be two thirds of what it should be. The uncertainty is the derivative of
the guess: ``Cov[x0 | x_t] = sigma^2 dD/dx`` (Efron 2011, "Tweedie's formula"), here its mean over the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ruska.diffusion.solvers import Noise, Step

if TYPE_CHECKING:
    from torch import Tensor

    from ruska.diffusion.prior import Prior

_NUDGE = 0.03  # of the level: change of an image, to see how much of it the guess keeps


def analytic(spreads: Sequence[float]) -> Step:
    """The step with the variance of the reverse process, for images like those that ``spreads`` were measured on.

    spreads : mean variance of the guess at each level, over the level's square, 0 to 1 (`measure_spreads`).

    Source: Bao, Li, Zhu & Zhang (2022), "Analytic-DPM", theorem 1, in levels. Differs: measured on one image, and from
    the derivative instead of the square of the score.
    """
    return partial(_analytic, spreads=tuple(spreads))


def _analytic(
    prior: Prior, x: Tensor, levels: Sequence[float], k: int, noise: Noise, condition: Tensor | None = None, *,
    spreads: Sequence[float],
) -> Tensor:  # fmt: skip
    return _towards(prior.denoise(x, levels[k], condition), x, levels, k, noise, spreads[k])


def _towards(guess: Tensor, x: Tensor, levels: Sequence[float], k: int, noise: Noise, spread: float) -> Tensor:
    level, following = levels[k], levels[k + 1]
    kept = (following / level) ** 2
    variance = (1 - kept) * (following**2 + (1 - kept) * spread * level**2)
    x = guess + kept * (x - guess)
    return x + variance**0.5 * noise(k + 1) if following > 0 else x


def measure_spreads(prior: Prior, x: Tensor, levels: Sequence[float], noise: Noise) -> tuple[float, ...]:
    """The ``spreads`` of `analytic`, for one image x (b, c, *spatial) on its way down ``levels``; two passes a level.

    The mean of the derivative's diagonal, from one random probe (Ramani, Blu & Unser 2008, IEEE Trans. Image Process.
    17, 1540, eq. 15). noise : called for steps 1 to 2 n, where n is the number of passes.
    """
    passes = len(levels) - 1
    found: list[float] = []
    for k in range(passes):
        guess, probe, nudge = prior.denoise(x, levels[k]), noise(passes + k + 1), _NUDGE * levels[k]
        kept = (prior.denoise(x + nudge * probe, levels[k]) - guess) * probe / nudge
        found.append(float((kept.mean() / probe.square().mean()).clamp(0, 1)))
        x = _towards(guess, x, levels, k, noise, found[-1])
    return tuple(found)
