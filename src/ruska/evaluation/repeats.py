"""Signal-to-noise ratio and resolution from repeated frames of one place: no truth is needed.

Two frames share the specimen and not their noise, so their correlation r is signal variance over all variance. That
holds only for frames that share no input: a method that looks at five frames gives neighbours the same noise.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf, log10
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError, InputError
from ruska.evaluation.meaning import OF_FRAMES, meanings
from ruska.evaluation.placing import covered
from ruska.evaluation.summary import Place, Summary
from ruska.image.grid import place_of
from ruska.metrics import crossing, frc
from ruska.registration import LEAST_CONFIDENCE, align

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.image import Image
    from ruska.registration import Model

    Plane = NDArray[np.float64]

MOST_PAIRS, MOST_REGISTERED = 64, 16
MOST_PIXELS = 2048  # side of the central part of a large frame that is compared
_AXES = "TQZ"  # that frames may lie along, the likeliest first
_SMALLEST = 16  # pixels each way that must be left
_ALIGNED = 48  # pixels each way below which frames cannot be aligned
_DRIFT = 0.1  # pixels between compared frames, above which drift is said
_GLANCES = 3  # pairs whose drift is measured where it is not taken out
_EQUAL = 1e-9  # of 1 - r, below which frames are copies of each other


@dataclass(frozen=True)
class ChannelFrames:
    """Of one channel.

    pairs : that were compared. correlation : r of each pair. snr_db : 10 log10(r / (1 - r)) of the median r; infinite
    where frames are equal, minus infinity where they have nothing in common.
    resolution_px : period down to which the mean Fourier ring correlation stays above 1/7; 2 is the pixel's own limit.
    frequency, ring_correlation : that curve, cycles per pixel.
    drift_px : distance by which compared frames lie apart, where it could be measured.
    """

    pairs: int
    correlation: Summary
    snr_db: float
    resolution_px: float
    frequency: tuple[float, ...]
    ring_correlation: tuple[float, ...]
    drift_px: Summary | None


@dataclass(frozen=True)
class FrameScores:
    """What `score_frames` found.

    axis : along which the frames lie. frames : how many. apart : distance of the frames that were compared.
    window : frames that the method looked at for each, which decides ``apart``; 1 where none is known.
    registered : how drift was taken out, None where it was not. channels : by name or number. notes : how to read it.
    """

    axis: str
    frames: int
    apart: int
    window: int
    registered: str | None
    channels: dict[str, ChannelFrames]
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON-like; ``meaning`` explains each number."""
        found = asdict(self)
        return {**found, "meaning": meanings({"channels": next(iter(found["channels"].values()), {})}, OF_FRAMES)}


def score_frames(image: Image, *, apart: int | None = None, window: int = 1, model: Model | None = None) -> FrameScores:
    """Compare frames of one place, at least 16 pixels each way: at most 64 pairs a channel, evenly spaced.

    apart : distance of compared frames; as far as ``window`` asks for when None. window : see `FrameScores`.
    model : align each pair first (16 pairs at most); else drift lowers the figures, and is said.

    Raises GeometryError for a single frame, or too few for ``apart``; InputError where fewer than two are usable.
    """
    axis, count = _axis(image)
    distance = apart if apart is not None else max(1, window)
    if distance >= count:
        raise GeometryError(image.name, f"has {count} frames, too few for frames {distance} apart",
                            "Record more, or say with --apart how far apart frames are independent.")  # fmt: skip
    channels = {}
    for c in range(image.size("C") if "C" in image.axes else 1):
        channels[_title(image, c)] = _score_channel(image, axis, c, distance, model)
    notes = _notes(channels, distance, window, apart, model)
    return FrameScores(axis, count, distance, window, model, channels, notes)


def snr_db(correlation: float) -> float:
    """10 log10(r / (1 - r)). Source: Frank & Al-Ali (1975), Nature 256, 376."""
    if correlation <= 0:
        return -inf
    return inf if 1 - correlation < _EQUAL else 10 * log10(correlation / (1 - correlation))


def compared_places(image: Image, apart: int, most: int = MOST_PAIRS, channel: int = 0) -> list[tuple[Place, Place]]:
    """Pairs of frames, as indices over the axes before Y and X, evenly spaced."""
    axis, count = _axis(image)
    leading = image.axes[:-2]
    sizes = [count - apart if a == axis else 1 if a == "C" else n for a, n in zip(leading, image.shape, strict=False)]
    total = int(np.prod(sizes))
    pairs = []
    for k in np.unique(np.linspace(0, total - 1, min(total, most)).round().astype(int)):
        first = [channel if a == "C" else i for a, i in zip(leading, place_of(int(k), tuple(sizes)), strict=True)]
        second = [i + apart if a == axis else i for a, i in zip(leading, first, strict=True)]
        pairs.append((tuple(first), tuple(second)))
    return pairs


