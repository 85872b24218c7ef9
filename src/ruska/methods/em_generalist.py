"""EM generalist's two samplers with Ruska's prior, for comparison: hundreds of passes instead of a few.

Diffusion posterior sampling and flow plug-and-play, with their defects mended (see `diffusion.baselines`), on whatever
`deblur`, `superres` and `isotropic` undo. Their result is one sample or nearly one, not the mean: it has more detail
than is known, and is further from the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, Protocol

from ruska.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor

    from ruska.diffusion import Noise, Sampler
    from ruska.methods.network_memory import Arrays
    from ruska.methods.posterior import PosteriorMethod

SamplerName = Literal["dps", "flow-pnp"]
PASSES: dict[str, int] = {"dps": 1000, "flow-pnp": 100}
"""As many as EM generalist takes."""
_SPREAD = 0.5  # standard deviation of EM generalist's images, from -1 to 1, on which its step sizes depend
_BYTES = {"dps": {2: 1900.0, 3: 2500.0}, "flow-pnp": {2: 600.0, 3: 200.0}}  # measured: 1760, 2220; 532, 140
_MEASURED = 275.4  # bytes a pixel of one pass of the network with which that was measured
_FEWEST = 500  # passes; with 100, steps of the size that the noise asks for grow without end, with 300 they may
_STRONGEST = 10.0  # noise over signal that training still sees often; chains begin there


def check_passes(sampler: str | None, passes: int, step_size: float) -> None:
    """SettingsError where `dps` would leave the image: each of its steps must be small."""
    if sampler == "dps" and step_size == 0 and passes < _FEWEST:
        raise SettingsError(
            "steps", f"is {passes}, too few for sampler dps", f"Give {_FEWEST} or more, or leave it out."
        )


def bytes_per_voxel(sampler: str | None, dimensions: int, arrays: Arrays) -> float:
    """Working memory of a block per voxel of the result; 0 for Ruska's own passes."""
    return _BYTES[sampler][dimensions] * arrays.alive(maps=False) / _MEASURED if sampler else 0.0


class RandomNumbers(Protocol):
    """The part of the engine's ``RandomField`` that is needed here."""

    def normal(self, step: int, sample: int = 0, channel: int = 0) -> Tensor: ...
    def finer(self, scale: Sequence[Fraction]) -> RandomNumbers: ...


@dataclass(frozen=True)
class _HalfSpread:
    """The prior of a method, for images with a standard deviation of 0.5."""

    method: PosteriorMethod

    def denoise(self, x_t: Tensor, sigma: Tensor | float, condition: Tensor | None = None) -> Tensor:
        return _SPREAD * self.method.denoise(x_t / _SPREAD, float(sigma) / _SPREAD)


def sampled(method: PosteriorMethod, y: Tensor, random: RandomNumbers) -> Tensor:
    """What ``method.own.sampler`` makes of a block (b, c, *spatial), normalised, on the result's grid.

    Its numbers belong to places, so blocks that overlap see the same noise.
    """
    import torch

    from ruska.diffusion import restore

    sampler, field = _sampler(method), random.finer(method.scale)
    done = []
    with torch.no_grad():  # not inference_mode, out of which no derivative can be taken
        for channel in range(y.shape[1]):
            for b in range(y.shape[0]):
                measured = _SPREAD * method.measured(y[b : b + 1, channel : channel + 1].to(torch.float32).clone())
                found = restore(sampler, measured, _noise(field, channel, b, measured))
                done.append(method.image(found / _SPREAD).to(y))
    stacked = torch.cat(done).reshape(y.shape[1], y.shape[0], *done[0].shape[2:])
    return stacked.movedim(0, 1)


def _sampler(method: PosteriorMethod) -> Sampler:
    """With the step size that was given, or 0: chosen from the noise and the prior's error."""
    from ruska.diffusion import DataTerm, FlowGuided, GradientGuided, bounded_error, ddpm_path, trailing_levels
    from ruska.diffusion.path import EM_GENERALIST

    own = method.own
    data, prior, error = DataTerm(method.operator, _SPREAD * method.noise), _HalfSpread(method), bounded_error(_SPREAD)
    highest = _STRONGEST * _SPREAD
    if own.sampler == "flow-pnp":
        return FlowGuided(prior, data, own.steps, own.step_size, highest=highest, error=error)
    levels = [level for level in trailing_levels(ddpm_path(EM_GENERALIST), own.steps) if level <= highest]
    return GradientGuided(prior, data, levels, own.step_size, error)


def _noise(field: RandomNumbers, channel: int, b: int, like: Tensor) -> Noise:
    def noise(step: int) -> Tensor:
        return field.normal(step, 0, channel)[b][None, None].to(like)

    return noise
