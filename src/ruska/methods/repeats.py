"""The noise of repeated frames: what two frames of one place do not share. No assumption about the specimen.

A single micrograph cannot tell fine texture from noise; the difference of two frames holds no texture.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError
from ruska.image.grid import place_of
from ruska.methods.looking import LOOKED_AT, Readable, tell_noise
from ruska.physics.noise_level import NoiseLevel, noise_level_of_frames
from ruska.physics.noise_statistics import NoiseEstimate
from ruska.physics.valid_part import largest_rectangle

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Plane = NDArray[np.float64]

MOST_PAIRS = 8
_SMALLEST = 64  # pixels each way, of what both frames have
_ALIGNED = 512  # pixels each way by which drift is measured
_LAGS = 4
_CORRELATED = 0.08  # of neighbours, above which noise counts as correlated
_SMOOTH = 1.5  # px; standard deviation of the Gaussian that gives the specimen, whose drift is taken out
_DRIFT = 0.1  # px from frame to frame, above which drift is said
_FAR = 3.0  # px: beyond, frames cannot be said to show one place without being registered


@dataclass(frozen=True)
class Repeats:
    """What neighbouring frames say about their noise, in the grey levels of the source.

    pairs : that were compared. drift_px : median distance between the frames of a pair, as far as it was taken out.
    """

    noise: NoiseEstimate
    level: NoiseLevel
    pairs: int
    drift_px: float

    @property
    def note(self) -> str:
        """Where the noise is from, for the user."""
        pairs = f"{self.pairs} pair{'s' * (self.pairs > 1)}"
        return f"its noise comes from the differences between {pairs} of neighbouring frames"

    @property
    def warning(self) -> str | None:
        """The objection to it, if any."""
        if self.drift_px <= _DRIFT:
            return None
        return (f"neighbouring frames are shifted by about {self.drift_px:.2g} pixels, so their differences may "
                "contain some structure: register them first (ruska register)")  # fmt: skip


def tell_repeats(source: Readable, name: str) -> Repeats:
    """Measure the noise of repeated frames, and let every method that looks at ``source`` know it.

    Raises GeometryError where there are no two frames to compare, or they show different places.
    """
    found = noise_of_repeats(source)
    if found is None:
        raise GeometryError(name, "has no two frames of at least 64 x 64 pixels that could be repeats of one place",
                            "Leave out --repeated-frames, or give a movie (TYX).")  # fmt: skip
    if found.drift_px > _FAR:
        raise GeometryError(name, f"has frames shifted by about {found.drift_px:.2g} pixels, too far for their "
                            "differences to be noise", "Register them first: ruska register.")  # fmt: skip
    tell_noise(source, found.noise, found.level)
    return found


def noise_of_repeats(source: Readable) -> Repeats | None:
    """From up to 8 pairs of neighbours along the last axis before Y, evenly spaced; None where none is usable."""
    found = [one for pair in _pairs(source) if (one := _of_pair(*pair)) is not None]
    if not found:
        return None
    levels = sorted(found, key=lambda one: one[0].std)
    noise, level, _ = levels[len(levels) // 2]
    return Repeats(noise, level, len(found), float(np.median([drift for *_, drift in found])))


def _pairs(source: Readable) -> Iterator[tuple[Plane, Plane]]:
    *leading, height, width = source.shape
    if not leading or leading[-1] < 2:
        return
    window = [slice((n - s) // 2, (n - s) // 2 + s) for n, s in ((n, min(n, LOOKED_AT)) for n in (height, width))]
    steps = (*leading[:-1], leading[-1] - 1)
    total = math.prod(steps)
    for part in range(min(total, MOST_PAIRS)):
        *place, first = place_of(int((part + 0.5) * total / min(total, MOST_PAIRS)), steps)
        yield tuple(  # type: ignore[misc]
            _read(source, (*(slice(i, i + 1) for i in (*place, k)), *window)) for k in (first, first + 1)
        )


def _read(source: Readable, box: tuple[slice, ...]) -> Plane:
    plane: NDArray[Any] = getattr(source, "look", source.read)(box)
    return np.asarray(plane, dtype=np.float64).reshape(plane.shape[-2:])


def _of_pair(a: Plane, b: Plane) -> tuple[NoiseEstimate, NoiseLevel, float] | None:
    """Noise and drift (pixels) of two frames; None where they have too little in common, or do not differ."""
    part = largest_rectangle(np.isfinite(a) & np.isfinite(b))
    a, b = a[part], b[part]
    if min(a.shape) < _SMALLEST:
        return None
    whole = _whole_drift(a, b)
    a, b = _overlap(a, b, whole)
    if min(a.shape) < _SMALLEST:
        return None
    change, rest = _change(a, b)
    difference = (b - a - change) / math.sqrt(2)
    if not difference.std() > 0:
        return None
    level = noise_level_of_frames(np.stack([a, b - change]))
    return _estimate(difference), level, float(np.hypot(whole[0] + rest[0], whole[1] + rest[1]))


def _whole_drift(a: Plane, b: Plane) -> tuple[int, int]:
    """How far ``b`` lies down and right of ``a``, whole pixels: a shift by these does not interpolate the noise."""
    from ruska.registration import LEAST_CONFIDENCE, align

    middle = tuple(slice(max(0, (n - _ALIGNED) // 2), (n + _ALIGNED) // 2) for n in a.shape)
    try:
        found = align(a[middle], b[middle], strict=False)
    except GeometryError:
        return 0, 0
    if found.confidence < LEAST_CONFIDENCE:
        return 0, 0
    dy, dx = found.shift
    return -round(dy), -round(dx)


def _overlap(a: Plane, b: Plane, shift: tuple[int, int]) -> tuple[Plane, Plane]:
    """What both show, where ``b`` lies ``shift`` down and right."""
    ours = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(shift, a.shape, strict=True))
    theirs = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(shift, b.shape, strict=True))
    return a[ours], b[theirs]


def _change(a: Plane, b: Plane) -> tuple[Plane, tuple[float, float]]:
    """What changed from ``a`` to ``b`` besides the noise: brightness, contrast, and a drift of less than a pixel.

    The best fit of the smoothed specimen and its slopes; four numbers, which take no noise away. The drift is that of
    ``b``, down and right.
    """
    from scipy.ndimage import gaussian_filter

    mean = (a + b) / 2
    smooth, down, right = (gaussian_filter(mean, _SMOOTH, order) for order in (0, (1, 0), (0, 1)))
    known = np.stack([np.ones(mean.size), smooth.ravel(), down.ravel(), right.ravel()])
    parts, *_ = np.linalg.lstsq(known @ known.T, known @ (b - a).ravel(), rcond=None)
    return (parts @ known).reshape(mean.shape), (-float(parts[2]), -float(parts[3]))


def _estimate(noise: Plane) -> NoiseEstimate:
    """Of an image of nothing but noise (Y, X)."""
    noise = noise - noise.mean()
    variance = float((noise**2).mean())
    lags_y, lags_x = (
        tuple(float((s[k:] * s[:-k]).mean()) / variance for k in range(1, _LAGS + 1)) for s in (noise, noise.T)
    )
    correlated = max(lags_y[0], lags_x[0]) > _CORRELATED
    std = math.sqrt(variance)
    # streaks: along both axes where both share noise
    growth = math.prod(1 + 2 * sum(max(0.0, lag) for lag in lags) for lags in (lags_y, lags_x) if lags[0] > _CORRELATED)
    white = std * math.sqrt(growth) if correlated else std
    return NoiseEstimate(std, white, correlated, lags_y, lags_x, white)
