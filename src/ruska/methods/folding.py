"""Folding the values of the hidden pixels back into a blind-spot prediction.

The prediction of a blind-spot network never saw the pixels inside the spot, so they hold news: a linear
minimum-mean-square-error estimate of the prediction's error from the difference between image and prediction there.
For independent noise and a spot of one pixel that is the posterior mean of Laine et al. (2019), eq. 4; here also for
noise that neighbours share, and with a noise level and an error that are measured on the data, without any truth:
where the prediction is flat, its error is negligible and the difference is noise; where it is not, the excess is error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.physics import NoiseLevel
    from ruska.physics.noise_statistics import NoiseEstimate

_BRIGHTNESS = 6  # groups of pixels by brightness, because noise grows with the signal
_ACTIVITY = 8  # groups of pixels by how steep the prediction is around them
_FLAT, _STEEP = 0.3, 0.8  # quantiles of the steepness below which there is noise only, above which there is error
_LEAST_EXCESS = 0.02  # of the noise variance, in the steep places: below, nothing is gained by folding in
_LEVELS = np.array([0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2])  # error over noise variance that filters are made for
_TAPER = 8.0  # pixels over which the measured correlation of the error is trusted
_SMALL = 1e-12
# Noise variance as estimated, over what flat places hold: where it is lower than the first, the rest is the
# prediction's error; from the second on the estimate may be too low by as much, and the flat places are believed.
_BELIEVED = (0.7, 0.9)
REACH = 4  # pixels that the steepness looks away


@dataclass(frozen=True)
class Folding:
    """Measured on predictions and the noisy planes they belong to; applied to any other.

    brightness, noise_variance : the noise's variance as a function of the predicted brightness.
    activity, excess : error variance over noise variance, as a function of how steep the prediction is.
    filters : (len(_LEVELS), rows, columns): weights of the difference inside the spot, per level of ``excess``.
    """

    brightness: NDArray[np.float64]
    noise_variance: NDArray[np.float64]
    activity: NDArray[np.float64]
    excess: NDArray[np.float64]
    filters: NDArray[np.float64]

    @classmethod
    def fit(
        cls,
        pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]],
        spot: tuple[int, int],
        known: NoiseEstimate | None = None,
    ) -> Folding | None:
        """From (prediction, noisy) planes (Y, X); None when the prediction's error cannot be told from zero.

        Pixels that are NaN in a noisy plane are left out.

        known : the noise as the noisy planes themselves show it. Where structure fills the image, the prediction is
            wrong in its flat places too, and what they say would be too much noise, shared too far.
        """
        predicted = [np.asarray(p, dtype=np.float64) for p, _ in pairs]
        steep = [steepness(p) for p in predicted]
        level, slope = (np.concatenate([a.ravel() for a in part]) for part in (predicted, steep))
        difference = np.concatenate([np.ravel(n - p) for p, (_, n) in zip(predicted, pairs, strict=True)])
        valid = np.isfinite(difference)
        if not valid.any():
            return None
        limits = np.quantile(level[valid], np.linspace(0, 1, _BRIGHTNESS + 1)[1:-1])
        group = np.searchsorted(limits, level)
        brightness, variance, flat = [], [], np.zeros(level.size, dtype=bool)
        for index in np.unique(group[valid]):
            members = (group == index) & valid
            quiet = members & (slope <= np.quantile(slope[members], _FLAT))
            flat |= quiet
            brightness.append(level[quiet].mean())
            variance.append(np.mean(difference[quiet] ** 2))
        noise_variance = np.maximum(variance, _SMALL)
        share = 1.0 if known is None else _share_of_noise(known.std**2 / float(np.mean(difference[flat] ** 2)))
        noise_variance *= share
        whitened = difference / np.sqrt(np.interp(level, brightness, noise_variance))

        at = np.cumsum([0, *(p.size for p in predicted)])
        planes = [whitened[a:b].reshape(p.shape) for a, b, p in zip(at, at[1:], predicted, strict=False)]
        places = [flat[a:b].reshape(p.shape) for a, b, p in zip(at, at[1:], predicted, strict=False)]
        noise = _autocovariance(planes, places, spot)
        threshold = np.quantile(slope[valid], _STEEP)
        total = _autocovariance(planes, [(s >= threshold) & np.isfinite(z) for s, z in zip(steep, planes, strict=True)],
                                spot)  # fmt: skip
        middle = tuple(n // 2 for n in noise.shape)
        noise /= max(noise[middle], _SMALL)
        if known is not None and share < 1:
            noise = np.outer(_both_ways(known.lags_y, spot[0]), _both_ways(known.lags_x, spot[1]))
        error = total - noise
        if error[middle] < _LEAST_EXCESS:
            return None
        distance = np.hypot(*np.meshgrid(*(np.arange(n) - n // 2 for n in error.shape), indexing="ij"))
        error = np.clip(error / error[middle], 0, 1) * np.exp(-distance / _TAPER)

        slope, whitened = slope[valid], whitened[valid]
        edges = np.quantile(slope, np.linspace(0, 1, _ACTIVITY + 1)[1:-1])
        steps = np.searchsorted(edges, slope)
        activity = [slope[steps == i].mean() for i in np.unique(steps)]
        excess = [max(float(np.mean(whitened[steps == i] ** 2)) - 1, 0.0) for i in np.unique(steps)]
        filters = np.stack([_filter(value * error, noise, spot) for value in _LEVELS])
        return cls(np.array(brightness), noise_variance, np.array(activity), np.array(excess), filters)

    def apply(self, predicted: NDArray[Any], noisy: NDArray[Any], variance: NDArray[Any] | None = None) -> NDArray[Any]:
        """The prediction (Y, X), corrected by what ``noisy`` says inside the spot; same dtype.

        ``variance`` is not used: a network trained on correlated noise cannot tell its error from it.
        """
        from scipy.ndimage import correlate

        wide = np.asarray(predicted, dtype=np.float64)
        deviation = np.sqrt(np.interp(wide, self.brightness, self.noise_variance))
        whitened = (noisy - wide) / deviation
        excess = np.interp(steepness(wide), self.activity, self.excess)
        below = np.clip(np.searchsorted(_LEVELS, excess, side="right") - 1, 0, len(_LEVELS) - 2)
        above = np.clip((excess - _LEVELS[below]) / (_LEVELS[below + 1] - _LEVELS[below]), 0, 1)
        correction = np.zeros_like(wide)
        for index, weights in enumerate(self.filters):
            share = np.where(below == index, 1 - above, 0) + np.where(below + 1 == index, above, 0)
            if share.any():
                correction += share * correlate(whitened, weights, mode="reflect")
        return (wide + correction * deviation).astype(predicted.dtype)


@dataclass(frozen=True)
class Posterior:
    """For independent noise of a known level and a network that knows its own error: pixel by pixel.

    Source: Laine et al. (2019), eq. 4.
    """

    level: NoiseLevel

    def apply(self, predicted: NDArray[Any], noisy: NDArray[Any], variance: NDArray[Any] | None = None) -> NDArray[Any]:
        """The mean of each pixel given the prediction (Y, X), its error's variance and the noisy pixel; same dtype."""
        assert variance is not None  # of a network with two outputs
        share = variance / (variance + self.level.std(predicted) ** 2)
        return (predicted + share * (noisy - predicted)).astype(predicted.dtype)


