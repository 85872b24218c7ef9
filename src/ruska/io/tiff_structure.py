"""The structure of a TIFF file: whether it is complete, which series to take, where its strips and tiles are."""

from __future__ import annotations

import math
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ruska.errors import InputError
from ruska.io.registry import assumed_axes
from ruska.io.tiff_limits import check_files, check_unpacked
from ruska.io.tiff_pixels import Page, Stored
from ruska.io.tiff_write import RECORD_TAG

_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_MOST_UNKNOWN = 3  # stack axes without a name that get one, as those of a NumPy file do
# Makers' own tags may be broken without harm to the pixels; these may not.
_STANDARD_TAGS = range(32768)


def check_directories(path: Path) -> None:
    """Follow the chain of image file directories; InputError when it, or a standard tag, reaches past the end."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = head[2:4] in (b"+\0", b"\0+")
        if len(head) < (16 if big else 8):
            raise _truncated(path, size, 16 if big else 8)
        at = struct.unpack(order + ("Q" if big else "I"), head[8:16] if big else head[4:8])[0]
        if at == 0:
            raise InputError(path, "holds no image (it has no image file directory)", "Save it again.")
        seen: set[int] = set()
        while at and at not in seen:
            seen.add(at)
            at = _check_directory(file, path, size, at, order, big)


def _check_directory(file: BinaryIO, path: Path, size: int, at: int, order: str, big: bool) -> int:
    """Check one directory and return the offset of the next, 0 at the end."""
    count_format, entry_format, next_format = ("Q", "HHQQ", "Q") if big else ("H", "HHII", "I")
    width, length = struct.calcsize("<" + entry_format), struct.calcsize("<" + count_format)
    file.seek(at)
    head = file.read(length)
    if len(head) < length:
        raise _truncated(path, size, at + length)
    count = struct.unpack(order + count_format, head)[0]
    # No directory has that many entries: such a number is the pixels of a file cut short and written over.
    tail = struct.calcsize("<" + next_format)
    if at + length + count * width + tail > size:
        raise _truncated(path, size, at + length + count * width + tail)
    entries = file.read(count * width)
    for code, kind, items, value in struct.iter_unpack(order + entry_format, entries):
        bytes_ = _ITEM_BYTES.get(kind, 1) * items
        inline = 8 if big else 4
        # A value that fits stands in the entry itself, where its bytes are no offset.
        if (code in _STANDARD_TAGS or code == RECORD_TAG) and bytes_ > inline and value + bytes_ > size:
            raise _truncated(path, size, value + bytes_)
    return int(struct.unpack(order + next_format, file.read(tail))[0])


def _truncated(path: Path, size: int, needed: int) -> InputError:
    return InputError(path, f"is truncated or damaged: it has {size} bytes, and refers to byte {needed}",
                      "Copy it again from the instrument.")  # fmt: skip


def choose_series(file: Any, path: Path) -> tuple[Any, list[str]]:
    """The series of most pixels (of equals the grey one, then the first), and a note when there are several."""
    usable = [s for s in file.series if s.keyframe is not None and s.dtype is not None and 0 not in s.get_shape(False)]
    if not usable:
        raise InputError(path, "holds no image that can be read", "Open it in Fiji and save it anew.")

    def rank(series: Any) -> tuple[int, bool, int]:
        samples = series.keyframe.samplesperpixel
        return math.prod(series.get_shape(False)) // samples, samples == 1, series.dtype.itemsize

    series = max(usable, key=rank)
    _check_description(file, series, path)
    number, place = len(file.series), series_number(file, series)
    if number == 1:
        return series, []
    return series, [f"holds {number} image series: took number {place + 1}, the largest"]


def series_number(file: Any, series: Any) -> int:
    """Which series of the file it is, from 0."""
    return next(i for i, one in enumerate(file.series) if one is series)


def _check_description(file: Any, series: Any, path: Path) -> None:
    """InputError when the description promises more pixels than there are (tifffile then ignores the description)."""
    page = series.keyframe
    have = sum(math.prod(s.get_shape(False)) for s in file.series)
    promised = 0
    if file.is_imagej and series.kind != "imagej":
        found = file.imagej_metadata or {}
        stack = math.prod(int(found.get(k, 1)) for k in ("frames", "slices", "channels"))
        promised = stack * page.imagewidth * page.imagelength
    elif file.is_shaped and series.kind != "shaped":
        promised = sum(math.prod(part.get("shape", ())) for part in file.shaped_metadata or ())
    if promised > have:
        raise InputError(path, f"is truncated or damaged: its description promises {promised} pixels, it has {have}",
                         "Copy it again from the instrument.")  # fmt: skip


# Layout: which plane is which


@dataclass
class Layout:
    """The axes of a series, and notes about them.

    lead : stack axes (letter and size, outermost first) over the planes of a series.
    samples : letter of the stack axis, the innermost, that lies over the samples of a pixel; None where these are
        colours, or where the file does not say what they are.
    """

    lead: list[tuple[str, int]]
    notes: list[str]
    samples: str | None = None
    missing: int = 0


def stack_layout(series: Any, notes: list[str]) -> Layout:
    """Turn tifffile's axes of ``series`` into Ruska's: axes of length 1 are dropped, unknown ones become Q."""
    _, depth, height, width, _ = series.keyframe.shaped
    axes = series.get_axes(False)
    pairs = [(a, int(n)) for a, n in zip(axes, series.get_shape(False), strict=True) if a != "S"]
    pairs, samples = (pairs, None) if "S" in axes else _axis_of_samples(pairs, series.keyframe)
    if pairs[-2:] != [("Y", height), ("X", width)]:
        pairs = [("Q", len(series) * depth), ("Y", height), ("X", width)]
    unknown = "T" if series.kind == "eer" else "Q"
    lead = [(a if a in "TCZ" else unknown, n) for a, n in pairs[:-2] if n > 1]
    counts = Counter(a for a, _ in lead)
    given = "".join(a for a, n in pairs[:-2] if n > 1)
    if set(given) == {"Q"} and 1 < len(given) <= _MOST_UNKNOWN:  # tifffile's name for what nothing says
        axes, said = assumed_axes(len(given) + 2, "")
        notes += said
        lead = [(a, n) for a, (_, n) in zip(axes, lead, strict=False)]
    elif max(counts.values(), default=0) > 1:
        notes.append(f"stack axes {given} {tuple(n for _, n in lead)} merged into one axis Q")
        lead = [("Q", math.prod(n for _, n in lead))]
    if samples is not None and samples in {a for a, _ in lead}:
        samples = "C"
    return Layout(lead, notes, samples)


def _axis_of_samples(pairs: list[tuple[str, int]], page: Any) -> tuple[list[tuple[str, int]], str | None]:
    """The axes without the one that lies over the samples of a pixel, and its letter.

    A stack of three or four slices, which looks like a colour picture, is written by tifffile as one page of as many
    samples, with the axes ZYX in its description; one of channels comes as CYX or YXC.
    """
    separate, _, height, width, contiguous = page.shaped
    plane = [("Y", height), ("X", width)]
    if separate > 1 and contiguous == 1 and pairs[-2:] == plane and len(pairs) > 2 and pairs[-3][1] == separate:
        rest, letter = [*pairs[:-3], *plane], pairs[-3][0]
    elif contiguous > 1 and separate == 1 and pairs[-3:-1] == plane and pairs[-1][1] == contiguous:
        rest, letter = pairs[:-1], pairs[-1][0]
    else:
        return pairs, None
    return rest, letter if letter in "TCZ" else "Q"


def stored_pages(series: Any, layout: Layout, path: Path) -> Stored:
    """Where the segments of ``series`` are; InputError unless all of them lie inside their files."""
    first = series.keyframe
    whole = series.dataoffset
    native = first.is_final and first.dtype is not None
    parent = first.parent
    dtype = np.dtype(first.dtype).newbyteorder(parent.byteorder)
    pages: tuple[Page | None, ...]
    if whole is not None:
        pages = (Page(Path(parent.filehandle.path), (int(whole),), (0,)),)
    else:
        pages = tuple(_page(page) for page in series.pages)
    raw = native and (whole is not None or all(page is None or _one_run(page) for page in pages))
    segment = (first.tiledepth, first.tilelength, first.tilewidth) if first.is_tiled else (
        1, min(first.rowsperstrip, first.imagelength), first.imagewidth)  # fmt: skip
    stored = Stored(
        path=path, pages=pages, shape=tuple(first.shaped), segment=segment,
        dtype=dtype if raw else np.dtype(first.dtype).newbyteorder("="),
        raw=raw, whole=whole is not None, decode=first.decode, transform=series.transform,
    )  # fmt: skip
    check_files(path, stored)
    _check_segments(stored, layout, path)
    check_unpacked(path, stored, first.shaped[-1])
    if int(first.compression) == 1:
        _check_bytes(stored, path)
    return stored


def _page(page: Any) -> Page | None:
    if page is None:
        return None
    return Page(Path(page.parent.filehandle.path), tuple(page.dataoffsets), tuple(page.databytecounts), page.jpegtables)


def _one_run(page: Page) -> bool:
    ends = [at + n for at, n in zip(page.offsets, page.counts, strict=True)]
    return bool(ends) and all(page.counts) and list(page.offsets[1:]) == ends[:-1]


def _check_bytes(stored: Stored, path: Path) -> None:
    """InputError when uncompressed pages have far fewer bytes than their pixels take: their sizes are wrong.

    A last strip may be short, and several bits may share a byte, hence the factor.
    """
    for page in stored.pages:
        if page is not None and not stored.whole and all(page.counts) and sum(page.counts) * 16 < stored.page_bytes:
            raise InputError(path, f"is damaged: a page of {stored.page_bytes} bytes has {sum(page.counts)} of them",
                             "Copy it again from the instrument.")  # fmt: skip


def _check_segments(stored: Stored, layout: Layout, path: Path) -> None:
    planes = math.prod(n for _, n in layout.lead)
    needed = -(-planes // stored.shape[1])
    sizes = {file: file.stat().st_size for file in {page.file for page in stored.pages if page is not None}}
    if stored.whole:
        last = stored.page(needed - 1)
        assert last is not None
        if last.offsets[0] + stored.page_bytes > sizes[last.file]:
            raise _truncated(last.file, sizes[last.file], last.offsets[0] + stored.page_bytes)
        return
    if len(stored.pages) < needed:
        raise InputError(path, f"is truncated or damaged: {needed} planes expected, {len(stored.pages)} found",
                         "Copy it again from the instrument.")  # fmt: skip
    separate, depth, height, width, _ = stored.shape
    deep, tall, wide = stored.segment
    segments = separate * -(-depth // deep) * -(-height // tall) * -(-width // wide)
    for page in stored.pages:
        if page is None:
            layout.missing += 1
            continue
        end = max((at + n for at, n in zip(page.offsets, page.counts, strict=False) if n), default=0)
        if stored.raw:
            end = max(end, page.offsets[0] + stored.page_bytes)
        if end > sizes[page.file]:
            raise _truncated(page.file, sizes[page.file], end)
        if not stored.raw and min(len(page.offsets), len(page.counts)) < segments:
            raise InputError(page.file, f"is damaged: a page has {len(page.offsets)} strips or tiles, not {segments}",
                             "Copy it again from the instrument.")  # fmt: skip
