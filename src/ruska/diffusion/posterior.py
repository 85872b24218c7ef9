"""Images that both a prior and a measurement allow: samplers that can be run one sweep at a time.

A `Sampler` holds no state: ``init`` makes it, ``sweep`` k turns it into the next, ``finish`` reads the image off. An
engine exchanges halos between sweeps; `restore` simply runs them over a whole image.

Guidance is a prior, too: given y, the expected image is ``E[x0 | x_t, y]`` instead of ``E[x0 | x_t]``, and any solver
samples it. `ProximalGuide` takes one number for the guess's error: exact for white images only, as all in `baselines`.
Where nothing is blurred or missing and noise is one number or a map that the prior takes, ``prior.denoise(y,
noise_std)`` is the posterior mean in one pass, and nothing here is needed.
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
