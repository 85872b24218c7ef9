"""Operators that act on Y and X apart, as matrices for images of one size: a data step is a few products.

Made for many small images and many passes. Where an operator has a closed form it gives the same; where conjugate
gradients would be needed (cells of a fraction of a pixel) it needs none.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ruska.physics.operators.blur import GaussianBlur, gaussian_kernel, transfer_of
from ruska.physics.operators.taps import box_taps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.physics.operators.decimate import Decimation

    Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Line:
    """What an operator does along one axis of n pixels, of which it makes m.

    there : (m, n). waves : (n, n), the orthonormal eigenvectors of there' there, one a column. power : (n,), their
    eigenvalues. larger : (n, m), linear interpolation between the centres of cells.
    """

    there: Matrix
    waves: Matrix
    power: NDArray[np.float64]
    larger: Matrix


def lines(operator: GaussianBlur | Decimation, edge: int) -> tuple[Line, ...]:
    """One for each axis, of ``edge`` pixels."""
    if isinstance(operator, GaussianBlur):
        return tuple(_blurred(sigma, edge) for sigma in operator.sigmas)
    return tuple(_coarser(Fraction(factor), edge) for factor in operator.factors)


def _blurred(sigma: float, edge: int) -> Line:
    """Waves of a line that is mirrored at its ends, each left in part."""
    waves, left = _cosines(edge), transfer_of(gaussian_kernel(sigma), 2 * edge)[:edge]
    return Line((waves * left) @ waves.T, waves, left**2, np.eye(edge))


@lru_cache(maxsize=8)
def _cosines(edge: int) -> Matrix:
    """The orthonormal waves of the discrete cosine transform (DCT-II), one a column."""
    at = np.pi / edge * np.outer(np.arange(edge) + 0.5, np.arange(edge))
    waves = np.sqrt(2 / edge) * np.cos(at)
    waves[:, 0] /= np.sqrt(2)
    return waves


@lru_cache(maxsize=64)
def _coarser(factor: Fraction, edge: int) -> Line:
    there = np.eye(edge) if factor == 1 else box_taps(edge, factor).matrix()
    power, waves = np.linalg.eigh(there.T @ there)
    return Line(there, waves, power.clip(min=0), _interpolation(len(there), edge))


def _interpolation(count: int, edge: int) -> Matrix:
    """From ``count`` pixels to ``edge``, as `functional.interpolate` does without aligned corners."""
    at = ((np.arange(edge) + 0.5) * count / edge - 0.5).clip(min=0)
    low = np.floor(at).astype(int).clip(max=count - 1)
    part = at - low
    out = np.zeros((edge, count))
    out[np.arange(edge), low] += 1 - part
    out[np.arange(edge), (low + 1).clip(max=count - 1)] += part
    return out
