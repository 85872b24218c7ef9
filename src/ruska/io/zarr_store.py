"""Writing OME-Zarr stores (NGFF 0.5 and 0.4, with pyramids) piece by piece; see `zarr_read` for reading.

A store is written in three steps that are also the engine's: `ZarrSink` makes level 0, whole shards are written to
it in any order and from any thread, and `finish_store` adds the pyramid and the metadata.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.disk import settle
from ruska.errors import GeometryError, InputError, OutputError
from ruska.image import Image
from ruska.io import metadata, ngff
from ruska.io.lazy import boxes, transposed
from ruska.io.pyramid import halve, has_no_means
from ruska.io.zarr_read import MASK, RECORD, ZarrPixels, inverse, read

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ZarrPixels", "ZarrSink", "finish_store", "pyramid_factors", "read", "write"]

VERSIONS = ("0.5", "0.4")
_CHUNK_3D, _CHUNK_2D = (32, 128, 128), (512, 512)
_SHARD_3D, _SHARD_2D = (64, 256, 256), (2048, 2048)  # 4 million voxels: what a writer holds at once
_BOX_VOXELS = 1 << 23
_SMALLEST = 512  # a level this large in Y or X gets a coarser one
_NEARLY_CUBIC = 1.5  # Z is halved too while its spacing is at most this multiple of Y's


class ZarrSink:
    """Level 0 of a new store: written box by box, from any thread, before the store is finished.

    Parameters
    ----------
    path : the store, which must not exist yet.
    shape, dtype, axes : of the image, in the image's own axis order (the store has NGFF's).
    chunks : chunk shape in the image's order; then one chunk is one file. By default large arrays are sharded.
    version : NGFF version, ``"0.5"`` (Zarr 3) or ``"0.4"`` (Zarr 2, no shards).

    ``grain`` is the shape of a shard (or chunk): the smallest box that can be written without touching a file that
    another box is in.
    """

    def __init__(
        self, path: Path, shape: tuple[int, ...], dtype: Any, axes: str, *,
        chunks: tuple[int, ...] | None = None, version: str = "0.5",
    ) -> None:  # fmt: skip
        import zarr

        dtype = np.dtype(dtype).newbyteorder("=")
        if version not in VERSIONS:
            raise OutputError(path, f"there is no OME-Zarr version '{version}' to write", "Use 0.5 or 0.4.")
        _check_dtype(path, dtype)
        letters = ngff.stored_letters(axes, path)
        order = ngff.stored_order(letters)
        stored = tuple(int(shape[i]) for i in order)
        names = "".join(letters[i] for i in order)
        wanted = None if chunks is None else tuple(int(chunks[i]) for i in order)
        try:
            group = zarr.open_group(str(path), mode="w-", zarr_format=3 if version == "0.5" else 2)
        except FileExistsError as error:
            raise OutputError(path, "exists already", "Choose another name, or pass --overwrite.") from error
        group.attrs[RECORD] = {"version": metadata.VERSION, "axes": axes}
        _create_level(group, 0, stored, dtype, names, wanted or _chunks(stored, names), sharded=wanted is None)
        self._attach(path, group)

    @classmethod
    def open(cls, path: Path) -> ZarrSink:
        """Attach to a store that an earlier run made; InputError when it is not one of ours."""
        import zarr

        sink = cls.__new__(cls)
        try:
            sink._attach(path, zarr.open_group(str(path), mode="r+"))
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise InputError(path, f"cannot be resumed: Ruska did not write this Zarr store ({error})",
                             "Delete it and start again.") from error  # fmt: skip
        return sink

    def _attach(self, path: Path, group: Any) -> None:
        self.path, self.axes = path, str(group.attrs[RECORD]["axes"])
        self._array = group["0"]
        self._order = ngff.stored_order(ngff.stored_letters(self.axes, path))
        self.dtype = np.dtype(self._array.dtype)
        self.shape = self._own_order(self._array.shape)
        self.grain = self._own_order(self._array.shards or self._array.chunks)

    def _own_order(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(int(sizes[i]) for i in inverse(self._order))

    def write(self, box: tuple[slice, ...], values: NDArray[Any]) -> None:
        """Write whole grains, which are on the disk when this returns.

        Raises GeometryError for a box that is not made of them: two writers of one shard would corrupt it.
        """
        for axis, part, grain, n in zip(self.axes, box, self.grain, self.shape, strict=True):
            whole = part.start % grain == 0 and (part.stop % grain == 0 or part.stop == n)
            if not (whole and 0 <= part.start < part.stop <= n):
                raise GeometryError(self.path, f"box {part.start}:{part.stop} along {axis} is not made of whole "
                                    f"shards of {grain} within 0:{n}")  # fmt: skip
        expected = tuple(s.stop - s.start for s in box)
        if values.shape != expected:
            raise GeometryError(self.path, f"values of shape {values.shape} for a box of shape {expected}")
        self._array[tuple(box[i] for i in self._order)] = values.transpose(self._order)
        for file in self._files(box):
            with file.open("r+b") as written:
                settle(written)

    def _files(self, box: tuple[slice, ...]) -> Iterator[Path]:
        """Of the grains of a box; one that holds nothing but zeros has none."""
        grains = (range(p.start // g, -(-p.stop // g)) for p, g in zip(box, self.grain, strict=True))
        for cell in product(*grains):
            file = self.path / "0" / self._array.metadata.encode_chunk_key(tuple(cell[i] for i in self._order))
            if file.exists():
                yield file

    def read(self, box: tuple[slice, ...]) -> NDArray[Any]:
        """Read any box, in the image's own axis order."""
        stored = self._array[tuple(box[i] for i in self._order)]
        return np.asarray(stored).transpose(inverse(self._order))


