"""Writing TIFF, part of a plane by part: ImageJ hyperstacks, OME-TIFF, or plain for types these cannot name.

What the standard fields cannot express (axis order, exact numbers, header, run record) is kept as JSON in the
private tag `RECORD_TAG`, so that Ruska reads back what it wrote. Other programs drop the tag when they save.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, pairwise, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ruska.errors import OutputError, SettingsError, did_you_mean
from ruska.image import NO_UNIT, Quantity, canonical_unit, is_length
from ruska.image.grid import places
from ruska.io import metadata, ome_xml, tiff_imagej
from ruska.io.lazy import BAND, plane_parts, transposed
from ruska.io.losses import Losses, belongings, is_shape_record
from ruska.io.pyramid import halve, has_no_means
from ruska.io.tiff_vendors import original_tags
from ruska.scratch import remove

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.image import Image

RECORD_TAG = 65450
PHOTOMETRIC, ORIENTATION, COLOUR_TABLE = "PhotometricInterpretation", "Orientation", "ColorMap"
"""Keys in the header's ``tiff``: how programs are to show the pixels."""
ORIENTATIONS = {
    2: "mirrored left to right", 3: "turned by 180 degrees", 4: "upside down", 5: "with rows and columns exchanged",
    6: "turned by 90 degrees clockwise", 7: "with rows and columns exchanged and turned by 180 degrees",
    8: "turned by 90 degrees anticlockwise",
}  # fmt: skip
"""What the tag Orientation asks for, where it is not 1, which is as stored."""
COMPRESSIONS = {"none": None, "zlib": "zlib", "zstd": "zstd", "lzw": "lzw"}
FLAVOURS = ("auto", "imagej", "ome", "plain")
CLASSIC_BYTES = 3_900_000_000
"""Offsets of a classic TIFF have 32 bits; this leaves room for tags and directories."""
TILED_BYTES = 64 << 20
"""A larger plane is written in tiles, which viewers need and which compress one by one. ImageJ itself reads none."""

_Kind = Literal["rows", "tiles", "planes"]
_TILE = 512  # pixels; a level this large in Y or X gets a coarser one
_IMAGEJ_PIXELS = 2**31  # of a plane, which ImageJ cannot show
_IMAGEJ_TYPES = {"uint8", "uint16", "float32", "bool"}
_CALIBRATED = {"uint8", "uint16"}  # ImageJ calibrates no other values
_LABELS = 10_000
_TEXT_TAGS = {"DocumentName": 269, "Make": 271, "Model": 272, "PageName": 285, "DateTime": 306, "Artist": 315,
              "HostComputer": 316, "Copyright": 33432}  # fmt: skip
_OWN = {"imagej": "imagej", "ome": "ome_xml"}
"""The header whose fields a flavour holds. Those of microscopes and texts go into tags of every flavour."""


@dataclass(frozen=True)
class _Stack:
    """How the stack axes of an image are stored in the file.

    planes : its own stack axes in the order their planes are written.
    lead : what other programs are told, letter to size in that order.
    """

    planes: str
    lead: dict[str, int]


