"""Intensity statistics of a whole source, streamed, and the normalisation made from them.

Measured once for the whole image or volume, never per block, so that every block is treated alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.engine.allocator import share_one_heap
from ruska.engine.validity import nan_where_invalid, read_filled
from ruska.errors import InputError
from ruska.image.grid import place_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.engine.contracts import Box, Progress, Source
    from ruska.image.held import Held

# Fixed, not taken from the memory limit, so that the statistics do not depend on it.
_BOX_VOXELS = 1 << 22
_SAMPLE_VOXELS = 1 << 20
_FULL_VOXELS = 1 << 30
"""Sources beyond this are measured on evenly spaced boxes that add up to about this many voxels."""
_FULL_CHUNKS = 1 << 18  # likewise for chunks, where they are small
_BOX_CHUNKS = 1 << 12
_MANY_CHUNKS = 1 << 12  # beyond which a source is asked how many of them are stored
_SPARSE_VOXELS = 1 << 25  # examined where almost nothing is stored


@dataclass(frozen=True)
class Normalisation:
    """``normalised = (raw - offset) / scale``; about 0 to 1 for the bulk of the pixels."""

    offset: float = 0.0
    scale: float = 1.0

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        """Raw to normalised, float32. 32-bit integers and float64 are shifted in float64 first."""
        wide = np.result_type(values.dtype, np.float32)
        out = values.astype(wide)
        out -= wide.type(self.offset)
        out /= wide.type(self.scale)
        return out.astype(np.float32, copy=False)

    def undo(self, values: NDArray[Any]) -> NDArray[Any]:
        """Normalised to raw, in float64."""
        out = values.astype(np.float64)
        out *= self.scale
        out += self.offset
        return out

    def undo_spread(self, values: NDArray[Any]) -> NDArray[Any]:
        """A normalised standard deviation to raw units, in float64, without the offset."""
        return values.astype(np.float64) * self.scale


@dataclass(frozen=True)
class ChannelScales:
    """A `Normalisation` for each channel, which maps dim and bright ones alike to about 0 to 1."""

    each: tuple[Normalisation, ...]

    def of(self, channels: slice) -> ChannelScales:
        """The scales of some channels."""
        return ChannelScales(self.each[channels])

    def apply(self, values: NDArray[Any], axis: int) -> NDArray[Any]:
        """Raw to normalised, float32; ``axis`` is the channel axis of ``values``."""
        out = np.empty(values.shape, np.float32)
        for channel, scale in enumerate(self.each):
            place = _along(axis, channel)
            out[place] = scale.apply(values[place])
        return out

    def undo(self, values: NDArray[Any], axis: int, spread: bool = False) -> NDArray[Any]:
        """Normalised to raw, in float64; ``spread`` : of standard deviations."""
        out = np.empty(values.shape, np.float64)
        for channel, scale in enumerate(self.each):
            place = _along(axis, channel)
            out[place] = scale.undo_spread(values[place]) if spread else scale.undo(values[place])
        return out


def _along(axis: int, channel: int) -> tuple[slice, ...]:
    return (*(slice(None),) * axis, slice(channel, channel + 1))


@dataclass(frozen=True)
class IntensityStatistics:
    """What the intensities of a source look like, in raw units.

    minimum, maximum, mean, std : over the finite voxels examined.
    low, high : the 0.1 and 99.9 percentiles.
    finite_fraction : share of voxels that are neither NaN nor infinite nor masked.
    saturated_low, saturated_high : share of voxels at the lowest and highest value, if so many voxels have it (over
        0.01 %) that the detector or the conversion must have clipped; otherwise 0.
    looked_at : share of all voxels that were read (1 except for very large sources).
    """

    minimum: float
    maximum: float
    mean: float
    std: float
    low: float
    high: float
    finite_fraction: float
    saturated_low: float
    saturated_high: float
    looked_at: float

    def normalisation(self) -> Normalisation:
        """Map the 0.1 percentile to 0 and the 99.9 percentile to 1 (the extremes, if these coincide)."""
        for low, high in ((self.low, self.high), (self.minimum, self.maximum)):
            if high > low:
                return Normalisation(low, high - low)
        return Normalisation(self.minimum, 1.0)

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


class NormalisedSource:
    """A source that is read as normalised float32; invalid voxels are filled by `read_filled` (raw units).

    fill : a number, or one for each channel, as an array that broadcasts over the source's axes.
    mask : True where a voxel is valid, of the shape and axes of ``source``; None where all are.
    """

    def __init__(
        self, source: Source, normalisation: Normalisation | ChannelScales, fill: float | NDArray[np.float64],
        mask: Source | None = None,
    ) -> None:  # fmt: skip
        self.source, self.normalisation, self.fill, self.mask = source, normalisation, fill, mask
        self.shape, self.axes, self.dtype = source.shape, source.axes, np.dtype(np.float32)

    def read(self, box: Box) -> NDArray[Any]:
        fill = self.fill
        if not isinstance(fill, float):
            fill = fill[tuple(part if n > 1 else slice(None) for part, n in zip(box, fill.shape, strict=True))]
        return self._scaled(read_filled(self.source.read, None if self.mask is None else self.mask.read, box,
                                        self.shape, fill)[0], box)  # fmt: skip

    def _scaled(self, values: NDArray[Any], box: Box) -> NDArray[Any]:
        if isinstance(self.normalisation, Normalisation):
            return self.normalisation.apply(values)
        axis = self.axes.index("C")
        return self.normalisation.of(box[axis]).apply(values, axis)

    def look(self, box: Box) -> NDArray[Any]:
        """Like `read`, for measuring: NaN where a voxel is invalid."""
        valid = None if self.mask is None else self.mask.read(box)
        return nan_where_invalid(self._scaled(self.source.read(box), box), valid)


@dataclass(frozen=True)
class Measured:
    """Statistics of a whole source, and of each channel if it has several."""

    whole: IntensityStatistics
    channels: tuple[IntensityStatistics, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        return {"statistics": self.whole.as_dict(), "channel_statistics": [c.as_dict() for c in self.channels]}

    @classmethod
    def of(cls, known: Mapping[str, Any]) -> Measured:
        """From `as_dict`."""
        channels = (IntensityStatistics(**c) for c in known.get("channel_statistics", ()))
        return cls(IntensityStatistics(**known["statistics"]), tuple(channels))


def measure_intensities(
    source: Source, name: str = "image", progress: Progress | None = None, mask: Source | None = None
) -> IntensityStatistics:
    """Stream over ``source`` once and return its statistics; InputError if no voxel is finite.

    mask : True where a voxel counts, of the shape and axes of ``source``; None: all that are finite.
    """
    return _measure(source, None, name, progress, mask).whole


def measure_channels(
    source: Source, name: str = "image", progress: Progress | None = None, mask: Source | None = None
) -> Measured:
    """`measure_intensities`, and of each channel in the same pass. A channel without finite voxels gets the whole's."""
    axis = source.axes.find("C")
    several = axis >= 0 and source.shape[axis] > 1
    return _measure(source, axis if several else None, name, progress, mask)