def check_holds(path: Path, image: Image) -> None:
    """OutputError for numbers that Zarr does not know, and for axes that NGFF has no names for. Reads no pixels."""
    _check_dtype(path, image.dtype)
    ngff.stored_letters(image.axes, path)


def _check_dtype(path: Path, dtype: np.dtype[Any]) -> None:
    if dtype.kind not in "uifb" or dtype.itemsize > 8:
        raise OutputError(path, f"OME-Zarr cannot hold {dtype}", "Pass --dtype float32.")


def write(path: Path, image: Image, *, version: str = "0.5", chunks: tuple[int, ...] | None = None) -> tuple[str, ...]:
    """Write an OME-Zarr store with pyramid, in memory bounded by one shard. Nothing of the image is lost."""
    sink = ZarrSink(path, image.shape, image.dtype, image.axes, chunks=chunks, version=version)
    try:
        for box in boxes(sink.shape, sink.grain, _BOX_VOXELS):
            sink.write(box, np.asarray(image.data[box]))
        finish_store(path, image)
    except OSError:
        _wait_for_writes()
        raise
    return ()


def _wait_for_writes() -> None:
    """Return when no chunk is being written: of several, the first that fails raises, and the others go on."""
    from zarr.core.sync import sync

    async def others() -> None:
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)

    sync(others())


