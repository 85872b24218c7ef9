"""Neuroglancer precomputed volumes, in a folder or on a server, sharded or not, read chunk by chunk.

Source: https://github.com/google/neuroglancer/tree/master/src/datasource/precomputed (volume and sharded format).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import InputError
from ruska.image import Image, Meaning, Quantity
from ruska.image.held import Held, count_held
from ruska.io.binary import First
from ruska.io.cache import ArrayCache
from ruska.io.chunk_presence import check_presence
from ruska.io.chunked import LARGEST_CHUNK, ChunkedPixels, decompress_at_most
from ruska.io.places import Folder, Place, is_there, join, read_json, short_name, whole_numbers
from ruska.io.precomputed_shards import Sharding

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TYPES = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32")
_LARGEST_SIDE, _MOST_CHANNELS = 1 << 48, 1 << 12
_CHUNK_NAME = re.compile(r"(-?\d{1,20})-\d{1,20}_(-?\d{1,20})-\d{1,20}_(-?\d{1,20})-\d{1,20}(?:\.gz)?")
_ENCODINGS = ("raw", "jpeg", "png")


class PrecomputedPixels(ChunkedPixels):
    """One scale, (c, z, y, x); a chunk is one file, or a part of a shard."""

    def __init__(self, place: Place, info: Mapping[str, Any], scale: Mapping[str, Any]) -> None:
        channels = int(info.get("num_channels", 1))
        size, chunk = whole_numbers(scale["size"]), whole_numbers(scale["chunk_sizes"][0])
        self.start = whole_numbers(scale.get("voxel_offset", (0, 0, 0)))
        kind = str(info["data_type"]).lower()
        self.encoding = str(scale.get("encoding", "raw"))
        if kind not in _TYPES or self.encoding not in _ENCODINGS:
            raise ValueError(f"values of type '{kind}' in chunks encoded as '{self.encoding}'")
        if len(size) != 3 or len(chunk) != 3 or len(self.start) != 3 or not 0 < channels <= _MOST_CHANNELS:
            raise ValueError(f"{size} in chunks of {chunk}, {channels} channels")
        if not all(0 < n < _LARGEST_SIDE for n in (*size, *chunk)):
            raise ValueError(f"{size} in chunks of {chunk}")
        super().__init__((channels, *size[::-1]), np.dtype(kind), (channels, *chunk[::-1]))
        if math.prod(self.chunks) * self.dtype.itemsize > LARGEST_CHUNK:
            raise ValueError(f"chunks of {chunk}, which are larger than {LARGEST_CHUNK >> 20} MB")
        self.path, self.place, self.key = place.address, place, _inside(str(scale["key"]))
        self.address = place.address
        if isinstance(self.path, Path):
            self.files = (self.path / self.key,)
        shards = scale.get("sharding")
        grid = [-(-n // c) for n, c in zip(size, chunk, strict=True)]
        self.sharding = None if shards is None else Sharding.parse(shards, grid)
        self._indices = ArrayCache()

    def read_chunk(self, place: tuple[int, ...]) -> NDArray[Any] | None:
        """The chunk at (0, z, y, x) of the grid."""
        sizes = tuple(min(c, n - i * c) for i, c, n in zip(place, self.chunks, self.shape, strict=True))
        try:
            data = self._bytes(place)
            return None if data is None else self._decode(data, sizes)
        except (ValueError, OSError, SyntaxError) as error:  # the last is Pillow's word for a broken PNG
            where = ", ".join(map(str, place[1:]))
            raise InputError(self.path, f"chunk {where} (z, y, x) is damaged ({str(error)[:150]})",
                             "Copy the store again.") from error  # fmt: skip

    def held(self) -> Held | None:
        """For a sharded volume, whose file names do not show their chunks, only whether any exist."""
        places = self.stored_places()
        return None if places is None or self.sharding is not None else count_held(self.shape, self.chunks, places)

    def stored_places(self) -> Iterator[tuple[int, ...] | None] | None:
        """For a sharded volume, the first place for every shard, whose name does not show its chunks."""
        names = self.place.names(self.key, 0)
        if names is None:
            return None
        if self.sharding is not None:
            return ((0,) * self.ndim if name[0].endswith(".shard") else None for name in names)
        return map(self._place, names)

    def has_chunk(self, place: tuple[int, ...]) -> bool:
        if self.sharding is not None:
            try:
                return self._bytes(place) is not None
            except ValueError:  # damaged, or larger than a chunk: reading it says so
                return True
        name = self._file(place)
        return is_there(self.place, name) or is_there(self.place, f"{name}.gz")

    def _place(self, name: tuple[str, ...]) -> tuple[int, ...] | None:
        """Place in the grid of a chunk, from a file name such as ``0-64_64-128_0-64`` (x, y, z)."""
        found = _CHUNK_NAME.fullmatch(name[0])
        if found is None:
            return None
        low = [int(n) - s for n, s in zip(found.groups(), self.start, strict=True)]
        if any(n < 0 for n in low):
            return None
        return (0, *(n // c for n, c in zip(reversed(low), self.chunks[1:], strict=True)))

    def check_there(self) -> None:
        if not read_json(self.place, "info"):
            raise self.lost()

    def _file(self, place: tuple[int, ...]) -> str:
        """File name of a chunk, which states its range (x, y, z)."""
        sizes = tuple(min(c, n - i * c) for i, c, n in zip(place, self.chunks, self.shape, strict=True))
        low = [s + i * c for s, i, c in zip(self.start, place[:0:-1], self.chunks[:0:-1], strict=True)]
        return join(self.key, "_".join(f"{a}-{a + n}" for a, n in zip(low, sizes[:0:-1], strict=True)))

    def _bytes(self, place: tuple[int, ...]) -> bytes | None:
        limit = 2 * math.prod(self.chunks) * self.dtype.itemsize + (1 << 16)  # what is encoded may be a little larger
        if self.sharding is not None:
            return self.sharding.read(self.place, self.key, (place[3], place[2], place[1]), limit, self._indices)
        name = self._file(place)
        for file in (name, f"{name}.gz"):
            data = self.place.read(file, limit)
            if data is not None:
                return decompress_at_most("gzip", data, limit) if data[:2] == b"\x1f\x8b" else data
        return None

    def _decode(self, data: bytes, sizes: tuple[int, ...]) -> NDArray[Any]:
        if self.encoding == "raw":
            stored = self.dtype.newbyteorder("<")
            if len(data) != math.prod(sizes) * stored.itemsize:
                raise ValueError(f"{len(data)} bytes for {' x '.join(map(str, sizes))} values")
            return np.frombuffer(data, stored).reshape(sizes).astype(self.dtype)
        return _picture(data, sizes, self.dtype)


def _inside(key: str) -> str:
    """The folder of a scale, below that of the volume; ValueError for any other."""
    if key.startswith("/"):
        raise ValueError(f"'{key}' points outside the store")
    return join(key)


def _picture(data: bytes, sizes: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """A JPEG or PNG whose pixels, row after row, are those of the chunk."""
    from io import BytesIO

    from PIL import Image as Pillow

    with Pillow.open(BytesIO(data), formats=("JPEG", "PNG")) as picture:
        if sizes[0] != 1 or picture.width * picture.height != math.prod(sizes):
            raise ValueError(f"a picture of {picture.width} x {picture.height} for {sizes}")
        values = np.asarray(picture)
    if values.ndim != 2 or values.dtype.itemsize > dtype.itemsize:
        raise ValueError(f"a picture of {values.shape}, {values.dtype}")
    return values.reshape(sizes).astype(dtype)


def read(path: Path, inner: str | None) -> Image:
    """Open a scale lazily: the one that ``inner`` names by its key or number, else the finest.

    Raises InputError for encodings of segmentations, meshes, and damaged metadata.
    """
    return read_at(Folder(path), inner)


def read_at(place: Place, inner: str | None) -> Image:
    """Like `read`, wherever the volume is."""
    path = place.address
    info = _info(place)
    try:
        scale = _choose(path, list(info["scales"]), inner)
        pixels = PrecomputedPixels(place, info, scale)
        spacing = {a: float(v) for a, v in zip("XYZ", scale["resolution"], strict=True)}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise InputError(path, f"its info file is damaged or unusual ({type(error).__name__}: {str(error)[:200]})",
                         "Ruska reads raw, jpeg and png chunks of 3D volumes.") from error  # fmt: skip
    known = {a: Quantity(v, "nm") for a, v in spacing.items() if 0 < v < math.inf}
    origin = {a: Quantity(s * spacing[a], "nm") for a, s in zip("XYZ", pixels.start, strict=True) if s and a in known}
    meaning: Meaning = "labels" if info.get("type") == "segmentation" else "grey"
    absent = check_presence(pixels, f"scale '{pixels.key}'")
    notes = (*(("stored as JPEG, which is lossy",) if pixels.encoding == "jpeg" else ()), *absent)
    single = pixels.shape[0] == 1
    return Image(First(pixels) if single else pixels, "ZYX" if single else "CZYX", known, origin, meaning,
                 header={"precomputed": {"info": dict(info)}}, name=short_name(path), notes=notes)  # fmt: skip


def _info(place: Place) -> dict[str, Any]:
    try:
        found = read_json(place, "info")
    except (OSError, ValueError) as error:
        raise InputError(place.address, f"its info file is damaged ({str(error)[:150]})", "Copy the volume again.") \
            from error  # fmt: skip
    if not found.get("scales"):
        raise InputError(place.address, "holds no volume (its info file lists no scales)",
                         "Meshes and points are not read.")  # fmt: skip
    return found


def _choose(path: Path | str, scales: list[Mapping[str, Any]], inner: str | None) -> Mapping[str, Any]:
    if inner is None:
        return scales[0]
    wanted = inner.strip("/")
    for number, scale in enumerate(scales):
        if wanted in (str(number), str(scale["key"])):
            return scale
    keys = ", ".join(str(s["key"]) for s in scales[:20])
    raise InputError(path, f"has no scale '{wanted}'", f"It holds: {keys}.")
