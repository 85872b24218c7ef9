"""Defects of the detector: hot and dead pixels, and values cut off at the ends of the range.

A probe or a lens spreads every detail over more than a pixel, and noise has a known width. A pixel is a defect only
when it stands out from both: from the noise at its brightness, and from what the pixels around it vary by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError
from ruska.physics.noise_level import NoiseLevel, noise_level
from ruska.physics.noise_statistics import estimate_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OUTLIER = 8.0  # standard deviations, of noise and of surroundings, from the local median
_ALONE = 0.6  # share of that distance that the second most extreme of the eight neighbours may not cover
_FEWEST_NEIGHBOURS = 8  # of the 24 around a pixel that must be valid to judge it
_SPIKE = 3.0  # how many times more pixels an end of the range must hold than the grey levels next to it
_NEXT = 0.01  # width of "next to it", of the range from the 1st to the 99th percentile
_FEWEST_CLIPPED, _LEAST_CLIPPED = 10, 1e-4  # pixels, and share of pixels, below which an end is not called clipped


@dataclass(frozen=True, eq=False)
class Defects:
    """What is wrong with single pixels.

    hot, dead : how many pixels are far brighter or darker than all around them.
    clipped_low, clipped_high : share of the valid pixels that stand at the lowest or highest value because the range
        ended there; 0 when the histogram merely thins out towards its end.
    mask : (Y, X), True where a pixel is hot or dead.
    """

    hot: int
    dead: int
    clipped_low: float
    clipped_high: float
    mask: NDArray[np.bool_]


def find_defects(image: NDArray[Any], level: NoiseLevel | None = None) -> Defects:
    """Find the defects of one micrograph (Y, X), or those that stay through frames (N, Y, X).

    Parameters
    ----------
    image : any real dtype, at least 16 pixels each way. NaN and infinite pixels are left out.
    level : the noise over the grey level of this one micrograph, where it is known already; else it is measured.

    With frames, pixels are judged on the mean, in which noise is weaker, and must show in most frames as well: a cosmic
    ray does not count. Defects that touch are found as pairs, not as larger groups, and those at a steep edge are
    missed. Raises GeometryError for other shapes, and when more than half of the pixels are not finite.
    """
    if image.ndim not in (2, 3) or min(image.shape[-2:]) < 16 or 0 in image.shape:
        raise GeometryError("defects", f"got shape {image.shape}, expected a micrograph (Y, X) or frames (N, Y, X) "
                            "of at least 16 x 16 pixels")  # fmt: skip
    frames = image if image.ndim == 3 else image[None]
    mean = _mean(frames)
    if level is None or len(frames) > 1:
        level = _level(mean)
    step = 1.0 if image.dtype.kind in "iu" and len(frames) == 1 else 0.0  # what the surroundings of a pixel round to
    hot, dead = (_outliers(mean, level, sign, step) for sign in (1, -1))
    if len(frames) > 1:
        hot, dead = (_in_most_frames(found, frames, mean) for found in (hot, dead))
    return Defects(int(hot.sum()), int(dead.sum()), *clipped_shares(frames), hot | dead)


def repair_defects(image: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    """Return a copy of ``image`` (.., Y, X) in which pixels of ``mask`` (Y, X) are the median of valid neighbours.

    Neighbours are the other pixels within 3 x 3; where none of them is valid, within 5 x 5, 7 x 7, and so on. Integers
    are rounded. Raises GeometryError when the shapes differ, or when nothing is valid.
    """
    if mask.shape != image.shape[-2:]:
        raise GeometryError("repair", f"the mask is {mask.shape}, the image {image.shape}: its last two must be equal",
                            "Crop both alike.")  # fmt: skip
    out = np.array(image, order="C")
    places = np.argwhere(mask)
    for plane in out.reshape(-1, *mask.shape):  # views: `out` is contiguous
        valid = np.where(mask | ~np.isfinite(plane), np.nan, plane.astype(np.float64))
        for y, x in places:
            for reach in range(1, max(mask.shape)):
                near = valid[max(0, y - reach) : y + reach + 1, max(0, x - reach) : x + reach + 1]
                near = near[np.isfinite(near)]
                if near.size:
                    break
            else:
                raise GeometryError("repair", "there is no valid pixel to repair the others from")
            middle = np.median(near)
            plane[y, x] = np.rint(middle) if out.dtype.kind in "iu" else middle
    return out


def clipped_shares(image: NDArray[Any]) -> tuple[float, float]:
    """Share of the valid pixels of ``image`` (any shape) cut off at the lowest and at the highest value.

    An end counts as cut off when it holds several times as many pixels as the grey levels next to it.
    """
    values = np.asarray(image).ravel()
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 0.0
    values = values.astype(np.float64)
    low, high = np.percentile(values[:: max(1, values.size // 1_000_000)], (1, 99))
    shares = []
    for signed in (values, -values):
        least = signed.min()
        cut = np.count_nonzero(signed == least)
        above = signed[signed > least]
        # at least as wide as the step between grey levels, so that it holds the next one
        width = max(_NEXT * (high - low), float(above.min() - least) if above.size else 0.0)
        beside = np.count_nonzero(above <= least + width)
        clipped = above.size and cut >= max(_FEWEST_CLIPPED, _LEAST_CLIPPED * values.size) and cut > _SPIKE * beside
        shares.append(cut / values.size if clipped else 0.0)
    return shares[0], shares[1]


def _mean(frames: NDArray[Any]) -> NDArray[np.float64]:
    """Mean over the valid values of frames (N, Y, X), NaN where there is none."""
    total, count = np.zeros(frames.shape[1:]), np.zeros(frames.shape[1:])
    for frame in frames:
        values = np.asarray(frame, dtype=np.float64)
        valid = np.isfinite(values)
        total += np.where(valid, values, 0)
        count += valid
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _level(mean: NDArray[np.float64]) -> NoiseLevel:
    if min(mean.shape) >= 64:
        return noise_level(mean)
    variance = estimate_noise(mean).std ** 2
    return NoiseLevel(0.0, variance, (float(np.nanmean(mean)),), (variance,))


def _outliers(mean: NDArray[np.float64], level: NoiseLevel, sign: int, step: float) -> NDArray[np.bool_]:
    """Where ``mean`` (Y, X) stands out upwards (``sign`` 1) or downwards (-1) from noise and surroundings."""
    finite = np.isfinite(mean)
    outside = np.pad(np.where(finite, sign * mean, -np.inf), 2, constant_values=-np.inf)
    height, width = mean.shape
    first = np.full(mean.shape, -np.inf)
    second = first.copy()
    for dy, dx in _around(1):
        neighbour = outside[dy + 2 : dy + 2 + height, dx + 2 : dx + 2 + width]
        np.maximum(second, np.minimum(first, neighbour), out=second)
        np.maximum(first, neighbour, out=first)
    # against the second greatest neighbour, so that of two defects side by side neither hides the other
    least = _OUTLIER * _ALONE * float(np.sqrt(max(min(level.variances), step**2)))
    y, x = np.nonzero(finite & np.isfinite(second) & (sign * mean > second + least))
    near = np.array([outside[y + dy + 2, x + dx + 2] for dy, dx in _around(2)])
    valid = np.isfinite(near).sum(0)
    y, x, near, valid = (a[..., valid >= _FEWEST_NEIGHBOURS] for a in (y, x, near, valid))
    ordered, each = np.sort(np.where(np.isfinite(near), near, np.nan), axis=0), np.arange(valid.size)  # NaN last
    middle = (ordered[(valid - 1) // 2, each] + ordered[valid // 2, each]) / 2
    # without the two most extreme, which may be defects or what the probe made of one
    surroundings = np.where(np.arange(len(near))[:, None] < valid - 2, ordered, np.nan)
    std = np.maximum(np.maximum(level.std(sign * middle), np.nanstd(surroundings, axis=0)), step)
    # Few electrons have a long upper tail: quantile of a skewed distribution (Cornish-Fisher), skewness gain / std
    tail = (_OUTLIER**2 - 1) / 6 * level.gain if sign > 0 else 0.0
    height_above = sign * mean[y, x] - middle
    found = (height_above > _OUTLIER * std + tail) & (sign * mean[y, x] - second[y, x] > _ALONE * height_above)
    mask = np.zeros(mean.shape, dtype=bool)
    mask[y[found], x[found]] = True
    return mask


def _around(reach: int) -> list[tuple[int, int]]:
    steps = range(-reach, reach + 1)
    return [(dy, dx) for dy in steps for dx in steps if (dy, dx) != (0, 0)]


def _in_most_frames(found: NDArray[np.bool_], frames: NDArray[Any], mean: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Keep of ``found`` the pixels that show at least half of their mean deviation in more than half of the frames."""
    y, x = np.nonzero(found)
    repaired = repair_defects(mean, found)[y, x]
    deviation = mean[y, x] - repaired
    values = np.asarray(frames[:, y, x], dtype=np.float64) - repaired
    shown = np.where(np.isfinite(values), values / np.where(deviation == 0, 1, deviation), 0) > 0.5
    kept = np.zeros_like(found)
    kept[y, x] = shown.mean(0) > 0.5
    return kept