def finish_store(path: Path, image_metadata: Image, tick: Callable[[int, int], None] | None = None) -> None:
    """Add pyramid, mask and metadata to a store whose level 0 was written through `ZarrSink`.

    ``image_metadata`` says everything but the pixels, which are taken from the store. ``tick`` : told before every
    piece how many levels of the pyramid are done, of how many; it may raise. May be called again after it was
    interrupted. Raises GeometryError when shape or axes are not the store's.
    """
    import zarr

    image = image_metadata
    sink = ZarrSink.open(path)
    if image.shape != sink.shape or image.axes != sink.axes:
        raise GeometryError(path, f"was made for {sink.axes} {sink.shape}, not {image.axes} {image.shape}")
    group = zarr.open_group(str(path), mode="r+")
    letters = ngff.stored_letters(image.axes, path)
    order = ngff.stored_order(letters)
    names = "".join(letters[i] for i in order)
    factors = pyramid_factors(image)
    level: Any = group["0"]
    finest = level
    nearest = has_no_means(image)
    for k in range(1, len(factors)):
        step = tuple(factors[k].get(image.axes[i], 1) // factors[k - 1].get(image.axes[i], 1) for i in order)
        shape = tuple(-(-n // s) for n, s in zip(level.shape, step, strict=True))
        chunks = tuple(min(c, n) for c, n in zip(finest.chunks, shape, strict=True))
        coarser = _create_level(group, k, shape, sink.dtype, names, chunks, sharded=finest.shards is not None)
        for box in boxes(coarser.shape, _grain(coarser), math.prod(_grain(coarser))):
            if tick is not None:
                tick(k - 1, len(factors) - 1)
            _coarsen(level, coarser, box, step, nearest=nearest)
        level = coarser
    if image.mask is not None:
        _write_mask(group, image.mask)
    _write_attributes(group, image, factors, level, order)


def pyramid_factors(image: Image) -> list[dict[str, int]]:
    """How much coarser than level 0 each level is, per axis; level 0 first.

    Y and X are halved until both are below 512; Z along with them while its spacing is not coarser than theirs.
    """
    sizes = dict(zip(image.axes, image.shape, strict=True))
    factors = [dict.fromkeys(image.axes, 1)]
    z, y = (image.voxel_size_nm.get(a) for a in "ZY")
    ratio = z / y if z and y else 1.0
    while max(-(-sizes[a] // factors[-1][a]) for a in "YX") >= _SMALLEST:
        last = factors[-1]
        halved = {a: last[a] * 2 for a in "YX" if sizes[a] > last[a]}
        if "Z" in sizes and sizes["Z"] > last["Z"] and ratio * last["Z"] / max(last["Y"], last["X"]) <= _NEARLY_CUBIC:
            halved["Z"] = last["Z"] * 2
        factors.append(last | halved)
    return factors


def _chunks(shape: tuple[int, ...], names: str) -> tuple[int, ...]:
    wanted = (
        dict(zip("ZYX", _CHUNK_3D, strict=True)) if _is_deep(shape, names) else dict(zip("YX", _CHUNK_2D, strict=True))
    )
    return tuple(min(n, wanted.get(a, 1)) for a, n in zip(names, shape, strict=True))


def _is_deep(shape: tuple[int, ...], names: str) -> bool:
    return "Z" in names and shape[names.index("Z")] > 1


def _shards(shape: tuple[int, ...], chunks: tuple[int, ...], names: str) -> tuple[int, ...] | None:
    """Whole multiples of a chunk, about 4 million voxels; None where one file per chunk makes few files."""
    wanted = (
        dict(zip("ZYX", _SHARD_3D, strict=True)) if _is_deep(shape, names) else dict(zip("YX", _SHARD_2D, strict=True))
    )
    shards = tuple(
        c * min(max(1, wanted.get(a, 1) // c), -(-n // c)) for a, c, n in zip(names, chunks, shape, strict=True)
    )
    return None if shards == chunks else shards


def _create_level(
    group: Any, level: int, shape: tuple[int, ...], dtype: Any, names: str, chunks: tuple[int, ...], *, sharded: bool
) -> Any:
    """Make (again, after an interruption) the array of a level in NGFF's order."""
    chunks = tuple(max(1, min(c, n)) for c, n in zip(chunks, shape, strict=True))
    shards = _shards(shape, chunks, names) if sharded else None
    return _create(group, str(level), shape, dtype, chunks, shards, names)


def _create(
    group: Any, name: str, shape: tuple[int, ...], dtype: Any, chunks: tuple[int, ...],
    shards: tuple[int, ...] | None, names: str | None,
) -> Any:  # fmt: skip
    """Make an array, compressed by Blosc (zstd, bytes shuffled); in Zarr 3 every chunk has a checksum."""
    common = {"name": name, "shape": shape, "dtype": np.dtype(dtype), "chunks": chunks, "fill_value": 0,
              "overwrite": True}  # fmt: skip
    if group.metadata.zarr_format == 2:
        from numcodecs import Blosc

        codec = Blosc(cname="zstd", clevel=3, shuffle=Blosc.SHUFFLE)
        keys = {"name": "v2", "separator": "/"}
        return group.create_array(**common, compressors=codec, chunk_key_encoding=keys)
    from zarr.codecs import BloscCodec, Crc32cCodec

    size = np.dtype(dtype).itemsize
    codecs = (BloscCodec(cname="zstd", clevel=3, shuffle="shuffle", typesize=size), Crc32cCodec())
    dimensions = None if names is None else [letter.lower() for letter in names]
    return group.create_array(**common, shards=shards, compressors=codecs, dimension_names=dimensions)


def _grain(array: Any) -> tuple[int, ...]:
    """What is written independently."""
    return tuple(array.shards or array.chunks)


def _coarsen(fine: Any, coarse: Any, box: tuple[slice, ...], step: tuple[int, ...], *, nearest: bool) -> None:
    """Fill ``box``, a grain of ``coarse``; it is made in slabs so that few fine voxels are held at once."""
    out = np.empty(tuple(s.stop - s.start for s in box), coarse.dtype)
    for slab in boxes(out.shape, (1,) * out.ndim, _BOX_VOXELS // 8):
        source = tuple(
            slice((b.start + s.start) * f, min((b.start + s.stop) * f, n))
            for b, s, f, n in zip(box, slab, step, fine.shape, strict=True)
        )
        values = np.asarray(fine[source])
        out[slab] = halve(values, step, nearest=nearest)
    coarse[box] = out


def _write_mask(group: Any, mask: Any) -> None:
    """The mask of valid pixels in its own shape and the image's axis order."""
    chunks = tuple(min(n, 1 if i < mask.ndim - 2 else 1024) for i, n in enumerate(mask.shape))
    array = _create(group, MASK, tuple(mask.shape), np.bool_, chunks, None, None)
    for box in boxes(tuple(mask.shape), chunks, _BOX_VOXELS):
        array[box] = np.asarray(mask[box], dtype=np.bool_)


def _write_attributes(group: Any, image: Image, factors: list[dict[str, int]], coarsest: Any, order: Any) -> None:
    """Write NGFF's metadata and our record in one go: a store that has them is finished."""
    version = "0.4" if group.metadata.zarr_format == 2 else "0.5"
    ome: dict[str, Any] = {"multiscales": ngff.multiscales(image, factors, version)}
    if image.channel_names:
        small = transposed(coarsest, inverse(order))
        windows = list(_windows(small, image.axes))
        ome["omero"] = ngff.omero(image.channel_names, windows, image.header.get("ome_zarr"), image.dtype.name)
    record = {RECORD: metadata.to_json(image)}
    group.attrs.update(ome | record if version == "0.4" else {"ome": {"version": "0.5"} | ome} | record)


def _windows(coarsest: Any, axes: str) -> Iterator[tuple[float, float, float, float]]:
    """Display range of each channel, from the middle plane of the coarsest level."""
    middle = [n // 2 for n in coarsest.shape[:-2]]
    for channel in range(coarsest.shape[axes.index("C")] if "C" in axes else 1):
        place = [channel if a == "C" else i for a, i in zip(axes, middle, strict=False)]
        whole = [slice(0, n) for n in coarsest.shape[-2:]]
        values = np.asarray(coarsest[(*(slice(i, i + 1) for i in place), *whole)]).astype(np.float64)
        values = values[np.isfinite(values)]
        if not values.size:
            yield 0.0, 1.0, 0.0, 1.0
            continue
        start, end = np.percentile(values, (0.1, 99.9))
        yield float(values.min()), float(values.max()), float(start), float(end)
