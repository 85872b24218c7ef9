"""Reading OME-Zarr (NGFF 0.5 and 0.4) and plain Zarr arrays from a folder, a zip archive or a server, lazily."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import InputError, RuskaError
from ruska.image import Image, Meaning
from ruska.image.held import Held, count_held
from ruska.io import metadata, ngff
from ruska.io.chunk_files import zarr_names, zarr_places
from ruska.io.lazy import LazyPixels, transposed
from ruska.io.places import short_name
from ruska.io.registry import assumed_axes
from ruska.io.stated_sizes import axes_of, note_of, stated
from ruska.io.zarr_presence import check_presence

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECORD, MASK = "ruska", "ruska_mask"
_MOST_IMAGES = 50
_DAMAGED = (OSError, LookupError, ValueError, TypeError, ArithmeticError, AttributeError, RuntimeError, ImportError,
            AssertionError)  # fmt: skip  # what strange metadata lead Zarr into
_DEEPEST = 5
_PATIENCE = 5.0  # seconds


class ZarrPixels(LazyPixels):
    """One Zarr array. ``path`` : the folder, archive or address of the store, for errors."""

    def __init__(self, path: Path | str, array: Any) -> None:
        from ruska.io.zarr_guard import guarded

        try:
            safe = guarded(array)
        except Exception as error:  # whatever strange metadata lead Zarr into
            fix = "Write it in smaller chunks." if "MB each" in str(error) else "Write it as plain grey levels."
            raise InputError(path, f"array '{array.path}' cannot be read: {str(error)[:200]}", fix) from error
        super().__init__(safe.shape, np.dtype(safe.dtype).newbyteorder("="))
        self.chunks = tuple(safe.chunks)  # what is decoded at once, also inside a shard
        self.path, self.array = path, safe
        if isinstance(path, Path) and path.is_dir():  # not an archive
            self.files = (path / array.path,)

    def held(self) -> Held | None:
        grain = self.array.shards or self.array.chunks
        names = zarr_names(self.array.store, self.array.path, self.ndim)
        return None if names is None else count_held(self.shape, grain, zarr_places(names, self.ndim))

    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        try:
            with np.errstate(over="ignore"):  # Zarr adds places that a damaged index of a shard states
                values = np.asarray(self.array[box], dtype=self.dtype)
        except RuskaError:  # a chunk that is a link, which says so itself
            raise
        except Exception as error:  # codecs fail in as many ways as there are codecs
            end_the_rest()
            where = ", ".join(f"{s.start}:{s.stop}" for s in box)
            raise InputError(self.path, f"array '{self.array.path}' cannot be read at [{where}] "
                             f"({type(error).__name__}: {str(error)[:120]})",
                             "A chunk is truncated or damaged: copy the store again.") from error  # fmt: skip
        if isinstance(self.path, Path) and not self.path.exists():
            raise self.lost()  # Zarr takes chunks that are not there for empty ones
        return values


def _present(path: Path | str, array: Any, *, may_be_empty: bool = False) -> tuple[ZarrPixels, tuple[str, ...]]:
    """The pixels of an array, and notes; InputError when they cannot be read, or the chunks are missing
    (`zarr_presence`).
    """
    pixels = ZarrPixels(path, array)
    return pixels, check_presence(path, pixels.array, may_be_empty=may_be_empty)


def end_the_rest() -> None:
    """Wait for the chunks that Zarr had begun to read when another was found damaged.

    Their files would stay open for a moment, and a program that ends then would print asyncio warnings.
    """
    from zarr.core.sync import sync

    async def rest() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=_PATIENCE)

    sync(rest())


def read(path: Path, inner: str | None) -> Image:
    """Open an image group (its finest level) or array lazily: the one named by ``inner``, else the only one.

    Raises InputError when there are several and none is named, and when the store is damaged or unfinished.
    """
    from zarr.storage import LocalStore

    from ruska.io.checked_store import CheckedStore

    return read_store(path, CheckedStore(LocalStore(path, read_only=True)), inner)


def read_store(path: Path | str, store: Any, inner: str | None) -> Image:
    """Like `read`, for any store that zarr-python can open; ``path`` is its name in errors."""
    import zarr

    node = _open(path, store, inner)
    if isinstance(node, zarr.Array):
        return _array_image(path, node)
    if not _is_image(node):
        if RECORD in node.attrs:
            raise InputError(path, "is an unfinished result: its run was interrupted", "Run the same command again.")
        node = _only_image(path, node)
    return _array_image(path, node) if isinstance(node, zarr.Array) else _group_image(path, node)


def _open(path: Path | str, store: Any, inner: str | None) -> Any:
    import zarr

    try:
        node = zarr.open(store, mode="r", path=(inner or "").strip("/") or None)
        if not isinstance(node.metadata.attributes, Mapping):
            raise ValueError("its attributes are not a JSON object")
        return node
    except _DAMAGED as error:
        what = f"has no readable array or group '{inner}'" if inner else "cannot be opened as Zarr"
        raise InputError(path, f"{what} ({type(error).__name__}: {str(error)[:120]})",
                         "Check the name inside the store, or copy the store again.") from error  # fmt: skip


def _attributes(node: Any) -> Mapping[str, Any]:
    """Empty if a file is not a JSON object, which zarr-python does not check."""
    found = node.metadata.attributes
    return found if isinstance(found, Mapping) else {}


def _ome(group: Any) -> dict[str, Any]:
    """The NGFF part of a group's attributes: under ``ome`` since 0.5, directly in them before."""
    attributes = _attributes(group)
    found = attributes.get("ome", attributes)
    return dict(found) if isinstance(found, dict) else {}


