"""PNG, JPEG and BMP: read as grey images; written as 8-bit PNG previews only."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import InputError
from ruska.image import Image
from ruska.io.grey import is_display_table, luminance
from ruska.io.lazy import BAND, plane_parts
from ruska.io.losses import Losses
from ruska.io.lossy import jpeg_note, jpeg_quality

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DIRECT = {"L": "u1", "I;16": "u2", "I;16L": "u2", "I;16B": "u2", "I": "i4", "F": "f4"}
_LOW, _HIGH = 0.1, 99.9  # percentiles that a preview shows as black and white
_SAMPLE = 1 << 20  # pixels that the percentiles are taken from
_PIECES = 16  # of a plane that is stretched, one after the other
MOST_PIXELS = 1 << 25
"""Of a preview: 5792 x 5792."""


def read(path: Path, inner: str | None) -> Image:
    """Decode a picture; colours become grey, and the notes say how.

    Raises InputError when it is truncated, or so large that Pillow suspects an attack.
    """
    return _read(path, inner, _grey, "YX")


def read_colours(path: Path, inner: str | None) -> Image:
    """As `read`, with red, green and blue as an axis C; transparency is left out."""
    return _read(path, inner, _colours, "CYX")


def _read(path: Path, inner: str | None, decode: Callable[[Any], tuple[NDArray[Any], list[str]]], axes: str) -> Image:
    if inner is not None:
        raise InputError(path, f"holds one image, '{inner}' cannot be picked from it", "Leave the part after ':' out.")
    with _open(path) as picture:
        frames = getattr(picture, "n_frames", 1)
        notes = [f"only the first of {frames} frames is read"] if frames > 1 else []
        quality = jpeg_quality(picture.quantization) if picture.format == "JPEG" else None
        if quality is not None:
            notes.append(jpeg_note(quality))
        if _is_16_bit_colour(path):
            notes.append("16-bit colours read as 8-bit")
        try:
            pixels, how = decode(picture)
        except (OSError, SyntaxError, ValueError) as error:
            raise InputError(path, f"is truncated or damaged ({error})", "Copy it again.") from error
    return Image(pixels, axes if pixels.ndim == len(axes) else "YX", name=path.name, notes=(*notes, *how))


def shape_and_dtype(path: Path) -> tuple[tuple[int, int], np.dtype[Any]]:
    """What `read` will return, from the picture's header alone."""
    with _open(path) as picture:
        return (picture.height, picture.width), np.dtype(_DIRECT.get(picture.mode, "u1"))


