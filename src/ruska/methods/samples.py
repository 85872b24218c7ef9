"""Posterior samples: images that the measurement and the prior allow equally. Their spread shows what is not known.

The method's own result is the mean of all of them, as well as it can be computed; samples are drawn by a chain of
passes that ends somewhere else with other noise. The noise belongs to places, so blocks of any size see the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from ruska.compute.padding import padded
from ruska.errors import SettingsError
from ruska.image import Output
from ruska.methods.looking import Readable
from ruska.methods.per_plane import PerPlane
from ruska.methods.posterior import EVERY_SIDE, HALO, PosteriorMethod, coarsens
from ruska.methods.prior import PriorMethod

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ruska.diffusion import Noise, Prior

SMOOTHING = 1.5  # pixels: a few samples say little of one pixel, so its variance is a mean over its neighbours
# No factor is put on the deviation: `benchmarks.coverage` fits 1.01, 1.01 and 0.77 on training images, and the last
# leaves unseen ones no better calibrated (their errors are 0.91 times the deviation, then 1.19 times).
_DENOISING = (*(float(level) for level in np.geomspace(1, 0.1, 7)), 0.0)  # of the noise in the image
_RESTORING = (*(float(level) for level in np.geomspace(3, 0.05, 8)), 0.0)  # of the signal
_LOOK = {2: 256, 3: 48}  # voxels of the result each way, by which the spread of the passes is measured
_ERROR, _ERROR_COARSE = 0.5, 1.0  # of a guess, in levels: more makes noise of a blur's samples, less ties them down
_ITERATIONS, _TOLERANCE = 30, 1e-4
_CHAIN = 24.0  # bytes a voxel of the result: where the chain is, its noise, the guess
_HASHED = 4.0  # bytes a voxel of the random numbers of one pass, kept where several images are drawn together
_TAPS = 8  # pixels that the filter reaches which makes noise as correlated as it was found


class Field(Protocol):
    """The part of the engine's ``RandomField`` that is needed here."""

    def normal(self, step: int, sample: int = 0, channel: int = 0) -> Tensor: ...
    def finer(self, scale: Sequence[Fraction]) -> Field: ...


@dataclass(frozen=True)
class Chain:
    """From where to where a sample goes.

    prior : of images that fit the measurement. begin : (1, 1, *spatial) at ``levels[0]``. noise : of a step, as the
    chain needs it. image : turns the end into what the method returns.
    """

    prior: Prior
    begin: Tensor
    levels: Sequence[float]
    noise: Noise
    image: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class SampleMethod:
    """Draws sample ``number`` of a method with the prior, as a method of the engine.

    spreads : of the chain's passes, see `diffusion.analytic`.

    Source: Zhu et al. (2023), DiffPIR, alg. 1, for what was blurred or coarsened; Kawar, Vaksman & Elad (2021) for
    noise, which begins at the measurement. Differs: steps of `diffusion.analytic`; the noise of a denoising chain is as
    uneven and as correlated as that of the image, so that it may begin there whatever the noise is.
    """

    method: PriorMethod | PosteriorMethod
    number: int
    spreads: tuple[float, ...]
    locality: Literal["exact", "approximate"] = "approximate"
    domain: Literal["normalised", "raw"] = "normalised"
    threads: Literal["one", "many"] = "many"
    alone: bool = True

    @property
    def halo(self) -> tuple[int, ...]:
        """As far as anything was seen to matter; one pass of the denoiser sees less."""
        if isinstance(self.method, PosteriorMethod):
            return self.method.halo
        step = self.method.network.multiple
        return (ceil(HALO / step) * step,) * 2

    @property
    def outputs(self) -> tuple[Output, ...]:
        return (Output(f"sample{self.number + 1}", dtype="float32", scale=self.scale, merge="mean"),)

    @property
    def multiple(self) -> tuple[int, ...]:
        return self.method.multiple

    @property
    def scale(self) -> tuple[Fraction, ...]:
        return self.method.scale

    @property
    def bytes_per_voxel(self) -> float:
        return self.method.bytes_per_voxel + self._finer * _CHAIN

    @property
    def stays(self) -> float:
        return self.method.stays

    @property
    def _finer(self) -> float:
        """Voxels of the result for one of the image."""
        return float(np.prod([float(s) for s in self.scale]))

    def working_bytes(self, shape: Sequence[int], kept: bool) -> float:
        """Of a call on (b, c, *spatial): of the method's own, of one chain, and of numbers that the next will need."""
        numbers = _HASHED * (len(self.spreads) + 1) * shape[0] if shape[0] > 1 else 0.0
        return self.method.working_bytes(shape, kept) + self._finer * float(np.prod(shape[2:])) * (_CHAIN + numbers)

    @property
    def settings(self) -> Mapping[str, Any]:
        return self.method.settings

    def __call__(self, inputs: Mapping[str, Tensor], random: Field) -> dict[str, Tensor]:
        """The image: (b, c, *spatial), normalised. Returns a sample on the finer grid."""
        import torch

        from ruska.diffusion import analytic, solve

        y = inputs["image"]
        field, step = random.finer(self.scale), analytic(self.spreads)
        drawn = []
        for channel in range(y.shape[1]):
            numbers: dict[int, Tensor] = {}
            for b in range(y.shape[0]):
                chain = chain_of(self.method, y[b : b + 1, channel : channel + 1].to(torch.float32),
                                 _white(field, self.number, channel, b, numbers, b == y.shape[0] - 1))  # fmt: skip
                with torch.inference_mode():
                    end = solve(chain.prior, chain.begin, chain.levels, chain.noise, step)
                    drawn.append(chain.image(end).to(y.device))
        space = drawn[0].shape[2:]
        stacked = torch.cat(drawn).reshape(y.shape[1], y.shape[0], *space).transpose(0, 1)
        return {self.outputs[0].name: stacked.to(y.dtype)}


