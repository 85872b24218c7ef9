"""Curtains that can be simulated: streaks of milled surfaces, that run along one axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Curtains:
    """Streaks along one axis: a random field that is narrow across and long along the streaks.

    std : standard deviation of the brightness they add, on the scale of the image; >= 0.
    width : of a streak, full width at half maximum in pixels; > 0.
    length : over which a streak fades, full width at half maximum in pixels; infinity for streaks that do not fade.
    axis : ``"Y"`` for vertical streaks, ``"X"`` for horizontal ones.

    Raises SettingsError for values outside these ranges.
    """

    std: float
    width: float = 6.0
    length: float = float("inf")
    axis: str = "Y"

    def __post_init__(self) -> None:
        if not (np.isfinite(self.std) and self.std >= 0):
            raise SettingsError("std", f"is {self.std}, expected 0 or more")
        if not (np.isfinite(self.width) and self.width > 0):
            raise SettingsError("width", f"is {self.width}, expected a positive number of pixels")
        if not self.length > 0:
            raise SettingsError("length", f"is {self.length}, expected a positive number of pixels, or infinity")
        if self.axis not in ("Y", "X"):
            raise SettingsError("axis", f"is {self.axis!r}, expected 'Y' or 'X'")

    def simulate(self, image: NDArray[Any], seed: int) -> NDArray[np.float32]:
        """Return ``image`` (.., Y, X) with streaks added, each plane its own, float32, same for the same ``seed``."""
        values = np.asarray(image, dtype=np.float64)
        random = np.random.default_rng(seed)
        planes = [
            plane + self.std * self._field(plane.shape, random) for plane in values.reshape(-1, *values.shape[-2:])
        ]
        return np.reshape(planes, values.shape).astype(np.float32)

    def _field(self, shape: tuple[int, ...], random: np.random.Generator) -> NDArray[np.float64]:
        """Random field of unit variance on average; (Y, X), or one line of it where streaks do not fade."""
        from scipy.ndimage import gaussian_filter1d

        along = 0 if self.axis == "Y" else 1
        if np.isinf(self.length):
            shape = tuple(1 if axis == along else n for axis, n in enumerate(shape))
        field = random.standard_normal(shape)
        for axis, extent in ((1 - along, self.width), (along, self.length)):
            if field.shape[axis] > 1 and np.isfinite(extent):
                # of unit energy, so that the smoothed field keeps unit variance
                kernel = gaussian_filter1d(np.eye(1, field.shape[axis], field.shape[axis] // 2)[0], extent / 2.355)
                field = gaussian_filter1d(field, extent / 2.355, axis=axis, mode="wrap") / np.linalg.norm(kernel)
        return field
