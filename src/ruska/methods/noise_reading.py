"""The noise of a plane, read by the network that comes with Ruska, and joined with what statistics say of it.

Statistics take fine texture for noise and miss what noise there is in bright parts that are small. The network has seen
both, and says how sure it is. Both count by their errors; where they contradict each other and the network is not sure,
the gentler one does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.physics.noise_level import NoiseLevel, few_values, noise_level

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.networks.noise_reader import NoiseReader
    from ruska.physics.noise_statistics import NoiseEstimate

_SMALLEST = 64  # pixels of a plane each way, as the network was trained
_WIDEST = 384  # of a window
_SPREAD = 256  # of each of two windows along an axis, where that is at least twice as long
_STEP = 16  # pixels that a window is a multiple of
_MOST_MISSING = 0.3  # share of invalid pixels of a window
_NEAR = 3  # pixels from the next valid one, up to which that is taken
_ALIKE = 0.6  # share of neighbours along X that are equal, from which an image is drawn or counted, not recorded
_FEWEST_VALUES = 16
_STATISTICS = 0.15  # usual error of the logarithm of what statistics say
_APART = 3.0  # errors, from which the two contradict each other
_SURE = 0.1  # error, below which the network is then believed
_FAINT = 0.006  # noise over the range of the image, below which the network has seen none
_GUESSED = 0.3  # error there
_SIGNIFICANT = 3.0  # of its own errors, from which the noise grows with the grey level
_MUCH = (1.5, 1.5)  # growth over the mean variance, from which so many errors are enough
_DARK = 0.005  # quantile of the blocks' brightness down to which the line is drawn
_LOWEST = 0.2  # variance there over that of the quietest group, at the least
_STEEPER = 1.08  # than the line through what the network says, which draws unlike groups together; measured
_ROUNDS = 8
_OUTLIER = 2.0  # errors, from which a group counts less
_SHARED = 0.1  # correlation with a neighbour that counts
_LONG = 0.25  # correlation two pixels away, from which statistics say what is further
_BLOCK = 8  # pixels


@dataclass(frozen=True)
class PlaneNoise:
    """What the network read, in the plane's grey levels.

    std : root mean square over the plane. error : usual error of its logarithm. lags : correlation at x + 1, x + 2,
    y + 1, y + 2, and usual error of each. level : how the variance changes with the grey level; None: it does not.
    """

    std: float
    error: float
    lags: tuple[float, float, float, float]
    lag_errors: tuple[float, float, float, float]
    level: NoiseLevel | None

    def scaled(self, factor: float) -> PlaneNoise:
        """With ``factor`` times the noise in the same image."""
        level = self.level
        if level is not None:
            level = replace(level, gain=level.gain * factor**2, intercept=level.intercept * factor**2,
                            variances=tuple(v * factor**2 for v in level.variances))  # fmt: skip
        return replace(self, std=self.std * factor, level=level)


def read_noise(plane: NDArray[Any]) -> PlaneNoise | None:
    """Read the noise of ``plane`` (Y, X), NaN where it is not valid; None where the network knows no such images.

    Those are planes below 64 pixels each way, or with too few valid pixels, labels and drawings, and single counts.
    """
    if plane.ndim != 2 or min(plane.shape) < _SMALLEST or not _is_recorded(plane):
        return None
    if few_values(plane) and noise_level(plane, falling=True).counted:
        return None
    windows = [filled for box in _windows(plane.shape) if (filled := _filled(plane[box])) is not None]
    if not windows:
        return None
    low, high = min(float(w.min()) for w in windows), max(float(w.max()) for w in windows)
    if not high > low:
        return None
    return _summed_up(_asked([(w - low) / (high - low) for w in windows]), plane, low, high - low)


def joined(statistics: NoiseEstimate, read: PlaneNoise | None) -> tuple[NoiseEstimate, NoiseLevel | None]:
    """What both say together of one plane, and how its noise changes with the grey level (None: not, or not known)."""
    if read is None or not statistics.std > 0:
        return statistics, None
    correlated = any(
        lag > max(_SHARED, _APART * e) for lag, e in zip(read.lags[::2], read.lag_errors[::2], strict=True)
    )
    step, error = 0.0, read.error
    unlike = correlated and not statistics.correlated  # these took for white, and so for less, what is not
    if not unlike or read.error > _SURE:
        step, error = _towards(math.log(statistics.std / read.std), read.error)
    read = read.scaled(math.exp(step))
    lags_x, lags_y = (_lags(read, statistics, axis) for axis in (0, 1))
    white = read.std
    if correlated:
        white *= math.sqrt(math.prod(1 + 2 * sum(max(0.0, lag) for lag in lags) for lags in (lags_x, lags_y)))
    found = replace(statistics, std=read.std, white_equivalent_std=white, correlated=correlated, lags_y=lags_y,
                    lags_x=lags_x, coarse_std=white, error=error, grows=read.level is not None)  # fmt: skip
    return found, read.level


def _towards(apart: float, error: float) -> tuple[float, float]:
    """How far to go from what the network says towards statistics, which are ``apart``, and the error there."""
    both = math.hypot(error, _STATISTICS)
    if abs(apart) > _APART * both:
        return (0.0, error) if error < _SURE else (min(apart, 0.0), max(error, _STATISTICS))
    weight = (error / both) ** 2
    return weight * apart, error * _STATISTICS / both


def _lags(read: PlaneNoise, statistics: NoiseEstimate, axis: int) -> tuple[float, ...]:
    """Of X (0) or Y (1). What both say too high, as structure makes it for statistics, the lower one says best.

    The network knows the nearest neighbour better, takes the next for too alike, and knows none that are further.
    """
    one, two = read.lags[2 * axis : 2 * axis + 2]
    known = (statistics.lags_x, statistics.lags_y)[axis]
    two = min(two, max(0.0, known[1]))
    return (one, two, *(value if two > _LONG else 0.0 for value in known[2:]))


def _is_recorded(plane: NDArray[Any]) -> bool:
    height, width = (min(n, 2 * _SPREAD) for n in plane.shape)
    top, left = (plane.shape[0] - height) // 2, (plane.shape[1] - width) // 2
    part = plane[top : top + height, left : left + width]
    valid = np.isfinite(part)
    pairs = valid[:, 1:] & valid[:, :-1]
    if not pairs.any():
        return False
    alike = float((part[:, 1:] == part[:, :-1])[pairs].mean())
    return alike < _ALIKE and np.unique(part[valid]).size >= _FEWEST_VALUES


def _windows(shape: tuple[int, ...]) -> list[tuple[slice, slice]]:
    """One in the middle, or two along an axis that is long enough, in the middles of its halves."""
    along = []
    for n in shape:
        if n < 2 * _SPREAD:
            size = min(n, _WIDEST) // _STEP * _STEP
            along.append([slice((n - size) // 2, (n - size) // 2 + size)])
        else:
            starts = (round(n * share) - _SPREAD // 2 for share in (0.25, 0.75))
            along.append([slice(start, start + _SPREAD) for start in starts])
    return [(rows, columns) for rows in along[0] for columns in along[1]]


def _filled(window: NDArray[Any]) -> NDArray[np.float64] | None:
    """Single invalid pixels as the nearest valid one, larger parts as their mean; None where these are too many."""
    values = np.asarray(window, dtype=np.float64)
    missing = ~np.isfinite(values)
    if not missing.any():
        return values
    if missing.mean() > _MOST_MISSING:
        return None
    from scipy.ndimage import distance_transform_edt

    away, (rows, columns) = distance_transform_edt(missing, return_indices=True)
    return np.where(away < _NEAR, values[rows, columns], values[~missing].mean())


@lru_cache(maxsize=1)
def _network() -> NoiseReader:
    from ruska.weights.architecture import ReaderFacts
    from ruska.weights.embedded import NOISE_READER
    from ruska.weights.model import read_model

    model = read_model(NOISE_READER)
    network = ReaderFacts.model_validate(model.card.network).build()
    model.fill(network)
    return network.eval()


@dataclass(frozen=True)
class _Answer:
    """Of one window, on the scale of the plane: as `networks.noise_reader.Reading`, errors not as logarithms."""

    brightness: NDArray[np.float64]
    group: NDArray[np.float64]
    group_error: NDArray[np.float64]
    whole: float
    whole_error: float
    lags: NDArray[np.float64]
    lags_error: NDArray[np.float64]


def _asked(windows: list[NDArray[np.float64]]) -> list[_Answer]:
    """Answers of the network, one window after the other, so that it takes no more memory for four of them.

    Rounded: how many threads compute must not change what a method is told.
    """
    import torch

    answers = []
    with torch.inference_mode():
        for window in windows:
            said = _network()(torch.from_numpy(window.astype(np.float32))[None, None])
            group, brightness, lags, whole = (
                np.round(t[0].double().numpy(), 4) for t in (said.group, said.brightness, said.lags, said.whole)
            )
            errors = (np.round(t[0].double().exp().numpy(), 4)
                      for t in (said.group_error, said.whole_error, said.lags_error))  # fmt: skip
            group_error, whole_error, lags_error = errors
            answers.append(_Answer(brightness, group, group_error, float(whole), float(whole_error), lags, lags_error))
    return answers


def _summed_up(answers: list[_Answer], plane: NDArray[Any], offset: float, scale: float) -> PlaneNoise:
    sure = np.array([1 / a.whole_error**2 for a in answers])
    sure /= sure.sum()
    error = float(np.sqrt(1 / np.mean([1 / a.whole_error**2 for a in answers])) / len(answers) ** 0.25)
    lags = sum(s * a.lags for s, a in zip(sure, answers, strict=True))
    lag_errors = sum(s * a.lags_error for s, a in zip(sure, answers, strict=True))
    levels = offset + scale * np.concatenate([a.brightness for a in answers])
    variances = scale**2 * np.exp(2 * np.concatenate([a.group for a in answers]))
    gain, intercept, slope_error = _line(levels, variances, 2 * np.concatenate([a.group_error for a in answers]))
    blocks = _blocks(plane)
    level, std = None, scale * math.exp(sum(s * a.whole for s, a in zip(sure, answers, strict=True)))
    much = abs(gain) * float(np.ptp(levels)) > _MUCH[0] * float(variances.mean())
    if abs(gain) > (_MUCH[1] if much else _SIGNIFICANT) * slope_error:
        middle = float(np.median(blocks))
        gain, intercept = _STEEPER * gain, intercept + (1 - _STEEPER) * gain * middle
        dark = float(np.quantile(blocks, _DARK if gain > 0 else 1 - _DARK))
        points = np.append(levels, dark)
        line = gain * points + intercept
        line = np.maximum(line, _LOWEST * variances.min())
        level = NoiseLevel(gain, intercept, tuple(map(float, points)), tuple(map(float, line)))
        std = float(np.sqrt(np.mean(level.std(blocks) ** 2)))
    shared, unsure = (tuple(float(v) for v in values) for values in (lags, lag_errors))
    if std < _FAINT * float(np.ptp(blocks)):
        error = max(error, _GUESSED)
    return PlaneNoise(std, error, shared, unsure, level)  # type: ignore[arg-type]  # of four


def _line(
    levels: NDArray[np.float64], variances: NDArray[np.float64], errors: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Gain and intercept of the line that fits best, and the error of the gain. ``errors`` : relative, of variances.

    The errors are taken relative to the line, not to the point, or points that are too low would count most.
    """
    line = np.full(len(levels), float(np.exp(np.average(np.log(variances), weights=errors**-2.0))))
    gain = intercept = slope_error = 0.0
    for again in range(_ROUNDS):
        off = np.abs(variances / line - 1) / errors
        trust = np.minimum(1, _OUTLIER / np.maximum(off, 1e-9)) if again else np.ones(len(line))
        weights = trust / (errors * line) ** 2
        middle, mean = (float(np.average(values, weights=weights)) for values in (levels, variances))
        spread = float(np.sum(weights * (levels - middle) ** 2))
        if not spread > 0:
            return 0.0, mean, math.inf
        gain = float(np.sum(weights * (levels - middle) * (variances - mean))) / spread
        intercept, slope_error = mean - gain * middle, spread**-0.5
        line = np.maximum(gain * levels + intercept, 0.5 * variances.min())
    return gain, intercept, slope_error


def _blocks(plane: NDArray[Any]) -> NDArray[np.float64]:
    """Mean grey levels of the blocks without invalid pixels: that of single pixels is noise itself."""
    height, width = (n // _BLOCK * _BLOCK for n in plane.shape)
    cut = np.asarray(plane[:height, :width], dtype=np.float64).reshape(
        height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK
    )
    means = cut.mean((1, 3)).ravel()
    whole = means[np.isfinite(means)]
    return whole if whole.size else np.array([float(np.nanmean(plane[np.isfinite(plane)]))])
