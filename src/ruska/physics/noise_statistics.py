"""Estimating the noise of one 2D micrograph from nothing but the micrograph.

A steep high-pass along one axis leaves noise and little structure, and does not touch how the noise is
correlated along the *other* axis. So the columns tell the noise level and its correlation along the scan line,
and the rows tell the same for correlation down the columns. Only the least structured patches are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from math import exp
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEEP = np.array([1.0, -4.0, 6.0, -4.0, 1.0]) / np.sqrt(70.0)  # fourth difference with unit noise gain
_LAGS = 4
_LEVELS = 4  # groups of patches by brightness, because noise grows with the signal
_QUIET = 0.15  # share of the patches of each group that is looked at
_CUT = 0.02  # share of its pixels at the lowest or highest value, from which a patch counts as cut off there
_MUCH_CUT = 0.25  # share of the patches cut off at the lowest value, from which that is what the image is like
_ALIKE = 0.9  # share of neighbours along X that are equal, above which nothing in a patch is noise
_MOST_PIXELS = 2048  # side of the central part that is looked at


@dataclass(frozen=True)
class NoiseEstimate:
    """What one micrograph says about its noise, in the micrograph's own grey levels.

    std : standard deviation of the noise in a pixel, root mean square over dark and bright parts.
    white_equivalent_std : standard deviation of the white noise that is as strong as this noise where it is
        strongest, at low spatial frequency. Equals ``std`` for white noise. A denoiser made for white noise
        must be told this one, or it leaves the streaks.
    correlated : whether neighbouring pixels share noise.
    lags_y, lags_x : correlation of the noise with that 1, 2, .. pixels further along Y and X.
    coarse_std : the same as ``white_equivalent_std``, from detail of about 8 pixels; larger for noise smoothed along
        both axes, where it may hold some structure too.
    """

    std: float
    white_equivalent_std: float
    correlated: bool
    lags_y: tuple[float, ...]
    lags_x: tuple[float, ...]
    coarse_std: float
    error: float | None = None
    grows: bool | None = None

    @property
    def within(self) -> tuple[float, float] | None:
        """Lowest and highest ``std`` that are likely, twice the usual error each way: about nine times in ten."""
        return None if self.error is None else (self.std * exp(-2 * self.error), self.std * exp(2 * self.error))

    @property
    def lag1(self) -> tuple[float, float]:
        """Correlation of the noise of neighbours along (Y, X)."""
        return self.lags_y[0], self.lags_x[0]

    @property
    def reason(self) -> str:
        """One sentence for the user."""
        y, x = self.lag1
        if not self.correlated and min(y, x) > _SMOOTHED:
            return ("Neighbours resemble each other along both axes, as in fine structure; the noise level is that of "
                    "the finest scale and may be too low.")  # fmt: skip
        if not self.correlated:
            return "The noise is independent from pixel to pixel."
        if abs(x - y) < _ANISOTROPY:
            return ("Neighbours share noise along rows and columns alike, as after smoothing or resampling: to a "
                    f"denoiser it is like white noise of about {self.white_equivalent_std:.3g}.")  # fmt: skip
        axis, lag = ("row", x) if x > y else ("column", y)
        return (f"Neighbours in a {axis} share noise (correlation {lag:.2f}): to a denoiser it is like white "
                f"noise {self.white_equivalent_std / max(self.std, 1e-30):.1f} times as strong.")  # fmt: skip

    def scaled(self, factor: float) -> NoiseEstimate:
        """The same noise where grey levels are ``factor`` times as large."""
        return replace(self, std=self.std * factor, white_equivalent_std=self.white_equivalent_std * factor,
                       coarse_std=self.coarse_std * factor)  # fmt: skip


def estimate_noise_std(image2d: NDArray[Any]) -> float:
    """White-equivalent noise level of ``image2d`` (Y, X), in its own grey levels: the strength for a denoiser."""
    return estimate_noise(image2d).white_equivalent_std


def estimate_noise(image2d: NDArray[Any]) -> NoiseEstimate:
    """Estimate the noise of one micrograph.

    Parameters
    ----------
    image2d : (Y, X), any real dtype and range; at least 16 pixels each way. NaN and infinite pixels are left out.

    Raises
    ------
    GeometryError : the image is not 2D, is smaller than 16 pixels, or has hardly any finite pixels.

    The level is exact for white and scan-line noise where the micrograph has unstructured patches; fine texture
    that fills the whole image cannot be told from noise and is counted as noise.
    Source: the high-pass follows Immerkær (1996), Computer Vision and Image Understanding 64, 300. Differs: one
    axis at a time and steeper, over selected patches, so that correlation can be measured.
    """
    image, valid = _central(image2d)
    side = int(np.clip(min(image.shape) // 12, 8, 24))
    quiet = _quiet_patches(image, valid, side)
    variance_y, along_x = _column_statistics(image, side, quiet)
    variance_x, along_y = _column_statistics(image.T, side, [group.T for group in quiet])
    excess = along_x[0] - along_y[0]
    std_y, std_x = np.sqrt(variance_y), np.sqrt(variance_x)
    both = tuple(float(v) for v in along_y), tuple(float(v) for v in along_x)
    if abs(excess) < _ANISOTROPY:
        fine = min(_diagonal_std(image, side, quiet), float(std_y), float(std_x))
        if min(both[0][0], both[1][0]) > _SMOOTHED:
            return _alike_both_ways(image, valid, float(np.sqrt(std_x * std_y)), fine, both)
        return NoiseEstimate(fine, fine, False, *both, fine)
    std, lags = (std_y, along_x) if excess > 0 else (std_x, along_y)
    white = float(std * np.sqrt(1 + 2 * np.clip(lags, 0, None).sum()))
    return NoiseEstimate(float(std), white, True, *both, white)


def _alike_both_ways(
    image: NDArray[np.float64],
    valid: NDArray[np.bool_],
    std: float,
    fine: float,
    lags: tuple[tuple[float, ...], tuple[float, ...]],
) -> NoiseEstimate:
    """Neighbours resemble each other along both axes: smoothed noise, or structure as fine as a pixel.

    Noise has a floor: after 2 x 2 binning the quiet patches are all about equally restless. Structure has none.
    """
    structure = NoiseEstimate(fine, fine, False, *lags, fine)
    if min(image.shape) < 128:
        return structure
    levels = []
    for factor in (2, 4):
        binned, whole = (_patches(a, factor).mean((2, 3)) for a in (image, valid.astype(np.float64)))
        side = int(np.clip(min(binned.shape) // 12, 8, 16))
        square = np.sort(
            (_patches(_steep_both(binned), side) ** 2).mean((2, 3))[_patches(whole == 1, side).all((2, 3))]
        )
        if square.size < 16:
            return structure
        lowest, low, middle = np.sqrt(np.quantile(square, (0.03, 0.15, 0.5)))
        if factor == 2 and (low > _FLOOR[0] * lowest or middle > _FLOOR[1] * lowest):
            return structure
        levels.append(float(low) * factor)
    binned_twice, coarse = levels
    if binned_twice < 1.3 * fine:
        return structure
    # 2 x 2 binning still misses some of the noise and 4 x 4 may hold some structure: between the two
    white = float(np.sqrt(binned_twice * max(coarse, binned_twice)))
    return NoiseEstimate(max(std, binned_twice / 2), white, True, *lags, max(coarse, white))


_ANISOTROPY = 0.2  # lag-1 correlation along one axis, over that along the other, that counts
_SMOOTHED = 0.3  # lag-1 correlation along both axes that may be smoothed noise; fine membranes reach 0.25
_FLOOR = (1.22, 1.5)  # how much more restless the 15 % and the 50 % quietest patches may be than the 3 % quietest


def _central(image2d: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """The central part with holes filled by its mean, and where no hole is near."""
    from scipy.ndimage import binary_erosion

    if image2d.ndim != 2 or min(image2d.shape) < 16:
        raise GeometryError("noise estimate", f"got shape {image2d.shape}, expected a 2D image of at least 16 pixels")
    box = tuple(slice((n - min(n, _MOST_PIXELS)) // 2, (n + min(n, _MOST_PIXELS)) // 2) for n in image2d.shape)
    image = np.asarray(image2d[box], dtype=np.float64)
    valid = np.isfinite(image)
    if valid.mean() < 0.5:
        raise GeometryError("noise estimate", "more than half of the pixels are NaN or infinite")
    if valid.all():
        return image, valid
    reach = np.ones((5, 5), dtype=bool)  # of the high-pass
    return np.where(valid, image, image[valid].mean()), binary_erosion(valid, reach, border_value=1)


def _patches(image: NDArray[Any], side: int) -> NDArray[Any]:
    """Cut (Y, X) into (rows, columns, side, side), dropping the remainder."""
    rows, columns = (n // side for n in image.shape)
    return image[: rows * side, : columns * side].reshape(rows, side, columns, side).swapaxes(1, 2)


def column_variances(image2d: NDArray[Any], count: int) -> tuple[list[float], list[float]]:
    """Mean grey level and noise variance of the least structured patches of ``count`` groups by brightness.

    Measured along the axis along which the noise is not shared.
    """
    image, valid = _central(image2d)
    side = int(np.clip(min(image.shape) // 16, 8, 16))
    groups = _quiet_patches(image, valid, side, count)
    along_x = _column_statistics(image, side, groups)[1][0]
    along_y = _column_statistics(image.T, side, [group.T for group in groups])[1][0]
    mean = _patches(image, side).mean((2, 3))
    axes = (0, 1) if abs(along_x - along_y) < _ANISOTROPY else (0,) if along_x > along_y else (1,)
    squares = [(high**2).mean((1, 2)) for high in _steep_patches(image, side, groups, axes)]
    return [float(mean[g].mean()) for g in groups], [float(np.median(square)) for square in squares]


def _quiet_patches(
    image: NDArray[np.float64], valid: NDArray[np.bool_], side: int, count: int = _LEVELS
) -> list[NDArray[np.bool_]]:
    """For each brightness group, a map (patch rows, patch columns) of its least structured patches."""
    patches = _patches(image, side)
    mean = patches.mean((2, 3))
    half = side // 4
    blocks = patches[..., : half * 4, : half * 4].reshape(*mean.shape, half, 4, half, 4).mean((3, 5))
    structure = blocks.std((2, 3))  # of 4 x 4 means: chosen by what is coarse, measured by what is fine
    whole = np.asarray(_patches(valid, side).all((2, 3)))
    usable = _usable(patches, whole, image)
    edges = np.quantile(mean[usable], np.linspace(0, 1, count + 1))
    groups = []
    for low, high in pairwise(edges):
        group = usable & (mean >= low) & (mean <= high)
        if group.any():  # of very few patches, none may lie between two quantiles
            groups.append(_least(structure, group, _QUIET))
    return groups


def _usable(patches: NDArray[np.float64], whole: NDArray[np.bool_], image: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which patches tell the noise: no constant ones, which are padding, and none that is cut off, where others are.

    Of labels and drawings, constant patches are what there is: the others hold edges alone.

    Of an image much of which is cut off at its lowest value (black that lies below zero, single counts), what is left
    of the rest would be its bright structures alone: there, the noise of the dark is that of what was recorded.
    """
    low, high = ((patches == end).mean((2, 3)) for end in (image.min(), image.max()))
    constant = patches.max((2, 3)) == patches.min((2, 3))
    there = whole & ~constant
    if constant.any() and there.any():
        there = whole if _drawn(patches[there]) else _away(there, constant)
    cut = (high > _CUT) | (low > _CUT)
    if there.any() and (low[there] > _CUT).mean() > _MUCH_CUT:
        cut = high > _CUT
    return next(m for m in (there & ~cut, there, whole, np.ones_like(whole)) if m.any())


