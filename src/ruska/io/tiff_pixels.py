"""Pixels of a TIFF series, read strip by strip or tile by tile as needed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ruska.errors import InputError, RuskaError
from ruska.io.cache import ArrayCache
from ruska.io.grey import luminance
from ruska.io.lazy import LazyPixels
from ruska.io.raw import read_raw

if TYPE_CHECKING:
    from numpy.typing import NDArray

Colour = Literal["single", "first", "grey", "channels"]
"""What becomes of the samples of a pixel: there is one; the first is taken; grey of the first three; a C axis."""


@dataclass(frozen=True)
class Page:
    """Offset and length in bytes of each strip or tile of a page; length 0 is an empty one."""

    file: Path
    offsets: tuple[int, ...]
    counts: tuple[int, ...]
    jpeg_tables: bytes | None = None


@dataclass(frozen=True)
class Stored:
    """How the pages of a series are laid out.

    path : the file that was opened.
    pages : one per image file directory, None where it is missing (read as zero). When ``whole``, the first
        page is the start of one uncompressed run that holds all pages of the series.
    shape : of a page, (separate samples, depth, rows, columns, interleaved samples).
    segment : of a strip or tile, (depth, rows, columns).
    dtype : as stored, with its byte order when ``raw``.
    raw : every page is one uncompressed run.
    decode : ``decode(bytes, index, jpegtables=...)`` of tifffile, returning (values, position, shape).
    transform : what is applied to decoded values, or None.
    described : the OME-XML of the image, where it stands in a companion file. colours : that these were asked for.
    """

    path: Path
    pages: tuple[Page | None, ...]
    shape: tuple[int, int, int, int, int]
    segment: tuple[int, int, int]
    dtype: np.dtype[Any]
    raw: bool
    whole: bool
    decode: Callable[..., Any]
    transform: Callable[..., Any] | None = None
    described: str | None = None
    colours: bool = False

    @property
    def files(self) -> tuple[Path, ...]:
        """Those of the pages."""
        return tuple(dict.fromkeys(page.file for page in self.pages if page is not None))

    @property
    def samples(self) -> int:
        return self.shape[0] * self.shape[4]

    @property
    def page_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    def page(self, index: int) -> Page | None:
        if not self.whole:
            return self.pages[index]
        first = self.pages[0]
        assert first is not None
        return Page(first.file, (first.offsets[0] + index * self.page_bytes,), (self.page_bytes,))


class TiffPixels(LazyPixels):
    """Pixels of a TIFF series. The file is open only while a box is being read.

    steps : per axis before YX, how many planes further its next index lies; 0 for the C axis made of samples.
    palette : grey level per stored index, or None.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        stored: Stored,
        steps: tuple[int, ...],
        colour: Colour,
        palette: NDArray[Any] | None = None,
        dtype: Any = None,
    ) -> None:
        if dtype is None:
            dtype = (stored.dtype if palette is None else palette.dtype).newbyteorder("=")
        super().__init__(shape, dtype)
        self.stored, self.steps, self.colour, self.palette = stored, steps, colour, palette
        self.path = stored.path
        if len(files := stored.files) > 1 or files != (stored.path,):
            self.files = tuple(dict.fromkeys((stored.path, *files)))
        _, rows, columns = stored.segment
        self.chunks = (
            None if stored.raw else (*(1,) * len(steps), min(rows, self.shape[-2]), min(columns, self.shape[-1]))
        )
        self._cache = ArrayCache()  # so that the halo of the next block is not decoded again

    def __reduce__(self) -> Any:
        # Decoders are closures: another process opens the file anew.
        return _reopen, (self.stored.path, self.stored.described, self.stored.colours)

    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        out = np.empty(tuple(part.stop - part.start for part in box), self.dtype)
        if out.size == 0:
            return out
        rows, columns = box[-2:]
        lead = [part for part, step in zip(box, self.steps, strict=False) if step]
        steps = [step for step in self.steps if step]
        places = product(*(range(part.stop - part.start) for part in lead))
        for place in places:
            plane = sum((part.start + i) * step for part, i, step in zip(lead, place, steps, strict=True))
            values = self.read_plane(plane, rows, columns)
            indices = iter(place)
            target = tuple(next(indices) if step else slice(None) for step in self.steps)
            if self.colour == "channels":
                at = self.steps.index(0)
                out[target] = np.moveaxis(values[..., box[at]], -1, 0)
            else:
                out[target] = self._grey(values)
        return out

    def _grey(self, values: NDArray[Any]) -> NDArray[Any]:
        grey: NDArray[Any] = luminance(values[..., :3]) if self.colour == "grey" else values[..., 0]
        return grey if self.palette is None else self.palette[grey]

    def read_plane(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Part of a plane, (rows, columns, samples), native byte order; every failure of a codec is an InputError."""
        try:
            return self._plane(plane, rows, columns)
        except (RuskaError, MemoryError, OSError):
            raise
        except Exception as error:  # codecs raise whatever their C library reports
            reason = (str(error).splitlines() or [""])[0][:200]
            raise InputError(
                self.stored.path, f"plane {plane} cannot be decoded ({type(error).__name__}: {reason})",
                "The file is damaged there, or was changed while open: copy it again from the source.",
            ) from error  # fmt: skip

    def _plane(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        index, depth = divmod(plane, self.stored.shape[1])
        page = self.stored.page(index)
        if page is None:
            values = np.zeros((rows.stop - rows.start, columns.stop - columns.start, self.stored.samples), self.dtype)
        elif self.stored.raw:
            values = self._raw(page, depth, rows, columns)
        else:
            values = self._decoded(index, page, depth, rows, columns)
        return values if self.stored.transform is None else self.stored.transform(values)

    def _raw(self, page: Page, depth: int, rows: slice, columns: slice) -> NDArray[Any]:
        stored = self.stored
        separate, _, _, _, contiguous = stored.shape
        box = (slice(0, separate), slice(depth, depth + 1), rows, columns, slice(0, contiguous))
        part = np.moveaxis(read_raw(page.file, page.offsets[0], stored.shape, stored.dtype, box)[:, 0], 0, 2)
        return part.reshape(*part.shape[:2], stored.samples)

    def _decoded(self, index: int, page: Page, depth: int, rows: slice, columns: slice) -> NDArray[Any]:
        separate, pages_deep, height, width, contiguous = self.stored.shape
        deep, tall, wide = self.stored.segment
        down, across = math.ceil(height / tall), math.ceil(width / wide)
        layers = math.ceil(pages_deep / deep)
        shape = (rows.stop - rows.start, columns.stop - columns.start, self.stored.samples)
        out = np.zeros(shape, self.stored.dtype.newbyteorder("="))
        grid = product(
            range(separate), range(rows.start // tall, (rows.stop - 1) // tall + 1),
            range(columns.start // wide, (columns.stop - 1) // wide + 1),
        )  # fmt: skip
        for sample, i, j in grid:
            segment = ((sample * layers + depth // deep) * down + i) * across + j
            values = self._cache.get((index, segment), lambda s=segment: read_segment(self.stored, page, s))  # type: ignore[misc]
            if values is None:
                continue
            top, left = i * tall, j * wide
            y = slice(max(rows.start, top), min(rows.stop, top + values.shape[1]))
            x = slice(max(columns.start, left), min(columns.stop, left + values.shape[2]))
            out[
                y.start - rows.start : y.stop - rows.start,
                x.start - columns.start : x.stop - columns.start,
                sample * contiguous : (sample + 1) * contiguous,
            ] = values[depth % deep, y.start - top : y.stop - top, x.start - left : x.stop - left]
        return out


def read_segment(stored: Stored, page: Page, index: int) -> NDArray[Any] | None:
    """Read and decode one strip or tile, (depth, rows, columns, samples); None where the file leaves it empty."""
    count = page.counts[index]
    if count == 0:
        return None
    with page.file.open("rb") as file:
        file.seek(page.offsets[index])
        data = file.read(count)
    if len(data) < count:
        raise InputError(page.file, "became shorter while it was open", "Copy it again from the source.")
    values, _, _ = stored.decode(data, index, jpegtables=page.jpeg_tables)
    return np.asarray(values)


def _reopen(path: Path, described: str | None, colours: bool) -> Any:
    from ruska.io import tiff

    if described is not None:
        return tiff.read_described(path, described, colours=colours).data
    return (tiff.read_colours if colours else tiff.read)(path, None).data
