"""N5 containers in a local folder: datasets and the finest level of multi-scale groups, read block by block.

Zarr 3 reads N5 no more. Axes are stored fastest first, so they are turned round: dimensions x, y, z become ZYX.
Source: https://github.com/saalfeldlab/n5 (README, file-system specification).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import InputError
from ruska.image import Image, Quantity, canonical_unit, is_length
from ruska.io.chunked import COMPRESSIONS, LARGEST_CHUNK, ChunkedPixels, decompress
from ruska.io.registry import assumed_axes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64")
_DEEPEST, _LONGEST_JSON, _LISTED, _MOST_SEEN = 6, 1 << 22, 20, 10_000
_LARGEST_SIDE = 1 << 40


class N5Pixels(ChunkedPixels):
    """One dataset; a block is one file."""

    def __init__(self, path: Path, attributes: Mapping[str, Any], name: str) -> None:
        shape, block, kind = _geometry(attributes)
        super().__init__(shape[::-1], np.dtype(kind), block[::-1])
        self.path, self.name, self.compression = path, name, _compression(attributes)

    def read_chunk(self, place: tuple[int, ...]) -> NDArray[Any] | None:
        file = self.path.joinpath(*map(str, reversed(place)))
        try:
            data = file.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise InputError(self.path, f"block {file.name} cannot be read ({error.strerror})") from error
        try:
            return self._decode(data)
        except (ValueError, struct.error) as error:
            where = file.relative_to(self.path).as_posix()
            raise InputError(self.path, f"block {where} is damaged ({error})", "Copy the store again.") from error

    def check_there(self) -> None:
        if not (self.path / "attributes.json").is_file():
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
    place = _inside(path, inner)
    found = list(_datasets(place))
    if not found:
        what = f"has no dataset '{inner}'" if inner else "holds no dataset"
        raise InputError(path, what, "Is it the right folder? A dataset inside is named FOLDER.n5:/path.")
    if len(found) > 1:
        names = [f"/{p.relative_to(path).as_posix()}" for p in found[:_LISTED]]
        raise InputError(path, f"holds {len(found)} datasets: {', '.join(names)}", f"Name one: {path.name}:{names[0]}.")
    dataset = found[0]
    attributes = _attributes(dataset)
    try:
        pixels = N5Pixels(dataset, attributes, path.name)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise InputError(dataset, f"its attributes.json is damaged or unusual ({error})",
                         "Convert it to OME-Zarr.") from error  # fmt: skip
    return _image(path, dataset, attributes, pixels)


def _inside(path: Path, inner: str | None) -> Path:
    """The folder that ``inner`` names, which must not lead out of the container."""
    parts = [part for part in (inner or "").split("/") if part not in ("", ".")]
    if ".." in parts:
        raise InputError(path, f"'{inner}' leads out of the container", "Name a dataset inside it.")
    return path.joinpath(*parts)


def _attributes(folder: Path) -> dict[str, Any]:
    """The attributes of a group or dataset; empty when there are none that can be read."""
    try:
        with (folder / "attributes.json").open("rb") as file:
            found = json.loads(file.read(_LONGEST_JSON))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _datasets(folder: Path, depth: int = 0, seen: list[int] | None = None) -> Iterator[Path]:
    """Datasets below ``folder``, of multi-scale groups the finest level only; links are not followed."""
    seen = seen if seen is not None else [0]
    if "dimensions" in _attributes(folder):
        yield folder
        return
    if depth >= _DEEPEST or not folder.is_dir():
        return
    below = sorted(p for p in folder.iterdir() if p.is_dir() and not p.is_symlink())
    seen[0] += len(below)
    if seen[0] > _MOST_SEEN:
        return
    finest = next((p for p in below if p.name == "s0" and "dimensions" in _attributes(p)), None)
    for one in [finest] if finest is not None else below:
        yield from _datasets(one, depth + 1, seen)


def _geometry(attributes: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[int, ...], str]:
    shape = tuple(int(n) for n in attributes["dimensions"])
    block = tuple(int(n) for n in attributes["blockSize"])
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


def _image(path: Path, dataset: Path, attributes: Mapping[str, Any], pixels: N5Pixels) -> Image:
    parents = [p for p in dataset.parents if p == path or path in p.parents]
    said = [attributes, *(_attributes(p) for p in parents)]
    try:
        sizes, origin = _sizes(said, pixels.ndim)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError):
        sizes, origin = {}, {}
    axes, notes = assumed_axes(pixels.ndim, path)
    if pixels.ndim == 3 and "Z" in sizes:
        axes, notes = "ZYX", ()
    return Image(pixels, axes, {a: q for a, q in sizes.items() if a in axes},
                 {a: q for a, q in origin.items() if a in axes}, header={"n5": dict(attributes)},
                 name=path.name, notes=notes)  # fmt: skip


def _sizes(said: list[Mapping[str, Any]], ndim: int) -> tuple[dict[str, Quantity], dict[str, Quantity]]:
    """Voxel size and origin from COSEM's ``transform``, else ``pixelResolution`` or ``resolution`` (x first)."""
    factors = [float(n) for n in said[0].get("downsamplingFactors", [1] * ndim)]
    for place, one in enumerate(said):
        transform, resolution = one.get("transform"), one.get("pixelResolution", one.get("resolution"))
        if isinstance(transform, Mapping):
            letters = [str(a).upper() for a in transform["axes"]]
            units, scale = transform.get("units", ["nm"] * ndim), transform["scale"]
            return (_quantities(letters, scale, units),
                    _quantities(letters, transform.get("translate", ()), units, origin=True))  # fmt: skip
        if resolution is None:
            continue
        unit = one.get("units", one.get("unit", "nm"))
        if isinstance(resolution, Mapping):
            unit, resolution = resolution.get("unit", unit), resolution["dimensions"]
        units = list(unit) if isinstance(unit, list) else [unit] * len(resolution)
        steps = [float(r) * (f if place else 1.0) for r, f in zip(resolution, factors, strict=False)]
        return _quantities(list("XYZ"), steps, units), {}
    return {}, {}


def _quantities(letters: list[str], values: Any, units: Any, *, origin: bool = False) -> dict[str, Quantity]:
    found = {}
    for letter, value, unit in zip(letters, values, units, strict=False):
        known, number = canonical_unit(str(unit)), float(value)
        usable = math.isfinite(number) and (number != 0 if origin else number > 0)
        if known is not None and is_length(known) and letter in ("Z", "Y", "X") and usable:
            found[letter] = Quantity(number, known)
    return found