def _measure(
    source: Source, channels: int | None, name: str, progress: Progress | None, mask: Source | None
) -> Measured:
    share_one_heap()  # some formats decode in their own threads
    total = math.prod(source.shape)
    few = sparse(source)
    spread = _Boxes.over(source)
    boxes = spread if few is None else _held_boxes(source, few)
    stride = max(1, (total // spread.every if few is None else _SPARSE_VOXELS) // _SAMPLE_VOXELS)
    tally = _Tally(source.dtype, stride)
    each = [_Tally(source.dtype, stride) for _ in range(source.shape[channels] if channels is not None else 0)]
    for done, box in enumerate(boxes):
        values, valid = source.read(box), None if mask is None else mask.read(box)
        tally.add(values, valid)
        if channels is not None:
            for place, channel in enumerate(range(box[channels].start, box[channels].stop)):
                own = _along(channels, place)
                each[channel].add(values[own], None if valid is None else valid[own])
        if progress is not None:
            progress("measuring intensities", done + 1, len(boxes))
    if tally.finite == 0:
        raise InputError(name, "holds no finite value (all NaN or infinite)", "Check how the file was exported.")
    whole = tally.result(total)
    return Measured(whole, tuple(c.result(total // len(each)) if c.finite else whole for c in each))


def sparse(source: Any) -> Held | None:
    """Which chunks of a nearly empty source are stored; None for any other source.

    Only sources so large that reading their missing chunks would take long are checked.
    """
    chunks = getattr(source, "chunks", None) or source.shape
    claimed = math.prod(-(-n // c) for n, c in zip(source.shape, chunks, strict=True))
    if claimed <= _MANY_CHUNKS and math.prod(source.shape) <= _FULL_VOXELS:
        return None
    look = getattr(source, "held", None)
    found: Held | None = look() if look is not None else None
    return found if found is not None and found.is_sparse else None


@dataclass(frozen=True)
class _Boxes:
    """Boxes of shape ``extent`` that cover ``shape``, or every n-th of them. They are made on demand, never listed."""

    shape: tuple[int, ...]
    extent: tuple[int, ...]
    every: int

    @classmethod
    def over(cls, source: Source) -> _Boxes:
        """Boxes of about `_BOX_VOXELS`, of whole chunks if the source has chunks, with the last axes kept whole."""
        chunks = getattr(source, "chunks", None)
        extent = [min(g, n) for g, n in zip(chunks or (1,) * len(source.shape), source.shape, strict=True)]
        most = _BOX_VOXELS if chunks is None else min(_BOX_VOXELS, _BOX_CHUNKS * math.prod(extent))
        counted = 0 if chunks is None else math.prod(-(-n // c) for n, c in zip(source.shape, extent, strict=True))
        for axis in reversed(range(len(extent))):
            extent[axis] = min(source.shape[axis], extent[axis] * max(1, most // math.prod(extent)))
        every = max(1, -(-math.prod(source.shape) // _FULL_VOXELS), -(-counted // _FULL_CHUNKS))
        return cls(tuple(source.shape), tuple(extent), every)

    @property
    def grid(self) -> tuple[int, ...]:
        return tuple(-(-n // e) for n, e in zip(self.shape, self.extent, strict=True))

    def __len__(self) -> int:
        return -(-math.prod(self.grid) // self.every)

    def __iter__(self) -> Iterator[Box]:
        for number in range(0, math.prod(self.grid), self.every):
            start = [i * e for i, e in zip(place_of(number, self.grid), self.extent, strict=True)]
            yield tuple(slice(s, min(s + e, n)) for s, e, n in zip(start, self.extent, self.shape, strict=True))


def _held_boxes(source: Source, found: Held) -> list[Box]:
    """Boxes at the start of some stored chunks; if none is stored, of the first missing one."""
    chunks = getattr(source, "chunks", None) or source.shape
    first = tuple(slice(0, min(c, n)) for c, n in zip(chunks, source.shape, strict=True))
    boxes: list[Box] = []
    room = _SPARSE_VOXELS
    for box in found.boxes or (first,):
        shorter: list[slice] = []
        for axis, part in enumerate(box):
            others = math.prod(b.stop - b.start for b in box[axis + 1 :])
            taken = math.prod(b.stop - b.start for b in shorter)
            shorter.append(slice(part.start, min(part.stop, part.start + max(1, _BOX_VOXELS // (others * taken)))))
        room -= math.prod(b.stop - b.start for b in shorter)
        if room < 0 and boxes:
            break
        boxes.append(tuple(shorter))
    return boxes


class _Tally:
    """Running sums (Chan's pairwise update), and a histogram (8 and 16 bit: exact) or a sample for percentiles."""

    def __init__(self, dtype: np.dtype[Any], stride: int) -> None:
        self.counted = dtype.kind in "iub" and dtype.itemsize <= 2
        self.lowest_code = np.iinfo(dtype).min if dtype.kind == "i" else 0
        self.histogram = np.zeros(1 << (8 * dtype.itemsize) if self.counted else 0, np.int64)
        self.samples: list[NDArray[Any]] = []
        self.stride = stride
        self.seen = self.finite = 0
        self.mean = self.squares = 0.0
        self.minimum, self.maximum = np.inf, -np.inf
        self.at_extremes: dict[float, int] = {}

    def add(self, values: NDArray[Any], valid: NDArray[np.bool_] | None = None) -> None:
        flat = values.ravel()
        self.seen += flat.size
        flat = flat if valid is None else flat[valid.ravel()]
        if flat.dtype.kind == "f":
            finite = np.isfinite(flat)
            flat = flat if finite.all() else flat[finite]
        if flat.size == 0:
            return
        if self.counted:
            codes = flat.astype(np.int64) - self.lowest_code
            self.histogram += np.bincount(codes, minlength=self.histogram.size)
            self.finite += flat.size
            return
        # float64 sums of float64 values: a float32 accumulator loses digits over 10^9 voxels.
        mean = float(flat.mean(dtype=np.float64))
        # A NumPy scalar of the array's own float type keeps float32 boxes from doubling in size.
        centre = flat.dtype.type(mean) if flat.dtype.kind == "f" else np.float64(mean)
        squares = float(np.square(flat - centre, dtype=np.float64).sum())
        joined = self.finite + flat.size
        shift = mean - self.mean
        self.squares += squares + shift * shift * (self.finite / joined) * flat.size
        self.mean += shift * (flat.size / joined)
        self.finite = joined
        self._count_extremes(flat)
        self.samples.append(flat[:: self.stride].astype(np.float64))

    def _count_extremes(self, flat: NDArray[Any]) -> None:
        low, high = float(flat.min()), float(flat.max())
        self.minimum, self.maximum = min(self.minimum, low), max(self.maximum, high)
        for value in {low, high}:
            self.at_extremes[value] = self.at_extremes.get(value, 0) + int(np.count_nonzero(flat == value))

    def result(self, total: int) -> IntensityStatistics:
        if self.counted:
            return self._from_histogram(total)
        low, high = np.percentile(np.concatenate(self.samples), (0.1, 99.9))
        share = {v: self.at_extremes[v] / self.finite for v in (self.minimum, self.maximum)}
        return IntensityStatistics(
            self.minimum, self.maximum, self.mean, float(np.sqrt(self.squares / self.finite)), float(low), float(high),
            self.finite / self.seen, _if_clipped(share[self.minimum]), _if_clipped(share[self.maximum]),
            self.seen / total,
        )  # fmt: skip

    def _from_histogram(self, total: int) -> IntensityStatistics:
        codes = np.flatnonzero(self.histogram)
        counts, values = self.histogram[codes], codes.astype(np.float64) + self.lowest_code
        share = counts / counts.sum()
        mean = float(share @ values)
        below = np.cumsum(share)
        low, high = (float(values[min(int(np.searchsorted(below, q)), len(values) - 1)]) for q in (0.001, 0.999))
        return IntensityStatistics(
            float(values[0]), float(values[-1]), mean, float(np.sqrt(share @ np.square(values - mean))), low, high,
            self.finite / self.seen, _if_clipped(share[0]), _if_clipped(share[-1]), self.seen / total,
        )  # fmt: skip


def _if_clipped(share: float) -> float:
    return float(share) if share > 1e-4 else 0.0