def write(path: Path, image: Image, *, compression: str | None = None, flavour: str = "auto") -> tuple[str, ...]:
    """Write ``image``, some rows or tiles at a time. `losses` tells what is not kept.

    Parameters
    ----------
    compression : "none" (the default), "zlib", "zstd" or "lzw".
    flavour : "imagej", "ome" or "plain"; "auto" takes OME for ``*.ome.tif(f)``, else ImageJ where ImageJ knows the
        data type, its planes, and the file stays below 4 GB, else OME, else (int64, uint64, float16) plain.

    Raises SettingsError for an unknown option, OutputError when the flavour asked for cannot hold the image.
    """
    import tifffile

    codec = _codec(compression)
    chosen, _ = _flavour(path, image, codec, flavour)
    dtype = np.dtype(np.uint8) if image.dtype == bool else image.dtype.newbyteorder("=")
    stack = _stack(image, imagej=chosen == "imagej")
    tiled = chosen != "imagej" and _plane_bytes(image) > TILED_BYTES
    data = transposed(image.data, tuple(image.axes.index(a) for a in f"{stack.planes}YX"))
    kind: _Kind = "tiles" if tiled else "rows" if codec == "none" else "planes"
    options: dict[str, Any] = {
        "photometric": "miniswhite" if _shown_as(image, PHOTOMETRIC) == "MINISWHITE" else "minisblack",
        "compression": COMPRESSIONS[codec],
        **({"tile": (_TILE, _TILE), "buffersize": BAND} if tiled else {}),
        **_resolution(image, chosen),
    }
    if (table := _table(image)) is not None:
        options |= {"photometric": "palette", "colormap": table}
    turned = _shown_as(image, ORIENTATION)
    if turned in ORIENTATIONS:
        options["extratags"] = [(274, "H", 1, turned, False)]
    first: dict[str, Any] = {"software": "Ruska"}
    first["extratags"] = [*options.get("extratags", ()), *_extra_tags(image, stack)]
    with (
        _coarser(path, data.shape, dtype, tiled and chosen == "ome") as coarser,
        tifffile.TiffWriter(
            path, imagej=chosen == "imagej", ome=chosen == "ome",
            bigtiff=image.nbytes * (4 / 3 if coarser else 1) > CLASSIC_BYTES,
        ) as file,
    ):  # fmt: skip
        if chosen == "plain":
            parts = _Parts(data, dtype, kind)
            first["description"] = (_described(image) or "").encode() or None
            for i, place in enumerate(parts.places):
                file.write(parts.plane(place), shape=image.shape[-2:], dtype=dtype, metadata=None,
                           **(options | ({} if i else first)))  # fmt: skip
        else:
            shape, words = _description(image, stack, chosen)
            nearest = has_no_means(image)
            for k, (level, below) in enumerate(pairwise([data, *coarser, None])):
                parts = _Parts(level, dtype, kind, below, nearest)
                here = (*shape[:-2], *level.shape[-2:]) if k else shape
                said = (
                    {"subfiletype": 1, "metadata": None} if k else {"subifds": len(coarser), "metadata": words} | first
                )
                file.write(chain.from_iterable(map(parts.plane, parts.places)), shape=here, dtype=dtype,
                           **(_coarsened(options, k) | said))  # fmt: skip
    if chosen == "ome":
        _keep_ome(path, image)
    return ()


def _codec(compression: str | None) -> str:
    codec = "none" if compression is None else compression
    if codec not in COMPRESSIONS:
        raise SettingsError(codec, "is not a TIFF compression", did_you_mean(codec, COMPRESSIONS))
    return codec


def losses(path: Path, image: Image, *, compression: str | None = None, flavour: str = "auto") -> Losses:
    """What other programs will not find in the file: fields of ImageJ, OME and MRC that its flavour lacks.

    Ruska reads them back from its own tag.
    """
    chosen, changes = _flavour(path, image, _codec(compression), flavour)
    stack = _stack(image, imagej=chosen == "imagej")
    has = belongings(image)
    things = [has[f"header:{name}"] for name in ("imagej", "ome_xml", "ome_zarr")
              if f"header:{name}" in has and name != _OWN.get(chosen)]  # fmt: skip
    mrc = image.header.get("mrc")
    things += ["colour table"] * (_shown_as(image, COLOUR_TABLE) is not None and _table(image) is None)
    bare = {axis for axis, size in image.spacing.items() if size.unit == NO_UNIT}
    in_pixels = chosen == "imagej" and _slices_in_pixels(image) and image.spacing["X"].value == 1
    things += ["voxel size without a unit"] * bool(bare & set("ZYX") and not in_pixels)
    things += ["frame interval without a unit"] * ("T" in bare)
    things += ["MRC's extended header"] * bool(isinstance(mrc, Mapping) and mrc.get("extended"))
    if chosen == "imagej":
        gone = _display(image, stack)[1]
        gone += ["calibration of the grey levels"] * bool(_calibration(image) and not _takes_calibration(image))
        things += [f"ImageJ's {', '.join(gone)}"] * bool(gone)
    elif chosen == "ome":
        things += [f"OME-XML's {what}" for what in _gone_of_ome(image, stack)]
    return Losses(tuple(things), changes)


def _gone_of_ome(image: Image, stack: _Stack) -> list[str]:
    """What of the image's OME-XML will not be in that of a new file."""
    import tifffile

    old = image.header.get("ome_xml")
    if not isinstance(old, str):
        return []
    shape, words = _description(image, stack, "ome")
    new = tifffile.OmeXml()
    dtype = np.uint8 if image.dtype == bool else image.dtype
    new.addimage(dtype, shape, (math.prod(shape[:-2]), 1, 1, shape[-2], shape[-1], 1), **words)
    made = ome_xml.merged(old, new.tostring(declaration=True))
    return made[1] if made is not None else [", ".join(said)] if (said := ome_xml.beyond_pixels(old)) else []


