"""Samplers of images that fit both a prior and a measurement, run one sweep at a time.

A `Sampler` holds no state: ``init`` makes it, ``sweep`` k advances it, ``finish`` extracts the image. An engine
exchanges halos between sweeps; `restore` simply runs them over a whole image.

A guided prior is a prior, too: given y, the expected image is ``E[x0 | x_t, y]`` instead of ``E[x0 | x_t]``, and any
solver can sample it. `ProximalGuide` uses one number for the guess's error, which is exact only for white images, as is
everything in `baselines`. If nothing is blurred or missing, and the noise is one number or a map that the prior takes,
``prior.denoise(y, noise_std)`` is the posterior mean in one pass, and nothing here is needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from ruska.diffusion.consistency import DataTerm, GuessError
    from ruska.diffusion.prior import Prior
    from ruska.diffusion.solvers import Noise


class Sampler(Protocol):
    """State and image are on the specimen's grid; noise is drawn by step, 0 in ``init``, k + 1 in sweep k."""

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
    """Run all sweeps over a whole image. y : (b, c, *coarse). Returns (b, c, *spatial)."""
    state = sampler.init(y, noise)
    for k in range(sampler.sweeps):
        state = sampler.sweep(state, y, k, noise, condition)
    return sampler.finish(state)


@dataclass(frozen=True, eq=False)
class ProximalGuide:
    """E[x0 | x_t, y], assuming independent pixels in the error of the guess. Approximate; one pass.

    Source: DiffPIR, alg. 1; the same correction as Pi-GDM, without the derivative of the network. As ``error`` grows
    without bound, it becomes the projection of DDNM (Wang, Yu & Zhang 2023).
    """

    prior: Prior
    data: DataTerm
    error: GuessError
    y: Tensor

    def denoise(self, x_t: Tensor, sigma: Tensor | float, condition: Tensor | None = None) -> Tensor:
        return self.data.nearest(self.y, self.prior.denoise(x_t, sigma, condition), self.error(float(sigma)))
