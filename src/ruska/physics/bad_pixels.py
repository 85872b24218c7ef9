"""Hot and dead pixels that can be simulated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class BadPixels:
    """Pixels of the detector that always have the same value, at the same places in every frame.

    hot, dead : share of the pixels, 0 to 1, together at most 1.
    hot_value, dead_value : what they say, on the scale of the image.

    Raises SettingsError for shares outside these ranges.
    """

    hot: float
    dead: float
    hot_value: float = 1.0
    dead_value: float = 0.0

    def __post_init__(self) -> None:
        for name, share in (("hot", self.hot), ("dead", self.dead), ("hot + dead", self.hot + self.dead)):
            if not 0 <= share <= 1:
                raise SettingsError(name, f"is {share}, expected a share of the pixels from 0 to 1")

    def places(self, shape: tuple[int, ...], seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Where the (hot, dead) pixels of a detector of ``shape`` (Y, X) are; same for the same ``seed``."""
        count = int(np.prod(shape))
        hot, dead = round(self.hot * count), round(self.dead * count)
        chosen = np.random.default_rng(seed).permutation(count)[: hot + dead]
        kinds = np.zeros(count, dtype=np.uint8)
        kinds[chosen[:hot]], kinds[chosen[hot:]] = 1, 2
        return (kinds == 1).reshape(shape), (kinds == 2).reshape(shape)

    def simulate(self, image: NDArray[Any], seed: int) -> NDArray[np.float32]:
        """Return ``image`` (.., Y, X) with these pixels, float32."""
        out = np.array(image, dtype=np.float32)
        hot, dead = self.places(out.shape[-2:], seed)
        out[..., hot], out[..., dead] = self.hot_value, self.dead_value
        return out