def _keep_ome(path: Path, image: Image) -> None:
    """Copy what the image's OME-XML says beyond its pixels into that of the OME-TIFF just written."""
    import tifffile

    old = image.header.get("ome_xml")
    made = ome_xml.merged(old, str(tifffile.tiffcomment(path))) if isinstance(old, str) else None
    if made is not None:
        tifffile.tiffcomment(path, made[0])


@contextmanager
def _coarser(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], wanted: bool) -> Iterator[list[Any]]:
    """Empty levels of a pyramid, on disk beside ``path`` until all are written: Y and X halved while one is large.

    Each is filled while the one before it is written, so that nothing is read twice or held.
    """
    if not wanted:
        yield []
        return
    import zarr

    folder = path.with_name(f"{path.name}.levels")
    levels: list[Any] = []
    try:
        while max(shape[-2:]) >= _TILE:
            shape = (*shape[:-2], *(-(-n // 2) for n in shape[-2:]))
            chunks = (*(1,) * (len(shape) - 2), *(min(_TILE // 2, n) for n in shape[-2:]))
            levels.append(zarr.create_array(str(folder / str(len(levels))), shape=shape, dtype=dtype, chunks=chunks))
        yield levels
    finally:
        remove(folder)


def _coarsened(options: dict[str, Any], level: int) -> dict[str, Any]:
    """The options of a level whose pixels are 2 to the ``level`` times as large."""
    if "resolution" not in options:
        return options
    return options | {"resolution": tuple(n / 2**level for n in options["resolution"])}


def _flavour(path: Path, image: Image, codec: str, asked: str) -> tuple[str, tuple[str, ...]]:
    """The flavour to write, and notes about it.

    Raises SettingsError for one that does not exist, OutputError where that which was asked for cannot hold ``image``.
    """
    if asked not in FLAVOURS:
        raise SettingsError(asked, "is not a flavour of TIFF", did_you_mean(asked, FLAVOURS))
    name = image.dtype.name
    named_ome = path.name.lower().endswith((".ome.tif", ".ome.tiff"))
    fits_imagej = (
        name in _IMAGEJ_TYPES and image.nbytes <= CLASSIC_BYTES and codec != "zstd"
        and math.prod(image.shape[-2:]) < _IMAGEJ_PIXELS and (codec == "none" or _plane_bytes(image) <= TILED_BYTES)
    )  # fmt: skip
    fits_ome = name in ome_xml.PIXEL_TYPES or name == "bool"
    if asked == "imagej" and not fits_imagej:
        raise OutputError(path, "an ImageJ TIFF holds uint8, uint16 or float32 below 3.9 GB, planes below 2^31 pixels "
                          "(64 MB where they are compressed), and no zstd; "
                          f"this is {name}, {image.nbytes} bytes, {codec}", "Leave the flavour to Ruska.")  # fmt: skip
    if asked == "ome" and not fits_ome:
        raise OutputError(path, f"OME-TIFF has no data type {name}", "Leave the flavour to Ruska, or write float32.")
    lost: tuple[str, ...] = ("true and false are stored as 1 and 0 of uint8",) if name == "bool" else ()
    if asked != "auto":
        return asked, lost
    if fits_imagej and not named_ome:
        return "imagej", lost
    if fits_ome:
        return "ome", lost
    if named_ome:
        lost += (f"OME has no data type {name}: written as a plain TIFF, whose metadata only Ruska reads",)
    return "plain", lost


def _stack(image: Image, *, imagej: bool) -> _Stack:
    """Assign the image's stack axes to T, C and Z, which are all that ImageJ and OME know; ImageJ fixes their order."""
    own = image.axes[:-2]
    free = [a for a in "ZTC" if a not in own]
    merged = ""
    told = {a: a for a in own}
    if "Q" in own and free:
        told["Q"] = free[0]
    order = own
    if imagej:  # planes of an ImageJ stack run through C, then Z, then T
        order = "".join(sorted(own, key=lambda a: "TZC".index(told[a]) if told[a] in "TZC" else -1))
    if "Q" in own and not free:
        # Four stack axes: Q and the axis before it (or after it, where it is the first) are told as one.
        if imagej:
            order = order.replace("Q", "")
            order = f"{order[0]}Q{order[1:]}"
        at = order.index("Q")
        merged = order[at - 1] + "Q" if at else order[1] + "Q"
    lead = {told[a]: image.size(a) for a in order if not (merged and a == "Q")}
    if merged:
        lead[merged[0]] *= image.size("Q")
    return _Stack(order, lead)


def _plane_bytes(image: Image) -> int:
    return math.prod(image.shape[-2:]) * image.dtype.itemsize


@dataclass(frozen=True)
class _Parts:
    """An array's planes as tifffile takes them, holding only what is needed at a time.

    data : lazy or not, its stack axes in the order their planes are written; ``dtype`` is what is written.
    kind : ``rows`` are bytes of as many as come, ``tiles`` are whole ones, the rest of the last filled with zeros.
    below : takes each part of tiles, half as large along Y and X (``nearest``: every other pixel, not means).
    """

    data: Any
    dtype: np.dtype[Any]
    kind: _Kind
    below: Any = None
    nearest: bool = False

    @property
    def places(self) -> Iterator[tuple[int, ...]]:
        """Of the planes, first axes slowest."""
        return places(self.data.shape[:-2])

    def plane(self, place: tuple[int, ...]) -> Iterator[Any]:
        height, width = self.data.shape[-2:]
        if self.kind == "planes":
            yield from self._parts(place, height, width)
        elif self.kind == "rows":
            for rows in self._parts(place, BAND // max(1, width), width):
                yield rows.tobytes()
        else:
            columns = BAND // _TILE // _TILE * _TILE
            corners = product(range(0, height, _TILE), range(0, width, columns))
            for (top, start), rows in zip(corners, self._parts(place, _TILE, columns), strict=True):
                if self.below is not None:
                    half = halve(rows, (2, 2), nearest=self.nearest)
                    there = (slice(c // 2, c // 2 + n) for c, n in zip((top, start), half.shape, strict=True))
                    self.below[(*place, *there)] = half
                for left in range(0, rows.shape[1], _TILE):
                    tile = rows[:, left : left + _TILE]
                    yield np.pad(tile, [(0, _TILE - n) for n in tile.shape])

    def _parts(self, place: tuple[int, ...], rows: int, columns: int) -> Iterator[NDArray[Any]]:
        for part in plane_parts(self.data, place, rows, columns):
            yield np.ascontiguousarray(part, self.dtype)


def _shown_as(image: Image, key: str) -> Any:
    """A tag of the file that the pixels came from, such as how programs are to show them; None without it."""
    tags = image.header.get("tiff")
    value = tags.get(key) if isinstance(tags, dict) else None
    return value if isinstance(value, int | str) else None


def _table(image: Image) -> NDArray[np.uint16] | None:
    """The colours (3, 256) that values of 8 bits are shown in; None without, and for images of other values."""
    text = _shown_as(image, COLOUR_TABLE)
    if not isinstance(text, str) or image.dtype != np.uint8 or "C" in image.axes:
        return None
    try:
        table = np.frombuffer(bytes.fromhex(text), np.uint8)
    except ValueError:
        return None
    return table.reshape(3, 256).astype(np.uint16) * 257 if table.size == 768 else None


def _extra_tags(image: Image, stack: _Stack) -> list[tuple[int, str, int, Any, bool]]:
    record = {
        "image": metadata.to_json(image),
        "shape": list(image.shape),
        "dtype": image.dtype.name,
        "planes": stack.planes,
    }
    text = json.dumps(record, allow_nan=False).encode("ascii")
    tags = [*_texts(image), *original_tags(image.header, image.spacing)]
    return [(code, "s", 0, block, True) for code, block in [*tags, (RECORD_TAG, text)] if block]


def _texts(image: Image) -> list[tuple[int, bytes]]:
    """Texts of the file that the image came from, of which ASCII is all that TIFF allows."""
    return [(code, str(text).encode("ascii", "replace")) for name, code in _TEXT_TAGS.items()
            if (text := _shown_as(image, name)) is not None]  # fmt: skip


def _description(image: Image, stack: _Stack, flavour: str) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Shape and metadata of an ImageJ or OME file, as tifffile takes them."""
    if flavour == "ome":
        words = ome_xml.metadata(image, stack.lead, "".join(stack.lead) + "YX")
        if (said := _described(image)) is not None:
            words["Description"] = ome_xml.legal(said)
        return (*stack.lead.values(), *image.shape[-2:]), words
    # The samples must be said: tifffile takes the columns of a picture one pixel wide for them.
    return (*(stack.lead.get(a, 1) for a in "TZC"), *image.shape[-2:], 1), _imagej_description(image, stack)


def _described(image: Image) -> str | None:
    """What the ImageDescription of a plain TIFF said, unless it was one of tifffile's own records; or labels of MRC."""
    text = _shown_as(image, "ImageDescription")
    if isinstance(text, str) and text.strip() and not is_shape_record(text):
        return text
    mrc = image.header.get("mrc")
    labels = mrc.get("labels") if isinstance(mrc, Mapping) else None
    return "\n".join(str(label).strip() for label in labels) if isinstance(labels, list) and labels else None


def _imagej_description(image: Image, stack: _Stack) -> dict[str, Any]:
    """The fields ImageJ knows: one unit for all lengths, slice distance, frame interval, origin in pixels."""
    record: dict[str, Any] = {"axes": "TZCYXS"}
    unit = _imagej_unit(image)
    if unit and _resolution(image, "imagej"):  # ImageJ would take a missing pixel size for 1
        record["unit"] = {"um": "micron"}.get(unit, unit)
        if "Z" in image.spacing and is_length(image.spacing["Z"].unit):
            record["spacing"] = image.spacing["Z"].to(unit)
    elif _slices_in_pixels(image):
        record["spacing"] = image.spacing["Z"].value / image.spacing["X"].value
    step = image.spacing.get("T")
    if step is not None and canonical_unit(step.unit) is not None and not is_length(step.unit):
        record["finterval"] = step.to("s")
    for axis in "ZYX":
        start, size = image.origin.get(axis), image.spacing.get(axis)
        if start is None or size is None or not start.value or not (is_length(start.unit) and is_length(size.unit)):
            continue
        record[f"{axis.lower()}origin"] = -start.to(size.unit) / size.value
    count = math.prod(stack.lead.values())
    if image.channel_names and stack.lead.get("C") == len(image.channel_names) and count <= _LABELS:
        record["Labels"] = list(image.channel_names) * (count // len(image.channel_names))
    old = image.header.get("imagej", {})
    info = old.get("Info") if isinstance(old, dict) else None
    info = info if isinstance(info, str) else _described(image)
    if info is not None:
        record["Info"] = info
    record |= _display(image, stack)[0]
    if image.dtype == bool:
        record |= {"min": 0.0, "max": 1.0}
    return record | (_calibration(image) if _takes_calibration(image) else {})


def _slices_in_pixels(image: Image) -> bool:
    """Whether sizes have no unit, and ImageJ holds them: as the slice distance in pixels, which are square."""
    sizes = [image.spacing.get(a) for a in "ZYX"]
    return all(q is not None and q.unit == NO_UNIT for q in sizes) and image.spacing["Y"] == image.spacing["X"]


def _display(image: Image, stack: _Stack) -> tuple[dict[str, Any], list[str]]:
    """ImageJ's display settings for an image from one of its files, and which of them no longer apply."""
    old = image.header.get("imagej")
    if not isinstance(old, dict) or math.prod(stack.lead.values()) > _LABELS:
        return {}, []
    pixels = (image.size("Y"), image.size("X"), image.dtype.name)
    return tiff_imagej.display(old, stack.lead, pixels, image.channel_names)


def _calibration(image: Image) -> dict[str, Any]:
    """ImageJ's calibration of the grey levels, of an image that has its values as they were stored."""
    old = image.header.get("imagej")
    return tiff_imagej.calibration(old) if isinstance(old, dict) and image.meaning != "labels" else {}


def _takes_calibration(image: Image) -> bool:
    """Whether ImageJ would show calibrated values; signed integers are read as such instead."""
    return image.dtype.name in _CALIBRATED and not tiff_imagej.is_signed(_calibration(image))


def _imagej_unit(image: Image) -> str | None:
    """The unit of X (else of Y or Z), unless its number of pixels per unit would not fit a TIFF fraction well."""
    for axis in "XYZ":
        size = image.spacing.get(axis)
        if size is None or not is_length(size.unit):
            continue
        unit = canonical_unit(size.unit)
        if 1e-3 <= size.value <= 1e4 and unit != "inch":
            return unit
        return next((u for u in ("nm", "um", "mm", "pm", "m") if 1e-3 <= size.to(u) < 1e4), None)
    return None


def _resolution(image: Image, flavour: str) -> dict[str, Any]:
    """Pixels per unit (ImageJ) or per cm, when both X and Y are known lengths that fit."""
    sizes = [image.spacing.get(axis) for axis in "XY"]
    lengths = [s for s in sizes if isinstance(s, Quantity) and is_length(s.unit) and s.value > 0]
    unit = _imagej_unit(image) if flavour == "imagej" else "cm"
    if len(lengths) < 2 or unit is None:
        return {}
    per_unit = tuple(1.0 / s.to(unit) for s in lengths)
    if not all(1e-4 < n < 4e9 for n in per_unit):
        return {}
    return {"resolution": per_unit, "resolutionunit": "NONE" if flavour == "imagej" else "CENTIMETER"}
