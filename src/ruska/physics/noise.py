"""Noise models that can be simulated, with a known variance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class PoissonGaussian:
    """Shot noise plus read noise, optionally shared by neighbours along the scan line.

    Parameters
    ----------
    peak_counts : electrons (or photons) that a pixel of clean value 1 collects on average; > 0.
    read_noise : standard deviation of the detector's own noise on the 0-1 scale; >= 0.
    scan_line_kernel : weights with which a pixel takes up the noise of itself and its neighbours along X, as a
        detector of limited bandwidth does; odd length, any scale. ``(1,)`` is independent pixels. The variance
        stays the stated one: the kernel is normalised to unit energy.

    Raises SettingsError for values outside these ranges.
    """

    peak_counts: float
    read_noise: float
    scan_line_kernel: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not (np.isfinite(self.peak_counts) and self.peak_counts > 0):
            raise SettingsError("peak_counts", f"is {self.peak_counts}, expected a positive number of electrons")
        if not (np.isfinite(self.read_noise) and self.read_noise >= 0):
            raise SettingsError("read_noise", f"is {self.read_noise}, expected 0 or more on the 0-1 scale")
        if len(self.scan_line_kernel) % 2 == 0 or not np.any(self.scan_line_kernel):
            raise SettingsError("scan_line_kernel", f"is {self.scan_line_kernel}, expected an odd number of weights, "
                                "not all zero", "A bandwidth-limited SEM detector: (0.15, 1, 0.6).")  # fmt: skip

    def variance(self, clean: NDArray[Any]) -> NDArray[np.float32]:
        """Variance of `simulate` at each pixel of ``clean`` (any shape, 0-1), on the 0-1 scale squared.

        Exact for independent pixels; along a scan line exact wherever ``clean`` is locally flat.
        """
        return (np.maximum(clean, 0) / self.peak_counts + self.read_noise**2).astype(np.float32)

    def simulate(self, clean: NDArray[Any], seed: int) -> NDArray[np.float32]:
        """Return a noisy copy of ``clean`` (any shape, 0-1, X last), float32, same for the same ``seed``.

        Its mean is ``clean``; it is not clipped. Negative clean values count as zero.
        """
        random = np.random.default_rng(seed)
        expected = np.maximum(np.asarray(clean, dtype=np.float64), 0)
        noise = random.poisson(expected * self.peak_counts) / self.peak_counts - expected
        noise += random.normal(0, self.read_noise, expected.shape)
        return (expected + self._along_scan_line(noise)).astype(np.float32)

    def _along_scan_line(self, noise: NDArray[np.float64]) -> NDArray[np.float64]:
        if len(self.scan_line_kernel) == 1:
            return noise
        from scipy.ndimage import convolve1d

        kernel = np.asarray(self.scan_line_kernel, dtype=np.float64)
        # "wrap" keeps the variance up to the edge, where "reflect" would count one pixel twice
        return convolve1d(noise, kernel / np.linalg.norm(kernel), axis=-1, mode="wrap")


STANDARD_DOSES = (PoissonGaussian(200, 0.01), PoissonGaussian(50, 0.02), PoissonGaussian(12, 0.04))
"""High, middle and low dose on the 0-1 scale, at which figures are quoted."""
