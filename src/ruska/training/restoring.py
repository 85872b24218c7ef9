"""What a prior meets while it restores: images between its passes, with what an instrument's blur has left in them.

Their errors are not noise. A network that was trained on noise alone takes ringing and steps for structure; one that
has seen them, and is told over how many pixels the instrument averaged, does not. Source: training a regressor on the
states its own use leads to: Ross, Gordon & Bagnell (2011), DAgger, arXiv 1011.0686. Differs from unrolled networks
(USRNet, arXiv 2003.10428): one network for every operator and every pass, and no derivative through the data steps.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import torch

from ruska.diffusion.half_quadratic import TRUST, TRUST_COARSE, falling_levels, half_quadratic
from ruska.networks.denoiser import FAINTEST
from ruska.physics.operators import Decimation, GaussianBlur, spread

if TYPE_CHECKING:
    from torch import Tensor

    from ruska.networks.denoiser import Denoiser
    from ruska.physics.operators import Operator

EDGE = 160  # pixels of the patches that are drawn
_EDGE = 144  # about as many are used: the nearest multiple of the factor and of what the network needs
_PASSES = 8
_SEEN = 3  # passes of each walk that are learned from, the last among them
_FACTORS = [Fraction(n) for n in ("3/2", "2", "5/2", "3", "4", "5", "6", "8")]
_BLUR, _BOTH = 0.4, 0.7  # share of walks with a blur; of the others, share with coarser pixels along both axes
_SHARPEST, _WIDEST = 0.7, 3.5  # pixels
_FAINT, _STRONG = 0.03, 0.4  # noise over signal
_UNKNOWN = 0.2  # by how much, in logarithms, the noise is known wrongly


@dataclass(frozen=True)
class Met:
    """Images (n, 1, Y, X) between passes, the levels the prior is told (n, 1, 1, 1), the pixels that the instrument
    averages over along Y and X (n, 2, 1, 1), and what the images should have been."""

    y: Tensor
    sigma: Tensor
    spread: Tensor
    x: Tensor


def pixels_of(walks: int) -> int:
    """At most, of what is learned from in a step of so many walks."""
    return walks * _SEEN * EDGE**2


def walk(network: Denoiser, x: Tensor, random: torch.Generator) -> Met:
    """Simulate a measurement of x (b, 1, 160, 160) and restore it; some of the images on the way.

    The network is only run. Each step of a training walks with the network as it is by then.
    """
    operator, trust = instrument(random)
    edge = _edge(operator, network.multiple)
    x = x[..., :edge, :edge]
    noise = _between(_FAINT, _STRONG, random)
    measured = operator.forward(x)
    measured = measured + noise * torch.randn(measured.shape, generator=random, device=x.device)
    believed = noise * float(torch.exp(_UNKNOWN * torch.randn(1, generator=random, device=x.device)))
    levels = falling_levels(believed, _PASSES)
    told = x.new_tensor(spread(operator)).view(1, 2, 1, 1)
    learned = {_PASSES - 1, *torch.randperm(_PASSES - 1, generator=random, device=x.device)[: _SEEN - 1].tolist()}

    def denoise(image: Tensor, level: float) -> Tensor:
        return network(image, image.new_full((1, 1, 1, 1), level), None, told)

    with torch.no_grad():
        passes = enumerate(half_quadratic(operator, measured, levels, lambda s: trust * (believed / s) ** 2, denoise))
        met = [(image, level) for k, (image, level, _) in passes if k in learned]
    count = len(x)
    sigma = torch.cat([x.new_full((count, 1, 1, 1), level) for _, level in met])
    images = torch.cat([image for image, _ in met])
    return Met(images, sigma.clamp(min=FAINTEST), told.expand(len(sigma), -1, -1, -1), x.repeat(len(met), 1, 1, 1))


def instrument(random: torch.Generator) -> tuple[Operator, float]:
    """A blur, coarser pixels, or thick slices seen from the side; and the weight of the prior that goes with it."""
    chance = torch.rand(3, generator=random, device=random.device).tolist()
    if chance[0] < _BLUR:
        return GaussianBlur((_between(_SHARPEST, _WIDEST, random),) * 2), TRUST
    factor = _FACTORS[int(chance[1] * (len(_FACTORS) - 2))]  # of pixels
    if chance[2] < _BOTH:
        return Decimation((factor, factor)), TRUST_COARSE
    factor = _FACTORS[1 + int(chance[1] * (len(_FACTORS) - 1))]  # of slices
    axes = (factor, Fraction(1)) if chance[2] < (1 + _BOTH) / 2 else (Fraction(1), factor)
    return Decimation(axes), TRUST_COARSE


def _edge(operator: Operator, multiple: int) -> int:
    """Pixels that cells of the operator, and the network, fill without a rest."""
    whole = math.lcm(multiple, *(s.denominator for s in operator.scale))
    return round(_EDGE / whole) * whole


def _between(low: float, high: float, random: torch.Generator) -> float:
    """At random, evenly in logarithms."""
    return float(low * (high / low) ** torch.rand(1, generator=random, device=random.device).item())