def _share_of_noise(ratio: float) -> float:
    """Of what flat places hold, from the ratio of the estimated noise to it."""
    low, high = _BELIEVED
    return ratio if ratio < low else min(1.0, low + (1 - low) * (ratio - low) / (high - low))


def _both_ways(lags: Sequence[float], length: int) -> NDArray[np.float64]:
    """Correlation at lags -(length - 1) .. length - 1, from that at 1, 2, ..; 0 beyond."""
    right = np.zeros(length)
    right[0], known = 1.0, np.asarray(lags[: length - 1])
    right[1 : 1 + len(known)] = known
    return np.concatenate([right[:0:-1], right])


def steepness(predicted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Magnitude of the gradient at a scale of one pixel."""
    from scipy.ndimage import gaussian_gradient_magnitude

    return gaussian_gradient_magnitude(predicted, 1.0, mode="reflect", truncate=float(REACH - 1))


def _autocovariance(
    planes: Sequence[NDArray[np.float64]], places: Sequence[NDArray[np.bool_]], spot: tuple[int, int]
) -> NDArray[np.float64]:
    """Mean of z(p) z(p + lag) over pairs of ``places``, for lags (2 rows - 1, 2 columns - 1) around 0."""
    rows, columns = spot
    out = np.zeros((2 * rows - 1, 2 * columns - 1))
    for dy in range(rows):
        for dx in range(-(columns - 1), columns):
            if dy == 0 and dx < 0:
                continue
            total = count = 0.0
            for z, place in zip(planes, places, strict=True):
                height, width = z.shape
                here = (slice(0, height - dy), slice(max(0, -dx), width - max(0, dx)))
                there = (slice(dy, height), slice(max(0, dx), width + min(0, dx)))
                both = place[here] & place[there]
                total += float((z[here] * z[there])[both].sum())
                count += int(both.sum())
            value = total / max(count, 1.0)
            out[rows - 1 + dy, columns - 1 + dx] = out[rows - 1 - dy, columns - 1 - dx] = value
    return out


def _filter(error: NDArray[np.float64], noise: NDArray[np.float64], spot: tuple[int, int]) -> NDArray[np.float64]:
    """Wiener weights (rows, columns) for the error at the middle of the spot: C_e (C_e + C_n)^-1."""
    place = np.stack(np.meshgrid(*(np.arange(n) for n in spot), indexing="ij"), -1).reshape(-1, 2)
    lag = place[:, None] - place[None] + np.array(spot) - 1
    error_matrix, noise_matrix = _positive(error[lag[..., 0], lag[..., 1]]), _positive(noise[lag[..., 0], lag[..., 1]])
    middle = len(place) // 2
    ridge = 1e-3 * np.eye(len(place))
    return np.linalg.solve(error_matrix + noise_matrix + ridge, error_matrix[middle]).reshape(spot)


def _positive(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """The nearest matrix that can be a covariance: measured ones may have slightly negative eigenvalues."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.maximum(values, 0)) @ vectors.T
