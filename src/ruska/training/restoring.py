"""What a prior meets while it restores: images between its passes, with what an instrument's blur has left in them.

Their errors are not noise. A network that was trained on noise alone takes ringing and steps for structure; one that
has seen them, and is told over how many pixels the instrument averaged, does not. Source: training a regressor on the
states its own use leads to: Ross, Gordon & Bagnell (2011), DAgger, arXiv 1011.0686. Differs from unrolled networks
(USRNet, arXiv 2003.10428): one network for every operator and every pass, and no derivative through the data steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Self

import numpy as np
import torch

from ruska.diffusion.half_quadratic import TRUST, TRUST_COARSE, falling_levels
from ruska.networks.denoiser import FAINTEST
from ruska.physics.operators import Decimation, GaussianBlur, lines, spread

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ruska.networks.denoiser import Denoiser

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


@dataclass(frozen=True)
class Course:
    """All of a walk but its images, as tensors, so that walks with any instrument are the same computation.

    recorded_y, recorded_x : (m, n), from the specimen's n pixels to the instrument's m. waves_y, waves_x (n, n) and
    power (n, n), enlarged_y, enlarged_x (n, m) : as in `physics.operators.Line`. noise : of the measurement. levels,
    ratios : of the passes; how much the prior weighs against the measurement. told : (1, 2, 1, 1), pixels that the
    instrument averages over. learned : numbers of the passes that are learned from.
    """

    recorded_y: Tensor
    recorded_x: Tensor
    waves_y: Tensor
    waves_x: Tensor
    power: Tensor
    enlarged_y: Tensor
    enlarged_x: Tensor
    noise: Tensor
    levels: Tensor
    ratios: Tensor
    told: Tensor
    learned: Tensor

    @property
    def edge(self) -> int:
        """Pixels of the patches."""
        return len(self.power)

    def flat(self) -> tuple[Tensor, ...]:
        return tuple(getattr(self, f.name) for f in fields(self))

    @classmethod
    def of(cls, tensors: Sequence[Tensor]) -> Self:
        """From what `flat` gave."""
        return cls(*tensors)

    def to(self, device: torch.device) -> Self:
        """On ``device``, without waiting for what it is busy with; there, every instrument has matrices of one size."""
        if device.type == "cpu":
            return self
        whole = (_filled(v, self.edge) if v.dim() == 2 else v for v in self.flat())
        pinned = (v.pin_memory() if device.type == "cuda" else v for v in whole)
        return self.of([v.to(device, non_blocking=True) for v in pinned])


def _filled(matrix: Tensor, edge: int) -> Tensor:
    """With rows and columns of zeros where the instrument has no pixels."""
    rows, columns = matrix.shape
    return torch.nn.functional.pad(matrix, (0, edge - columns, 0, edge - rows))


def walk(
    network: Denoiser, x: Tensor, random: torch.Generator, choices: torch.Generator | None = None
) -> Met:  # fmt: skip
    """Simulate a measurement of x (b, 1, 160, 160) and restore it; some of the images on the way.

    The network is only run. Each step of a training walks with the network as it is by then.
    choices : draws what the processor has to know; ``random`` where None.
    """
    course, white = set_out(len(x), network.multiple, random, choices)
    return meet(network, x[..., : course.edge, : course.edge], white, course)


def set_out(
    count: int, multiple: int, random: torch.Generator, choices: torch.Generator | None = None
) -> tuple[Course, Tensor]:
    """Draw a walk of ``count`` patches, and its noise (count, 1, *recorded), of standard deviation 1."""
    choices, device = choices or random, random.device
    operator, trust = instrument(choices)
    edge = _edge(operator, multiple)
    along = lines(operator, edge)
    noise = _between(_FAINT, _STRONG, choices)
    shape = [edge if device.type != "cpu" else len(line.there) for line in along]
    white = torch.randn((count, 1, *shape), generator=random, device=device)
    believed = noise * float(torch.exp(_UNKNOWN * torch.randn(1, generator=choices, device=choices.device)))
    levels = falling_levels(believed, _PASSES)
    others = torch.randperm(_PASSES - 1, generator=choices, device=choices.device)[: _SEEN - 1]
    course = Course.of([
        *(_tensor(line.there) for line in along),
        *(_tensor(line.waves) for line in along),
        _tensor(np.multiply.outer(*(line.power for line in along))),
        *(_tensor(line.larger) for line in along),
        torch.tensor(noise),
        torch.tensor(levels),
        torch.tensor([trust * (believed / level) ** 2 for level in levels]),
        torch.tensor(_told(operator)).view(1, 2, 1, 1),
        torch.tensor(sorted([*others.tolist(), _PASSES - 1])),
    ])  # fmt: skip
    return course.to(device), white


def meet(network: Denoiser, x: Tensor, white: Tensor, course: Course) -> Met:
    """Go the ``course`` with x (b, 1, n, n): the passes of `half_quadratic`, whose data steps are products of matrices.

    Nothing in it depends on numbers that the processor would have to wait for.
    """
    ty, tx, vy, vx, power, uy, ux = course.flat()[:7]
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        by, bx = vy.mT @ ty.mT, vx.mT @ tx.mT
        measured = ty @ x @ tx.mT + course.noise * white
        guess = uy @ measured @ ux.mT
        images = []
    for k in range(_PASSES):
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            missing = by @ (measured - ty @ guess @ tx.mT) @ bx.mT
            images.append(guess + vy @ (missing / (power + course.ratios[k])) @ vx.mT)
        if k < _PASSES - 1:  # what the network makes of the last is asked for when it learns
            with torch.no_grad():
                guess = network(images[k], course.levels[k].view(1, 1, 1, 1), None, course.told).float()
    count, seen = len(x), len(course.learned)
    sigma = course.levels[course.learned].clamp(min=FAINTEST).repeat_interleave(count).view(-1, 1, 1, 1)
    met = torch.stack(images)[course.learned].flatten(0, 1)
    return Met(met, sigma, course.told.expand(len(sigma), -1, -1, -1), x.repeat(seen, 1, 1, 1))


def _told(operator: GaussianBlur | Decimation) -> tuple[float, ...]:
    """Along Y and X, each by itself."""
    if isinstance(operator, GaussianBlur):
        return spread(GaussianBlur(operator.sigmas[:1])) * len(operator.sigmas)
    return _spread(operator)


_spread = lru_cache(maxsize=64)(spread)


def _tensor(values: NDArray[np.float64]) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))


def instrument(random: torch.Generator) -> tuple[GaussianBlur | Decimation, float]:
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


def _edge(operator: GaussianBlur | Decimation, multiple: int) -> int:
    """Pixels that cells of the operator, and the network, fill without a rest."""
    whole = math.lcm(multiple, *(s.denominator for s in operator.scale))
    return round(_EDGE / whole) * whole


def _between(low: float, high: float, random: torch.Generator) -> float:
    """At random, evenly in logarithms."""
    return float(low * (high / low) ** torch.rand(1, generator=random, device=random.device).item())
