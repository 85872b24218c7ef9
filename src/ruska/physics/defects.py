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
    from collections.abc import Sequence

    from numpy.typing import NDArray

_OUTLIER = 8.0  # standard deviations, of noise and of surroundings, from the local median
_FAINT = 6.0  # likewise, of pixels that are nearly as far out
_ALONE = 0.6  # share of that distance that the second most extreme of the eight neighbours may not cover
_SPOT = 1.6  # times its height that 7 of its 8 neighbours hold of a spot at the resolution limit, sigma 0.7 pixels
_SURE = 5.0  # standard deviations of noise by which that must be missed in the pixels beside an outlier
_NOTHING, _LEAK = 2.5, 0.02  # standard deviations, and share of that, which still count as nothing
_MEDIAN_OF_NORMAL = 0.6745  # of its absolute value, in standard deviations
_TIMES, _FEWEST_BLURRED = 3, 2  # how many times more outliers than blurred specks there must be, but for so many
_BEYOND = 1e6  # times the range of a plane that no grey level is away from its median
_MANY, _COUNT = 1e-3, 100.0  # share of pixels that are single counts, where these are no higher than that
_FEWEST_NEIGHBOURS = 8  # of the 24 around a pixel that must be valid to judge it
OUTLIER_REACH = 2
"""Pixels on each side that decide whether one is an outlier."""
REPAIR_REACH = 2
"""Pixels on each side from which `mend_outliers` takes what it puts in place of one."""
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
    hot, dead = find_outliers(image if image.ndim == 2 else mean, OutlierLimits(level, spots=False))
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
    for plane in out.reshape(-1, *mask.shape):  # views: `out` is contiguous
        for y, x, middle in _middles(plane, mask, ~mask, max(mask.shape)):
            if middle is None:
                raise GeometryError("repair", "there is no valid pixel to repair the others from")
            plane[y, x] = middle
    return out


def mend_outliers(image: NDArray[Any], outliers: NDArray[np.bool_], valid: NDArray[np.bool_] | None = None) -> None:
    """Put the median of valid neighbours in place of the ``outliers`` of ``image`` (Y, X), in place.

    Neighbours are those within 3 x 3, where none is valid within 5 x 5; where there is none either, the pixel stays.
    So what is put there depends on `REPAIR_REACH` pixels around it, and a part of an image is mended like the whole.
    """
    usable = ~outliers if valid is None else valid & ~outliers
    for y, x, middle in _middles(image, outliers, usable, REPAIR_REACH):
        if middle is not None:
            image[y, x] = middle


def _middles(
    plane: NDArray[Any], places: NDArray[np.bool_], usable: NDArray[np.bool_], most: int
) -> list[tuple[int, int, float | None]]:
    """For each of ``places`` the median of the usable pixels in the smallest square around it that has any."""
    found: list[tuple[int, int, float | None]] = []
    for y, x in np.argwhere(places).tolist():
        middle = None
        for reach in range(1, most + 1):
            box = slice(max(0, y - reach), y + reach + 1), slice(max(0, x - reach), x + reach + 1)
            near = plane[box][usable[box]].astype(np.float64)
            near = near[np.isfinite(near)]
            if near.size:
                middle = float(np.median(near))
                middle = float(np.rint(middle)) if plane.dtype.kind in "iu" else middle
                break
        found.append((y, x, middle))
    return found


@dataclass(frozen=True)
class OutlierLimits:
    """What a pixel of one kind of micrograph must pass to be an outlier.

    level : noise over the grey level. hot, dead : the least height above, and depth below, what is around it, in
    standard deviations of that noise. spots : whether the tips of what an instrument may have blurred are left.
    """

    level: NoiseLevel
    hot: float = _OUTLIER
    dead: float = _OUTLIER
    spots: bool = True


