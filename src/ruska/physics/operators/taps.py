"""A linear map along one axis in which every output depends on a few inputs: blur, decimation, mirrored borders."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from math import ceil, floor
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Taps:
    """``out[i] = sum over k of weights[i, k] * x[index[i, k]]``.

    index, weights : (outputs, taps). size : of the input along the axis.
    """

    index: NDArray[np.int64]
    weights: NDArray[np.float64]
    size: int

    def forward(self, x: Tensor, axis: int) -> Tensor:
        """Apply along ``axis``."""
        import torch

        out = None
        for column, weight in self._columns(x, axis):
            part = x.index_select(axis, column) * weight
            out = part if out is None else out.add_(part)
        assert out is not None
        return out if out.dtype == x.dtype else out.to(torch.promote_types(x.dtype, torch.float32))

    def adjoint(self, y: Tensor, axis: int) -> Tensor:
        """The transpose, along ``axis``."""
        shape = list(y.shape)
        shape[axis] = self.size
        out = y.new_zeros(shape)
        for column, weight in self._columns(y, axis):
            out.index_add_(axis, column, y * weight)
        return out

    def matrix(self) -> NDArray[np.float64]:
        """(outputs, size): the same as one matrix."""
        out = np.zeros((len(self.index), self.size))
        for index, weights in zip(self.index.T, self.weights.T, strict=True):
            np.add.at(out, (np.arange(len(out)), index), weights)
        return out

    def _columns(self, x: Tensor, axis: int) -> list[tuple[Tensor, Tensor]]:
        import torch

        view = [1] * x.dim()
        view[axis] = -1
        return [
            (torch.from_numpy(i).to(x.device), torch.from_numpy(w).to(x.device, x.dtype).view(view))
            for i, w in zip(self.index.T.copy(), self.weights.T.copy(), strict=True)
        ]


@lru_cache(maxsize=64)
def blur_taps(kernel: tuple[float, ...], size: int) -> Taps:
    """Convolution with a symmetric or unsymmetric ``kernel`` of odd length; borders mirrored with the edge repeated.

    Mirroring keeps a constant constant, and is what a specimen most likely does beyond the border.
    """
    half = len(kernel) // 2
    offsets = np.arange(half, -half - 1, -1)  # convolution, not correlation: kernel[0] weighs the pixel ahead
    index = reflected(np.arange(size)[:, None] + offsets[None], size)
    return Taps(index, np.broadcast_to(np.array(kernel), index.shape), size)


@lru_cache(maxsize=64)
def box_taps(size: int, factor: Fraction) -> Taps:
    """Means over cells of ``factor`` (>= 1) input pixels; pixels that are cut count by the part inside.

    The outputs are the whole cells that fit into ``size``.
    """
    count = floor(size / factor)
    most = ceil(factor) + 1
    index = np.zeros((count, most), np.int64)
    weights = np.zeros((count, most))
    for i in range(count):
        start, stop = i * factor, (i + 1) * factor
        for k, j in enumerate(range(floor(start), ceil(stop))):
            index[i, k] = j
            weights[i, k] = (min(stop, Fraction(j + 1)) - max(start, Fraction(j))) / factor
    used = weights.any(0)
    return Taps(index[:, used], weights[:, used], size)


def reflected(index: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Indices beyond the ends mirrored there, the end itself repeated (SciPy's ``reflect``), any number of times."""
    index = np.mod(index, 2 * size)
    return np.where(index >= size, 2 * size - 1 - index, index)
