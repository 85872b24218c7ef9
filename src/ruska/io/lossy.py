"""Images saved with lossy compression, whose artefacts an estimator would take for noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ruska.io.tiff_pixels import Page, Stored

JPEG_TIFF = (6, 7, 33007, 34892)  # values of the tag Compression
_JPEG_2000, _JPEG_XR, _WEBP = (33003, 33004, 33005, 34712), (22610, 34934), (50001,)
_HEAD = 1 << 16  # bytes, in which the tables of a JPEG stream are
_WAY_OUT = "restore the original recording if you have it"


def jpeg_note(quality: int) -> str:
    """The note about an image from JPEG."""
    return f"saved as JPEG (quality about {quality}), whose block pattern is not noise; {_WAY_OUT}"


def jpeg_quality(tables: Mapping[int, Sequence[int]]) -> int | None:
    """The quality, 1 to 100, whose usual table is nearest to the one that a JPEG's brightness was divided by.

    tables : those of quantisation, as Pillow gives them. None without one of 64 values. Programs with tables of their
    own (Photoshop) have no such number; that of a table as strong is given.
    """
    found = next((tables[number] for number in sorted(tables) if len(tables[number]) == 64), None)
    if found is None:
        return None
    return int(np.abs(np.log(_usual() / np.maximum(np.asarray(found, np.float64), 1))).mean(1).argmin()) + 1


@cache
def _usual() -> Any:
    """The table of each quality, (100, 64), as the library behind Pillow writes it."""
    from PIL import Image

    found = []
    for quality in range(1, 101):
        stream = BytesIO()
        Image.new("L", (8, 8)).save(stream, "JPEG", quality=quality)
        found.append(Image.open(stream).quantization[0])  # type: ignore[attr-defined]
    return np.asarray(found, np.float64)


def note_of_tiff(page: Any, stored: Stored) -> tuple[str, ...]:
    """A note where the planes of a TIFF were compressed with loss. ``page`` : of tifffile."""
    kind = int(page.compression)
    if kind not in (*JPEG_TIFF, *_JPEG_2000, *_JPEG_XR, *_WEBP):
        return ()
    if kind in _JPEG_XR:
        return (f"saved as JPEG XR, which may be lossy: its artefacts are not noise; {_WAY_OUT}",)
    first = next((one for one in stored.pages if one is not None and any(one.counts)), None)
    head = b"" if first is None else _first_bytes(first)
    if kind in JPEG_TIFF:
        quality = _quality_in(head, page.jpegtables)
        return () if quality is None else (jpeg_note(quality),)
    name = "WebP" if kind in _WEBP else "JPEG 2000"
    lossy = head[12:16] == b"VP8 " if kind in _WEBP else _is_irreversible(head)
    return (f"saved as lossy {name}, whose artefacts are not noise; {_WAY_OUT}",) if lossy else ()


def _first_bytes(page: Page) -> bytes:
    at, count = next((at, count) for at, count in zip(page.offsets, page.counts, strict=True) if count)
    with page.file.open("rb") as file:
        file.seek(at)
        return file.read(min(count, _HEAD))


def _quality_in(head: bytes, tables: bytes | None) -> int | None:
    """Of a JPEG stream, whose tables may stand apart: they end, and the stream begins, with a mark of two bytes."""
    from PIL import Image

    try:
        with Image.open(BytesIO((tables[:-2] + head[2:]) if tables else head), formats=("JPEG",)) as picture:
            return jpeg_quality(picture.quantization)  # type: ignore[attr-defined]
    except Exception:  # lossless JPEG, which Pillow does not read, or damage, of which the decoder will tell
        return None


def _is_irreversible(head: bytes) -> bool:
    """Whether a JPEG 2000 codestream says in its COD marker that its wavelets are lossy (ISO 15444-1, A.6.1)."""
    at = head.find(b"\xff\x52")
    return 0 <= at < len(head) - 13 and head[at + 13] == 0