def samples_of_parts(
    method: PerPlane, sources: Sequence[Readable], count: int
) -> tuple[PerPlane, ...]:  # fmt: skip
    """`samples_of` a method of several parts, each with the source it was prepared for; none where one draws none."""
    drawn = [samples_of(part, source, count) for part, source in zip(method.parts, sources, strict=True)]
    return tuple(PerPlane(parts, method.table) for parts in zip(*drawn, strict=True)) if all(drawn) else ()


def samples_of(method: object, source: Readable, count: int) -> tuple[SampleMethod, ...]:
    """Methods that draw ``count`` samples of what ``method`` restores; none where it draws no samples."""
    if not isinstance(method, PriorMethod | PosteriorMethod):
        return ()
    if isinstance(method, PosteriorMethod) and method.own.sampler is not None:
        raise SettingsError("samples", f"need Ruska's own sampler, not {method.own.sampler}",
                            "Leave one of the two out.")  # fmt: skip
    spreads = _spreads(method, source)
    return tuple(SampleMethod(method, number, spreads) for number in range(count))


def _spreads(method: PriorMethod | PosteriorMethod, source: Readable) -> tuple[float, ...]:
    """Measured on the middle of the source, so that they are the same for every block."""
    import torch

    from ruska.diffusion import measure_spreads

    dimensions = len(method.halo)
    sizes = [ceil(_LOOK[dimensions] / float(s)) for s in method.scale]
    part = _middle(source, [ceil(n / m) * m for n, m in zip(sizes, method.multiple, strict=True)])
    y = padded(torch.from_numpy(np.ascontiguousarray(part, dtype=np.float32))[None, None], method.multiple)
    shape = [int(n * s) for n, s in zip(y.shape[2:], method.scale, strict=True)]

    def white(step: int) -> Tensor:
        return torch.randn((1, 1, *shape), generator=torch.Generator().manual_seed(step))

    with torch.inference_mode():
        chain = chain_of(method, y, white)
        return measure_spreads(chain.prior, chain.begin, chain.levels, chain.noise)


