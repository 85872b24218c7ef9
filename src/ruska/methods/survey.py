"""How the noise differs from plane to plane of a stack, and which planes are alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError
from ruska.image.grid import place_of
from ruska.methods.looking import Readable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.physics.noise_level import NoiseLevel

_WINDOW = 512  # pixels each way, of the middle of a plane that is looked at
_TOGETHER = 16  # planes that are read at once
_MOST_PLANES = 4096  # of a stack that are looked at, evenly spaced
_SMALLEST = 32  # pixels each way
_ALIKE = 0.1  # difference of the logarithm of the level that always counts as alike; a smooth specimen loses 1 dB by it
_SURE = 3.0  # of the estimate's own errors, that a difference has to be to count
_ERROR = 5.0  # own error of the logarithm, times the root of the number of pixels; measured: 2.5 to 5.0
_MOST_KINDS = 12  # of planes, each way from the median
_TO_COUNT = 64  # pixels each way of a plane whose single counts can be told
_NONE = 0.02  # share of pixels without a count, from which there are few
_NEITHER = -1.0  # level of a plane that could not be looked at
EMPTY = -100
"""Kind of planes without any noise, such as those of one grey level: what is told of the others would fill them."""


@dataclass(frozen=True)
class Survey:
    """Noise levels (`NoiseEstimate.std`, in the source's units) of the planes of a stack, in order.

    planes : their numbers, in raster order over the axes before Y. levels : of each; -1 where it cannot be told, 0
    where there is no noise.
    error : own standard error of the logarithm of a level. count : of all planes, also those not examined.
    """

    planes: tuple[int, ...]
    levels: tuple[float, ...]
    error: float
    count: int

    @property
    def known(self) -> NDArray[np.float64]:
        """The levels that could be told."""
        levels = np.array(self.levels)
        return levels[levels > 0]

    def spread(self) -> tuple[float, float, float] | None:
        """Lowest, median and highest level; None where nothing could be told."""
        known = self.known
        return (float(known.min()), float(np.median(known)), float(known.max())) if known.size else None

    def worst(self) -> int | None:
        """Number of the plane with the strongest noise, where planes differ; else None."""
        if len(set(self._seen().tolist()) - {EMPTY}) < 2:
            return None
        return self.planes[int(np.argmax(self.levels))]

    def kinds(self) -> NDArray[np.int64]:
        """For each of all planes a number, the same for those of about one level; 0 for those like the median.

        Planes that were not examined are treated like the nearest one that was.
        """
        return self._seen()[np.searchsorted(_middles(self.planes), np.arange(self.count))]

    def _seen(self) -> NDArray[np.int64]:
        """`kinds` of the planes that were examined."""
        levels = np.array(self.levels)
        seen, told = np.zeros(len(levels), np.int64), levels > 0
        if np.count_nonzero(told) > 1:
            off = np.zeros(len(levels))
            off[told] = np.log(levels[told] / np.median(levels[told]))
            least = max(_ALIKE, _SURE * math.sqrt(2) * self.error)
            width = max(_ALIKE, np.abs(off).max() / _MOST_KINDS)
            for sign in (1, -1):
                unlike = np.flatnonzero(sign * off > least)
                seen[unlike] = sign * _steps(sign * off[unlike], width)
        if told.any():
            seen[levels == 0] = EMPTY
        return seen


def _steps(values: NDArray[np.float64], width: float) -> NDArray[np.int64]:
    """1, 2, .. for values that lie within ``width`` above the lowest, above the lowest of the rest, and so on."""
    steps, start, number = np.zeros(len(values), np.int64), -np.inf, 0
    for index in np.argsort(values, kind="stable"):
        if values[index] > start + width:
            start, number = values[index], number + 1
        steps[index] = number
    return steps


def _middles(planes: Sequence[int]) -> NDArray[np.float64]:
    """Where the next plane becomes the nearest one."""
    numbers = np.array(planes, np.float64)
    return (numbers[1:] + numbers[:-1]) / 2


def survey(
    source: Readable, most: int = _MOST_PLANES, progress: Callable[[str, int, int], None] | None = None
) -> Survey | None:
    """Look at the middle of every plane (.., Y, X) of ``source``, of ``most`` at the most; None where they are too
    small to tell, or where there is only one."""
    leading = source.shape[:-2]
    count = math.prod(leading)
    if count < 2 or min(source.shape[-2:]) < _SMALLEST:
        return None
    looked_at = min(count, most)
    planes = tuple(int((part + 0.5) * count / looked_at) for part in range(looked_at))
    starts = [max(0, (n - _WINDOW) // 2) for n in source.shape[-2:]]
    window = tuple(slice(s, s + min(n, _WINDOW)) for s, n in zip(starts, source.shape[-2:], strict=True))
    levels: list[float] = []
    means: list[float] = []
    lines: list[NoiseLevel | None] = []  # of single counts
    for slab in _slabs(planes, leading):
        place = place_of(slab[0], leading)
        *head, first = place
        box = (*(slice(i, i + 1) for i in head), slice(first, first + len(slab)), *window)
        # read together, so that what is stored together is decoded once; NaN where it is not valid
        read = getattr(source, "look", source.read)(box)
        seen = read.reshape(len(slab), *read.shape[-2:])
        levels += [_level(plane) for plane in seen]
        means += [_mean(plane) for plane in seen]
        lines += [_line_of_counts(plane) for plane in seen]
        if progress is not None:
            progress("measuring the noise of slices", len(levels), looked_at)
    counted = [line for line in lines if line is not None]
    if counted and 2 * len(counted) >= sum(level > 0 for level in levels):
        # of few counts the estimate is unsure, their mean is not, and is their variance
        gain, intercept = counted[len(counted) // 2].gain, counted[len(counted) // 2].intercept
        levels = [_NEITHER if level < 0 else math.sqrt(max(0.0, gain * mean + intercept))
                  for level, mean in zip(levels, means, strict=True)]  # fmt: skip
    pixels = math.prod(b.stop - b.start for b in window)
    return Survey(planes, tuple(levels), _ERROR / math.sqrt(pixels), count)


def _slabs(planes: Sequence[int], leading: Sequence[int]) -> list[list[int]]:
    """Planes that follow each other along the last of the ``leading`` axes, a few at a time."""
    found: list[list[int]] = []
    for number in planes:
        follows = found and number == found[-1][-1] + 1 and number % leading[-1] and len(found[-1]) < _TOGETHER
        if follows:
            found[-1].append(number)
        else:
            found.append([number])
    return found


def _level(plane: NDArray[Any]) -> float:
    from ruska.physics.noise_statistics import estimate_noise

    try:
        found = estimate_noise(plane).std
    except GeometryError:  # hardly a valid pixel
        return _NEITHER
    return found if found >= 0 and math.isfinite(found) else _NEITHER


def _mean(plane: NDArray[Any]) -> float:
    valid = plane[np.isfinite(plane)]
    return float(valid.mean(dtype=np.float64)) if valid.size else 0.0


def _line_of_counts(plane: NDArray[Any]) -> NoiseLevel | None:
    """Variance over grey level of single counts; None for anything else."""
    from ruska.physics.noise_level import few_values, noise_level

    valid = plane[np.isfinite(plane)]
    if min(plane.shape) < _TO_COUNT or not valid.size or not few_values(plane):
        return None
    if (valid == valid.min()).mean() < _NONE or valid.min() == valid.max():
        return None
    found = noise_level(plane)
    return found if found.counted else None
