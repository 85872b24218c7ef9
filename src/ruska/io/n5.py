"""N5 containers, in a folder or on a server: datasets and the finest level of multi-scale groups, by the block.

zarr-python 3 no longer reads N5. Axes are stored fastest first and reversed here: dimensions x, y, z become ZYX.
Source: https://github.com/saalfeldlab/n5 (README, file-system specification).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import InputError
from ruska.image import NO_UNIT, Image, Quantity
from ruska.image.held import Held, count_held
from ruska.io.chunk_files import n5_places
from ruska.io.chunk_presence import check_presence
from ruska.io.chunked import COMPRESSIONS, LARGEST_CHUNK, ChunkedPixels, decompress
from ruska.io.places import Folder, Place, is_there, join, read_json, short_name, whole_numbers
from ruska.io.registry import assumed_axes
from ruska.io.stated_sizes import length_unit, says_something

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")
_DEEPEST, _LISTED, _MOST_SEEN = 6, 20, 10_000
_LARGEST_SIDE = 1 << 48
_SPARE = 1 << 16


class N5Pixels(ChunkedPixels):
    """One dataset, ``name`` in a container; a block is one file."""

    def __init__(self, place: Place, name: str, attributes: Mapping[str, Any]) -> None:
        shape, block, kind = _geometry(attributes)
        super().__init__(shape[::-1], np.dtype(kind), block[::-1])
        self.path, self.place, self.name, self.compression = place.address, place, name, _compression(attributes)
        self.address = place.address
        size = math.prod(self.chunks) * self.dtype.itemsize
        self.longest = size + size // 8 + _SPARE  # bytes of a file: what is packed may be a little longer
        if isinstance(self.path, Path):
            self.files = (self.path / name,)

    def held(self) -> Held | None:
        places = self.stored_places()
        return None if places is None else count_held(self.shape, self.chunks, places)

    def stored_places(self) -> Iterator[tuple[int, ...] | None] | None:
        names = self.place.names(self.name, self.ndim)
        return None if names is None else n5_places(names, self.ndim)

    def has_chunk(self, place: tuple[int, ...]) -> bool:
        return is_there(self.place, self._file(place))

    def read_chunk(self, place: tuple[int, ...]) -> NDArray[Any] | None:
        where = "/".join(map(str, reversed(place)))
        try:
            data = self.place.read(self._file(place), self.longest)
            return None if data is None else self._decode(data)
        except OSError as error:
            raise InputError(self.path, f"block {where} cannot be read ({error.strerror or error})") from error
        except (ValueError, struct.error) as error:
            raise InputError(self.path, f"block {where} is damaged ({error})", "Copy the store again.") from error

    def _file(self, place: tuple[int, ...]) -> str:
        return join(self.name, "/".join(map(str, reversed(place))))

    def check_there(self) -> None:
        if not _attributes(self.place, self.name):
            raise self.lost()

    def _decode(self, data: bytes) -> NDArray[Any]:
        """A block: mode, number of dimensions and its sizes (big-endian), then the packed values."""
        mode, ndim = struct.unpack_from(">HH", data)
        if mode != 0 or ndim != self.ndim:
            raise ValueError(f"mode {mode} with {ndim} dimensions")
        sizes = struct.unpack_from(f">{ndim}I", data, 4)[::-1]
        if any(not 0 < n <= c for n, c in zip(sizes, self.chunks, strict=True)):
            raise ValueError(f"it is {sizes}, the blocks are {self.chunks}")
        stored = self.dtype.newbyteorder(">")
        values = decompress(self.compression, data[4 + 4 * ndim :], math.prod(sizes) * stored.itemsize)
        return np.frombuffer(values, stored).reshape(sizes).astype(self.dtype)


def read(path: Path, inner: str | None) -> Image:
    """Open a dataset lazily: the one that ``inner`` names (or the finest level there), else the only one.

    Raises InputError with the list of datasets when there are several, and when the metadata are damaged.
    """
    return read_at(Folder(path), inner)


def read_at(place: Place, inner: str | None) -> Image:
    """Like `read`, wherever the container is. Servers do not list what they hold: a dataset must be named there."""
    path = place.address
    try:
        wanted = join(inner or "")
    except ValueError as error:
        raise InputError(path, f"'{inner}' points outside the container", "Name a dataset inside it.") from error
    found = list(_datasets(place, wanted))
    if not found:
        what = f"has no dataset '{inner}'" if inner else "holds no dataset"
        raise InputError(path, what, "Is it the right folder? A dataset inside is named FOLDER.n5:/path.")
    if len(found) > 1:
        names = [f"/{name}" for name in found[:_LISTED]]
        raise InputError(path, f"holds {len(found)} datasets: {', '.join(names)}",
                         f"Name one: {short_name(path)}:{names[0]}.")  # fmt: skip
    attributes = _attributes(place, found[0])
    try:
        pixels = N5Pixels(place, found[0], attributes)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(f"{path}/{found[0]}".rstrip("/"), f"its attributes.json is damaged or unusual ({error})",
                         "Convert it to OME-Zarr.") from error  # fmt: skip
    absent = check_presence(pixels, f"dataset '/{found[0]}'" if found[0] else "the dataset")
    image = _image(place, found[0], attributes, pixels)
    return replace(image, notes=(*image.notes, *absent))


def _attributes(place: Place, name: str) -> dict[str, Any]:
    """The attributes of a group or dataset; empty when there are none that can be read."""
    try:
        return read_json(place, join(name, "attributes.json"))
    except (OSError, ValueError):
        return {}


def _datasets(place: Place, name: str, depth: int = 0, seen: list[int] | None = None) -> Iterator[str]:
    """Datasets at or below ``name``, of multi-scale groups the finest level only; links are not followed."""
    seen = seen if seen is not None else [0]
    if "dimensions" in _attributes(place, name):
        yield name
        return
    if "dimensions" in _attributes(place, join(name, "s0")):
        yield join(name, "s0")
        return
    below = place.folders(name) if depth < _DEEPEST else []
    seen[0] += len(below)
    if seen[0] > _MOST_SEEN:
        return
    for one in below:
        yield from _datasets(place, join(name, one), depth + 1, seen)


def _geometry(attributes: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...], str]:
    shape, block = whole_numbers(attributes["dimensions"]), whole_numbers(attributes["blockSize"])
    kind = str(attributes["dataType"]).lower()
    if kind not in _TYPES:
        raise ValueError(f"values of type '{kind}'")
    if len(shape) != len(block) or not all(0 < n < _LARGEST_SIDE for n in (*shape, *block)):
        raise ValueError(f"{shape} in blocks of {block}")
    if math.prod(block) * np.dtype(kind).itemsize > LARGEST_CHUNK:
        raise ValueError(f"blocks of {block}, which are larger than {LARGEST_CHUNK >> 20} MB")
    return shape, block, kind


def _compression(attributes: Mapping[str, Any]) -> str:
    said = attributes.get("compression", attributes.get("compressionType", "raw"))
    kind = str(said.get("type", "raw") if isinstance(said, Mapping) else said).lower()
    if kind not in COMPRESSIONS:
        raise ValueError(f"blocks packed by '{kind}'")
    return kind


def _image(place: Place, name: str, attributes: Mapping[str, Any], pixels: N5Pixels) -> Image:
    parts = name.split("/") if name else []
    parents = ["/".join(parts[:n]) for n in reversed(range(len(parts)))]
    said = [attributes, *(_attributes(place, parent) for parent in parents)]
    try:
        sizes, origin = _sizes(said, pixels.ndim)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        sizes, origin = {}, {}
    axes, notes = assumed_axes(pixels.ndim, place.address)
    if pixels.ndim == 3 and "Z" in sizes:
        axes, notes = "ZYX", ()
    return Image(pixels, axes, {a: q for a, q in sizes.items() if a in axes},
                 {a: q for a, q in origin.items() if a in axes}, header={"n5": dict(attributes)},
                 name=short_name(place.address), notes=notes)  # fmt: skip


def _sizes(said: list[Mapping[str, Any]], ndim: int) -> tuple[dict[str, Quantity], dict[str, Quantity]]:
    """Voxel size and origin from COSEM's ``transform``, else ``pixelResolution`` or ``resolution`` (x first).

    Numbers without a unit have `NO_UNIT`.
    """
    factors = [float(n) for n in said[0].get("downsamplingFactors", [1] * ndim)]
    for place, one in enumerate(said):
        transform, resolution = one.get("transform"), one.get("pixelResolution", one.get("resolution"))
        if isinstance(transform, Mapping):
            letters = [str(a).upper() for a in transform["axes"]]
            units, scale = transform.get("units", [NO_UNIT] * ndim), transform["scale"]
            return (_quantities(letters, scale, units),
                    _quantities(letters, transform.get("translate", ()), units, origin=True))  # fmt: skip
        if resolution is None:
            continue
        unit = one.get("units", one.get("unit", NO_UNIT))
        if isinstance(resolution, Mapping):
            unit, resolution = resolution.get("unit", unit), resolution["dimensions"]
        units = list(unit) if isinstance(unit, list) else [unit] * len(resolution)
        steps = [float(r) * (f if place else 1.0) for r, f in zip(resolution, factors, strict=False)]
        return _quantities(list("XYZ"), steps, units), {}
    return {}, {}


def _quantities(letters: list[str], values: Any, units: Any, *, origin: bool = False) -> dict[str, Quantity]:
    found = {}
    for letter, value, unit in zip(letters, values, units, strict=False):
        number = float(value)
        usable = math.isfinite(number) and (number != 0 if origin else number > 0)
        if letter in ("Z", "Y", "X") and usable:
            found[letter] = Quantity(number, length_unit(str(unit)))
    return found if origin or says_something(found) else {}
