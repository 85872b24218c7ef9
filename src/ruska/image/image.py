"""`Image`: pixels with everything needed to interpret them. Small, frozen, reads no files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np

from ruska.errors import GeometryError, did_you_mean
from ruska.image.grid import places
from ruska.image.quantity import Quantity, is_length
from ruska.image.stamp import Stamp

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_SECTIONS = 100_000
AXES = "TCQZYX"
"""Axis letters Ruska knows. ``Q`` is a stack axis of unknown kind (slices or frames)."""

Meaning = Literal["counts", "grey", "normalised", "labels"]


@runtime_checkable
class LazyArray(Protocol):
    """What `Image.data` may be besides a NumPy array: pixels that are read on demand.

    ``__getitem__`` takes a tuple of slices with step 1 and non-negative bounds, one per axis, and returns
    a NumPy array of ``dtype``. It must be safe to call from several threads.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]: ...


@dataclass(frozen=True)
class Image:
    """One micrograph, stack or volume.

    Parameters
    ----------
    data : NumPy array or `LazyArray`; the pixels, in their own dtype, in the order of ``axes``.
    axes : one letter of ``"TCQZYX"`` per dimension, in the order of the data, ending in ``YX``.
    spacing : voxel size (Z, Y, X) or frame interval (T) per axis letter; an axis that is missing is unknown.
    origin : position of the centre of the first voxel per axis letter; missing means zero.
    meaning : what a value is: detector ``counts``, ``grey`` levels, ``normalised`` or integer ``labels``.
    channel_names : one name per channel, or empty.
    mask : array of the shape of ``data`` (or broadcastable to it), True where a pixel is valid, or None.
    header : the source format's own fields, by format (``{"mrc": {...}}``), JSON-like, to be written back. What stands
        under ``sections`` of a format (a list, or lists by name) with one entry for each plane, is cut by `crop`.
    provenance : the record of the run that made this image, JSON-like, or empty.
    name : file name or other short name for messages and reports.
    path : the file the image was read from, or None.
    stamp : what its files looked like when it was opened, or None; see `ruska.io.stamps`.
    notes : what a reader had to change or assume (RGB turned grey, odd axes), to be told to the user.
    """

    data: NDArray[Any] | LazyArray
    axes: str
    spacing: Mapping[str, Quantity] = field(default_factory=dict)
    origin: Mapping[str, Quantity] = field(default_factory=dict)
    meaning: Meaning = "grey"
    channel_names: tuple[str, ...] = ()
    mask: NDArray[np.bool_] | LazyArray | None = None
    header: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    name: str = "image"
    path: Path | None = None
    notes: tuple[str, ...] = ()
    stamp: Stamp | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_axes(self.axes, len(self.data.shape), self.name)
        for mapping in ("spacing", "origin", "header", "provenance"):
            object.__setattr__(self, mapping, MappingProxyType(dict(getattr(self, mapping))))
        for axis in (*self.spacing, *self.origin):
            if axis not in self.axes:
                raise GeometryError(self.name, f"spacing or origin given for axis {axis}, which is not in {self.axes}")
        if self.mask is not None and not _covers(tuple(self.mask.shape), self.shape):
            raise GeometryError(self.name, f"its mask has shape {tuple(self.mask.shape)}, but the image {self.shape}")
        if self.channel_names and len(self.channel_names) != self.size("C"):
            raise GeometryError(self.name, f"{len(self.channel_names)} channel names for {self.size('C')} channels")

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each of ``axes``."""
        return tuple(int(n) for n in self.data.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of the pixels as stored."""
        return np.dtype(self.data.dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of all pixels once loaded."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def voxel_size_nm(self) -> dict[str, float]:
        """Spacing in nanometres along those of Z, Y, X where it is a known length."""
        return {a: q.to("nm") for a, q in self.spacing.items() if a in "ZYX" and is_length(q.unit)}

    def size(self, axis: str) -> int:
        """Length along ``axis``; 1 when the image does not have it."""
        return self.shape[self.axes.index(axis)] if axis in self.axes else 1

    def numpy(self) -> NDArray[Any]:
        """Return all pixels in memory, in the order of ``axes``."""
        return self.data if isinstance(self.data, np.ndarray) else self.data[tuple(slice(0, n) for n in self.shape)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        pixels = self.numpy()
        if dtype is not None and np.dtype(dtype) != pixels.dtype:
            return pixels.astype(dtype)
        return pixels.copy() if copy else pixels

    def with_data(self, data: NDArray[Any] | LazyArray, **changes: Any) -> Image:
        """Return this image with other pixels (and other fields, where given).

        Pixels in memory have no ``stamp``: changing the file does not change them.
        """
        if isinstance(data, np.ndarray):
            changes = {"stamp": None, **changes}
        return replace(self, data=data, **changes)

    def __repr__(self) -> str:
        size = " x ".join(f"{a}{n}" for a, n in zip(self.axes, self.shape, strict=True))
        voxel = ", ".join(f"{a} {q}" for a, q in self.spacing.items()) or "unknown"
        return f"Image({self.name}: {size}, {self.dtype}, {self.meaning}, spacing {voxel})"


def _covers(part: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether an array of shape ``part`` can be broadcast to ``shape``."""
    ends = zip(reversed(part), reversed(shape), strict=False)
    return len(part) <= len(shape) and all(m in (1, n) for m, n in ends)


def check_axes(axes: str, ndim: int, name: str) -> None:
    """Raise GeometryError unless ``axes`` are ``ndim`` different known letters that end in YX."""
    if len(axes) != ndim:
        raise GeometryError(name, f"axes '{axes}' name {len(axes)} dimensions, but the data have {ndim}",
                            "Pass --axes with one letter per dimension, e.g. ZYX.")  # fmt: skip
    unknown = sorted(set(axes) - set(AXES))
    if unknown:
        raise GeometryError(name, f"unknown axis letter {unknown[0]!r} in '{axes}'", did_you_mean(unknown[0], AXES))
    if len(set(axes)) != len(axes) or not axes.endswith("YX"):
        raise GeometryError(name, f"axes '{axes}' must be different letters ending in YX", "Example: TCZYX, ZYX, YX.")


@dataclass(frozen=True)
class CroppedArray:
    """A box of another array, read lazily. ``box`` has one slice with explicit bounds per axis."""

    array: NDArray[Any] | LazyArray
    box: tuple[slice, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(s.stop - s.start for s in self.box)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.array.dtype)

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[Any]:
        inner = tuple(slice(o.start + i.start, o.start + i.stop) for o, i in zip(self.box, box, strict=True))
        return np.asarray(self.array[inner])


def crop(image: Image, roi: Mapping[str, slice]) -> Image:
    """Return the part of ``image`` inside ``roi`` (axis letter -> slice in pixels); the origin moves with it.

    Raises GeometryError when the box is empty or reaches outside the image.
    """
    box = []
    for axis, n in zip(image.axes, image.shape, strict=True):
        part = roi.get(axis, slice(0, n))
        start, stop = part.start or 0, n if part.stop is None else part.stop
        if not 0 <= start < stop <= n:
            raise GeometryError(image.name, f"region {start}:{stop} along {axis} does not fit into 0:{n}",
                                f"Give --roi inside the image, e.g. {axis}=0:{n}.")  # fmt: skip
        box.append(slice(start, stop))
    unknown = sorted(set(roi) - set(image.axes))
    if unknown:
        raise GeometryError(image.name, f"the region names axis {unknown[0]}, but the image has the axes {image.axes}")
    origin = dict(image.origin)
    for axis, part in zip(image.axes, box, strict=True):
        if axis in image.spacing and part.start:
            step = image.spacing[axis]
            before = origin[axis].to(step.unit) if axis in origin else 0.0
            origin[axis] = Quantity(before + part.start * step.value, step.unit)
    part_of = CroppedArray(image.data, tuple(box))
    names = image.channel_names
    if names and "C" in image.axes:
        names = names[box[image.axes.index("C")]]
    mask = image.mask
    if mask is not None:
        whole = mask if isinstance(mask, np.ndarray) else mask[tuple(slice(0, n) for n in mask.shape)]
        mask = np.broadcast_to(whole, image.shape)[tuple(box)]
    header = _cut_sections(image.header, image.shape[:-2], box[:-2])
    return replace(image, data=part_of, origin=origin, channel_names=names, mask=mask, header=header)


def _cut_sections(header: Mapping[str, Any], lead: tuple[int, ...], box: list[slice]) -> dict[str, Any]:
    """``header`` with the entries of those planes that are left of a stack of ``lead``."""
    planes = math.prod(lead)
    left = list(places([part.stop - part.start for part in box])) if planes <= _MOST_SECTIONS else []
    if len(left) in (0, planes):
        return dict(header)
    numbers = []
    for place in left:
        number = 0
        for i, part, n in zip(place, box, lead, strict=True):
            number = number * n + part.start + i
        numbers.append(number)

    def cut(entries: Any) -> Any:
        return (
            [entries[i] for i in numbers] if isinstance(entries, list | tuple) and len(entries) == planes else entries
        )

    def cut_all(fields: Any) -> Any:
        if not isinstance(fields, Mapping) or "sections" not in fields:
            return fields
        found = fields["sections"]
        return {
            **fields,
            "sections": {k: cut(v) for k, v in found.items()} if isinstance(found, Mapping) else cut(found),
        }

    return {name: cut_all(fields) for name, fields in header.items()}
