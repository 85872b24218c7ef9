"""Which voxels are to be measured: those that are finite and that the image's mask calls valid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.engine.layout import ArraySource, OrderedSource, in_stack_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.engine.contracts import Box, Source
    from ruska.image import Image, LazyArray


@dataclass(frozen=True)
class BroadcastMask:
    """A mask seen in the shape of its image; only what is asked for is read. It may have fewer axes, or 1 along some.

    mask : bool, True where a voxel is valid.
    """

    mask: NDArray[np.bool_] | LazyArray
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(bool)

    def __getitem__(self, box: Box) -> NDArray[np.bool_]:
        own = box[len(self.shape) - len(self.mask.shape) :]
        part = tuple(slice(0, 1) if n == 1 else b for n, b in zip(self.mask.shape, own, strict=True))
        return np.broadcast_to(np.asarray(self.mask[part], dtype=bool), tuple(b.stop - b.start for b in box))


def mask_of(image: Image, *, stacked: bool = True) -> ArraySource | OrderedSource | None:
    """The mask of ``image`` in its full shape, None where it has none; ``stacked`` : ordered by `in_stack_order`."""
    if image.mask is None:
        return None
    source = ArraySource(BroadcastMask(image.mask, image.shape), image.axes)
    return in_stack_order(source) if stacked else source


def nan_where_invalid(values: NDArray[Any], valid: NDArray[np.bool_] | None) -> NDArray[Any]:
    """``values`` with NaN where they are infinite or not ``valid``; float, and the same array where all are."""
    invalid = None if valid is None or valid.all() else ~valid
    if values.dtype.kind == "f" and not (finite := np.isfinite(values)).all():
        invalid = ~finite if invalid is None else invalid | ~finite
    if invalid is None:
        return values
    return np.where(invalid, np.nan, values.astype(np.result_type(values.dtype, np.float32), copy=False))


@dataclass(frozen=True)
class ValidSource:
    """An image's own grey levels for measuring: NaN where a voxel is not valid."""

    source: Source
    mask: Source | None = None

    @classmethod
    def of(cls, image: Image) -> ValidSource:
        return cls(ArraySource(image.data, image.axes), mask_of(image, stacked=False))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.shape

    def read(self, box: Box) -> NDArray[Any]:
        return nan_where_invalid(self.source.read(box), None if self.mask is None else self.mask.read(box))
