"""From a file to planes that may serve as clean targets, at every scale at which they are clean enough."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import RuskaError
from ruska.image.grid import place_of
from ruska.physics import estimate_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.image import Image

LEVELS = (1, 2, 3, 4, 6, 8)  # area-downsampling, which averages noise away
SMALLEST = 96  # pixels along the shorter side of a plane that is kept
MOST_NOISE = 0.2  # of the signal's standard deviation, in a target; training adds 2.5 times as much
LEAST_DETAIL = 0.06  # of the signal's standard deviation; less is blurred, and would teach that micrographs are
_NOISE_IN_DETAIL = 0.75  # share of white noise that lies in the three finest of four subbands
_EQUAL = 0.7  # share of neighbours that are equal: more is a mask, a drawing or a saturated image
_CLIPPED = 0.25  # share of pixels at one of the ends of the grey scale


@dataclass(frozen=True)
class Plane:
    """A normalised target: mean 0, standard deviation of the signal 1.

    noise : standard deviation of its own noise on that scale, as estimated. detail : of what is finer than two pixels
    (see `fine_detail`), without that noise.
    """

    level: int
    values: NDArray[np.float16]
    noise: float
    detail: float


def grey_planes(image: Image, most: int) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Up to ``most`` planes (Y, X), evenly spread over the other axes, colours averaged, with a name for each."""
    sizes = dict(zip(image.axes, image.shape, strict=True))
    colour = image.axes.index("C") if 2 < sizes.get("C", 0) <= 4 else None
    leading = [n for axis, n in sizes.items() if axis not in "YX" and (axis != "C" or colour is None)]
    total = math.prod(leading)
    for part in range(min(total, most)):
        place = place_of((2 * part + 1) * total // (2 * min(total, most)), leading)
        index: list[Any] = list(place)
        if colour is not None:
            index.insert(colour, slice(0, 3))
        plane = np.asarray(image.data[tuple(index)], dtype=np.float32)
        yield "/".join(map(str, place)), plane.mean(0) if colour is not None else plane


def unfit(plane: NDArray[np.float32]) -> str | None:
    """Why a plane cannot be a target (a mask, clipped, empty, not finite); None when it can."""
    if not np.isfinite(plane).all():
        return "holds invalid pixels"
    low, high = plane.min(), plane.max()
    if low == high:
        return "is empty"
    equal = float((plane[:, 1:] == plane[:, :-1]).mean())
    if equal > _EQUAL:
        return f"{equal:.0%} of neighbouring pixels are equal: a mask or a drawing"
    clipped = max(float((plane == low).mean()), float((plane == high).mean()))
    return f"{clipped:.0%} of its pixels have one grey level: clipped" if clipped > _CLIPPED else None


def targets(plane: NDArray[np.float32], levels: tuple[int, ...] = LEVELS) -> Iterator[Plane]:
    """``plane`` at the scales at which its own noise is small against its signal, and which are not blurred.

    Fine texture passes for noise where it is as fine as a pixel. Averaging over n x n pixels divides noise by n, so
    the noise at a coarse scale is at most that share of what was found at any finer one.
    """
    most = np.inf  # noise, in grey levels, times level
    for level in levels:
        small = shrink(plane, level)
        if min(small.shape) < SMALLEST:
            return
        try:
            most = min(most, estimate_noise(small).white_equivalent_std * level)
        except RuskaError:
            continue
        noise = most / level
        signal = float(np.sqrt(max(float(small.var()) - noise**2, 0)))
        if signal <= 0 or noise > MOST_NOISE * signal:
            continue
        detail = max(fine_detail(small) ** 2 - _NOISE_IN_DETAIL * noise**2, 0) ** 0.5 / signal
        if detail >= LEAST_DETAIL:
            yield Plane(level, ((small - small.mean()) / signal).astype(np.float16), noise / signal, detail)


def fine_detail(plane: NDArray[np.float32]) -> float:
    """Standard deviation within cells of 2 x 2 pixels: what means over them lose."""
    height, width = (n // 2 * 2 for n in plane.shape)
    cells = plane[:height, :width].reshape(height // 2, 2, width // 2, 2)
    return float(np.sqrt(np.mean((cells - cells.mean((1, 3), keepdims=True)) ** 2)))


def shrink(plane: NDArray[np.float32], level: int) -> NDArray[np.float32]:
    """Means over ``level`` x ``level`` pixels; what is left over at the end is dropped."""
    height, width = (n // level * level for n in plane.shape)
    cells = plane[:height, :width].reshape(height // level, level, width // level, level)
    return cells.mean((1, 3), dtype=np.float32)
