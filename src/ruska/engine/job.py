"""What all blocks of a run share, and the steps for each: read, call the method, crop, rescale, write."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.engine.contracts import IMAGE
from ruska.engine.random_field import PlacedRandomField
from ruska.engine.statistics import ChannelScales, Normalisation
from ruska.engine.validity import invalid_of, read_filled
from ruska.engine.workshop import Workshop

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ruska.engine.contracts import Box, IterativeMethod, Method, Sink, Source
    from ruska.engine.plan import Block, Plan
    from ruska.image import LazyArray, Output


@dataclass(frozen=True)
class Feed:
    """An input of a run. normalisation : None: passed on unchanged (masks, labels). fill : for invalid voxels, raw.

    It has the axes of the image, or some of them, and the same length along each, or 1. A ``fill`` by channel is an
    array that broadcasts over the axes of the image.
    """

    source: Source
    normalisation: Normalisation | ChannelScales | None = None
    fill: float | NDArray[np.float64] = 0.0


@dataclass(frozen=True)
class Job:
    """Everything the blocks of one run share; it can be pickled if its parts can.

    feeds : by name; "image" is the one to restore. sinks : by the name of an output. mask : True where a voxel of the
    image is valid, native axis order. folder : keeps data between passes; None: memory.
    """

    feeds: Mapping[str, Feed]
    method: Method | IterativeMethod
    plan: Plan
    sinks: Mapping[str, Sink | None]
    mask: NDArray[np.bool_] | LazyArray | None = None
    seed: int = 0
    folder: Path | None = None
    shared: dict[str, Any] = field(default_factory=dict)  # between the passes of this process
    tables: dict[str, NDArray[np.float64]] = field(default_factory=dict)  # joined, once the run is over

    @cached_property
    def workshop(self) -> Workshop:
        """Made in the process that does the work, never sent to another."""
        return Workshop(self.method, tidy=self.plan.size > 1)

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k != "workshop"} | {"shared": {}}

    @property
    def image(self) -> Feed:
        return self.feeds[IMAGE]

    @property
    def normalisation(self) -> Normalisation | ChannelScales:
        return self.image.normalisation or Normalisation()

    def read(self, box: Box, pad: tuple[int, ...]) -> tuple[dict[str, Tensor], NDArray[np.bool_] | None]:
        """Read a canonical box of every input as (b, c, *spatial), padded, and where the image is invalid."""
        image, invalid = self._read(self.image, box, pad, self.mask)
        others = {k: self._read(f, box, pad, None)[0] for k, f in self.feeds.items() if k != IMAGE}
        return {IMAGE: image, **others}, invalid

    def _read(self, feed: Feed, box: Box, pad: tuple[int, ...], mask: Any) -> tuple[Tensor, NDArray[np.bool_] | None]:
        import torch

        layout, first = self.plan.layout, self.plan.first_spatial
        native = layout.to_native(box)
        values, invalid = read_filled(lambda part: _read_like(feed.source, part, layout.axes),
                                      None if mask is None else lambda part: np.asarray(mask[part]),
                                      native, layout.shape, feed.fill)  # fmt: skip
        raw = values
        values = layout.to_canonical(values)
        scale = feed.normalisation
        if scale is not None and self.method.domain == "normalised":
            values = scale.apply(values) if isinstance(scale, Normalisation) else scale.apply(values, first - 1)
        elif feed is self.image:  # labels and masks stay unchanged
            values = values.astype(np.result_type(values.dtype, np.float32), copy=False)
        if any(pad):
            values = np.pad(values, [(0, 0)] * first + [(0, p) for p in pad], mode="symmetric")
        batch = np.ascontiguousarray(values.reshape(-1, values.shape[first - 1], *values.shape[first:]))
        # A method that works in place must not change the source's array.
        return torch.from_numpy(batch.copy() if np.may_share_memory(batch, raw) else batch), invalid

    def random(self, box: Box, pad: tuple[int, ...]) -> PlacedRandomField:
        """The random field of a canonical box; C is not an axis of position, methods name the channel."""
        first = self.plan.first_spatial
        parts = (*box[: first - 1], *box[first:])
        extra = (0,) * (first - 1) + pad
        origin = tuple(p.start for p in parts)
        shape = tuple(p.stop - p.start + e for p, e in zip(parts, extra, strict=True))
        return PlacedRandomField(self.seed, origin, shape, spatial=len(pad))

    def crop(self, values: Tensor, output: Output, read: Box, box: Box) -> NDArray[Any]:
        """Cut ``box`` (canonical, of the image) out of a result for the block's ``read`` box, in canonical shape."""
        plan, first = self.plan, self.plan.first_spatial
        origin, wanted = plan.scaled(read, output), plan.scaled(box, output)
        inside = tuple(
            slice(b.start - o.start, b.stop - o.start) for b, o in zip(wanted[first:], origin[first:], strict=True)
        )
        cut = values[(slice(None), slice(None), *inside)].detach().cpu().contiguous().numpy()
        head = tuple(b.stop - b.start for b in read[: first - 1])
        return cut.reshape(*head, cut.shape[1], *cut.shape[2:])

    def finish(
        self, block: Block, output: Output, values: NDArray[Any], invalid: NDArray[np.bool_] | None, whole: Box
    ) -> int:
        """Rescale, put invalid voxels back, cast, write. Returns the number of voxels clipped.

        ``invalid`` is native and covers the canonical box ``whole``.
        """
        sink, target = self.sinks[output.name], self.plan.scaled(block.core, output)
        assert sink is not None  # only tables have none
        if self.method.domain == "normalised" and output.values != "raw":
            values = self._undone(values, spread=output.values == "spread")
        if invalid is not None and target[-len(block.pad) :] == block.core[-len(block.pad) :]:
            values = self._with_invalid(block.core, output, values, invalid, whole)
        values, clipped = cast(values, sink.dtype)
        sink.write(target, values)
        return clipped

    def _undone(self, values: NDArray[Any], *, spread: bool) -> NDArray[Any]:
        scale = self.normalisation
        if isinstance(scale, Normalisation):
            return scale.undo_spread(values) if spread else scale.undo(values)
        return scale.undo(values, self.plan.first_spatial - 1, spread)

    def _with_invalid(
        self, core: Box, output: Output, values: NDArray[Any], invalid: NDArray[np.bool_], whole: Box
    ) -> NDArray[Any]:
        """Invalid voxels keep the image's intensities; their spread is unknown, and they belong to no object."""
        layout = self.plan.layout
        native = layout.to_native(core)
        inside = tuple(
            slice(c.start - w.start, c.stop - w.start) for c, w in zip(native, layout.to_native(whole), strict=True)
        )
        there = layout.to_canonical(invalid[inside])
        if output.values == "intensity":
            return np.where(there, layout.to_canonical(self.image.source.read(native)), values)
        if output.values == "spread":
            return np.where(there, np.nan, values)
        return np.where(there, 0, values).astype(values.dtype) if output.merge == "labels" else values

    def invalid_in(self, box: Box) -> NDArray[np.bool_] | None:
        """Where the image is invalid in a canonical box, in native order; None if it is valid throughout."""
        source = self.image.source
        if self.mask is None and source.dtype.kind != "f":
            return None
        native = self.plan.layout.to_native(box)
        mask = None if self.mask is None else np.asarray(self.mask[native])
        return invalid_of(source.read(native), mask)


