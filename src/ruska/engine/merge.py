"""Blends overlapping tiles: every voxel is the weighted mean of the tiles that cover it.

Weights are linear ramps across the overlap, so that a tile has no weight where its context ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ruska.engine.contracts import Box
    from ruska.engine.plan import Block, Plan
    from ruska.image import Output


class TilePool:
    """Finished tiles that wait for their neighbours: files in a work folder, or arrays in memory."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.tiles: dict[int, NDArray[Any]] = {}
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)

    def put(self, index: int, values: NDArray[Any]) -> None:
        if self.folder is None:
            self.tiles[index] = values
            return
        from ruska.engine.store import save_tile

        save_tile(self.folder / f"{index}.npy", values)

    def get(self, index: int) -> NDArray[Any]:
        if self.folder is None:
            return self.tiles[index]
        from ruska.engine.store import load_tile

        return load_tile(self.folder / f"{index}.npy")

    def drop(self, index: int) -> None:
        if self.folder is None:
            self.tiles.pop(index, None)
        else:
            (self.folder / f"{index}.npy").unlink(missing_ok=True)


def assemble(plan: Plan, output: Output, block: Block, tile_of: Callable[[int], NDArray[Any]]) -> NDArray[Any]:
    """Return the blended core of ``block`` on the grid of ``output``.

    Where all tiles agree, the result equals them exactly: differences from the block's own tile are averaged, not
    values, so rounding of the weights has no effect.
    """
    core = plan.scaled(block.core, output)
    own = inside(tile_of(block.index), plan.scaled(block.reach, output), core)
    shift = np.zeros(own.shape, np.float64)
    total = np.zeros(own.shape, np.float64)
    for index in plan.neighbours(block):
        other = plan.block(index)
        reach = plan.scaled(other.reach, output)
        shared = intersect(reach, core)
        if shared is None:
            continue
        place = tuple(slice(s.start - w.start, s.stop - w.start) for s, w in zip(shared, core, strict=True))
        weight = _weight(plan, output, other, shared)
        if index != block.index:
            shift[place] += weight * (inside(tile_of(index), reach, shared) - own[place].astype(np.float64))
        total[place] += weight
    return (own + shift / total).astype(own.dtype)


def _weight(plan: Plan, output: Output, block: Block, box: Box) -> NDArray[np.float64]:
    """Weight of a tile over ``box`` (output grid): product over the axes of ramps of width two overlaps."""
    out = np.ones((1,) * len(box))
    scale = output.grid(len(plan.halo))
    overlaps = (0,) * plan.first_spatial + tuple(int(o * s) for o, s in zip(plan.overlap, scale, strict=True))
    own = plan.scaled(block.core, output)
    for axis, (part, core, overlap, n) in enumerate(zip(box, own, overlaps, plan.shape_of(output), strict=True)):
        place = np.arange(part.start, part.stop) + 0.5
        ramp = np.ones(len(place))
        if overlap:
            if core.start > 0:
                ramp = np.minimum(ramp, (place - (core.start - overlap)) / (2 * overlap))
            if core.stop < n:
                ramp = np.minimum(ramp, ((core.stop + overlap) - place) / (2 * overlap))
        out = out * ramp.reshape((-1,) + (1,) * (len(box) - axis - 1))
    return out


def inside(values: NDArray[Any], of: Box, box: Box) -> NDArray[Any]:
    """The values in ``box``, out of values that cover ``of``."""
    return values[tuple(slice(b.start - o.start, b.stop - o.start) for b, o in zip(box, of, strict=True))]


def intersect(a: Box, b: Box) -> Box | None:
    """The intersection of two boxes; None if they do not meet."""
    both = tuple(slice(max(p.start, q.start), min(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
    return both if all(p.start < p.stop for p in both) else None
