"""TIFF: plain, ImageJ, OME, BigTIFF and what microscopes write. Read lazily; see `tiff_write` for writing."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import InputError
from ruska.image import NO_UNIT, Image, Quantity, canonical_unit, is_length
from ruska.io import eer, metadata, ome_files, ome_xml, tiff_imagej
from ruska.io.grey import is_display_table, luminance
from ruska.io.heard import as_notes, heard
from ruska.io.lossy import note_of_tiff
from ruska.io.mrc_sections import pixel_size_angstrom
from ruska.io.tiff_imagej import LARGEST_PIXEL_NM
from ruska.io.tiff_limits import check_ome
from ruska.io.tiff_pixels import Colour, Stored, TiffPixels
from ruska.io.tiff_structure import Layout, check_directories, choose_series, series_number, stack_layout, stored_pages
from ruska.io.tiff_vendors import read_vendor_fields
from ruska.io.tiff_write import COLOUR_TABLE, ORIENTATION, ORIENTATIONS, PHOTOMETRIC, RECORD_TAG, losses, write
from ruska.io.tilts import with_beside

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["losses", "read", "write"]

_TEXT_TAGS = ("DocumentName", "ImageDescription", "Make", "Model", "PageName", "Software", "DateTime", "Artist",
              "HostComputer", "Copyright")  # fmt: skip
_LOOK_PIXELS = 16 << 20
_NAMED = 3  # missing files
_IN_WORDS = {3: "three", 4: "four"}


def read(path: Path, inner: str | None) -> Image:
    """Open a TIFF lazily; of a multi-file OME-TIFF, whichever file is given, the whole image.

    Colours become grey, and other samples a C axis; ``notes`` say so. Of several series the
    largest is taken. ``header`` has ``tiff``, and ``imagej``, ``ome_xml``, ``fei``, ``zeiss``... if present.

    Raises InputError when the file is truncated, damaged, holds no image, or a kind of pixel Ruska does not take.
    """
    return _read(path.absolute(), inner=inner)


def read_colours(path: Path, inner: str | None) -> Image:
    """As `read`, with the colours of a picture as an axis C before Y and X; without transparency.

    Raises InputError as `read`. Other images are returned as by `read`.
    """
    return _read(path.absolute(), inner=inner, colours=True)


def read_described(path: Path, xml: str, *, colours: bool = False) -> Image:
    """As `read` or `read_colours`, of a file whose OME-XML is ``xml``, which stands in a companion file."""
    return _read(path.absolute(), xml, colours=colours)


def _read(path: Path, xml: str | None = None, *, inner: str | None = None, colours: bool = False) -> Image:
    import tifffile

    check_directories(path)
    missing: list[str] = []
    own: dict[str, Any] = {} if xml is None else {"omexml": xml, "is_ome": True}
    with heard("tifffile") as words, tifffile.TiffFile(path, **own) as file:
        if file.is_ome and file.ome_metadata:
            check_ome(path, file.ome_metadata)
            head = ome_files.parse_head(file.ome_metadata, path.name)
            whole = None if head is None or xml is not None else _from_master(path, head, colours)
            if whole is not None:
                return whole
            missing = [] if head is None else [name for name in head.names if not (path.parent / name).is_file()]
        series, notes = choose_series(file, path)
        if inner is not None and series.kind != "eer":
            found, more = "one image", ""
            if len(file.series) > 1:
                found = f"{len(file.series)} images, of which Ruska reads the largest"
                more = ", or save that one by itself"
            raise InputError(path, f"holds {found}: '{inner}' cannot be picked from it",
                             f"Leave the part after ':' out{more}.")  # fmt: skip
        layout = stack_layout(series, notes)
        stored = stored_pages(series, layout, path)
        stored = replace(stored, described=xml, colours=colours)
        image = _foreign(file, series, layout, stored, path)
        if series.kind == "eer":
            image = eer.opened(image, inner, path)
        record = series.keyframe.tags.valueof(RECORD_TAG)
    if missing:  # tifffile says so of the first one only
        words[:] = [word for word in words if "OME series failed to read" not in word]
    image = replace(image, notes=(*image.notes, *_missing(missing), *as_notes("tifffile", words)))
    image = image if record is None else _ours(image, record, path)
    return _described(image, path) if len(image.shape) > 2 else image


def _described(image: Image, path: Path) -> Image:
    """Add the metadata of sections from SerialEM's and IMOD's files beside a stack."""
    image = with_beside(image, path)
    if {"Y", "X"} & set(image.spacing):
        return image
    said = pixel_size_angstrom({}, image.header.get("mdoc", {}))
    return replace(image, spacing={**image.spacing, **{a: Quantity(v, "angstrom") for a, v in said.items()}})


def _from_master(path: Path, said: ome_files.OmeHead, colours: bool) -> Image | None:
    """The image to which the planes of ``path`` belong, as another file describes it; None without a usable one."""
    if said.master is None or not (master := path.parent / said.master).is_file():
        return None
    head = ome_files.head_of(master)
    if head is None or not head.others or head.master is not None:
        return None
    if not master.name.lower().endswith(ome_files.COMPANION):
        return replace(_read(master, colours=colours), path=master)
    xml = ome_files.text_of(master)
    return None if xml is None else _read(path, xml, colours=colours)


def _missing(names: list[str]) -> tuple[str, ...]:
    """A note on missing files of a multi-file image."""
    if not names:
        return ()
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    one = len(names) == 1
    which = "a file of this image is" if one else f"{len(names)} files of this image are"
    return (f"{which} missing: {', '.join(names[:_NAMED])}{more} (copy {'it' if one else 'them'} beside this one)",)


# Meaning: from tags to an Image


def _foreign(file: Any, series: Any, layout: Layout, stored: Stored, path: Path) -> Image:
    """The image as the standard fields describe it."""
    notes = layout.notes
    if layout.missing:
        notes.append(f"{layout.missing} of {len(stored.pages)} planes are missing from the file: read as 0")
    files = {page.file for page in stored.pages if page is not None}
    if series.kind != "eer" and path.suffix.lower() == ".gain":
        notes.append("a gain reference of EER movies: frames are divided by it (by those of other cameras they are "
                     "multiplied), and 0 marks a defect")  # fmt: skip
    if len(files) > 1:
        notes.append(f"the image continues in {len(files) - 1} other file{'s' * (len(files) > 2)}")
    notes += _notes_of_shown(_as_shown(series.keyframe))
    notes += note_of_tiff(series.keyframe, stored)
    if series.kind == "eer" and stored.transform is None:
        stored = replace(stored, transform=eer.as_counts)
    if file.is_imagej and stored.samples == 1:
        stored = _calibrated(stored, file.imagej_metadata or {}, notes)
    colour, palette = ("channels", None) if layout.samples else _colour(file, series.keyframe, stored, notes)
    fields = _sizes_and_names(file, series, path)
    lead, samples = layout.lead, stored.samples
    steps = [math.prod(n for _, n in lead[i + 1 :]) for i in range(len(lead))]
    if colour == "channels":
        letter = layout.samples or "C"
        if layout.samples is None and _is_colour(series.keyframe, stored):
            samples, letter = _unmixed(series, stored, lead, notes)
        if any(a == letter for a, _ in lead):
            raise InputError(path, f"has channels and {stored.samples} samples in each pixel, which are no colours",
                             "Split the samples in Fiji first.")  # fmt: skip
        lead = [*lead, (letter, samples)]
        steps.append(0)
    lead = _named_stack(lead, fields.spacing, notes)
    axes = "".join(a for a, _ in lead) + "YX"
    shape = (*(n for _, n in lead), *stored.shape[2:4])
    dtype = None
    if stored.transform is not None:
        dtype = stored.transform(np.zeros(1, stored.dtype)).dtype
    pixels = TiffPixels(shape, stored, tuple(steps), colour, palette, dtype)
    if colour == "grey":
        notes.append(_what_grey(pixels, axes, stored.samples if _may_be_planes(series.keyframe, stored) else 3))
    channels = dict(zip(axes, shape, strict=True)).get("C")
    return Image(
        data=pixels, axes=axes,
        spacing={a: fields.spacing[a] for a in axes if a in fields.spacing},
        origin={a: fields.origin[a] for a in axes if a in fields.origin},
        channel_names=fields.names if len(fields.names) == channels else (),
        header=fields.header, name=path.name, path=path, notes=tuple(notes),
    )  # fmt: skip


def _as_shown(page: Any) -> dict[str, Any]:
    """Tags for the header that tell programs to show the pixels differently from how they are stored."""
    tags: dict[str, Any] = {}
    if page.photometric == 0:
        tags[PHOTOMETRIC] = "MINISWHITE"
    turned = page.tags.valueof(274)
    if isinstance(turned, int) and turned in ORIENTATIONS:
        tags[ORIENTATION] = int(turned)
    return tags


def _notes_of_shown(tags: Any) -> list[str]:
    """What the tags of `_as_shown` say, for people."""
    notes = []
    if PHOTOMETRIC in tags:
        notes.append("the file says that 0 is white: values are kept as stored")
    if ORIENTATION in tags:
        notes.append(f"the file asks to be shown {ORIENTATIONS[tags[ORIENTATION]]}: pixels are kept as stored")
    return notes


def _calibrated(stored: Stored, meta: dict[str, Any], notes: list[str]) -> Stored:
    """Signed values where ImageJ stores them as unsigned ones; any other calibration is noted but not applied."""
    told = tiff_imagej.calibration(meta)
    if told and tiff_imagej.is_signed(told):
        if stored.dtype == np.uint16 and stored.transform is None:
            notes.append("signed 16-bit values by ImageJ's calibration: read as int16")
            return replace(stored, transform=tiff_imagej.signed)
        told = {} if stored.dtype == np.int16 else told
    if told:
        notes.append(
            f"calibration of the grey levels ({tiff_imagej.calibration_text(told)}): values are kept as stored"
        )
    return stored


def _named_stack(lead: list[tuple[str, int]], spacing: dict[str, Quantity], notes: list[str]) -> list[tuple[str, int]]:
    """Call a stack Z or T if the unit of its step shows which, and note if it does not."""
    letters = [a for a, _ in lead]
    if "Q" not in letters:
        return lead
    step = spacing.pop("Q", None)
    if step is not None and step.unit != NO_UNIT:
        name = "Z" if is_length(step.unit) else "T"
        if name not in letters:
            spacing[name] = step
            return [(name if a == "Q" else a, n) for a, n in lead]
    if not any("what the axes are" in note for note in notes):
        notes.append("the file does not say what the stack axis is: taken as Q (set it with --axes)")
    return lead


def _colour(file: Any, page: Any, stored: Stored, notes: list[str]) -> tuple[Colour, NDArray[Any] | None]:
    """What to do with the samples of a pixel, and the palette to apply."""
    photometric = int(page.photometric)
    if stored.samples == 1:
        return "single", _palette(file, page, notes, stored.path) if photometric == 3 else None
    if _is_colour(page, stored):
        if stored.colours or _is_array_of_planes(page, stored):
            return "channels", None
        if stored.samples > 3:
            notes.append("the alpha channel is dropped")
        return "grey", None
    extra = tuple(int(e) for e in page.extrasamples)
    if photometric in (0, 1) and stored.samples == 2 and extra and extra[0] in (1, 2):
        notes.append("the alpha channel is dropped")
        return "first", None
    return "channels", None


def _is_colour(page: Any, stored: Stored) -> bool:
    return int(page.photometric) in (2, 6) and stored.samples >= 3


def _is_array_of_planes(page: Any, stored: Stored) -> bool:
    """Whether three or four planes are called red, green, blue only because tifffile wrote an array of that shape.

    It takes (3, Y, X) for colours, and (4, Y, X) for colours with transparency, where nothing else is said, and its
    description has that shape. As slices all of them are kept; as colours they would become one.
    """
    return stored.shape[4] == 1 and bool(page.is_shaped) and '"axes"' not in page.description


def _may_be_planes(page: Any, stored: Stored) -> bool:
    """Whether colours may be an array of planes that tifffile wrote without its description (``metadata=None``)."""
    return stored.shape[4] == 1 and str(page.software).startswith("tifffile")


def _is_transparent(page: Any) -> bool:
    """Whether the sample behind the colours is an alpha channel."""
    return tuple(int(e) for e in page.extrasamples)[:1] in ((1,), (2,))


def _unmixed(series: Any, stored: Stored, lead: list[tuple[str, int]], notes: list[str]) -> tuple[int, str]:
    """How many of the samples of a colour picture become an axis of their own, and its letter; and a note."""
    page = series.keyframe
    if stored.colours:
        if _is_transparent(page) and stored.samples == 4 and not _may_be_planes(page, stored):
            notes.append("the alpha channel is dropped")
            return 3, "C"
        return stored.samples, "C"
    notes.append(f"the file calls its {stored.samples} planes colours, as tifffile does for every array of this "
                 "shape: taken as a stack")  # fmt: skip
    return stored.samples, "C" if lead else "Q"


def _palette(file: Any, page: Any, notes: list[str], path: Path) -> NDArray[Any] | None:
    """Grey level per index for a colour palette; None when the indices themselves are the measurement.

    That is so in ImageJ files, whose palette is only for display (labels, fire), and where colours are in order.
    """
    table = page.colormap
    if table is None or file.is_imagej or page.tags.get(65027) is not None:
        return None
    bits = int(page.bitspersample)
    if np.shape(table) != (3, 1 << bits) or page.dtype.kind not in "ui":
        raise InputError(path, f"is damaged: its palette is {np.shape(table)}, {page.dtype} of {bits} bits need "
                         f"{(3, 1 << bits)}", "Copy it again from the instrument.")  # fmt: skip
    if is_display_table(_bytes(table)):
        if not _is_grey(table):
            notes.append("its colours are only a display table: the values behind them are read")
        return None
    notes.append("a palette without an order of brightness: colours turned to grey (Rec. 601 luminance)")
    grey = luminance(table.T.astype(np.float64))
    largest = float(np.iinfo(page.dtype).max)
    scale = largest / 65535 if table.max() > 255 or page.bitspersample > 8 else 1.0
    return np.rint(grey * scale).astype(page.dtype)


def _bytes(table: NDArray[Any]) -> NDArray[np.uint8]:
    """A palette (3, n) of 16 bits, or of 8 bits in the files of some programs, as bytes."""
    return (table >> 8 if table.max(initial=0) > 255 else table).astype(np.uint8)


def _is_grey(table: NDArray[Any]) -> bool:
    return bool((table[0] == table[1]).all() and (table[1] == table[2]).all())


def _display_table(file: Any, page: Any) -> str | None:
    """The table of colours that an image is shown in, red, green and blue of 256 values in hexadecimal digits.

    None without one, where it is the usual one of greys, and where it is a palette (`_palette`).
    """
    table = page.colormap
    if int(page.photometric) != 3 or table is None or np.shape(table) != (3, 256):
        return None
    found = _bytes(table)
    usual = _is_grey(found) and np.abs(found[0].astype(int) - np.arange(256)).max() <= 1
    return None if usual or not (file.is_imagej or is_display_table(found)) else found.tobytes().hex()


def _what_grey(pixels: TiffPixels, axes: str, count: int) -> str:
    """Whether the colours are real; looks at the first plane, or the middle of a large one.

    count : how many channels ``--axes`` keeps.
    """
    height, width = pixels.shape[-2:]
    side = math.isqrt(_LOOK_PIXELS)
    rows, columns = (slice(max(0, (n - side) // 2), min(n, (n + side) // 2 + 1)) for n in (height, width))
    rgb = pixels.read_plane(0, rows, columns)[..., :3]
    if (rgb[..., 0] == rgb[..., 1]).all() and (rgb[..., 1] == rgb[..., 2]).all():
        return "three equal colour channels read as one"
    kept = f"--axes {axes[:-2]}CYX keeps {_IN_WORDS.get(count, count)} channels"
    return f"colour picture turned grey (Rec. 601 luminance, rounded; {kept})"


@dataclass
class _Fields:
    spacing: dict[str, Quantity]
    origin: dict[str, Quantity]
    names: tuple[str, ...]
    header: dict[str, Any]


def _sizes_and_names(file: Any, series: Any, path: Path) -> _Fields:
    """Collect sizes, positions, names and header fields: OME first, then ImageJ, makers' tags, resolution."""
    page = series.keyframe
    tags: dict[str, Any] = {name: str(page.tags[name].value) for name in _TEXT_TAGS if name in page.tags}
    header: dict[str, Any] = {}
    tags |= _as_shown(page)
    if (table := _display_table(file, page)) is not None:
        tags[COLOUR_TABLE] = table
    found = _Fields({}, {}, (), header)
    if file.is_ome and file.ome_metadata:
        header["ome_xml"] = file.ome_metadata
        tags.pop("ImageDescription", None)
        number = series_number(file, series) if series.kind == "ome" else 0
        found.spacing, found.origin, found.names = ome_xml.parse(file.ome_metadata, number)
    elif file.is_imagej and file.imagej_metadata:
        header["imagej"] = _jsonable(tiff_imagej.described(file.imagej_metadata, page))
        tags.pop("ImageDescription", None)
        found.spacing, found.origin, found.names = tiff_imagej.sizes_and_names(file.imagej_metadata, *_per_unit(page))
    maker = read_vendor_fields(file, page, path)
    header |= _jsonable(maker.header)
    if "eer" in header and series.kind != "eer" and path.suffix.lower() == ".gain":
        header["eer_gain"] = {"how": "divide"}
    if tags:
        header["tiff"] = tags
    found.origin = maker.origin | found.origin
    found.spacing = maker.spacing | found.spacing
    if not set("YX") & set(found.spacing):
        found.spacing |= _resolution(page)
    return found