def read_frame(image: Image, place: Place) -> Plane:
    """The central part of a frame, (Y, X), float64; NaN where a pixel is not valid."""
    inner = [slice((n - s) // 2, (n - s) // 2 + s) for n, s in ((n, min(n, MOST_PIXELS)) for n in image.shape[-2:])]
    box = (*(slice(i, i + 1) for i in place), *inner)
    values = np.asarray(image.data[box], dtype=np.float64).reshape([s.stop - s.start for s in inner])
    if image.mask is not None:
        mask = np.broadcast_to(np.asarray(image.mask), image.shape)[box].reshape(values.shape)
        values = np.where(mask, values, np.nan)
    return np.where(np.isfinite(values), values, np.nan)


def _axis(image: Image) -> tuple[str, int]:
    for axis in _AXES:
        if axis in image.axes and image.size(axis) > 1:
            return axis, image.size(axis)
    raise GeometryError(image.name, f"is a single frame ({image.axes})",
                        "Give repeated frames of one place, TYX; --axes says what an axis is.")  # fmt: skip


def _title(image: Image, channel: int) -> str:
    names = image.channel_names
    return names[channel] if channel < len(names) and names[channel] else str(channel + 1)


def _score_channel(image: Image, axis: str, channel: int, apart: int, model: Model | None) -> ChannelFrames:
    places = compared_places(image, apart, MOST_PAIRS if model is None else MOST_REGISTERED, channel)
    glances = {round(k) for k in np.linspace(0, len(places) - 1, _GLANCES)}
    correlations, curves, drifts = [], [], []
    for number, (first, second) in enumerate(places):
        a, b = read_frame(image, first), read_frame(image, second)
        if model is not None or number in glances:
            b, drift = _aligned(a, b, model)
            drifts += [] if drift is None else [drift]
        if (pair := _usable(a, b)) is None:
            continue
        correlations.append(_correlation(*pair))
        curves.append(_ring_correlation(*pair))
    if not correlations:
        raise InputError(image.name, f"has no two usable frames {apart} apart along {axis}: blank, or with too "
                         "few valid pixels", "Cut blank frames off, or mask less.")  # fmt: skip
    frequency = curves[0][0]
    mean = np.mean([np.interp(frequency, *curve) for curve in curves], axis=0)
    return ChannelFrames(
        len(correlations), Summary.of(correlations), snr_db(float(np.median(correlations))),
        crossing(frequency, mean, 1 / 7) or 2.0, tuple(map(float, frequency)), tuple(map(float, mean)),
        Summary.of(drifts) if drifts else None,
    )  # fmt: skip


def _aligned(a: Plane, b: Plane, model: Model | None) -> tuple[Plane, float | None]:
    """``b`` on the grid of ``a`` (as it is where no model is given), and how far it lay away."""
    if min(a.shape) < _ALIGNED or not all(np.isfinite(one).any() and np.nanstd(one) > 0 for one in (a, b)):
        return b, None
    try:
        found = align(a, b, model or "shift", strict=model is not None, names=("frame", "later frame"))
    except GeometryError:
        if model is None:
            return b, None
        raise
    sure = found.confidence >= LEAST_CONFIDENCE
    return (b if model is None else found.apply(b)), float(np.hypot(*found.shift)) if sure else None


def _usable(a: Plane, b: Plane) -> tuple[Plane, Plane] | None:
    """The rectangle that both have; None where too little is left, or a frame is blank."""
    part = covered(np.isfinite(a) & np.isfinite(b))
    a, b = a[part], b[part]
    valid = np.isfinite(a) & np.isfinite(b)
    if min(a.shape) < _SMALLEST or not (np.std(a[valid]) > 0 and np.std(b[valid]) > 0):
        return None
    return np.where(valid, a, np.nan), np.where(valid, b, np.nan)


def _correlation(a: Plane, b: Plane) -> float:
    valid = np.isfinite(a) & np.isfinite(b)
    return float(np.corrcoef(a[valid], b[valid])[0, 1])


def _ring_correlation(a: Plane, b: Plane) -> tuple[Plane, Plane]:
    first, second = (np.where(np.isfinite(p), p, np.nanmean(p)) for p in (a, b))
    curve = frc(first, second)
    return curve.frequency, curve.correlation


def _notes(
    channels: dict[str, ChannelFrames], distance: int, window: int, apart: int | None, model: Model | None
) -> tuple[str, ...]:
    notes = []
    if window > 1 and apart is None:
        notes.append(f"The method looked at {window} frames for each, so frames {distance} apart were compared: nearer "
                     "ones share input.")  # fmt: skip
    elif window > distance:
        notes.append(f"The method looked at {window} frames for each, so frames {distance} apart share input, and the "
                     "figures are too good.")  # fmt: skip
    for name, found in channels.items():
        where = f"channel {name}: " if len(channels) > 1 else ""
        if found.snr_db == inf:
            notes.append(f"{where}the frames are equal, so the ratio is infinite: are they copies of one frame?")
        if found.snr_db == -inf:
            notes.append(f"{where}the frames have nothing in common (r = {found.correlation.median:.3g}): do they show "
                         "one place? If they drift, add --register.")  # fmt: skip
        if model is None and found.drift_px is not None and found.drift_px.median > _DRIFT:
            notes.append(f"{where}compared frames are shifted by {found.drift_px.median:.2g} pixels, which lowers the "
                         "numbers: add --register.")  # fmt: skip
    notes.append("Whatever else the frames have in common counts as signal: a fixed pattern of the detector, or what a "
                 "denoiser adds everywhere.")  # fmt: skip
    return tuple(notes)
