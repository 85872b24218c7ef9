"""What is corrected in an image before it is restored: pixels far off from their neighbours, and interference.

A hot pixel or an X-ray hit is not the noise that a denoiser expects: it would become a star with rings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.engine import ArraySource, OneChannel
from ruska.engine.validity import BroadcastMask, ValidSource, mask_of
from ruska.image import Image
from ruska.image.changed import ChangedArray
from ruska.image.image import CroppedArray
from ruska.methods.looking import planes_to_look_at
from ruska.physics import NoiseLevel
from ruska.physics.defects import (
    OUTLIER_REACH,
    REPAIR_REACH,
    OutlierLimits,
    find_outliers,
    mend_outliers,
    outlier_limits,
)
from ruska.pipeline.interference import CleanedArray, as_json, cleaned, facts_of, sentence_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.image import LazyArray
    from ruska.pipeline.request import RunOptions

    Box = tuple[slice, ...]

_MARGIN = OUTLIER_REACH + REPAIR_REACH
_STRIP = 1 << 18  # pixels examined at once
_PLANES, _MOST_PLANES = 5, 15  # of a channel whose noise is measured, and of all channels together


@dataclass
class Tally:
    """How many outliers were counted.

    hot, dead : far brighter, and far darker, than all around. of : pixels examined so far. whole : pixels in all.
    """

    whole: int
    hot: int = 0
    dead: int = 0
    of: int = 0

    @property
    def found(self) -> int:
        return self.hot + self.dead

    @property
    def clean(self) -> bool:
        """Whether every pixel was examined and none is an outlier."""
        return self.of >= self.whole and not self.found


@dataclass(frozen=True, eq=False)
class MendedArray(ChangedArray):
    """An array (.., Y, X) that replaces outliers by the median of their neighbours as it is read.

    It reads a few more pixels on each side, so the values do not depend on how the array is cut into boxes.

    limits : what outliers must exceed, by channel; None: the channel is left alone. channel_axis : of the array, None
    where it has one channel. mask : True where a pixel is valid, of the array's shape or broadcast to it, or None.
    """

    limits: tuple[OutlierLimits | None, ...]
    channel_axis: int | None
    mask: NDArray[np.bool_] | LazyArray | None
    tally: Tally

    def __getitem__(self, box: Box) -> NDArray[Any]:
        return np.asarray(self.array[box]) if self.tally.clean else self.looked_at(box)[0]

    def looked_at(self, box: Box) -> tuple[NDArray[Any], int, int]:
        """The mended box, and how many of its pixels are hot and dead."""
        raw, inner = self._read(box)
        values, hot, dead = raw[(..., *inner)], 0, 0
        mended = False
        for strip in self._strips(box, raw, inner):
            hot, dead = hot + int(strip.hot[strip.core].sum()), dead + int(strip.dead[strip.core].sum())
            both = strip.hot | strip.dead
            if not both[strip.core].any():
                continue
            if not mended:  # what was read may be somebody else's array
                values, mended = values.copy(), True
            changed = strip.values.copy()
            mend_outliers(changed, both, strip.valid)
            values[strip.target] = changed[strip.core]
        return values, hot, dead

    def outliers(self, box: Box) -> NDArray[np.bool_]:
        """Where the pixels of a box are outliers."""
        found = np.zeros([part.stop - part.start for part in box], dtype=bool)
        if not self.tally.clean:
            for strip in self._strips(box, *self._read(box)):
                found[strip.target] = (strip.hot | strip.dead)[strip.core]
        return found

    def _read(self, box: Box) -> tuple[NDArray[Any], tuple[slice, slice]]:
        """The stored values of a box and its margin, and where in them, along Y and X, the box lies."""
        wide, inner = self._wide(box)
        return np.asarray(self.array[wide]), inner

    def _wide(self, box: Box) -> tuple[Box, tuple[slice, slice]]:
        wide, inner = list(box), []
        for axis in (-2, -1):
            part, n = box[axis], self.shape[axis]
            start = max(0, part.start - _MARGIN)
            wide[axis] = slice(start, min(n, part.stop + _MARGIN))
            inner.append(slice(part.start - start, part.stop - start))
        return tuple(wide), (inner[0], inner[1])

    def _strips(self, box: Box, raw: NDArray[Any], inner: tuple[slice, slice]) -> Iterator[_Strip]:
        """Strips of rows, plane by plane, each with its margin, so that little memory is used at once."""
        valid = None if self.mask is None else BroadcastMask(self.mask, self.shape)[self._wide(box)[0]]
        rows, columns = inner
        step = max(1, _STRIP // raw.shape[-1])
        for place in np.ndindex(raw.shape[:-2]):
            channel = 0 if self.channel_axis is None else box[self.channel_axis].start + place[self.channel_axis]
            limits = self.limits[channel]
            if limits is None:
                continue
            for first in range(rows.start, rows.stop, step):
                last = min(first + step, rows.stop)
                start, stop = max(0, first - _MARGIN), last + _MARGIN
                values = raw[place][start:stop]
                usable = None if valid is None else valid[place][start:stop]
                yield _Strip((*place, slice(first - rows.start, last - rows.start)),
                             (slice(first - start, last - start), columns),
                             values, usable, *find_outliers(values, limits, usable))  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Strip:
    """Some rows of a plane, with their margin.

    target : where the rows lie in the box. core : where they lie in ``values``. valid : None where everything is.
    """

    target: tuple[Any, ...]
    core: tuple[slice, slice]
    values: NDArray[Any]
    valid: NDArray[np.bool_] | None
    hot: NDArray[np.bool_]
    dead: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Marks:
    """True where a pixel of ``array`` is an outlier, worked out as it is read."""

    array: MendedArray

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(bool)

    def __getitem__(self, box: Box) -> NDArray[np.bool_]:
        return self.array.outliers(box)


@dataclass(frozen=True, eq=False)
class ValidArray:
    """A mask of valid pixels, read lazily: those of ``mask`` (None: all) that are not among ``marks``."""

    marks: LazyArray
    mask: NDArray[np.bool_] | LazyArray | None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.marks.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(bool)

    def __getitem__(self, box: Box) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = ~np.asarray(self.marks[box])
        return found if self.mask is None else found & BroadcastMask(self.mask, self.shape)[box]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self[tuple(slice(0, n) for n in self.shape)].astype(dtype or bool, copy=False)


class _CountingSource(ArraySource):
    """A mended source that counts the outliers while it is read from one end to the other."""

    def read(self, box: Box) -> NDArray[Any]:
        cleaned = self.array if isinstance(self.array, CleanedArray) else None
        mended = self.array if cleaned is None else cleaned.array
        assert isinstance(mended, MendedArray)
        values, hot, dead = mended.looked_at(box)
        tally = mended.tally
        tally.hot, tally.dead, tally.of = tally.hot + hot, tally.dead + dead, tally.of + values.size
        return values if cleaned is None else cleaned.cleaned(values, box)


@dataclass(frozen=True)
class Conditions:
    """What was corrected in an image before it is restored.

    asked : the value of `RunOptions.outliers`. mended : the array without outliers; None where they are left, or not
    looked for. cleaned : the array without periodic interference; None where it is left.
    """

    asked: str = "mend"
    mended: MendedArray | None = None
    cleaned: CleanedArray | None = None

    def counting(self, source: ArraySource) -> ArraySource:
        """``source``, of the conditioned image, counting outliers while every pixel is read once."""
        return source if self.mended is None else _CountingSource(source.array, source.axes)

    def facts(self) -> dict[str, Any]:
        """For the run record, JSON-like."""
        removed = {} if self.cleaned is None else {"interference": facts_of(self.cleaned.found)}
        return {"outliers": self._outliers(), **removed}

    def _outliers(self) -> dict[str, Any] | None:
        if self.mended is None:
            return {"mended": False} if self.asked == "keep" else None
        tally = self.mended.tally
        return {"found": tally.found, "of": tally.of, "hot": tally.hot, "dead": tally.dead, "mended": True}

    def sentences(self) -> tuple[str, ...]:
        """What to tell the user; usually nothing."""
        return (*self._of_outliers(), *(() if self.cleaned is None else (sentence_of(self.cleaned.found),)))

    def _of_outliers(self) -> tuple[str, ...]:
        if self.mended is None or not self.mended.tally.found:
            return ()
        tally = self.mended.tally
        kinds = [f"{count} {name}" for count, name in ((tally.hot, "hot"), (tally.dead, "dead")) if count]
        of = f"{tally.of}" if tally.of >= tally.whole else f"the {tally.of} examined"
        noun, were = ("pixels", "were") if tally.found > 1 else ("pixel", "was")
        return (f"{' and '.join(kinds)} {noun} (of {of}) {were} replaced by the median of the neighbours before "
                "restoring; pass --keep-outliers to leave them",)  # fmt: skip

    def remembered(self) -> dict[str, Any] | None:
        """What a resumed run needs to know, JSON-like."""
        kept: dict[str, Any] = {}
        if self.mended is not None:
            kept["limits"] = [None if found is None else asdict(found) for found in self.mended.limits]
            kept["tally"] = asdict(self.mended.tally)
        if self.cleaned is not None:
            kept["interference"] = as_json(self.cleaned.found)
        return kept or None

    def marks(self, part: Image) -> LazyArray | None:
        """True where a pixel of the conditioned image, or of a region of it, was mended; None if none was."""
        if self.mended is None or not self.mended.tally.found:
            return None
        marks = Marks(self.mended)
        return CroppedArray(marks, part.data.box) if isinstance(part.data, CroppedArray) else marks


def conditioned(
    image: Image, options: RunOptions, remembered: Mapping[str, Any] | None = None
) -> tuple[Image, Conditions]:
    """The image ready to be restored, read lazily, and what was corrected in it.

    remembered : `Conditions.remembered` of the same job, when it resumes.

    Outliers are mended in images of at least 64 x 64 pixels that have noise; labels and masks stay as they are. Then
    periodic interference is removed, where that was asked for.
    """
    image, conditions = _mended(image, options, remembered)
    if options.interference == "remove":
        array = cleaned(image, (remembered or {}).get("interference", ()))
        if array is not None:
            return replace(image, data=array), replace(conditions, cleaned=array)
    return image, conditions


def _mended(image: Image, options: RunOptions, remembered: Mapping[str, Any] | None) -> tuple[Image, Conditions]:
    kept = Conditions(options.outliers)
    if options.outliers == "keep" or image.meaning == "labels" or image.dtype.kind not in "iuf":
        return image, kept
    axis = image.axes.index("C") if "C" in image.axes else None
    if remembered is not None and "limits" in remembered:
        limits = tuple(None if known is None else _limits_of(known) for known in remembered["limits"])
        tally = Tally(**remembered["tally"])
    else:
        channels = range(image.size("C"))
        count = max(1, min(_PLANES, _MOST_PLANES // len(channels)))
        sources = [_channel(image, number) for number in channels]
        limits = tuple(outlier_limits(planes_to_look_at(source, count=count)) for source in sources)
        tally = Tally(math.prod(image.shape))
    if all(found is None for found in limits):
        return image, kept
    mended = MendedArray(image.data, limits, axis, image.mask, tally)
    return replace(image, data=mended), Conditions(options.outliers, mended)


def _limits_of(known: Mapping[str, Any]) -> OutlierLimits:
    """As JSON has it: lists for tuples."""
    line = known["level"]
    level = NoiseLevel(line["gain"], line["intercept"], tuple(line["levels"]), tuple(line["variances"]))
    return OutlierLimits(**{**known, "level": level})


def _channel(image: Image, number: int) -> ValidSource:
    """One channel of an image, or an image without channels, NaN where it is invalid."""
    source, mask = ArraySource(image.data, image.axes), mask_of(image, stacked=False)
    if "C" not in image.axes:
        return ValidSource(source, mask)
    return ValidSource(OneChannel(source, number), None if mask is None else OneChannel(mask, number))