def _per_unit(page: Any) -> tuple[float, float]:
    """Length of a pixel in X and Y in the unit of the resolution tags; 0 where they do not say."""
    sizes = []
    for name in ("XResolution", "YResolution"):
        value = page.tags.valueof(name)
        pair = value if isinstance(value, tuple) and len(value) == 2 else (0, 0)
        sizes.append(pair[1] / pair[0] if pair[0] else 0.0)
    return sizes[0], sizes[1]


def _resolution(page: Any) -> dict[str, Quantity]:
    """Pixel size from the resolution tags, unless it is a printer's or a screen's."""
    unit = {2: 25.4e6, 3: 1e7}.get(int(page.tags.valueof("ResolutionUnit") or 2))
    x, y = _per_unit(page)
    if unit is None or not (0 < x * unit < LARGEST_PIXEL_NM and 0 < y * unit < LARGEST_PIXEL_NM):
        return {}
    return {"Y": Quantity(float(f"{y * unit:.9g}"), "nm"), "X": Quantity(float(f"{x * unit:.9g}"), "nm")}


def _jsonable(value: Any) -> Any:
    """``value`` in JSON types; bytes (ImageJ's regions, overlays) as hexadecimal text."""
    if isinstance(value, dict):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return _jsonable(value.tolist())
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


