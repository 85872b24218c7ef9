"""Which planes are scored, and their figures in short."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ruska.image import Image
from ruska.image.grid import place_of

MOST_PLANES = 32

Place = tuple[int, ...]
"""Index of a plane over the axes before Y and X."""


@dataclass(frozen=True)
class Summary:
    """Median, smallest and largest value over the planes that were scored."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        return cls(float(np.median(values)), float(np.min(values)), float(np.max(values)))


def scored_places(image: Image) -> list[Place]:
    """The planes that are scored: at most `MOST_PLANES`, evenly spaced."""
    leading = image.shape[:-2]
    total = math.prod(leading)
    chosen = np.unique(np.linspace(0, total - 1, min(total, MOST_PLANES)).round().astype(int))
    return [place_of(min(int(k), total - 1), leading) for k in chosen]
