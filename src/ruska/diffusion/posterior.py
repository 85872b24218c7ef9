"""Images that both a prior and a measurement allow: samplers that can be run one sweep at a time.

A `Sampler` holds no state: ``init`` makes it, ``sweep`` k turns it into the next, ``finish`` reads the image off. An
engine exchanges halos between sweeps; `restore` simply runs them over a whole image.

Guidance is a prior, too: given y, the expected image is ``E[x0 | x_t, y]`` instead of ``E[x0 | x_t]``, and any solver
samples it. What is exact, for Gaussian images and ever finer levels:

- `exact_sampler` (covariance of the guess from the prior's derivative): mean and covariance, any operator, any noise;
- `denoising_sampler` (no operator, starts at the measurement): mean and covariance;
- `PosteriorMean` (ADMM): the mean, at any level, as passes grow.

Approximate: `proximal_sampler` (one number for the guess's error: exact for white images only), and all in
`baselines`. Where nothing is blurred or missing and noise is one number or a map that the prior takes,
``prior.denoise(y, noise_std)`` is the posterior mean in one pass, and nothing here is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ruska.diffusion.autograd import pull_back, with_gradients
from ruska.diffusion.consistency import DataTerm, GuessError, bounded_error
from ruska.diffusion.linear import conjugate_gradients
from ruska.diffusion.path import precise
from ruska.diffusion.prior import broadcast_level
from ruska.diffusion.solvers import Noise, Step, ancestral, heun, start
from ruska.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

    from ruska.diffusion.prior import Prior


class Sampler(Protocol):
    """State and image lie on the specimen's grid; noise is asked for by step, 0 in ``init``, k + 1 in sweep k."""

    @property
    def sweeps(self) -> int: ...
    @property
    def state_channels(self) -> int:
        """Channels of the state per channel of the image."""
        ...

    def init(self, y: Tensor, noise: Noise) -> Tensor: ...
    def sweep(self, state: Tensor, y: Tensor, k: int, noise: Noise, condition: Tensor | None = None) -> Tensor: ...
    def finish(self, state: Tensor) -> Tensor: ...


def restore(sampler: Sampler, y: Tensor, noise: Noise, condition: Tensor | None = None) -> Tensor:
    """All sweeps over a whole image. y : (b, c, *coarse). Returns (b, c, *spatial)."""
    state = sampler.init(y, noise)
    for k in range(sampler.sweeps):
        state = sampler.sweep(state, y, k, noise, condition)
    return sampler.finish(state)


@dataclass(frozen=True, eq=False)
class ProximalGuide:
    """E[x0 | x_t, y] with independent pixels in the error of the guess. Approximate; one pass.

    Source: DiffPIR, alg. 1; the same correction as Pi-GDM, without the derivative of the network. With ``error``
    growing without bound it becomes the projection of DDNM (Wang, Yu & Zhang 2023).
    """

    prior: Prior
    data: DataTerm
    error: GuessError
    y: Tensor

    def denoise(self, x_t: Tensor, sigma: Tensor | float, condition: Tensor | None = None) -> Tensor:
        return self.data.nearest(self.y, self.prior.denoise(x_t, sigma, condition), self.error(float(sigma)))


@dataclass(frozen=True, eq=False)
class MomentGuide:
    """E[x0 | x_t, y] with the guess's covariance ``C = sigma^2 dD/dx``: exact for Gaussian images.

    ``D + C A' (A C A' + noise_std^2)^-1 (y - A D)``, by conjugate gradients over the prior's derivative: one pass
    forward and one backward per iteration. Reaches as far as that many networks in a row: for whole images.
    Source: Rozet, Andry, Lanusse & Louppe (2024), "Learning diffusion priors from observations by expectation
    maximization" (moment matching posterior sampling); covariance: Efron (2011), "Tweedie's formula".
    """

    prior: Prior
    data: DataTerm
    y: Tensor

    def denoise(self, x_t: Tensor, sigma: Tensor | float, condition: Tensor | None = None) -> Tensor:
        operator, shape = self.data.operator, tuple(x_t.shape[2:])
        power = (broadcast_level(precise(sigma), x_t) ** 2).to(x_t)
        noise = self.data.variance(self.y)
        with with_gradients():
            transposed, guess = pull_back(lambda x: self.prior.denoise(x, sigma, condition), x_t)

            def spread(seen: Tensor) -> Tensor:
                return power * transposed(operator.adjoint(seen, shape))

            missing = self.y - operator.forward(guess)
            dual = conjugate_gradients(
                lambda u: operator.forward(spread(u)) + noise * u, missing, self.data.iterations, self.data.tolerance
            )
            return guess + spread(dual)


