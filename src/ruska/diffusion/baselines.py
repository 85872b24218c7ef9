"""EM generalist's two ways to guide a prior, rebuilt without their defects, as baselines for the others.

Both are approximate, and need 100 to 1000 passes. Fixed: the step depends only on the image, not on its size or on the
rest of its batch; noise is tied to positions, so overlapping blocks are never averaged; every sweep frees its graph;
the clock of the flow reaches its end for planes and volumes alike; the transpose is exact. Step sizes keep their
meaning; 0 chooses the step from the noise and the prior's error instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ruska.diffusion.autograd import pull_back, with_gradients
from ruska.diffusion.consistency import DataTerm, GuessError, bounded_error
from ruska.diffusion.levels import HIGHEST
from ruska.diffusion.posterior import restore
from ruska.diffusion.solvers import Noise, renoise, start

if TYPE_CHECKING:
    from torch import Tensor

    from ruska.diffusion.prior import Prior

PATCH_PIXELS = 256 * 256


@dataclass(frozen=True, eq=False)
class GradientGuided:
    """Diffusion posterior sampling: a gradient step on the misfit, then an ancestral step.

    gamma : step size for a measurement of 256 x 256 pixels with images in -1 to 1, ``x_t - (gamma / L) dL/dx_t`` with
        ``L = |y - A x0_hat|`` of that image; other sizes get the same step per pixel. EM generalist takes 1, 5 for
        deblurring. 0: ``sigma^2 / (noise_std^2 + |A|^2 error^2)``, at which the step is right for white images.

    Source: Chung et al. (2023), "Diffusion posterior sampling for general noisy inverse problems", alg. 1; for gamma 0
    Song et al. (2023), Pi-GDM, with ``|A|^2`` in place of ``A A'``.
    """

    prior: Prior
    data: DataTerm
    levels: Sequence[float]
    gamma: float = 1.0
    error: GuessError = field(default_factory=bounded_error)
    state_channels: int = field(default=1, init=False)

    @property
    def sweeps(self) -> int:
        return len(self.levels) - 1

    def init(self, y: Tensor, noise: Noise) -> Tensor:
        return start(noise, self.levels[0]).to(y)

    def sweep(self, state: Tensor, y: Tensor, k: int, noise: Noise, condition: Tensor | None = None) -> Tensor:
        operator, level = self.data.operator, self.levels[k]
        with with_gradients():
            transposed, guess = pull_back(lambda x: self.prior.denoise(x, level, condition), state)
            missing = y - operator.forward(guess)
            scaled = self._scale(missing, guess, level) * missing
            move = transposed(operator.adjoint(scaled, tuple(guess.shape[2:])))
        clean = guess + move
        # EM generalist keeps the noise of the unguided guess; with the right step, guess and noise belong together
        eps = (state - (clean if self.gamma == 0 else guess)) / level
        return renoise(clean, eps, level, self.levels[k + 1], 1.0, noise, k)

    def finish(self, state: Tensor) -> Tensor:
        return state

    def _scale(self, missing: Tensor, guess: Tensor, level: float) -> Tensor:
        """Factor of the misfit, in variance exploding coordinates: x_t / alpha, with 1 / alpha^2 = 1 + level^2."""
        if self.gamma == 0:
            return level**2 / (self.data.variance(missing) + self.data.gain_on(guess) * self.error(level) ** 2)
        mean_square = missing.square().flatten(1).mean(1).clamp(min=1e-30)
        return self.gamma * (1 + level**2) / (PATCH_PIXELS * mean_square).view(-1, *(1,) * (missing.dim() - 1))


@dataclass(frozen=True, eq=False)
class FlowGuided:
    """Flow plug-and-play: step towards the data, put noise back, denoise. The state is the denoised image.

    passes : the clock t goes from 0 (noise) to 1 (image) in equal steps; levels above ``highest`` are cut.
    step_size : exponent a of ``z = x - (1 - t)^a A'(A x - y) / |A|^2``; 0.3 to 0.5 is advised. 0: `DataTerm.nearest`.

    Source: Martin et al. (2025), "PnP-Flow: plug-and-play image restoration with flow matching".
    """

    prior: Prior
    data: DataTerm
    passes: int = 100
    step_size: float = 0.3
    shape: tuple[int, ...] | None = None
    highest: float = HIGHEST
    error: GuessError = field(default_factory=bounded_error)
    state_channels: int = field(default=1, init=False)

    @property
    def sweeps(self) -> int:
        return self.passes

    def init(self, y: Tensor, noise: Noise) -> Tensor:
        return self.data.back_projection(y, self.shape)

    def sweep(self, state: Tensor, y: Tensor, k: int, noise: Noise, condition: Tensor | None = None) -> Tensor:
        t = k / max(self.passes - 1, 1)
        if t == 1:
            return state  # no weight of the data and no noise: nothing to do
        level = min((1 - t) / t, self.highest) if t else self.highest
        nearer = self._nearer(state, y, t, level)
        return self.prior.denoise(nearer + level * noise(k + 1).to(state), level, condition)

    def finish(self, state: Tensor) -> Tensor:
        return state

    def _nearer(self, x: Tensor, y: Tensor, t: float, level: float) -> Tensor:
        if self.step_size == 0:
            return self.data.nearest(y, x, self.error(level))
        missing = y - self.data.operator.forward(x)
        towards = self.data.operator.adjoint(missing, tuple(x.shape[2:]))
        return x + (1 - t) ** self.step_size / self.data.gain_on(x) * towards


def dps(
    prior: Prior, data: DataTerm, y: Tensor, noise: Noise, levels: Sequence[float], *, gamma: float = 1.0,
    condition: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """`GradientGuided` over a whole image: 1000 trailing levels of the prior's path in EM generalist."""
    return restore(GradientGuided(prior, data, levels, gamma), y, noise, condition)


def flow_plug_and_play(
    prior: Prior, data: DataTerm, y: Tensor, noise: Noise, *, passes: int = 100, step_size: float = 0.3,
    condition: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """`FlowGuided` over a whole image."""
    return restore(FlowGuided(prior, data, passes, step_size), y, noise, condition)
