"""What of an image a format cannot hold: reported before the work, and again by the writer.

A format says in the table (`Format.holds`) which belongings of an image it holds. Where that depends on the image, its
module has a function ``losses`` besides. Nothing here reads a pixel.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ruska.image import is_length
from ruska.io import ngff, ome_xml, tiff_imagej
from ruska.io.tilts import BESIDE

if TYPE_CHECKING:
    from ruska.image import Image, Quantity

RECORD = "run record"
"""The record of a run is also a file beside the result, so nothing is lost when the result cannot hold it."""

_NO_TEXTS = ("Software", "PhotometricInterpretation", "Orientation")
_CALLED = {"ImageDescription": "description", "DateTime": "date", "ColorMap": "colour table"}
_OUR_LABEL = "Written by Ruska"


@dataclass(frozen=True)
class Losses:
    """What is lost when an image is written.

    things : parts of the image that the file will not hold, in words. changes : what will differ, a sentence each.
    """

    things: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()

    def __add__(self, other: Losses) -> Losses:
        return Losses((*self.things, *other.things), (*self.changes, *other.changes))

    def __bool__(self) -> bool:
        return bool(self.things or self.changes)

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each."""
        return (*(f"{thing} not kept" for thing in self.things), *self.changes)

    def without_record(self) -> Losses:
        """All except the record of a run, which is kept beside the result."""
        return Losses(tuple(thing for thing in self.things if thing != RECORD), self.changes)


def unheld(image: Image, holds: Collection[str]) -> Losses:
    """The parts of ``image`` that ``holds`` does not name.

    ``header`` there stands for the fields of every format (``header:imagej``, ``header:mrc`` …).
    """
    all_headers = "header" in holds
    things = [words for key, words in belongings(image).items()
              if key not in holds and not (all_headers and key.startswith("header:"))]  # fmt: skip
    return Losses(tuple(things))


def belongings(image: Image) -> dict[str, str]:
    """What ``image`` has in addition to pixels, as keys and in words; only what it really has."""
    lengths = any(_is_size(a, q) for a, q in image.spacing.items())
    found = {
        "spacing": "voxel size" if lengths else "",
        "interval": "frame interval" if any(not _is_size(a, q) for a, q in image.spacing.items()) else "",
        "origin": "origin" if any(q.value for q in image.origin.values()) else "",
        "axes": f"axis names {image.axes}" if image.axes != "YX" else "",
        "channels": "channel names" if image.channel_names else "",
        "mask": "mask of valid pixels" if image.mask is not None else "",
        "meaning": f"meaning of the values ({image.meaning})" if image.meaning != "grey" else "",
        **{f"header:{name}": _header(name, fields) for name, fields in image.header.items() if name not in BESIDE},
        "record": RECORD if image.provenance else "",
    }
    return {key: words for key, words in found.items() if words}


def _is_size(axis: str, size: Quantity) -> bool:
    return axis in "ZYX" or is_length(size.unit)


def _header(name: str, fields: Any) -> str:
    """Fields of one format that other formats cannot hold, in words."""
    words = _KNOWN.get(name)
    if words is not None:
        return words(fields)
    return f"header fields of {name}" if fields else ""


def _imagej(fields: Any) -> str:
    named = tiff_imagej.named(fields) if isinstance(fields, Mapping) else []
    return f"ImageJ's {', '.join(named)}" if named else ""


def _ome(fields: Any) -> str:
    named = ome_xml.beyond_pixels(fields) if isinstance(fields, str) else []
    return f"OME-XML's {', '.join(named)}" if named else ""


def _mrc(fields: Any) -> str:
    if not isinstance(fields, Mapping):
        return ""
    labels = fields.get("labels")
    own = [label for label in labels if str(label).strip() != _OUR_LABEL] if isinstance(labels, list) else []
    named = ["extended header"] * bool(fields.get("extended")) + ["labels"] * bool(own)
    return f"MRC's {', '.join(named)}" if named else ""


def _tiff(fields: Any) -> str:
    if not isinstance(fields, Mapping):
        return ""
    named = [key for key, text in fields.items() if key not in _NO_TEXTS and not is_shape_record(text)]
    words = [_CALLED.get(key, re.sub(r"(?<=[a-z])(?=[A-Z])", " ", str(key)).lower()) for key in named]
    words += ["orientation"] * ("Orientation" in fields)
    words += ["white for 0"] * (fields.get("PhotometricInterpretation") == "MINISWHITE")
    return f"TIFF's {', '.join(words)}" if words else ""


def is_shape_record(text: Any) -> bool:
    """Whether the description of a TIFF is the record of shape and axes that tifffile writes."""
    return isinstance(text, str) and text.startswith("{") and '"shape"' in text


def _dimensions(fields: Any) -> str:
    words = isinstance(fields, Mapping) and (fields.get("labels") or fields.get("dimension_names"))
    return "labels of dimensions" if words else ""


def _ome_zarr(fields: Any) -> str:
    return "colours and display ranges of channels" if ngff.is_shown(fields) else ""


_KNOWN: Mapping[str, Callable[[Any], str]] = {
    "imagej": _imagej, "ome_xml": _ome, "mrc": _mrc, "tiff": _tiff, "ome_zarr": _ome_zarr,
    "hdf5": _dimensions, "zarr": _dimensions,
}  # fmt: skip
