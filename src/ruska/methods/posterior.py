"""Restoring what an instrument blurred, coarsened or sectioned, with the prior: deblur, superres, isotropic.

A few passes go back and forth between two questions: which image near the guess explains the measurement (a
least-squares step with the operator), and which micrograph is near that image (the prior, at a noise level that falls
from the signal's own strength to that of the measurement's noise).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import cycle
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ruska.compute.devices import device_of_choice
from ruska.compute.mirroring import MIRRORS, Mirrored
from ruska.compute.padding import cropped, padded
from ruska.compute.precision import autocast
from ruska.image import Output
from ruska.methods.em_generalist import (
    PASSES,
    RandomNumbers,
    SamplerName,
    bytes_per_voxel,
    check_passes,
    sampled,
)
from ruska.methods.looking import Readable
from ruska.methods.network_memory import FIRST_CALL, ITERATED, Arrays
from ruska.methods.prior import PriorSettings, Told, likelier, load, look

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ruska.networks.denoiser import Denoiser
    from ruska.physics.operators import Operator

HALO = 96  # output pixels of context, beyond which nothing was seen to matter
VOLUME_HALO = 40  # the same of a volume, in voxels
# What is told of the noise that is found; measured on micrographs. After a blur the statistics are 0.92 to 1.00 of the
# truth, and a third too little costs 0.4 dB, a third too much 0.02 to 0.1. Of coarse pixels the prior finds 1.1 to 1.6.
_BLURRED, _COARSE = 1.1, 0.9
_BLURRED_TEXTURE = 0.1  # what neighbours share at most after a blur; where they share more there was hardly any
_TEXTURE = 0.3  # what neighbours share where all that passed for noise is texture; measured on coarsened micrographs
_LEAST_NOISE_SHARE = 0.1  # of the variance that passed for noise, at least taken for noise
_LEAST_NOISE = 0.004  # of the signal: a measurement is never believed to be better
EVERY_SIDE = (0, 1, 2)
_ACROSS = (1, 2)  # the measured slices are sharp: XZ and YZ are where detail is missing
_VOLUME = 46.0  # bytes a voxel of the result, beside what the network takes; measured
_BATCH = 16  # slices of a volume that the network sees together


class PosteriorSettings(PriorSettings):
    """Settings that the tasks share."""

    steps: int = Field(8, ge=1, le=1000, description="Passes between measurement and prior, 1 to 1000. Default for "
                       "dps 1000, for flow-pnp 100.")  # fmt: skip
    step_size: float = Field(0, ge=0, le=10, description="Weight of the measurement; 0: set by the noise. EM "
                             "generalist uses 0.3 to 0.5; less stays closer to the data.")  # fmt: skip
    sampler: SamplerName | None = Field(None, description="dps or flow-pnp: EM generalist's, for comparison. Default: "
                                        "Ruska's own.")  # fmt: skip

    @model_validator(mode="before")
    @classmethod
    def _steps_of_the_sampler(cls, values: Any) -> Any:
        """So that the record says them, and its command repeats them."""
        own = PASSES.get(str(values.get("sampler")), None) if isinstance(values, Mapping) else None
        return values if own is None else {"steps": own, **values}

    @model_validator(mode="after")
    def _enough_steps(self) -> Self:
        check_passes(self.sampler, self.steps, self.step_size)
        return self


def ready(
    operator: Operator, halo: tuple[int, ...], settings: PosteriorSettings, source: Readable, dimensions: int
) -> PosteriorMethod:
    """The method that undoes ``operator``, given the noise of ``source``."""
    from ruska.diffusion.half_quadratic import TRUST, TRUST_COARSE

    network, about = load(settings.model)
    network = network.eval().to(device_of_choice())
    told, note = look(source, settings, by_statistics=True)  # what follows was tuned to their errors
    coarse = coarsens(operator)
    if settings.noise_std is None:
        if coarse or told.texture > _BLURRED_TEXTURE:
            told = likelier(network, told, source) or without_texture(told)
        told = told.stronger(_COARSE if coarse else _BLURRED)
        note += f" To leave out texture and be safe, {told.std:.3g} was used; --set noise_std=.. sets your own value."
    trust = TRUST_COARSE if coarse else TRUST
    return PosteriorMethod(network, operator, halo, told, settings, (about, note), dimensions, trust=trust)


def coarsens(operator: Operator) -> bool:
    """Whether it makes fewer pixels, as means over cells do; a blur keeps their number."""
    return any(s < 1 for s in operator.scale)


def without_texture(told: Told) -> Told:
    """Less noise where neighbours along both axes share it: sharp, coarse pixels make texture look like noise.

    A denoiser that is told too much smooths a little; here, a measurement that is not believed is not sharpened at all.
    """
    share = max(_LEAST_NOISE_SHARE, 1 - told.texture / _TEXTURE)
    std = told.std * share**0.5
    return replace(told, std=std, signal=(told.signal**2 + told.std**2 - std**2) ** 0.5)


@dataclass(frozen=True)
class PosteriorMethod:
    """Passes between an operator and a prior (`diffusion.half_quadratic`), as a method of the engine.

    Volumes are seen by the prior as stacks of slices along the axes in turn. trust : weight of the prior.
    """

    network: Denoiser
    operator: Operator
    halo: tuple[int, ...]
    told: Told
    own: PosteriorSettings
    notes: tuple[str, ...] = ()
    dimensions: int = 2
    locality: Literal["exact", "approximate"] = "approximate"
    domain: Literal["normalised", "raw"] = "normalised"
    threads: Literal["one", "many"] = "many"
    stays: float = FIRST_CALL
    alone: bool = True
    trust: float = 0.2  # as `diffusion.half_quadratic` has it for a blur

    @property
    def settings(self) -> Mapping[str, Any]:
        """For the record."""
        return self.own.model_dump()

    @property
    def scale(self) -> tuple[Fraction, ...]:
        return tuple(1 / Fraction(s) for s in self.operator.scale)

    @property
    def outputs(self) -> tuple[Output, ...]:
        return (Output(scale=self.scale, merge="mean"),)

    @property
    def multiple(self) -> tuple[int, ...]:
        return tuple(s.denominator for s in self.scale)

    @property
    def _arrays(self) -> Arrays:
        return Arrays.of(self.network.widths)

    @property
    def bytes_per_voxel(self) -> float:
        """Of the input: the network's activations are on the output's grid."""
        finer = float(np.prod([float(s) for s in self.scale]))
        own = bytes_per_voxel(self.own.sampler, self.dimensions, self._arrays)
        return finer * (own or (self._arrays.alive(maps=False) if self.dimensions == 2 else _VOLUME))

    def working_bytes(self, shape: Sequence[int], kept: bool) -> float:
        """Of a call on (b, c, *spatial): of one image or volume at a time, and of the results of the others."""
        sizes = [float(n * s) for n, s in zip(shape[2:], self.scale, strict=True)]
        count, voxels = float(np.prod(shape[:2])), float(np.prod(sizes))
        waiting = 8 * count * voxels if count > 1 else 0.0
        if self.own.sampler is not None:
            return self.bytes_per_voxel * float(np.prod(shape[2:])) + waiting
        if self.dimensions == 2:
            return ITERATED.around(voxels, self._arrays, kept) + waiting
        side = _BATCH * float(np.prod(sorted(sizes)[1:]))  # the largest slices, seen together
        return _VOLUME * voxels + ITERATED.around(min(side, voxels), self._arrays, kept) + waiting

    def explained(self, plane: NDArray[Any]) -> NDArray[Any] | None:
        """What the instrument would make of a plane (Y, X) of the result; None where it works on volumes."""
        import torch

        if self.dimensions != 2:
            return None
        return self.operator.forward(torch.from_numpy(plane)[None, None])[0, 0].numpy()

    def __call__(self, inputs: Mapping[str, Tensor], random: RandomNumbers) -> dict[str, Tensor]:
        """The image: (b, c, *spatial), normalised. Returns it on the finer grid."""
        import torch

        y = inputs["image"]
        if self.own.sampler is not None:
            return {"mean": sampled(self, y, random)}
        with torch.inference_mode():
            flat = y.reshape(-1, 1, *y.shape[2:]).to(torch.float32)
            restored = torch.cat([self.restore(part[None]) for part in flat])
        return {"mean": restored.reshape(*y.shape[:2], *restored.shape[2:]).to(y.dtype)}

    def restore(self, y: Tensor) -> Tensor:
        """One image or volume (1, 1, *spatial) on the image's scale, whole."""
        from ruska.diffusion import falling_levels, half_quadratic
        from ruska.physics.operators import spread

        noise, levels = self.noise, falling_levels(self.noise, self.own.steps)
        averaged, mirrors = spread(self.operator), cycle(MIRRORS)  # 0.02 dB

        def denoise(image: Tensor, level: float) -> Tensor:
            sides = EVERY_SIDE if level == levels[-1] else _ACROSS
            return self.denoise(image, level, sides, averaged, next(mirrors))

        passes = half_quadratic(self.operator, self.measured(y), levels, lambda s: self._ratio(noise, s), denoise)
        *_, (_, _, restored) = passes
        return self.image(restored).to(y.device)

    @property
    def noise(self) -> float:
        """Standard deviation, over that of the signal."""
        return max(self.told.std * self.own.strength / self.told.signal, _LEAST_NOISE)

    def measured(self, y: Tensor) -> Tensor:
        """What the prior knows as images of unit signal, where the network is."""
        return ((y - self.told.mean) / self.told.signal).to(next(self.network.parameters()).device)

    def image(self, guess: Tensor) -> Tensor:
        """Inverse of `measured`."""
        return guess * self.told.signal + self.told.mean

    def _ratio(self, noise: float, level: float) -> float:
        """Weight of the guess against the measurement."""
        if self.own.step_size:
            from ruska.diffusion import guess_error

            return (noise / guess_error(noise, step_size=self.own.step_size)(level)) ** 2
        return self.trust * (noise / level) ** 2

    def denoise(
        self, x: Tensor, level: float, axes: Sequence[int] = _ACROSS, averaged: Sequence[float] | None = None,
        mirrored: Mirrored = (),
    ) -> Tensor:  # fmt: skip
        """The prior on an image or volume (1, 1, *spatial) of unit signal; a volume is seen as slices across ``axes``.

        averaged : pixels per spatial axis that the instrument averaged over, between the passes of a restoration.
        """
        if self.dimensions == 2:
            return self._slices(x, level, averaged, mirrored)
        volume, total = x[0, 0], x.new_zeros(x.shape[2:])
        for axis in axes:
            inside = None if averaged is None else [w for a, w in enumerate(averaged) if a != axis]
            slices = volume.movedim(axis, 0)[:, None]
            total += self._slices(slices, level, inside, mirrored)[:, 0].movedim(0, axis)
        return (total / len(axes))[None, None]

    def _slices(
        self, x: Tensor, level: float, averaged: Sequence[float] | None = None, mirrored: Mirrored = ()
    ) -> Tensor:
        """The prior on (n, 1, Y, X), of any size."""
        import torch

        whole = padded(x, (self.network.multiple,) * 2).flip(mirrored)
        sigma = torch.full((1, 1, 1, 1), level, device=x.device)
        told = None if averaged is None else torch.tensor(averaged, device=x.device).view(1, 2, 1, 1)
        with autocast(x.device, self.own.precision):
            parts = [self.network(p, sigma.expand(len(p), -1, -1, -1), None, told) for p in whole.split(_BATCH)]
        return cropped(torch.cat(parts).flip(mirrored), x.shape[-2:])
