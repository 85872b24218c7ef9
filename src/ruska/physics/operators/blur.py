"""Convolution with a point spread function; beyond its borders the specimen is mirrored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import erf
from typing import TYPE_CHECKING

import numpy as np

from ruska.errors import SettingsError
from ruska.physics.operators.taps import Taps, blur_taps, reflected

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

_TRUNCATE = 4.0  # standard deviations at which a Gaussian ends


def gaussian_kernel(sigma: float) -> tuple[float, ...]:
    """Weights of a Gaussian of ``sigma`` pixels, integrated over each pixel, summing to 1."""
    if not (np.isfinite(sigma) and 0 <= sigma <= 1000):
        raise SettingsError("sigma", f"is {sigma}, expected 0 to 1000 pixels")
    if sigma < 1e-3:  # all of it falls on the pixel itself
        return (1.0,)
    half = max(1, int(_TRUNCATE * sigma + 0.5))
    edges = (np.arange(-half, half + 2) - 0.5) / (sigma * np.sqrt(2))
    weights = np.diff([erf(edge) for edge in edges])
    return tuple(weights / weights.sum())


@dataclass(frozen=True)
class GaussianBlur:
    """Gaussian blur of ``sigmas`` pixels, one per spatial axis."""

    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        for sigma in self.sigmas:
            gaussian_kernel(sigma)

    @property
    def scale(self) -> tuple[Fraction, ...]:
        return (Fraction(1),) * len(self.sigmas)

    def forward(self, x: Tensor) -> Tensor:
        for axis, taps in self._taps(tuple(x.shape[2:])):
            x = taps.forward(x, axis)
        return x

    def adjoint(self, y: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        for axis, taps in self._taps(tuple(y.shape[2:])):
            y = taps.adjoint(y, axis)
        return y

    @property
    def solvable(self) -> bool:
        return True

    def nearest(self, y: Tensor, guess: Tensor, ratio: float) -> Tensor:
        """Minimises ``|A x - y|^2 + ratio |x - guess|^2``, wave by wave of the specimen mirrored at its borders."""
        import torch

        shape, axes = tuple(y.shape[2:]), tuple(range(2, y.dim()))
        transfer = torch.ones((), dtype=torch.float64)
        for axis, (sigma, n) in enumerate(zip(self.sigmas, shape, strict=True)):
            # real, as the kernel is symmetric
            wave = torch.from_numpy(transfer_of(gaussian_kernel(sigma), 2 * n))
            wave = wave[: n + 1] if axis == len(shape) - 1 else wave
            transfer = transfer * wave.view([-1 if a == axis else 1 for a in range(len(shape))])
        transfer = transfer.to(y)
        missing = torch.fft.rfftn(_mirrored(y - self.forward(guess)), dim=axes)
        change = torch.fft.irfftn(missing * (transfer / (transfer**2 + ratio)), s=[2 * n for n in shape], dim=axes)
        return guess + change[(..., *(slice(0, n) for n in shape))]

    def _taps(self, shape: tuple[int, ...]) -> list[tuple[int, Taps]]:
        return [
            (axis + 2, blur_taps(gaussian_kernel(sigma), n))
            for axis, (sigma, n) in enumerate(zip(self.sigmas, shape, strict=True)) if sigma > 0
        ]  # fmt: skip


def transfer_of(kernel: Sequence[float], length: int) -> NDArray[np.float64]:
    """What a symmetric kernel leaves of each wave of a periodic line of ``length`` pixels."""
    half = len(kernel) // 2
    at = np.arange(-half, half + 1)
    return np.asarray(np.cos(2 * np.pi * np.outer(np.arange(length), at) / length) @ np.asarray(kernel))


def _mirrored(x: Tensor) -> Tensor:
    """Twice as large along each spatial axis, the second half mirrored."""
    import torch

    for axis in range(2, x.dim()):
        x = torch.cat([x, x.flip(axis)], axis)
    return x


@dataclass(frozen=True)
class AxialBlur:
    """Convolution with ``kernel`` (odd, any weights) along one of ``dimensions`` spatial axes: a section's profile."""

    kernel: tuple[float, ...]
    axis: int = 0
    dimensions: int = 3

    def __post_init__(self) -> None:
        if len(self.kernel) % 2 == 0 or not np.isfinite(self.kernel).all():
            raise SettingsError("kernel", f"has {len(self.kernel)} weights, expected an odd number of finite ones")

    @property
    def scale(self) -> tuple[Fraction, ...]:
        return (Fraction(1),) * self.dimensions

    def forward(self, x: Tensor) -> Tensor:
        return blur_taps(self.kernel, x.shape[self.axis + 2]).forward(x, self.axis + 2)

    def adjoint(self, y: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        return blur_taps(self.kernel, y.shape[self.axis + 2]).adjoint(y, self.axis + 2)


class Blur:
    """Convolution with any point spread function: Airy, astigmatic, measured.

    psf : array with one axis per spatial axis, odd lengths, its middle element the centre; scaled to sum to 1.

    Computed with Fourier transforms over the mirrored specimen. Raises SettingsError when ``psf`` is even, empty,
    not finite or sums to nothing.
    """

    def __init__(self, psf: NDArray[np.floating] | Sequence[Sequence[float]]) -> None:
        values = np.asarray(psf, dtype=np.float64)
        if any(n % 2 == 0 for n in values.shape) or values.ndim < 1:
            raise SettingsError("psf", f"has shape {values.shape}, expected odd lengths so that it has a centre")
        total = values.sum()
        if not np.isfinite(values).all() or abs(total) < 1e-12:
            raise SettingsError("psf", f"sums to {total:.3g}, expected finite values that do not cancel")
        self.psf = values / total

    @property
    def scale(self) -> tuple[Fraction, ...]:
        return (Fraction(1),) * self.psf.ndim

    def forward(self, x: Tensor) -> Tensor:
        shape = x.shape[2:]
        for axis, index in self._mirrors(shape):
            x = x.index_select(axis, index.to(x.device))
        x = self._convolved(x, conjugate=False)
        for axis, (n, size) in enumerate(self._sizes(shape), start=2):
            x = x.narrow(axis, n // 2, size)
        return x

    def adjoint(self, y: Tensor, shape: tuple[int, ...] | None = None) -> Tensor:
        from torch.nn import functional

        shape = tuple(y.shape[2:])
        padding = [n // 2 for n, _ in reversed(self._sizes(shape)) for _ in range(2)]
        x = self._convolved(functional.pad(y, padding), conjugate=True)
        for axis, index in self._mirrors(shape):
            folded = x.new_zeros([*x.shape[:axis], shape[axis - 2], *x.shape[axis + 1 :]])
            x = folded.index_add_(axis, index.to(x.device), x)
        return x

    def _sizes(self, shape: Sequence[int]) -> list[tuple[int, int]]:
        return list(zip(self.psf.shape, shape, strict=True))

    def _mirrors(self, shape: Sequence[int]) -> list[tuple[int, Tensor]]:
        import torch

        return [
            (axis + 2, torch.from_numpy(reflected(np.arange(-(n // 2), size + n // 2), size)))
            for axis, (n, size) in enumerate(self._sizes(shape))
        ]

    def _convolved(self, x: Tensor, *, conjugate: bool) -> Tensor:
        """Circular convolution of the padded array; what wraps around lies in the padding, which is cut or folded."""
        import torch

        axes = tuple(range(2, x.dim()))
        kernel = np.zeros(x.shape[2:])
        kernel[tuple(slice(0, n) for n in self.psf.shape)] = self.psf
        kernel = np.roll(kernel, [-(n // 2) for n in self.psf.shape], range(kernel.ndim))
        transfer = torch.from_numpy(np.fft.rfftn(kernel)).to(x.device)
        transfer = transfer.conj() if conjugate else transfer
        spectrum = torch.fft.rfftn(x, dim=axes)
        return torch.fft.irfftn(spectrum * transfer.to(spectrum.dtype), s=x.shape[2:], dim=axes)
