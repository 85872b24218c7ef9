"""A block that is too large for a device, computed in parts: the engine in small, in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.engine.layout import Layout
from ruska.engine.merge import assemble
from ruska.engine.plan import Plan
from ruska.image import Estimate

if TYPE_CHECKING:
    from torch import Tensor

    from ruska.engine.contracts import Box, Method, RandomField

Call = Callable[["Tensor", "RandomField"], Estimate]
_LEAST_GAIN = 0.85  # of the voxels: parts that are hardly smaller than the whole, for their halos, are not worth it


@dataclass(frozen=True)
class PartOfField:
    """A random field over a part of a block. box : of (b, *spatial), in voxels of ``whole``."""

    whole: RandomField
    box: Box

    def normal(self, step: int, sample: int = 0, channel: int = 0) -> Tensor:
        return self.whole.normal(step, sample, channel)[self.box].contiguous()

    def finer(self, scale: Sequence[Fraction]) -> PartOfField:
        space = (slice(int(b.start * s), int(b.stop * s)) for b, s in zip(self.box[1:], scale, strict=True))
        return PartOfField(self.whole.finer(scale), (self.box[0], *space))


def halves(method: Method, shape: Sequence[int]) -> tuple[int, ...] | None:
    """Extent of the parts into which a block (b, c, *spatial) is cut next; None when no cut makes it smaller."""
    if shape[0] > 1:
        return (-(-shape[0] // 2), *shape[1:])
    steps = [lcm(m, s.denominator) for m, s in zip(method.multiple, method.scale, strict=True)]
    found = []
    for axis, (n, halo, step) in enumerate(zip(shape[2:], method.halo, steps, strict=True), 2):
        half = -(-n // (2 * step)) * step
        read = min(n, -(-(half + halo) // step) * step)
        found.append((read / n, (*shape[:axis], half, *shape[axis + 1 :])))
    share, extent = min(found)
    return extent if share < _LEAST_GAIN else None


def in_parts(method: Method, y: Tensor, random: RandomField, extent: tuple[int, ...], call: Call) -> Estimate:
    """What ``call`` makes of the parts of ``y``, joined as the engine joins blocks; (b, c, *spatial)."""
    import torch

    axes = "TCYX" if y.ndim == 4 else "TCZYX"
    plan = Plan(Layout(axes, tuple(y.shape), y.ndim - 2), extent, method.halo, method.multiple, method.scale,
                method.merge, 1, 0)  # fmt: skip
    tiles = {}
    for block in map(plan.block, range(plan.size)):
        done = call(y[block.read].contiguous(), PartOfField(random, (block.read[0], *block.read[2:]))).mean
        tiles[block.index] = _cut(done.cpu().numpy(), plan.scaled(block.read), block.tile)
    out = np.empty(plan.output_shape, tiles[0].dtype)
    for block in map(plan.block, range(plan.size)):
        out[block.write] = assemble(plan, block, tiles.__getitem__)
    return Estimate(torch.from_numpy(out))


def _cut(values: Any, of: Box, box: Box) -> Any:
    """A copy, or the whole would be kept."""
    return values[tuple(slice(b.start - o.start, b.stop - o.start) for b, o in zip(box, of, strict=True))].copy()