def _open(path: Path) -> Any:
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    _check_png(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
            return Pillow.open(path, formats=("PNG", "JPEG", "BMP"))
    except Pillow.DecompressionBombError as error:
        raise InputError(path, f"is too large for a picture ({error})",
                         "Save it as TIFF, which is read piece by piece.") from error  # fmt: skip
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise InputError(path, f"cannot be read as a picture ({error})", "Copy it again.") from error


def _check_png(path: Path) -> None:
    """InputError when a chunk of a PNG claims more bytes than the file has: Pillow would allocate them."""
    with path.open("rb") as file:
        if file.read(8)[:4] != b"\x89PNG":
            return
        place, size = 8, path.stat().st_size
        while place + 8 <= size:
            file.seek(place)
            length = int.from_bytes(file.read(4), "big")
            if place + 12 + length > size:
                raise InputError(path, f"is truncated or damaged (a chunk of {length} bytes at byte {place} of {size})",
                                 "Copy it again.")  # fmt: skip
            place += 12 + length


def _is_16_bit_colour(path: Path) -> bool:
    """Whether a PNG has 16 bits a channel and colours, which Pillow reads with 8."""
    with path.open("rb") as file:
        head = file.read(26)
    return head[:4] == b"\x89PNG" and head[24] == 16 and bool(head[25] & 2)


def _grey(picture: Any) -> tuple[NDArray[Any], list[str]]:
    """Pixels in one channel, and what was done to get them."""
    mode = picture.mode
    if mode in _DIRECT:
        return np.array(picture, dtype=_DIRECT[mode]), []
    if mode == "1":
        return np.array(picture.convert("L")), ["black and white read as 0 and 255"]
    if mode in ("LA", "La"):
        return np.array(picture.convert("LA"))[..., 0].copy(), ["transparency dropped"]
    if mode == "P" and (values := _behind_colours(picture)) is not None:
        return values, ["its colours are only a display table: the values behind them are read"]
    colours, notes = _rgb(picture)
    first = colours[..., 0]
    if np.array_equal(first, colours[..., 1]) and np.array_equal(first, colours[..., 2]):
        return first.copy(), [*notes, "three equal colour channels taken as one grey channel"]
    how = "colours turned to grey (0.299 R + 0.587 G + 0.114 B; --axes CYX keeps three channels)"
    return luminance(colours), [*notes, how]


def _behind_colours(picture: Any) -> NDArray[Any] | None:
    """The indices of a picture whose palette is only a display table; else None."""
    table = np.array(picture.getpalette("RGB") or (), np.uint8).reshape(-1, 3).T
    grey = bool((table[0] == table[1]).all() and (table[1] == table[2]).all())
    return None if grey or not is_display_table(table) else np.array(picture)


def _rgb(picture: Any) -> tuple[NDArray[Any], list[str]]:
    """Red, green and blue (Y, X, 3)."""
    transparent = picture.mode in ("RGBA", "RGBa", "PA")
    notes = ["transparency dropped"] if transparent or "transparency" in picture.info else []
    return np.array(picture.convert("RGBA" if transparent else "RGB"))[..., :3], notes


def _colours(picture: Any) -> tuple[NDArray[Any], list[str]]:
    """Red, green and blue (3, Y, X) of a picture that has colours."""
    if picture.mode in (*_DIRECT, "1", "LA", "La"):
        return _grey(picture)
    colours, notes = _rgb(picture)
    return np.ascontiguousarray(np.moveaxis(colours, -1, 0)), notes


def write(path: Path, image: Image) -> tuple[str, ...]:
    """Write an 8-bit PNG preview of ``image`` (of the middle plane of a stack); returns how its values are shown.

    For a plane of more than `MOST_PIXELS`, every second, third... pixel is shown, so that it need not fit in memory.
    """
    from PIL import Image as Pillow

    lost: list[str] = []
    plane = _every(image.data, _middle(image), _step(image))
    if plane.dtype == np.bool_:
        pixels = plane.astype(np.uint8) * np.uint8(255)
        lost.append("preview: true and false shown as 255 and 0")
    elif plane.dtype == np.uint8:
        pixels = plane
    else:
        pixels, line = _stretch(plane)
        lost.append(line)
    Pillow.fromarray(np.ascontiguousarray(pixels)).save(path, format="PNG")
    return tuple(lost)


def losses(path: Path, image: Image) -> Losses:
    """What a preview does not show."""
    changes, middle, step = [], _middle(image), _step(image)
    if middle:
        place = ", ".join(f"{a}={i}" for a, i in zip(image.axes, middle, strict=False))
        changes.append(f"preview: only the plane {place} of {image.axes} is shown")
    if step > 1:
        changes.append(f"preview: one pixel in {step} along Y and X is shown")
    return Losses(changes=tuple(changes))


def _middle(image: Image) -> tuple[int, ...]:
    """The plane to show: the middle of every stack axis, the first channel."""
    return tuple(0 if a == "C" else n // 2 for a, n in zip(image.axes[:-2], image.shape[:-2], strict=True))


def _step(image: Image) -> int:
    return max(1, math.ceil(math.sqrt(math.prod(image.shape[-2:]) / MOST_PIXELS)))


def _every(data: Any, place: tuple[int, ...], step: int) -> NDArray[Any]:
    """Each ``step``-th pixel of a plane, read some rows at a time."""
    width, top, kept = data.shape[-1], 0, []
    for band in plane_parts(data, place, BAND // max(1, width), width):
        kept.append(band[-top % step :: step, ::step].copy())
        top += len(band)
    return np.concatenate(kept)


def _stretch(plane: NDArray[Any]) -> tuple[NDArray[np.uint8], str]:
    """Map the 0.1 to 99.9 percentile range to 0..255; NaN becomes black."""
    step = max(1, int((plane.size / _SAMPLE) ** 0.5))
    values = plane[::step, ::step].astype(np.float64)
    finite = values[np.isfinite(values)]
    low, high = (float(v) for v in np.percentile(finite, (_LOW, _HIGH))) if finite.size else (0.0, 1.0)
    span = high - low if high > low else 1.0
    pixels = np.empty(plane.shape, np.uint8)
    for rows, out in zip(np.array_split(plane, _PIECES), np.array_split(pixels, _PIECES), strict=True):
        with np.errstate(invalid="ignore", over="ignore"):
            scaled = (rows.astype(np.float64) - low) * (255.0 / span)
        out[:] = np.rint(np.clip(np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0), 0, 255))
    return pixels, f"preview: {plane.dtype} values stretched to 8 bits, {low:.6g} black and {high:.6g} white"