def _is_image(group: Any) -> bool:
    return bool(_ome(group).get("multiscales"))


def _only_image(path: Path | str, group: Any) -> Any:
    found = list(_images_in(group))
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputError(path, "holds no image: no array of two or more axes", "Is it the right store?")
    listing = ", ".join(f"/{node.path}" for node in found[:_MOST_IMAGES])
    raise InputError(path, f"holds {len(found)} images: {listing}", f"Name one: {short_name(path)}:/{found[0].path}.")


def _images_in(group: Any, depth: int = 0) -> Iterator[Any]:
    """Image groups and arrays below ``group``; levels and labels of an image group are not listed by themselves."""
    import zarr

    with warnings.catch_warnings():  # Zarr warns of every other file and folder that lies among its own
        warnings.simplefilter("ignore")
        members = sorted(group.members(), key=lambda member: member[0])
    for _, node in members:
        if isinstance(node, zarr.Array):
            if node.ndim >= 2 and np.dtype(node.dtype).kind in "uifb":
                yield node
        elif _is_image(node):
            yield node
        elif depth < _DEEPEST:
            yield from _images_in(node, depth + 1)


def _array_image(path: Path | str, array: Any) -> Image:
    """A plain array, with the axis names of Zarr 3, or xarray's in Zarr 2, and the size in its attributes."""
    names = getattr(array.metadata, "dimension_names", None) or _attributes(array).get("_ARRAY_DIMENSIONS")
    labels = [str(name or "") for name in names] if isinstance(names, list | tuple) else []
    pixels, absent = _present(path, array)
    letters = axes_of(labels) if len(labels) == array.ndim else None
    notes = (*note_of(labels, letters), *absent)
    size = stated(_attributes(array).get, letters)
    sizes = dict(size.sizes) if size is not None else {}
    if letters is not None:
        pixels, axes = _yx_last(pixels, letters)
    elif array.ndim == 3 and "Z" in sizes:
        axes = "ZYX"
    else:
        axes, assumed = assumed_axes(array.ndim, path)
        notes = (*assumed, *notes)
    words = any(len(label) > 1 for label in labels)
    header = {"zarr": {"dimension_names": labels}} if words else {}
    return Image(pixels, axes, {a: q for a, q in sizes.items() if a in axes}, header=header, name=short_name(path),
                 notes=notes)  # fmt: skip


def _yx_last(pixels: Any, letters: str) -> tuple[Any, str]:
    """Move Y and X to the end, as `Image` wants them."""
    axes = "".join(a for a in letters if a not in "YX") + "YX"
    return transposed(pixels, tuple(letters.index(a) for a in axes)), axes


def _group_image(path: Path | str, group: Any) -> Image:
    import zarr

    ome = _ome(group)
    try:
        finest = str(ome["multiscales"][0]["datasets"][0]["path"])
        array = group[finest]
    except (KeyError, IndexError, TypeError, ValueError, OSError) as error:
        raise InputError(path, f"its finest level cannot be opened ({type(error).__name__}: {error})",
                         "The store is incomplete: copy it again.") from error  # fmt: skip
    if not isinstance(array, zarr.Array):
        raise InputError(path, f"its level '{finest}' is not an array", "The store is damaged: copy it again.")
    if RECORD in group.attrs:
        return _our_image(path, group, array)
    said = ngff.understand(path, ome["multiscales"], array.ndim)
    found, absent = _present(path, array)
    pixels, axes = _yx_last(found, said["letters"])
    names = _channel_names(ome, pixels.shape[axes.index("C")] if "C" in axes else 1)
    meaning: Meaning = "labels" if "image-label" in ome else "grey"
    shown = ngff.shown(ome, array.dtype.name) if names else {}
    return Image(pixels, axes, said["spacing"], said["origin"], meaning=meaning, channel_names=names,
                 header={"ome_zarr": shown} if shown else {}, name=short_name(path),
                 notes=(*said["notes"], *absent))  # fmt: skip


def _channel_names(ome: dict[str, Any], channels: int) -> tuple[str, ...]:
    """Names of the channels, when there is one for each."""
    try:
        names = tuple(str(channel["label"]) for channel in ome["omero"]["channels"])
    except (KeyError, TypeError):
        return ()
    return names if len(names) == channels else ()


def _our_image(path: Path | str, group: Any, array: Any) -> Image:
    """An image written by Ruska: the record restores axis order, exact sizes and everything NGFF has no place for."""
    fields = metadata.from_json(group.attrs[RECORD], path)
    letters = ngff.stored_letters(fields["axes"], path)
    if len(letters) != array.ndim:
        raise InputError(path, f"its Ruska record has axes {fields['axes']}, its array {array.ndim} dimensions",
                         f"Open the array itself: {short_name(path)}:/{array.path}.")  # fmt: skip
    pixels = transposed(_present(path, array, may_be_empty=True)[0], inverse(ngff.stored_order(letters)))
    mask = ZarrPixels(path, group[MASK]) if MASK in group else None
    if mask is not None and mask.dtype != np.bool_:
        raise InputError(path, f"its mask has values of type {mask.dtype}, not true and false",
                         "The store is damaged: copy it again.")  # fmt: skip
    return Image(pixels, mask=mask, name=short_name(path), **fields)


def inverse(order: tuple[int, ...]) -> tuple[int, ...]:
    """The transposition that undoes ``order``."""
    return tuple(order.index(i) for i in range(len(order)))