# Files of our own


def _ours(image: Image, record: str, path: Path) -> Image:
    """``image`` with the content of Ruska's private tag; sizes changed since by other programs take precedence."""
    try:
        extra = json.loads(record)
        order, shape, dtype = str(extra["planes"]), tuple(extra["shape"]), np.dtype(extra["dtype"])
        words = extra["image"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(path, f"its Ruska record is damaged ({type(error).__name__}: {error})",
                         f"Restore the file from a copy, or remove its tag {RECORD_TAG}.") from error  # fmt: skip
    fields = metadata.from_json(words, path)
    axes = fields["axes"]
    pixels = image.data
    assert isinstance(pixels, TiffPixels)
    kept = np.dtype(np.uint8) if dtype.kind == "b" else dtype
    same = math.prod(image.shape) == math.prod(shape) and image.shape[-2:] == shape[-2:] and image.dtype == kept
    if not same or pixels.colour != "single" or sorted(f"{order}YX") != sorted(axes) or len(axes) != len(shape):
        return replace(image, notes=(*image.notes, "changed by another program since Ruska wrote it: record ignored"))
    sizes = dict(zip(axes, shape, strict=True))
    steps = {a: math.prod(sizes[b] for b in order[i + 1 :]) for i, a in enumerate(order)}
    data = TiffPixels(shape, pixels.stored, tuple(steps[a] for a in axes[:-2]), "single", dtype=dtype)
    for word in ("spacing", "origin"):
        theirs = {a: q for a, q in getattr(image, word).items() if a in axes}
        fields[word] = {**theirs, **{a: q for a, q in fields[word].items() if not _changed(theirs.get(a), q)}}
    return replace(image, data=data, notes=tuple(_notes_of_shown(image.header.get("tiff", {}))), **fields)


def _changed(theirs: Quantity | None, ours: Quantity) -> bool:
    """Whether the standard field contradicts Ruska's record (it holds fewer digits)."""
    if theirs is None:
        return False
    if canonical_unit(theirs.unit) is None or canonical_unit(ours.unit) is None:
        return True
    if is_length(theirs.unit) != is_length(ours.unit):
        return True
    return not math.isclose(theirs.value, ours.to(theirs.unit), rel_tol=1e-4, abs_tol=1e-12)