def find_outliers(
    image: NDArray[Any], limits: OutlierLimits, valid: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Where pixels of ``image`` (Y, X), any real dtype and size, are far brighter, and far darker, than all around.

    valid : True where a pixel counts, beside that NaN and infinite ones do not.

    Whether a pixel is one depends on `OUTLIER_REACH` pixels around it only, so a part of an image that is that much
    wider tells the same as the whole. Outliers that touch are found as pairs, not as larger groups.
    """
    padded, step = _padded(image, valid), _step(image)
    hot, dead = (_found(padded, limits, sign, step) for sign in (1, -1))
    return hot, dead


def outlier_limits(planes: Sequence[NDArray[Any]]) -> OutlierLimits | None:
    """What the outliers of micrographs such as these must pass. ``planes`` : (Y, X) each, invalid pixels NaN.

    The noise is that of the plane whose noise is the median one. Where the specimen has specks of about a pixel, some
    are blurred less than others, so outliers must be higher than most that are blurred: hits of the detector are. Where
    many pixels stand out and not by much, or more are nearly as far out, they are counts of a detector that sees few.

    None where the planes are smaller than 64 pixels, hardly valid, or have no noise, as labels and drawings.
    """
    planes = [plane for plane in planes if min(plane.shape) >= 64 and np.isfinite(plane).mean() >= 0.5]
    level = _typical_level(planes)
    if level is None:
        return None
    limits = OutlierLimits(level)
    hot, dead = (_least_height(planes, limits, sign) for sign in (1, -1))
    return OutlierLimits(level, hot, dead)


def _typical_level(planes: Sequence[NDArray[Any]]) -> NoiseLevel | None:
    levels = []
    for plane in map(_within_reach, planes):
        level = noise_level(plane)
        hot, dead = find_outliers(plane, OutlierLimits(_no_louder(level, plane)))
        if hot.any() or dead.any():  # in the brightest patches, or in all, there may be what they made bright
            level = noise_level(repair_defects(plane, hot | dead))
        levels.append(level)
    levels.sort(key=lambda level: float(np.median(level.variances)))
    typical = levels[len(levels) // 2] if levels else None
    return typical if typical is not None and min(typical.variances) > 0 else None


def _within_reach(plane: NDArray[Any]) -> NDArray[Any]:
    """NaN where a value is not a grey level, as where nothing was ever written: it would dominate a fitted line."""
    if plane.dtype.kind != "f":
        return plane
    low, middle, high = np.nanpercentile(plane, (1, 50, 99))
    far = np.abs(plane - middle) > _BEYOND * (high - low)
    return np.where(far, np.nan, plane).astype(plane.dtype, copy=False) if high > low and far.any() else plane


def _no_louder(level: NoiseLevel, plane: NDArray[Any]) -> NoiseLevel:
    """The noise of a plane by the median difference of neighbours, which few outliers move, where that is less."""
    steps = np.abs(np.diff(plane.astype(np.result_type(plane.dtype, np.float32)), axis=1))
    std = float(np.nanmedian(steps)) / (_MEDIAN_OF_NORMAL * np.sqrt(2))
    if std == 0 or std**2 >= np.median(level.variances):
        return level
    return NoiseLevel(0.0, std**2, (float(np.nanmedian(plane)),), (std**2,))


def _least_height(planes: Sequence[NDArray[Any]], limits: OutlierLimits, sign: int) -> float:
    """The least height at which outliers are more than the blurred specks that are at least as high."""
    alone, blurred, faint = [], [], 0
    for plane in planes:
        padded, step = _padded(plane, None), _step(plane)
        y, x = _candidates(padded, sign, _OUTLIER / 2 * _quietest(limits.level, step), OUTLIER_REACH)
        y, x = _standing_out(padded, y, x, sign, 0.0, 1)
        judged = _judge(padded, y + OUTLIER_REACH, x + OUTLIER_REACH, limits, sign, step)
        alone.append(judged.height[judged.outlier])
        blurred.append(judged.height[judged.blurred])
        faint += int(judged.faint.sum())
    ours, others = (np.sort(np.concatenate(heights))[::-1] for heights in (alone, blurred))
    pixels = sum(plane.size for plane in planes)
    least = _OUTLIER
    if ours.size > _MANY * pixels or faint > _FEWEST_BLURRED + ours.size:
        usual = float(np.median(ours)) if ours.size else _OUTLIER
        least = 3 * usual if usual < _COUNT else 4 * _OUTLIER  # few pixels count three electrons
    # of our heights and theirs, from the greatest down, as long as ours are more
    higher = np.searchsorted(-ours, -others, side="right")
    refused = np.flatnonzero(np.arange(1, others.size + 1) > _FEWEST_BLURRED + higher / _TIMES)
    return max(least, float(others[refused[0]])) if refused.size else least


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


def _around(reach: int) -> list[tuple[int, int]]:
    steps = range(-reach, reach + 1)
    return [(dy, dx) for dy in steps for dx in steps if (dy, dx) != (0, 0)]


# of the pixels around, those behind each of the eight neighbours
_BEHIND = [_around(OUTLIER_REACH).index((2 * dy, 2 * dx)) for dy, dx in _around(1)]


def _padded(image: NDArray[Any], valid: NDArray[np.bool_] | None) -> NDArray[Any]:
    """The image as floating point numbers, NaN where it is invalid, with a border of `OUTLIER_REACH` NaN."""
    values = image.astype(np.result_type(image.dtype, np.float32), copy=False)
    if valid is not None and not valid.all():
        values = np.where(valid, values, np.nan)
    if image.dtype.kind == "f" and not np.isfinite(values).all():
        values = np.where(np.isfinite(values), values, np.nan)
    return np.pad(values, OUTLIER_REACH, constant_values=np.nan)


def _step(image: NDArray[Any]) -> float:
    """What the surroundings of a pixel round to."""
    return 1.0 if image.dtype.kind in "iu" else 0.0


def _quietest(level: NoiseLevel, step: float) -> float:
    return float(np.sqrt(max(min(level.variances), step**2)))


def _candidates(
    padded: NDArray[Any], sign: int, least: float, away: int = 1
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Places that stand out by more than ``least`` from one of each two pixels that lie opposite, so far away.

    A quick look that every outlier passes: at most one of its eight neighbours stands out as well.
    """
    reach, (height, width) = OUTLIER_REACH, padded.shape

    def moved(dy: int, dx: int) -> NDArray[Any]:
        return padded[reach + dy : height - reach + dy, reach + dx : width - reach + dx]

    lower, higher = (np.fmin, np.fmax) if sign > 0 else (np.fmax, np.fmin)  # NaN only where both are
    bound = higher(lower(moved(0, -away), moved(0, away)), lower(moved(-away, 0), moved(away, 0)))
    y, x = np.nonzero(sign * (moved(0, 0) - bound) > least)
    return y, x


def _found(padded: NDArray[Any], limits: OutlierLimits, sign: int, step: float) -> NDArray[np.bool_]:
    """Where a padded image stands out upwards (``sign`` 1) or downwards (-1) from noise and surroundings."""
    mask = np.zeros([n - 2 * OUTLIER_REACH for n in padded.shape], dtype=bool)
    least = _ALONE * (limits.hot if sign > 0 else limits.dead) * _quietest(limits.level, step)
    y, x = _standing_out(padded, *_candidates(padded, sign, least), sign, least, 2)
    if y.size:
        found = _judge(padded, y + OUTLIER_REACH, x + OUTLIER_REACH, limits, sign, step).outlier
        mask[y[found], x[found]] = True
    return mask


def _standing_out(
    padded: NDArray[Any], y: NDArray[np.intp], x: NDArray[np.intp], sign: int, least: float, rank: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Those of some places that stand out by ``least`` from the greatest (``rank`` 1) or second greatest neighbour."""
    reach = OUTLIER_REACH
    beside = sign * np.array([padded[y + dy + reach, x + dx + reach] for dy, dx in _around(1)])
    beside = np.partition(np.where(np.isfinite(beside), beside, -np.inf), 8 - rank, axis=0)[8 - rank]
    kept = sign * padded[y + reach, x + reach] - beside >= least
    return y[kept], x[kept]


@dataclass(frozen=True, eq=False)
class _Judged:
    """Of some pixels: height in standard deviations, whether they are outliers, or stand far out and their neighbours
    with them, or are as single as outliers, but not as far out."""

    height: NDArray[np.float64]
    outlier: NDArray[np.bool_]
    blurred: NDArray[np.bool_]
    faint: NDArray[np.bool_]


def _judge(
    padded: NDArray[Any], y: NDArray[np.intp], x: NDArray[np.intp], limits: OutlierLimits, sign: int, step: float
) -> _Judged:
    """Outliers are far from all around them, and alone or one of a pair."""
    own = sign * padded[y, x].astype(np.float64)
    near = np.array([sign * padded[y + dy, x + dx] for dy, dx in _around(OUTLIER_REACH)], dtype=np.float64)
    valid = np.isfinite(near).sum(0)
    ordered, each = np.sort(near, axis=0), np.arange(y.size)  # NaN last
    middle = (ordered[np.maximum(valid - 1, 0) // 2, each] + ordered[np.minimum(valid // 2, 23), each]) / 2
    spread = _spread(ordered, valid)
    level = limits.level
    std = np.maximum(level.std(sign * middle), step)
    # Few electrons have a long upper tail: quantile of a skewed distribution (Cornish-Fisher), skewness gain / std.
    # Where there is more noise than that, as in a slice of fewer electrons, each counts for more.
    gain = level.gain * (np.maximum(1, (spread / std) ** 2) if limits.spots else 1.0)
    tail = (_OUTLIER**2 - 1) / 6 * gain if sign > 0 else 0.0
    height = own - middle
    beside = np.array([sign * padded[y + dy, x + dx] for dy, dx in _around(1)], dtype=np.float64)
    beside = np.where(np.isfinite(beside), beside, -np.inf)
    behind = near[_BEHIND][np.argmax(beside, axis=0), each]
    beside = np.sort(beside, axis=0)
    # of the eight neighbours without the greatest, which may be the other of a pair
    rest, there = np.where(np.isfinite(beside[:-1]), beside[:-1] - middle, 0).sum(0), np.isfinite(beside[:-1]).sum(0)
    with np.errstate(invalid="ignore"):
        # against the second greatest neighbour, so that of two defects side by side neither hides the other
        alone = (valid >= _FEWEST_NEIGHBOURS) & (own - beside[-2] > _ALONE * height) & np.isfinite(beside[-2])
        far = (height > _OUTLIER * std + tail) & (height > (limits.hot if sign > 0 else limits.dead) * std)
        outlier = alone & far & (height > _OUTLIER * spread + tail)
        faint = alone & ~far & (height > _FAINT * std) & (height > _FAINT * spread)
    if limits.spots:
        line = np.minimum(beside[-1], np.nan_to_num(behind, nan=-np.inf)) - middle > (1 - _ALONE) * height
        single = ~line & _gives_nothing(rest, there, height, std, spread, level.gain)
        outlier, faint = outlier & single, faint & single
    blurred = far & ~outlier & (rest > _SPOT * there / 7 * height / 2)
    return _Judged(height / std, outlier, blurred, faint)


def _spread(ordered: NDArray[np.float64], valid: NDArray[np.intp]) -> NDArray[np.float64]:
    """Standard deviation of what surrounds a pixel, without the two most extreme, which may be defects or what the
    probe made of one."""
    among = np.arange(len(ordered))[:, None] < valid - 2
    count = np.maximum(valid - 2, 1)
    mean = np.where(among, ordered, 0).sum(0) / count
    spread: NDArray[np.float64] = np.sqrt(np.where(among, (ordered - mean) ** 2, 0).sum(0) / count)
    return spread


def _gives_nothing(
    rest: NDArray[np.float64], there: NDArray[np.intp], height: NDArray[np.float64], std: NDArray[np.float64],
    spread: NDArray[np.float64], gain: float,
) -> NDArray[np.bool_]:  # fmt: skip
    """Whether neighbours, so many that are ``there``, have nothing of the height of a pixel: ``rest`` in all.

    A spot as an instrument makes them gives them a share, whose own noise must not hide it; an outlier gives none.
    """
    share = _SPOT * there / 7 * height
    noise = np.sqrt(there * std**2 + max(gain, 0.0) * np.maximum(share, 0))
    nothing = _NOTHING * np.sqrt(there) * np.maximum(std, spread) + _LEAK * share
    found: NDArray[np.bool_] = (rest < share - _SURE * noise) & (rest < nothing)
    return found


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