def _away(there: NDArray[np.bool_], constant: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Patches ``there`` that touch no ``constant`` one, over whose edge the high-pass reaches; all where most do."""
    from scipy.ndimage import binary_dilation

    away = there & ~np.asarray(binary_dilation(constant, np.ones((3, 3))))
    return away if away.sum() > there.sum() / 2 else there


def _drawn(patches: NDArray[np.float64]) -> bool:
    """Whether patches (n, side, side) are areas of equal pixels with edges between them."""
    return bool(np.median((patches[..., 1:] == patches[..., :-1]).mean((1, 2))) > _ALIKE)


def _least(values: NDArray[np.float64], among: NDArray[np.bool_], share: float) -> NDArray[np.bool_]:
    """The ``share`` of the places ``among`` with the least values; no more where many are alike, as in labels."""
    places = np.flatnonzero(among)
    count = int(share * (places.size - 1)) + 1
    least = np.zeros(among.size, dtype=bool)
    least[places[np.argsort(values.ravel()[places], kind="stable")[:count]]] = True
    return least.reshape(among.shape)


def _column_statistics(
    image: NDArray[np.float64], side: int, groups: list[NDArray[np.bool_]]
) -> tuple[float, NDArray[np.float64]]:
    """Noise variance, and correlation along X at lags 1.. of what a steep high-pass along Y leaves."""
    variances, lags = [], []
    for chosen in _steep_patches(image, side, groups, (0,)):
        square = (chosen**2).mean((1, 2))
        variances.append(np.median(square))
        shifted = [(chosen[..., k:] * chosen[..., :-k]).mean((1, 2)) for k in range(1, _LAGS + 1)]
        lags.append([np.median(s / np.maximum(square, 1e-30)) for s in shifted])
    return float(np.mean(variances)), np.average(lags, axis=0, weights=np.maximum(variances, 1e-30))


def _diagonal_std(image: NDArray[np.float64], side: int, groups: list[NDArray[np.bool_]]) -> float:
    """Level of what a high-pass along both axes leaves: less structure than one axis, exact for white noise only."""
    squares = ((high**2).mean((1, 2)) for high in _steep_patches(image, side, groups, (0, 1)))
    return float(np.sqrt(np.mean([np.median(square) for square in squares])))


def _steep_patches(
    image: NDArray[np.float64], side: int, groups: list[NDArray[np.bool_]], axes: tuple[int, ...]
) -> Iterator[NDArray[np.float64]]:
    """For each group its patches (n, side, side), high-passed along ``axes``; the rest of the image is not."""
    reach = len(_STEEP) // 2
    padded = np.pad(image, reach, mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side + 2 * reach,) * 2)
    for group in groups:
        rows, columns = np.nonzero(group)
        high = windows[rows * side, columns * side]
        for axis in (1, 2):
            before = (slice(None),) * axis
            near = [high[(*before, slice(k, k + side))] for k in range(2 * reach + 1)]
            pairs = (c * (near[k] + near[-1 - k]) for k, c in enumerate(_STEEP[:reach]))  # exactly 0 where all is even
            high = sum(pairs, _STEEP[reach] * near[reach]) if axis - 1 in axes else near[reach]
        yield high


def _steep_both(image: NDArray[np.float64]) -> NDArray[np.float64]:
    return _steep(_steep(image, 0), 1)


def _steep(image: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    from scipy.ndimage import correlate1d

    return correlate1d(image, _STEEP, axis=axis, mode="reflect")
