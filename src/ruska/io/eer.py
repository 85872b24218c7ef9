"""EER: movies of Falcon detectors, a TIFF whose frames hold single electrons, and their gain references.

tifffile and imagecodecs decode the frames. A frame has 0 or 1 electron a pixel; positions finer than a pixel are not
used. The description is XML in a private tag. Source: Thermo Fisher, EER file format documentation 3.0 (2023).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from ruska.errors import InputError
from ruska.image import Image, Quantity
from ruska.io.cache import ArrayCache
from ruska.io.lazy import LazyPixels

if TYPE_CHECKING:
    from numpy.typing import NDArray

TAG = 65001
_CUSTOMARY = 40  # frames that RELION sums by default
_LARGEST_PIXEL_M = 1e-6  # a larger one is of the sensor, not at the specimen
_LONGEST_XML = 1 << 20


def parse(text: bytes) -> dict[str, str]:
    """Values of the items by name, as texts, and their units as ``NAME.unit``; empty if it is not such XML."""
    start = text.find(b"<metadata>")
    if start < 0 or len(text) > _LONGEST_XML:
        return {}
    try:
        root = ElementTree.fromstring(text[start:].rstrip(b"\0 \r\n\t"))
    except ElementTree.ParseError:
        return {}
    found = {}
    for item in root.iter("item"):
        name = item.get("name")
        if name and item.text:
            found[name] = item.text.strip()
            if item.get("unit"):
                found[f"{name}.unit"] = str(item.get("unit"))
    return found


def sizes(said: Mapping[str, str]) -> dict[str, Quantity]:
    """Pixel size at the specimen, and the time of a frame."""
    found = {}
    for axis, name in (("Y", "height"), ("X", "width")):
        size = number(said, f"sensorPixelSize.{name}")
        if 0 < size < _LARGEST_PIXEL_M and said.get(f"sensorPixelSize.{name}.unit", "m") == "m":
            found[axis] = Quantity(float(f"{size * 1e9:.9g}"), "nm")
    seconds, frames = number(said, "exposureTime"), number(said, "numberOfFrames")
    if seconds > 0 and frames > 0 and said.get("exposureTime.unit", "s") == "s":
        found["T"] = Quantity(seconds / frames, "s")
    return found


def number(said: Mapping[str, str], name: str) -> float:
    """An item as a number; NaN where it is none."""
    try:
        value = float(said.get(name, "nan"))
    except (ValueError, TypeError):
        return math.nan
    return value if math.isfinite(value) else math.nan


def as_counts(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Electrons in a pixel; the decoder returns true and false."""
    return np.asarray(values).astype(np.uint8, copy=False)


class SummedFrames(LazyPixels):
    """Sums of ``group`` frames each, (t, y, x), of a movie (T, Y, X). Frames that do not fill a group are left out.

    A sum is made of whole frames, as these can only be decoded whole, and kept for the next part that is read.
    """

    def __init__(self, movie: Any, group: int) -> None:
        frames, height, width = movie.shape
        super().__init__((frames // group, height, width), np.uint16 if group < 1 << 16 else np.uint32)
        self.movie, self.group, self.chunks = movie, group, (1, height, width)
        self._cache = ArrayCache()

    def __reduce__(self) -> Any:
        return SummedFrames, (self.movie, self.group)

    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        out = np.empty(tuple(s.stop - s.start for s in box), self.dtype)
        for place, index in enumerate(range(box[0].start, box[0].stop)):
            total = self._cache.get(index, lambda i=index: self._sum(i))  # type: ignore[misc]
            assert total is not None
            out[place] = total[box[1:]]
        return out

    def _sum(self, index: int) -> NDArray[Any]:
        total = np.zeros(self.shape[1:], self.dtype)
        for frame in range(index * self.group, (index + 1) * self.group):
            total += self.movie[frame]
        return total


def opened(image: Image, inner: str | None, path: Path) -> Image:
    """A movie as ``inner`` asks: None for its frames, ``sum`` for one image, a number for sums of that many frames.

    Raises InputError for anything else.
    """
    image = replace(image, meaning="counts")
    if image.axes != "TYX":
        return image if inner is None else _refused(inner, path)
    frames = image.shape[0]
    if inner is None:
        several = f" or in groups, as of {_CUSTOMARY} ({path.name}:{_CUSTOMARY})" if frames > _CUSTOMARY else ""
        note = (f"{frames} frames of single electrons, 0 or 1 in a pixel: for a micrograph sum them all "
                f"({path.name}:sum){several}")  # fmt: skip
        return replace(image, notes=(*image.notes, note))
    word = inner.strip("/")
    group = frames if word == "sum" else int(word) if word.isascii() and word.isdecimal() and len(word) < 10 else 0
    if not 0 < group <= frames:
        return _refused(inner, path)
    sums: Any = SummedFrames(image.data, group)
    left = frames % group
    rest = f"; the last {left} of {frames} are left out" if left else ""
    notes = (*image.notes, f"each image is the sum of {group} frames{rest}")
    spacing = dict(image.spacing)
    if "T" in spacing:
        spacing["T"] = Quantity(spacing["T"].value * group, spacing["T"].unit)
    if sums.shape[0] == 1:
        from ruska.io.binary import First

        spacing.pop("T", None)
        return replace(image, data=First(sums), axes="YX", spacing=spacing, notes=notes)
    return replace(image, data=sums, spacing=spacing, notes=notes)


def _refused(inner: str, path: Path) -> Image:
    raise InputError(path, f"has no '{inner}'", f"Write {path.name}:sum for the sum of all frames, or how many frames "
                     f"are summed each, e.g. {path.name}:{_CUSTOMARY}.")  # fmt: skip


def exposure(image: Image) -> dict[str, Any] | None:
    """Seconds, frames, dose and its unit, as far as a movie's description says; None of any other image."""
    said = image.header.get("eer")
    if not isinstance(said, Mapping):
        return None
    dose = number(said, "totalDose")
    found = {"seconds": number(said, "exposureTime"), "frames": number(said, "numberOfFrames"), "dose": dose}
    known: dict[str, Any] = {name: value for name, value in found.items() if value > 0}
    if "dose" in known:
        known["dose_unit"] = str(said.get("totalDose.unit", ""))
    return known or None
