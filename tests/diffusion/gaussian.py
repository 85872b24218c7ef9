"""Gaussian images: the one prior whose denoiser, samples and posteriors are known in closed form.

The oracle of every test of this room, and a Wiener filter for whoever wants one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ruska.diffusion.linear import conjugate_gradients
from ruska.diffusion.path import precise
from ruska.diffusion.prior import broadcast_level

if TYPE_CHECKING:
    from torch import Tensor


class Covariance(Protocol):
    """Of the values of one channel; the channels are independent."""

    def multiply(self, x: Tensor) -> Tensor: ...
    def root(self, x: Tensor) -> Tensor:
        """A square root, which turns white noise into a sample."""
        ...

    def wiener(self, x: Tensor, variance: Tensor) -> Tensor:
        """``C (C + variance)^-1 x``; variance with the axes of x, see `broadcast_level`."""
        ...


@dataclass(frozen=True, eq=False)
class StationaryCovariance:
    """The same statistics everywhere, the image wrapped around at its borders.

    power : (*spatial), eigenvalues, one per frequency of an unshifted FFT, >= 0 and even in the frequency.
    """

    power: Tensor

    def multiply(self, x: Tensor) -> Tensor:
        return self._filtered(x, self.power)

    def root(self, x: Tensor) -> Tensor:
        return self._filtered(x, self.power**0.5)

    def wiener(self, x: Tensor, variance: Tensor) -> Tensor:
        """In closed form for one level per image, by conjugate gradients for a map."""
        if variance.numel() == variance.shape[0]:
            return self._filtered(x, self.power / (self.power + variance).clamp(min=1e-30))
        return self.multiply(conjugate_gradients(lambda u: self.multiply(u) + variance * u, x, 500, 1e-12))

    def _filtered(self, x: Tensor, gain: Tensor) -> Tensor:
        import torch

        axes = tuple(range(2, x.dim()))
        return torch.fft.ifftn(torch.fft.fftn(x, dim=axes) * gain, dim=axes).real


@dataclass(frozen=True, eq=False)
class DenseCovariance:
    """Any covariance of few pixels. matrix : (n, n), symmetric, positive definite, n = pixels of an image."""

    matrix: Tensor

    def multiply(self, x: Tensor) -> Tensor:
        return (x.flatten(2) @ self.matrix).view_as(x)

    def root(self, x: Tensor) -> Tensor:
        import torch

        return (x.flatten(2) @ torch.linalg.cholesky(self.matrix).mT).view_as(x)

    def wiener(self, x: Tensor, variance: Tensor) -> Tensor:
        import torch

        noise = variance.expand(len(x), 1, *x.shape[2:]).flatten(1)  # (b, n)
        system = self.matrix + torch.diag_embed(noise)
        return self.multiply(torch.linalg.solve(system, x.flatten(2).mT).mT.reshape(x.shape))


@dataclass(frozen=True, eq=False)
class GaussianPrior:
    """Images of a mean (a number, or broadcastable to (b, c, *spatial)) and a covariance."""

    covariance: Covariance
    mean: Tensor | float = 0.0

    def denoise(self, x_t: Tensor, sigma: Tensor | float, condition: Tensor | None = None) -> Tensor:
        """Expected image given x_t: the Wiener filter. ``condition`` is not looked at."""
        level = broadcast_level(precise(sigma), x_t).to(x_t)
        return self.mean + self.covariance.wiener(x_t - self.mean, level**2)

    def sample(self, normal: Tensor) -> Tensor:
        """Images made from standard normal numbers (b, c, *spatial)."""
        return self.mean + self.covariance.root(normal)
