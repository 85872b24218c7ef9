"""A step of the reverse process with the spread that it really has: few steps, and samples as different as they should.

`ancestral` takes the guess for the image, so that a long step loses what the guess does not know: with seven steps the
samples of a denoiser were measured to differ two thirds of what they should. How much a guess does not know is its
derivative: ``Cov[x0 | x_t] = sigma^2 dD/dx`` (Efron 2011, "Tweedie's formula"), here by its mean over the pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from ruska.diffusion.solvers import Noise, Step

if TYPE_CHECKING:
    from torch import Tensor

    from ruska.diffusion.prior import Prior

_NUDGE = 0.03  # of the level, by which an image is changed to see how much of the change the guess keeps


def analytic(spreads: Sequence[float]) -> Step:
    """The step whose variance is that of the reverse process, for images that are like those ``spreads`` come from.

    spreads : of the guess at each level, its mean variance over the level's square, 0 to 1 (`measure_spreads`).

    Source: Bao, Li, Zhu & Zhang (2022), "Analytic-DPM", theorem 1, in levels. Differs: of one image, and by the
    derivative instead of the square of the score.
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
    """What `analytic` needs, on the way of one image x (b, c, *spatial) down the ``levels``; two passes a level.

    The mean of the derivative's diagonal by one random probe (Ramani, Blu & Unser 2008, IEEE Trans. Image Process. 17,
    1540, eq. 15). noise : asked for steps 1 to 2 n, n being the number of passes.
    """
    passes = len(levels) - 1
    found: list[float] = []
    for k in range(passes):
        guess, probe, nudge = prior.denoise(x, levels[k]), noise(passes + k + 1), _NUDGE * levels[k]
        kept = (prior.denoise(x + nudge * probe, levels[k]) - guess) * probe / nudge
        found.append(float((kept.mean() / probe.square().mean()).clamp(0, 1)))
        x = _towards(guess, x, levels, k, noise, found[-1])
    return tuple(found)