def _read_like(source: Source, native: Box, axes: str) -> NDArray[Any]:
    """Read a source that lacks some of ``axes``, or has one voxel along them: broadcast over the box."""
    if source.axes == axes:
        return source.read(native)
    known = dict(zip(axes, native, strict=True))
    box = tuple(slice(0, 1) if n == 1 else known[a] for a, n in zip(source.axes, source.shape, strict=True))
    values = source.read(box)
    missing = tuple(k for k, a in enumerate(axes) if a not in source.axes)
    ordered = values.transpose([source.axes.index(a) for a in axes if a in source.axes])
    return np.broadcast_to(np.expand_dims(ordered, missing), tuple(b.stop - b.start for b in native))


def cast(values: NDArray[Any], dtype: np.dtype[Any]) -> tuple[NDArray[Any], int]:
    """Round and clip to an integer ``dtype`` (NaN to 0), or convert to a float one; returns how many were clipped."""
    if dtype.kind == "b":
        return values >= 0.5, 0
    if dtype.kind == "f" or values.dtype == dtype:
        return values.astype(dtype, copy=False), 0
    info = np.iinfo(dtype)
    rounded = values if values.dtype.kind in "iub" else np.rint(values)
    clipped = rounded.size - int(np.count_nonzero((rounded >= info.min) & (rounded <= info.max)))
    if clipped:
        rounded = np.nan_to_num(np.clip(rounded, info.min, info.max), copy=False)
    return rounded.astype(dtype), clipped
