"""Noise for training a prior: of any strength, constant or growing with the signal, white or correlated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ruska.compute.smoothing import smooth

_MIDDLE, _SPREAD = -0.6, 1.15  # of the normal distribution of log sigma
_FAINTEST, _STRONGEST = 0.06, 50.0  # fainter noise is never told (see `Denoiser`), and made losses of thousands
_ABOVE = 2.5  # how many times stronger than a target's own noise is what is added to it
_MOST_SHOT = 0.95  # share of the variance: where nothing is bright there is read noise still
_REACH = 2  # pixels up to which neighbours share noise, along each axis


@dataclass(frozen=True)
class Noised:
    """``y`` = clean image + noise (b, 1, Y, X), and what can be known of the noise.

    sigma : standard deviation (b, 1, Y, X), or (b, 1, 1, 1) where it is the same everywhere. lags : its correlation
    (b, 4, 1, 1) at x + 1, x + 2, y + 1, y + 2.
    """

    y: Tensor
    sigma: Tensor
    lags: Tensor


Levels = Callable[[int, torch.Generator], Tensor]
"""Draws as many noise levels (count,)."""


def usual_levels(count: int, random: torch.Generator) -> Tensor:
    """Normal in logarithms, around half the signal."""
    return torch.exp(_MIDDLE + _SPREAD * _normal((count,), random))


def add_noise(
    x: Tensor, own_noise: Tensor, random: torch.Generator, levels: Levels = usual_levels,
    choices: torch.Generator | None = None,
) -> Noised:  # fmt: skip
    """Each batch is of one of four kinds: even or growing with the signal, white or correlated.

    x : (b, 1, Y, X), signal with mean near 0 and standard deviation near 1. own_noise : (b,), what is left in it.
    choices : draws the kind, which the processor has to know; ``random`` where None.
    """
    count = x.shape[0]
    level = levels(count, random).view(-1, 1, 1, 1).clamp(_FAINTEST, _STRONGEST)
    level = torch.maximum(level, _ABOVE * own_noise.view(-1, 1, 1, 1))
    grows, shared = (float(_uniform((1,), choices or random)) < share for share in (0.4, 0.4))
    white = _normal(x.shape, random)
    lags = x.new_zeros(count, 4, 1, 1)
    if shared:
        white, lags = correlate(white, random)
    if not grows:
        return Noised(x + level * white, level, lags)
    excess = brightness_excess(x, random)
    share = _MOST_SHOT * _uniform((count, 1, 1, 1), random)
    sigma = (level * growth(excess(x), share)).clamp(min=_FAINTEST)
    y = x + sigma * white
    # what is known of the brightness when the noise is to be removed: the smoothed noisy image
    seen = (level * growth(excess(smooth(y)), share)).clamp(min=_FAINTEST)
    return Noised(y, seen, lags)


def brightness_excess(x: Tensor, random: torch.Generator) -> Brightness:
    """Counts above the dark level, 1 on average: dark level 1.2 to 4 standard deviations below the mean."""
    dark = -(1.2 + 2.8 * _uniform((x.shape[0], 1, 1, 1), random))
    sign = torch.where(_uniform((x.shape[0], 1, 1, 1), random) < 0.25, -1.0, 1.0)  # contrast may be inverted
    return Brightness(dark, sign)


@dataclass(frozen=True)
class Brightness:
    """How much brighter than the dark level, relative to the mean, a pixel is; at least 0."""

    dark: Tensor
    sign: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return ((self.sign * x - self.dark) / -self.dark).clamp(min=0)


def growth(excess: Tensor, share: Tensor) -> Tensor:
    """Standard deviation over its typical value, when ``share`` of the variance is shot noise."""
    return torch.sqrt(share * excess + (1 - share))


def correlate(white: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Noise of unit variance shared along X, Y or both, and its correlation (b, 4, 1, 1) at x + 1, x + 2, y + 1, y + 2.

    Sums over up to three neighbours, as of a detector of limited bandwidth (along the scan line) or of resampling.
    """
    count = white.shape[0]
    both = _uniform((count, 1), random)
    kernels = []
    for axis in range(2):
        taps = torch.cat([_uniform((count, 1), random).new_ones(count, 1), _uniform((count, _REACH), random)], 1)
        taps[:, 2] *= taps[:, 1]
        on = both > (0.6, 0.4)[axis] if axis else both < 0.8
        taps[:, 1:] *= on
        kernels.append(taps / taps.norm(dim=1, keepdim=True))
    height, width = white.shape[-2:]
    x = functional.pad(white, (_REACH, 0, _REACH, 0), mode="circular")
    x = sum(kernels[1][:, k].view(-1, 1, 1, 1) * x[:, :, k : k + height] for k in range(_REACH + 1))
    x = sum(kernels[0][:, k].view(-1, 1, 1, 1) * x[..., k : k + width] for k in range(_REACH + 1))
    lags = [(taps[:, lag:] * taps[:, : _REACH + 1 - lag]).sum(1) for taps in kernels for lag in (1, 2)]
    return x, torch.stack(lags, 1)[:, :, None, None]


def _normal(shape: tuple[int, ...] | torch.Size, random: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=random, device=random.device)


def _uniform(shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=random, device=random.device)
