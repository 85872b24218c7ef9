"""HDF5: our own files, HyperSpy, EMD (NCEM and Velox), ilastik, and any dataset that is named: ``file.h5:/raw``.

Links into other files, and datasets whose bytes lie in other files, are refused: a file from elsewhere must not
make Ruska read what its owner can not see.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import InputError, OutputError
from ruska.image import Image, Quantity, canonical_unit, is_length
from ruska.io import metadata
from ruska.io.lazy import LazyPixels, boxes, transposed
from ruska.io.registry import assumed_axes, to_units

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DATA, _MASK, _RECORD = "data", "mask", "ruska"
_PREFERRED = ("data", "raw", "volume", "exported_data", "image")
_LONGEST_LINK_CHAIN = 16
_BOX_VOXELS = 1 << 24
_AXIS_GROUP = re.compile(r"(?:_?axis-|dim)(\d+)$")


class Hdf5Pixels(LazyPixels):
    """One dataset. The file is opened for the time of one read."""

    def __init__(self, path: Path, dataset: Any) -> None:
        super().__init__(dataset.shape, dataset.dtype.newbyteorder("="))
        self.path, self.inner, self.chunks = path, dataset.name, dataset.chunks

    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        import h5py

        try:
            with h5py.File(self.path, "r") as file:
                return np.asarray(file[self.inner][box], dtype=self.dtype)
        except (OSError, KeyError) as error:
            raise InputError(self.path, f"dataset {self.inner} cannot be read ({error})",
                             "The file is truncated or damaged: copy it again.") from error  # fmt: skip


@dataclass
class _Facts:
    """What the surroundings of a dataset say about it."""

    axes: str | None = None
    spacing: dict[str, Quantity] = field(default_factory=dict)
    origin: dict[str, Quantity] = field(default_factory=dict)
    order: tuple[int, ...] | None = None
    header: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read(path: Path, inner: str | None) -> Image:
    """Open a dataset lazily: the one named, else the only image of the file.

    Raises InputError with the list of datasets when there are several and none is named, and for links into
    other files, complex numbers, spectra, and truncated files.
    """
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(path, f"cannot be opened as HDF5 ({str(error)[:150]})",
                         "It is truncated, or another program is writing it: copy it again.") from error  # fmt: skip
    with file:
        notes: tuple[str, ...] = ()
        if inner is None and _is_ours(file):
            return _read_ours(path, file)
        if inner is None:
            dataset, notes = _choose(path, file)
        else:
            dataset = _follow(path, file, inner)
            if isinstance(dataset, h5py.Group):
                dataset, notes = _choose(path, dataset)
        _check(path, dataset)
        return _image(path, dataset, notes)


def _is_ours(file: Any) -> bool:
    import h5py

    # A link, or a dataset of another type under our name, is treated like any foreign file.
    plain = all(isinstance(file.get(n, getlink=True), h5py.HardLink) for n in (_DATA, _RECORD) if n in file)
    return _DATA in file and _RECORD in file and plain and isinstance(file[_RECORD], h5py.Dataset)


def _read_ours(path: Path, file: Any) -> Image:
    record = file[_RECORD]
    fields = metadata.loads(record.asstr()[()], path)
    _check(path, file[_DATA])
    mask = None
    if _MASK in file:
        mask_dataset = _follow(path, file, _MASK)
        _check(path, mask_dataset)
        mask = Hdf5Pixels(path, mask_dataset) if mask_dataset.ndim else None
    return Image(Hdf5Pixels(path, file[_DATA]), mask=mask, name=path.name, **fields)


def _follow(path: Path, file: Any, inner: str) -> Any:
    """The object at ``inner``, without ever leaving this file."""
    import h5py

    parts = [part for part in inner.split("/") if part and part != "."]
    here, hops = file["/"], 0
    while parts:
        name = parts.pop(0)
        link = here.get(name, getlink=True) if isinstance(here, h5py.Group) else None
        if link is None:
            listing = "; ".join(_describe(d) for d in _candidates(file)) or "no images"
            raise InputError(path, f"has no dataset '{inner}'", f"It holds: {listing}.")
        if isinstance(link, h5py.ExternalLink):
            raise InputError(path, f"'{inner}' is a link into another file ({link.filename})",
                             "Ruska does not follow it: open that file itself.")  # fmt: skip
        if isinstance(link, h5py.SoftLink):
            hops += 1
            if hops > _LONGEST_LINK_CHAIN:
                raise InputError(path, f"'{inner}' is a link that leads round in a circle", "Name the dataset itself.")
            parts[:0] = [part for part in link.path.split("/") if part and part != "."]
            here = file["/"] if link.path.startswith("/") else here
        else:
            here = here[name]
    return here


def _candidates(group: Any) -> list[Any]:
    """Datasets below ``group`` that can be images: real numbers, two or more axes, not a single column."""
    import h5py

    found: list[Any] = []

    def visit(_: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "uifb" and item.ndim >= 2:
            rows, columns = _plane_shape(item)
            is_text = item.name.rsplit("/", 1)[-1] == "Metadata"  # Velox keeps its JSON as columns of bytes
            if min(rows, columns) > 1 and not is_text:
                found.append(item)

    group.visititems(visit)  # goes through hard links only
    return found


def _plane_shape(dataset: Any) -> tuple[int, int]:
    """Rows and columns of one plane; Velox puts them first."""
    shape = dataset.shape[:2] if _is_velox(dataset) else dataset.shape[-2:]
    return int(shape[0]), int(shape[1])


def _describe(dataset: Any) -> str:
    return f"{dataset.name} ({' x '.join(map(str, dataset.shape))}, {dataset.dtype})"


def _choose(path: Path, group: Any) -> tuple[Any, tuple[str, ...]]:
    """The only candidate, else the only one at the top level, else the only one of a customary name."""
    found = _candidates(group)
    depth = group.name.rstrip("/").count("/") + 1
    for narrowed in (
        found,
        [d for d in found if d.name.count("/") == depth],
        [d for d in found if d.name.rsplit("/", 1)[-1] in _PREFERRED],
    ):
        if len(narrowed) == 1:
            taken = narrowed[0]
            others = ", ".join(d.name for d in found if d.name != taken.name)
            return taken, (f"took dataset {taken.name}; also there: {others}",) if others else ()
    if not found:
        raise InputError(path, "holds no image: no dataset of real numbers with two or more axes",
                         "Spectra, complex numbers and links into other files are not read.")  # fmt: skip
    listing = "; ".join(_describe(d) for d in found[:20])
    raise InputError(path, f"holds {len(found)} images: {listing}", f"Name one: {path.name}:{found[0].name}.")


def _check(path: Path, dataset: Any) -> None:
    """Refuse what is no image, and datasets whose bytes are in other files."""
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise InputError(path, f"{dataset.name} is no dataset", "Name a dataset.")
    if dataset.external:
        raise InputError(path, f"{dataset.name} keeps its bytes in another file ({dataset.external[0][0]})",
                         "Ruska does not follow it: repack it, e.g. with h5repack.")  # fmt: skip
    if dataset.is_virtual and any(source.file_name != "." for source in dataset.virtual_sources()):
        raise InputError(path, f"{dataset.name} is put together from other files (a virtual dataset)",
                         "Ruska does not follow it: open those files, or repack it.")  # fmt: skip
    if dataset.dtype.kind not in "uifb":
        raise InputError(path, f"{dataset.name} holds values of type {dataset.dtype}, which are not grey levels",
                         "Ruska takes integers and real floating-point numbers.")  # fmt: skip


def _image(path: Path, dataset: Any, notes: tuple[str, ...]) -> Image:
    """Put what the attributes and neighbours say to the dataset."""
    facts = _velox(dataset) if _is_velox(dataset) else _axis_groups(path, dataset) or _attributes(dataset)
    pixels: Any = Hdf5Pixels(path, dataset)
    if facts.order is not None:
        pixels = transposed(pixels, facts.order)
    axes, assumed = (facts.axes, ()) if facts.axes else assumed_axes(dataset.ndim, path)
    if facts.axes is None:
        facts.spacing = {a: q for a, q in facts.spacing.items() if a in axes}
        axes, assumed = _volume_if_sized(axes, facts, assumed)
    if axes.startswith("Q") and pixels.shape[0] == 1 and _is_velox(dataset):
        pixels, axes = _FirstFrame(pixels), axes[1:]
    return Image(
        pixels, axes, facts.spacing, facts.origin, header=facts.header, name=path.name,
        notes=(*notes, *assumed, *facts.notes),
    )  # fmt: skip


def _volume_if_sized(axes: str, facts: _Facts, assumed: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """A stack that comes with a voxel size along its first axis is a volume."""
    depth = facts.header.pop("depth", None)
    if axes != "QYX" or depth is None:
        return axes, assumed
    facts.spacing["Z"] = depth
    return "ZYX", ()


class _FirstFrame(LazyPixels):
    """The only frame of a series of one."""

    def __init__(self, frames: Any) -> None:
        super().__init__(frames.shape[1:], frames.dtype)
        self.frames = frames

    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        values: NDArray[Any] = np.asarray(self.frames[(slice(0, 1), *box)])[0]
        return values


def _text(value: Any) -> str:
    """An attribute as text, whatever string type it was stored with."""
    if isinstance(value, np.ndarray):
        value = value.ravel()[0] if value.size else ""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _size(scale: Any, unit: Any) -> Quantity | None:
    """A positive size in a known unit, or None: uncalibrated axes are saved as 1, or without a unit."""
    known = canonical_unit(_text(unit))
    value = abs(_number(scale))
    return Quantity(value, known) if known is not None and 0 < value < math.inf else None


def _number(value: Any) -> float:
    try:
        return float(np.asarray(value).ravel()[0])
    except (ValueError, TypeError, IndexError):
        return math.nan


# HyperSpy and NCEM EMD describe the axes beside the dataset


def _axis_groups(path: Path, dataset: Any) -> _Facts | None:
    """HyperSpy's ``axis-N`` groups, or EMD's ``dimN`` vectors; None when there are none."""
    described = list(_described_axes(dataset))
    if len(described) != dataset.ndim or dataset.ndim < 2:
        return None
    navigates = [bool(axis.get("navigate", False)) for axis in described]
    if any(navigates) and navigates[-2:] != [False, False]:
        raise InputError(path, f"{dataset.name} is a spectrum image or diffraction set ({dataset.ndim} axes)",
                         "Integrate it to an image first, e.g. signal.T.sum() in HyperSpy.")  # fmt: skip
    facts = _Facts(axes=_letters(described))
    assert facts.axes is not None
    for letter, axis in zip(facts.axes, described, strict=True):
        size = _size(axis.get("scale"), axis.get("units", ""))
        if size is None or is_length(size.unit) != (letter in "ZYX"):
            continue
        facts.spacing[letter] = size
        start = _number(axis.get("offset", 0.0))
        if start and math.isfinite(start):
            facts.origin[letter] = Quantity(start, size.unit)
    return facts


def _described_axes(dataset: Any) -> Iterator[dict[str, Any]]:
    """Name, scale, offset, units and navigate of each axis, in the order of the data."""
    import h5py

    parent = dataset.parent
    found: dict[int, Any] = {}
    for name in parent:
        match = _AXIS_GROUP.match(name)
        if match and isinstance(parent.get(name, getlink=True), h5py.HardLink):
            found[int(match[1])] = parent[name]
    for number in sorted(found):
        item = found[number]
        axis = dict(item.attrs)
        if isinstance(item, h5py.Dataset):
            steps: Any = item[:2] if item.ndim == 1 and item.dtype.kind in "uif" else ()
            axis.pop("navigate", None)
            if len(steps) == 2:
                axis.update(scale=float(steps[1]) - float(steps[0]), offset=float(steps[0]))
        yield axis


def _letters(described: list[dict[str, Any]]) -> str:
    """Axis letters: the last two are YX; others by their name or unit, else a stack axis, then T, C."""
    letters: list[str] = []
    spare = list("QTCZ")
    for axis in described[:-2]:
        name, unit = _text(axis.get("name", "")).strip().upper(), canonical_unit(_text(axis.get("units", "")))
        wanted = name if name in ("T", "C", "Z") else ""
        if unit is not None:
            wanted = wanted if is_length(unit) else "T"
        elif wanted == "Z":
            wanted = "Q"  # HyperSpy's demos call the frame number z; without a length it is no depth
        letter = wanted if wanted in spare else next(a for a in (*spare, "?"))
        spare = [a for a in spare if a != letter]
        letters.append(letter)
    return "".join(letters) + "YX"


# Velox (Thermo Fisher) EMD


def _is_velox(dataset: Any) -> bool:
    return bool(re.fullmatch(r"/Data/Image/[^/]+/Data", dataset.name)) and dataset.ndim == 3


def _velox(dataset: Any) -> _Facts:
    """Frames are the last axis in the file; the pixel size is in a JSON text, in metres."""
    facts = _Facts(axes="QYX", order=(2, 0, 1))
    try:
        columns = dataset.parent["Metadata"]
        text = bytes(columns[:, 0] if columns.ndim == 2 else columns[:]).split(b"\0", 1)[0]
        record = json.loads(text)
        result = record["BinaryResult"]
        pixel = result["PixelSize"]
        units = (result.get("PixelUnitX", "m"), result.get("PixelUnitY", "m"))
        for axis, length, unit in (("X", pixel["width"], units[0]), ("Y", pixel["height"], units[1])):
            size = _size(float(length), unit)
            if size is not None:
                facts.spacing[axis] = Quantity(size.to("nm"), "nm")
        detector = result.get("Detector")
        facts.header["velox"] = {"detector": detector} if detector else {}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        facts.notes.append(f"the Velox metadata could not be read ({type(error).__name__}), so no pixel size")
    facts.header = {name: fields for name, fields in facts.header.items() if fields}
    return facts


# Attributes of the dataset itself


def _attributes(dataset: Any) -> _Facts:
    """ilastik's ``axistags``, the ``element_size_um`` of many volumes, the ``resolution`` (nm) of CREMI's."""
    facts = _Facts()
    _axistags(dataset, facts)
    for name, unit in (("element_size_um", "um"), ("resolution", "nm")):
        values = np.asarray(dataset.attrs.get(name, ())).ravel()
        if values.dtype.kind not in "uif" or len(values) not in (2, 3):
            continue
        sizes = dict(zip("ZYX"[-len(values) :], (Quantity(float(v), unit) for v in values), strict=True))
        known = {a: q for a, q in sizes.items() if 0 < q.value < math.inf}
        facts.spacing = {a: q for a, q in known.items() if facts.axes is None or a in facts.axes}
        if facts.axes is None and "Z" in known:
            facts.header["depth"] = known["Z"]
        if name == "resolution":
            facts.notes.append("attribute 'resolution' taken as nanometres")
        break
    return facts


def _axistags(dataset: Any, facts: _Facts) -> None:
    try:
        tags = json.loads(_text(dataset.attrs["axistags"]))["axes"]
        letters = "".join(str(tag["key"]).upper() for tag in tags)
    except (KeyError, ValueError, TypeError):
        return
    if (
        len(letters) != dataset.ndim
        or len(set(letters)) != len(letters)
        or not set("YX") <= set(letters) <= set("TCZYX")
    ):
        return
    facts.axes = "".join(a for a in letters if a not in "YX") + "YX"
    facts.order = tuple(letters.index(a) for a in facts.axes)


def write(path: Path, image: Image, *, compression: int = 1) -> tuple[str, ...]:
    """Write ``/data`` (chunked), ``/mask`` and the metadata as JSON in ``/ruska``, box by box.

    compression : gzip level 0 (none) to 9. Nothing of the image is lost.
    """
    import h5py

    if image.dtype.itemsize > 8:
        raise OutputError(path, f"HDF5 files of {image.dtype} are not portable", "Pass --dtype float64.")
    with h5py.File(path, "x") as file:
        data = _copy(file, _DATA, image.data, compression)
        if image.mask is not None:
            _copy(file, _MASK, image.mask, compression)
        # A dataset, because HDF5 attributes end at 64 KB.
        file.create_dataset(_RECORD, data=metadata.dumps(image), dtype=h5py.string_dtype())
        sizes = _sizes_um(image)
        if sizes is not None:
            data.attrs["element_size_um"] = sizes
    return ()


def _sizes_um(image: Image) -> NDArray[np.float64] | None:
    """Z, Y, X in micrometres for other programs, where Y and X are known (Z as X in a single plane)."""
    sizes = [to_units(image.spacing, a, "um") for a in "ZYX" if a in image.axes]
    return None if None in sizes else np.asarray(sizes, np.float64)


def _copy(file: Any, name: str, values: Any, compression: int) -> Any:
    """Stream an array into a new dataset by boxes of whole chunks."""
    if 0 in values.shape or len(values.shape) == 0:
        return file.create_dataset(name, data=np.asarray(values))
    chunks = _chunk_shape(tuple(values.shape))
    filters: Mapping[str, Any] = {"compression": compression, "shuffle": True} if compression else {}
    dataset = file.create_dataset(name, tuple(values.shape), np.dtype(values.dtype), chunks=chunks, **filters)
    for box in boxes(dataset.shape, chunks, _BOX_VOXELS):
        dataset[box] = np.asarray(values[box])
    return dataset


def _chunk_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """16 × 128 × 128 of the last three axes, one along the others: planes and columns both read few chunks."""
    wanted = (1,) * max(0, len(shape) - 3) + (16, 128, 128)[-min(3, len(shape)) :]
    return tuple(min(n, c) for n, c in zip(shape, wanted, strict=True))