@dataclass(frozen=True, eq=False)
class GuidedSampler:
    """Walks down ``levels`` with a solver and a guided prior.

    given : turns a measurement into the prior of images that fit it. begin : makes the state before the first sweep.
    """

    given: Callable[[Tensor], Prior]
    levels: Sequence[float]
    step: Step
    begin: Callable[[Tensor, Noise], Tensor]
    state_channels: int = field(default=1, init=False)

    @property
    def sweeps(self) -> int:
        return len(self.levels) - 1

    def init(self, y: Tensor, noise: Noise) -> Tensor:
        return self.begin(y, noise)

    def sweep(self, state: Tensor, y: Tensor, k: int, noise: Noise, condition: Tensor | None = None) -> Tensor:
        return self.step(self.given(y), state, self.levels, k, noise, condition)

    def finish(self, state: Tensor) -> Tensor:
        return state


def proximal_sampler(
    prior: Prior, data: DataTerm, levels: Sequence[float], *, error: GuessError | None = None,
    step: Step = ancestral, signal_std: float = 1.0,
) -> GuidedSampler:  # fmt: skip
    """Posterior samples in one pass per level; approximate. step : DiffPIR's zeta is the square of `ddim`'s eta.

    Source: DiffPIR, alg. 1, with Pi-GDM's error instead of a hand-tuned lambda.
    """
    given = partial(ProximalGuide, prior, data, error or bounded_error(signal_std))
    return GuidedSampler(given, levels, step, partial(_from_noise, levels[0], signal_std))


def exact_sampler(
    prior: Prior, data: DataTerm, levels: Sequence[float], *, step: Step = heun, signal_std: float = 1.0
) -> GuidedSampler:
    """Posterior samples with the guess's own covariance: exact for Gaussian images as the levels get finer."""
    given = partial(MomentGuide, prior, data)
    return GuidedSampler(given, levels, step, partial(_from_noise, levels[0], signal_std))


def denoising_sampler(prior: Prior, levels: Sequence[float], *, step: Step = ancestral) -> GuidedSampler:
    """Posterior samples where the instrument adds white noise only: ``levels[0]`` is its standard deviation.

    The measurement is a point of the reverse process already, so it starts there; with a step that adds noise it ends
    at different images, with `heun` always at the same one. Source: Kawar, Vaksman & Elad (2021), "Stochastic image
    denoising by sampling from the posterior distribution".
    """
    return GuidedSampler(lambda _: prior, levels, step, lambda y, _: y)


def _from_noise(level: float, signal_std: float, y: Tensor, noise: Noise) -> Tensor:
    return start(noise, level, signal_std).to(y)


@dataclass(frozen=True, eq=False)
class PosteriorMean:
    """The image in the middle of all that prior and measurement allow: no chance, a few passes.

    levels : of the prior in each sweep, > 0; see `mean_levels`. shape : spatial, of the specimen, where it cannot be
    told from y. The state is the image and what the prior has taken off it so far.

    Alternating direction method of multipliers: exact for Gaussian images whatever the levels, as sweeps grow. Source:
    Venkatakrishnan, Bouman & Wohlberg (2013), "Plug-and-play priors for model based reconstruction"; falling
    levels: Zhang et al. (2021), "Plug-and-play image restoration with deep denoiser prior" (DPIR).
    Differs: the multiplier is rescaled when the level changes, without which it would stand for another force.
    """

    prior: Prior
    data: DataTerm
    levels: Sequence[float]
    shape: tuple[int, ...] | None = None
    state_channels: int = field(default=2, init=False)

    def __post_init__(self) -> None:
        if not self.levels or min(self.levels) <= 0:
            raise SettingsError("levels", f"are {list(self.levels)}, expected at least one, all above 0")

    @property
    def sweeps(self) -> int:
        return len(self.levels)

    def init(self, y: Tensor, noise: Noise) -> Tensor:
        import torch

        first = self.data.back_projection(y, self.shape)
        return torch.cat([first, torch.zeros_like(first)], 1)

    def sweep(self, state: Tensor, y: Tensor, k: int, noise: Noise, condition: Tensor | None = None) -> Tensor:
        import torch

        level = self.levels[k]
        clean, taken = state.chunk(2, 1)
        image = self.data.nearest(y, clean - taken, level)
        clean = self.prior.denoise(image + taken, level, condition)
        taken = taken + image - clean
        if k + 1 < self.sweeps:
            taken = taken * (self.levels[k + 1] / level) ** 2
        return torch.cat([clean, taken], 1)

    def finish(self, state: Tensor) -> Tensor:
        return state.chunk(2, 1)[0]


def mean_levels(noise_std: float, passes: int = 12, signal_std: float = 1.0) -> tuple[float, ...]:
    """Falling by equal factors, from the image's own spread to the noise."""
    last = min(noise_std, signal_std)
    return tuple(signal_std * (last / signal_std) ** (k / max(passes - 1, 1)) for k in range(passes))
