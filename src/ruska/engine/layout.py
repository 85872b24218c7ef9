"""How the axes of an image map onto the (b, c, *spatial) blocks that methods take.

The canonical order is (others..., C, spatial...): ``C`` is always present, ``others`` are the axes along which a
method does not look (T and Z for a 2D method). Blocks are planned in this order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.engine.contracts import Box
    from ruska.image import LazyArray
    from ruska.image.held import Held


@dataclass(frozen=True)
class ArraySource:
    """A `Source` made of an in-memory or lazy array and its axes."""

    array: NDArray[Any] | LazyArray
    axes: str

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.array.dtype)

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of the chunks that are read from the file at once, if the format has any."""
        return getattr(self.array, "chunks", None)

    def held(self) -> Held | None:
        """Which chunks are stored, for formats that may lack some and can tell."""
        look = getattr(self.array, "held", None)
        found: Held | None = look() if look is not None else None
        return found

    def read(self, box: Box) -> NDArray[Any]:
        return np.asarray(self.array[box])


@dataclass(frozen=True)
class OrderedSource:
    """A source with its axes in another order."""

    source: ArraySource
    order: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.source.shape[k] for k in self.order)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.source.dtype

    @property
    def axes(self) -> str:
        return "".join(self.source.axes[k] for k in self.order)

    def read(self, box: Box) -> NDArray[Any]:
        native = tuple(box[self.order.index(k)] for k in range(len(box)))
        return self.source.read(native).transpose(self.order)


def in_stack_order(source: ArraySource) -> ArraySource | OrderedSource:
    """The source with its stack axis (Z, else Q, else T), along which methods find neighbouring frames, before Y."""
    stack = _stack_axis(source.axes)
    if stack is None or source.axes[-3] == stack:
        return source
    at = source.axes.index(stack)
    leading = [k for k in range(len(source.axes) - 2) if k != at]
    return OrderedSource(source, (*leading, at, len(source.axes) - 2, len(source.axes) - 1))


def _stack_axis(axes: str) -> str | None:
    return next((a for a in "ZQT" if a in axes), None)


@dataclass(frozen=True)
class Layout:
    """Canonical view of an image of ``axes`` and ``shape`` for a method with ``dimensions`` spatial axes."""

    axes: str
    shape: tuple[int, ...]
    dimensions: int

    @property
    def spatial_axes(self) -> str:
        """``"YX"``, for a 3D method with the stack axis in front (Z, else Q, else T)."""
        if self.dimensions == 2:
            return "YX"
        stack = _stack_axis(self.axes)
        if stack is None:
            raise GeometryError("image", f"a 3D method needs a stack, but the axes are {self.axes}",
                                "Choose dimensions=2, or pass --axes ZYX if it is a volume.")  # fmt: skip
        return stack + "YX"

    @property
    def other_axes(self) -> str:
        """The axes along which each slice is treated on its own."""
        return "".join(a for a in self.axes if a not in self.spatial_axes and a != "C")

    @property
    def canonical_axes(self) -> str:
        return self.other_axes + "C" + self.spatial_axes

    @property
    def canonical_shape(self) -> tuple[int, ...]:
        return self.to_canonical_sizes(self.shape)

    def to_canonical_sizes(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """Sizes in the image's own axis order, reordered; 1 for C where the image has none."""
        known = dict(zip(self.axes, sizes, strict=True))
        return tuple(known.get(a, 1) for a in self.canonical_axes)

    def to_native_shape(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        """Sizes in canonical order, reordered to the image's own axes."""
        return tuple(sizes[self.canonical_axes.index(a)] for a in self.axes)

    def to_native(self, box: Box) -> Box:
        """Reorder a canonical box to the image's own axes."""
        return tuple(box[self.canonical_axes.index(a)] for a in self.axes)

    def to_canonical(self, values: NDArray[Any]) -> NDArray[Any]:
        """Transpose an array in the image's own order to canonical order, adding C where it is missing."""
        order = [a for a in self.canonical_axes if a in self.axes]
        moved = values.transpose([self.axes.index(a) for a in order])
        return moved if "C" in self.axes else np.expand_dims(moved, len(self.other_axes))

    def from_canonical(self, values: NDArray[Any]) -> NDArray[Any]:
        """Inverse of `to_canonical`; spatial sizes may differ from the input's (a method with a scale)."""
        if "C" not in self.axes:
            values = values.squeeze(len(self.other_axes))
        order = [a for a in self.canonical_axes if a in self.axes]
        return values.transpose([order.index(a) for a in self.axes])


@dataclass(frozen=True)
class NativeView:
    """A canonical store in the image's own axis order, as a lazy array that writers stream from."""

    store: Any
    layout: Layout

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layout.to_native_shape(self.store.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.store.dtype)

    def __getitem__(self, box: Box) -> NDArray[Any]:
        return self.layout.from_canonical(self.store.read(self._canonical(box)))

    def _canonical(self, box: Box) -> Box:
        parts = dict(zip(self.layout.axes, box, strict=True))
        return tuple(parts.get(a, slice(0, 1)) for a in self.layout.canonical_axes)


@dataclass(frozen=True)
class CanonicalSink:
    """A sink in the image's own axis order, written to in canonical order."""

    sink: Any
    layout: Layout

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layout.to_canonical_sizes(self.sink.shape)

    @property
    def grain(self) -> tuple[int, ...]:
        return self.layout.to_canonical_sizes(self.sink.grain)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.sink.dtype)

    def write(self, box: Box, values: NDArray[Any]) -> None:
        self.sink.write(self.layout.to_native(box), self.layout.from_canonical(values))

    def read(self, box: Box) -> NDArray[Any]:
        return self.layout.to_canonical(self.sink.read(self.layout.to_native(box)))
