"""The analogue-to-digital converter: whole grey levels within a limited range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Digitiser:
    """Brightness to grey levels of ``bits`` bits; what lies outside its range is cut off.

    bits : 1 to 16.
    low, high : brightness that becomes grey level 0 and the highest grey level.

    Raises SettingsError for values outside these ranges.
    """

    bits: int = 8
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 16:
            raise SettingsError("bits", f"is {self.bits}, expected 1 to 16")
        if not (np.isfinite(self.low) and np.isfinite(self.high) and self.low < self.high):
            raise SettingsError("low", f"is {self.low} and high is {self.high}, expected low below high")

    @property
    def step(self) -> float:
        """Brightness of one grey level."""
        return (self.high - self.low) / (2**self.bits - 1)

    def digitise(self, brightness: NDArray[Any]) -> NDArray[Any]:
        """Return grey levels, uint8 up to 8 bits and uint16 above, of the shape of ``brightness`` (any, finite)."""
        levels = np.rint((np.asarray(brightness, dtype=np.float64) - self.low) / self.step)
        return np.clip(levels, 0, 2**self.bits - 1).astype(np.uint8 if self.bits <= 8 else np.uint16)
