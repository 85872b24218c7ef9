"""Scan-line noise that can be simulated: each row has its own brightness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class RowOffsets:
    """An offset per row, independent from row to row and from frame to frame, as beam or amplifier drift leaves it.

    std : standard deviation of the offsets, on the scale of the image; >= 0, else SettingsError is raised.
    """

    std: float

    def __post_init__(self) -> None:
        if not (np.isfinite(self.std) and self.std >= 0):
            raise SettingsError("std", f"is {self.std}, expected 0 or more")

    def simulate(self, image: NDArray[Any], seed: int) -> NDArray[np.float32]:
        """Return ``image`` (.., Y, X) with offsets added, float32, same for the same ``seed``."""
        values = np.asarray(image, dtype=np.float64)
        offsets = np.random.default_rng(seed).normal(0, self.std, (*values.shape[:-1], 1))
        return (values + offsets).astype(np.float32)