def _middle(source: Readable, sizes: Sequence[int]) -> NDArray[Any]:
    """The central ``sizes`` voxels, or all there are, of the image or volume that is the middle one."""
    others = source.shape[: -len(sizes)]
    box = [slice(n // 2, n // 2 + 1) for n in others]
    for n, size in zip(source.shape[len(others) :], sizes, strict=True):
        start = max(0, (n - size) // 2)
        box.append(slice(start, min(n, start + size)))
    part = source.read(tuple(box))
    return part.reshape(part.shape[len(others) :])


def _white(field: Field, number: int, channel: int, b: int, known: dict[int, Tensor], last: bool) -> Noise:
    """Noise of a step at place ``b`` of the batch; all places are hashed together, once, and kept until the ``last``.

    A chain asks for the noise of a step once.
    """

    def white(step: int) -> Tensor:
        if step not in known:
            known[step] = field.normal(step, number, channel)
        return (known.pop(step) if last else known[step])[b][None, None]

    return white


def chain_of(method: PriorMethod | PosteriorMethod, y: Tensor, white: Noise) -> Chain:
    """The chain that draws from ``y`` (1, 1, *spatial), with independent numbers ``white`` on the result's grid."""
    return _denoising(method, y, white) if isinstance(method, PriorMethod) else _restoring(method, y, white)


def _denoising(method: PriorMethod, y: Tensor, white: Noise) -> Chain:
    level = method.noise_map(y)
    told = level * method.strength

    def noise(step: int) -> Tensor:
        return told * correlated(white(step), method.told.lags)

    return Chain(_Denoiser(method, level), y, _DENOISING, noise, lambda x: x)


def _restoring(method: PosteriorMethod, y: Tensor, white: Noise) -> Chain:
    from ruska.diffusion import DataTerm, ProximalGuide, guess_error, start

    measured = method.measured(y)

    def noise(step: int) -> Tensor:
        return white(step).to(measured.device)

    data = DataTerm(method.operator, method.noise, _ITERATIONS, _TOLERANCE)
    size, most = method.own.step_size, _ERROR_COARSE if coarsens(method.operator) else _ERROR
    error = guess_error(method.noise, step_size=size) if size else lambda level: most * level
    prior = ProximalGuide(_Restorer(method), data, error, measured)
    return Chain(prior, start(noise, _RESTORING[0]), _RESTORING, noise, method.image)


@dataclass(frozen=True)
class _Denoiser:
    """The prior of `PriorMethod`, its levels those of the image's own noise, (1, 1, Y, X) or (1, 1, 1, 1)."""

    method: PriorMethod
    noise: Tensor

    def denoise(self, x_t: Tensor, sigma: Tensor | float, condition: Tensor | None = None) -> Tensor:
        return self.method.denoise(x_t, float(sigma), self.noise)


@dataclass(frozen=True)
class _Restorer:
    """The prior of `PosteriorMethod`; its last pass sees a volume from all sides, as the method's own does."""

    method: PosteriorMethod

    def denoise(self, x_t: Tensor, sigma: Tensor | float, condition: Tensor | None = None) -> Tensor:
        if self.method.dimensions == 3 and sigma <= _RESTORING[-2]:
            return self.method.denoise(x_t, float(sigma), EVERY_SIDE)
        return self.method.denoise(x_t, float(sigma))


def correlated(white: Tensor, lags: Sequence[float]) -> Tensor:
    """Noise of unit variance that neighbours share: (1, 1, Y, X) with the correlations of `Told.lags`."""
    import torch
    from torch.nn import functional

    if not any(lags):
        return white
    for axis, pair in ((-1, lags[:2]), (-2, lags[2:])):
        taps = torch.from_numpy(_filter(*pair)).to(white)
        pad = (_TAPS, _TAPS, 0, 0) if axis == -1 else (0, 0, _TAPS, _TAPS)
        shape = (1, 1, 1, -1) if axis == -1 else (1, 1, -1, 1)
        white = functional.conv2d(functional.pad(white, pad, mode="replicate"), taps.view(shape))
    return white


def _filter(first: float, second: float) -> NDArray[np.float32]:
    """Symmetric weights whose noise correlates by ``first`` and ``second`` one and two pixels further."""
    frequency = 2 * np.pi * np.arange(33) / 64
    power = np.maximum(1 + 2 * first * np.cos(frequency) + 2 * second * np.cos(2 * frequency), 0)
    taps = np.roll(np.fft.irfft(np.sqrt(power)), _TAPS)[: 2 * _TAPS + 1]
    return (taps / np.linalg.norm(taps)).astype(np.float32)
