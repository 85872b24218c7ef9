"""EM generalist's two samplers, rebuilt, driven by the prior that comes with Ruska: what its single passes save.

Images are scaled to a standard deviation of 0.5, about what theirs have in -1 to 1. Where it is told nothing, the
noise is Ruska's estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import cycle
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.cases import Case
from ruska.diffusion import (
    DataTerm,
    FlowGuided,
    GradientGuided,
    Sampler,
    bounded_error,
    ddpm_path,
    restore,
    trailing_levels,
)  # fmt: skip
from ruska.diffusion.path import EM_GENERALIST
from ruska.methods.prior import load
from ruska.networks.denoiser import Denoiser
from ruska.physics import estimate_noise

_SPREAD = 0.5
_FAINTEST, _STRONGEST = 0.01, 50.0
_FIRST = 10.0  # noise over signal, where chains begin: above, the network was hardly trained
_BATCH = 16  # slices of a volume that the network sees together


@dataclass(frozen=True)
class MicrographPrior:
    """The embedded network as a `diffusion.Prior` of images with a standard deviation of 0.5."""

    network: Denoiser
    axes: Iterator[int] = field(default_factory=lambda: cycle(range(3)))

    def denoise(self, x_t: Tensor, sigma: Tensor | float, condition: Tensor | None = None) -> Tensor:
        """Of a volume its slices across one axis, the next one at every call, as EM generalist takes them."""
        if x_t.dim() == 4:
            return self._slices(x_t, float(sigma))
        axis = next(self.axes)
        slices = x_t[0, 0].movedim(axis, 0)[:, None]
        seen = torch.cat([self._slices(part, float(sigma)) for part in slices.split(_BATCH)])
        return seen[:, 0].movedim(0, axis)[None, None]

    def _slices(self, x_t: Tensor, sigma: float) -> Tensor:
        from torch.nn import functional

        height, width = x_t.shape[-2:]
        step = self.network.multiple
        x = functional.pad(x_t / _SPREAD, (0, -width % step, 0, -height % step), mode="replicate")
        level = torch.tensor(sigma / _SPREAD).clamp(_FAINTEST, _STRONGEST).expand(len(x), 1, 1, 1)
        return _SPREAD * self.network(x, level)[..., :height, :width]


@cache
def _network() -> Denoiser:
    return load(None)[0].eval()


def flow(case: Case, step_size: float = 0.3) -> NDArray[Any]:
    """Flow plug-and-play: 100 passes, step size 0.3, as its authors have it; 0: Ruska's choice, from the noise."""
    prior = MicrographPrior(_network())  # loaded outside, else no derivative could ever be taken of it

    def sampler(data: DataTerm) -> Sampler:
        error = bounded_error(_SPREAD)
        return FlowGuided(prior, data, step_size=step_size, highest=_SPREAD * _FIRST, error=error)

    with torch.inference_mode():
        return _run(case, sampler)


def gradient(case: Case, gamma: float | None = None) -> NDArray[Any]:
    """Diffusion posterior sampling: its 1000 levels, of those that the network knows, with gradients.

    gamma : its step size, 1 or for deblurring 5 as its authors have it; 0: Ruska's choice, from the noise.
    """
    gamma = (5.0 if case.task == "deblur" else 1.0) if gamma is None else gamma
    levels = [level for level in trailing_levels(ddpm_path(EM_GENERALIST), 1000) if level <= _SPREAD * _FIRST]
    return _run(case, lambda data: GradientGuided(MicrographPrior(_network()), data, levels, gamma))


def _run(case: Case, sampler: Callable[[DataTerm], Sampler]) -> NDArray[Any]:
    measured = case.measurement.astype(np.float64)
    std = case.noise_std
    if std is None:
        std = estimate_noise(case.measurement).white_equivalent_std
    mean, signal = measured.mean(), np.sqrt(max(measured.var() - std**2, 1e-12))
    scale = _SPREAD / signal
    y = torch.from_numpy(((measured - mean) * scale).astype(np.float32))[None, None]
    shape = case.truth.shape if case.truth is not None else case.measurement.shape

    def noise(step: int) -> Tensor:
        return torch.randn((1, 1, *shape), generator=torch.Generator().manual_seed(step))

    found = restore(sampler(DataTerm(case.operator, std * scale)), y, noise)
    return found[0, 0].double().numpy() / scale + mean
