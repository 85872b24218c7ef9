"""A denoiser for additive noise of known strength, made from any network: the form in which every prior is used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ruska.networks.unet import UNet

TOLD = 7  # numbers per pixel: log of sigma; correlation at 1 and 2 pixels along X, and along Y; spread along Y, X
_LAGS = 4

FAINTEST = 0.08  # lowest noise level that is passed to the network
_OFF = 1.5  # times the variance of the noise: no image with noise of that level is further off
_MOST = 5.0  # standard deviations of the noise by which a pixel may be off


class Coordinates(Protocol):
    """Another form of the network's input and output: see `diffusion.coordinates`."""

    def seen(self, y: Tensor, sigma: Tensor) -> Tensor: ...
    def clean(self, said: Tensor, y: Tensor, sigma: Tensor) -> Tensor: ...
    def wanted(self, x: Tensor, y: Tensor, sigma: Tensor) -> Tensor: ...


class Denoiser(nn.Module):
    """Mean of the clean image given y = x + noise, where x has mean near 0 and standard deviation near 1.

    The network sees the image at unit variance, and its output is mixed with the input: with little noise, the output
    has a small weight; with little else than noise, the input has.

    Source: Karras et al. (2022), EDM, arXiv 2206.00364, eq. 7 and table 1 with sigma_data = 1. Differs: sigma is a
    map, and the noise may be correlated: then the network also receives its correlation (b, 4, 1, 1) at x + 1, x + 2,
    y + 1, y + 2. Between the passes of a restoration, errors are not noise: then it receives the number of pixels that
    the instrument averaged along Y and X (b, 2, 1, 1), as in `physics.operators.spread`.

    coordinates : of another path or prediction; input and output of this module stay the same.
    """

    def __init__(self, coordinates: Coordinates | None = None, **network: Any) -> None:
        super().__init__()
        self.coordinates = coordinates
        self.network = UNet(told=TOLD, **network)
        self.facts: Mapping[str, Any] = network

    @property
    def multiple(self) -> int:
        return self.network.multiple

    @property
    def reach(self) -> int:
        return self.network.reach

    @property
    def widths(self) -> tuple[int, ...]:
        return self.network.widths

    def forward(self, y: Tensor, sigma: Tensor, lags: Tensor | None = None, spread: Tensor | None = None) -> Tensor:
        """y : (b, 1, Y, X). sigma : (b, 1, Y, X) or (b, 1, 1, 1), above 0. Returns (b, 1, Y, X), dtype of y.

        Below sigma 0.08, which is rare in training, the change is that at 0.08 times the ratio of the variances:
        Tweedie's formula with the same score. No pixel is changed by more than five standard deviations of the noise
        and of images themselves: a guard against inputs unlike any in training.
        """
        known = sigma.clamp(min=FAINTEST)
        said, total = self.say(y, known, lags, spread)
        most = ((y.abs() + _MOST * known) * known + _MOST) / total
        clean = (y + known * total * said.clamp(-most, most)) / total**2
        return y + (sigma / known) ** 2 * (clean - y)

    def say(
        self, y: Tensor, sigma: Tensor, lags: Tensor | None = None, spread: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The network's output as defined in EDM, and the square root of 1 + sigma^2."""
        total = torch.sqrt(1 + sigma**2)
        if self.coordinates is None:
            return self._said(y / total, sigma, lags, spread), total
        said = self._said(self.coordinates.seen(y, sigma), sigma, lags, spread)
        return (total**2 * self.coordinates.clean(said, y, sigma) - y) / (sigma * total), total

    def _said(self, y: Tensor, sigma: Tensor, lags: Tensor | None, spread: Tensor | None) -> Tensor:
        if lags is None:
            lags = y.new_zeros(y.shape[0], _LAGS, 1, 1)
        if spread is None:
            spread = y.new_zeros(y.shape[0], TOLD - 1 - _LAGS, 1, 1)
        known = [part.expand(y.shape[0], -1, *sigma.shape[-2:]) for part in (sigma.log() / 2, lags, spread)]
        told = torch.cat(known, 1)
        memory = torch.channels_last
        said = self.network(y.contiguous(memory_format=memory), told.contiguous(memory_format=memory))
        return said.to(y.dtype)

    def loss(self, y: Tensor, sigma: Tensor, lags: Tensor | None, x: Tensor, spread: Tensor | None = None) -> Tensor:
        """The mean of `losses`."""
        return self.losses(y, sigma, lags, x, spread).mean()

    def losses(self, y: Tensor, sigma: Tensor, lags: Tensor | None, x: Tensor, spread: Tensor | None = None) -> Tensor:
        """Squared error of the network's output, (b,): that of the image, over the least noise that can be left.

        Images with errors larger than ``sigma`` are weighted down accordingly: between the passes of a restoration some
        errors are ten times as large, and would otherwise dominate the loss.
        """
        if self.coordinates is None:
            said, total = self.say(y, sigma, lags, spread)
            wanted = (total**2 * x - y) / (sigma * total)
        else:
            said = self._said(self.coordinates.seen(y, sigma), sigma, lags, spread)
            wanted = self.coordinates.wanted(x, y, sigma)
        off = (((y - x) / sigma) ** 2).mean((1, 2, 3), keepdim=True).clamp(min=_OFF)
        return ((said - wanted) ** 2 * (_OFF / off)).mean((1, 2, 3))
