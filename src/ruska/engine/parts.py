"""Computes a block that is too large for a device in parts: the engine in miniature, in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from math import lcm
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.engine.contracts import IMAGE
from ruska.engine.layout import Layout
from ruska.engine.merge import assemble
from ruska.engine.plan import Plan, denominators, merge_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ruska.engine.contracts import Box, Method, RandomField

Inputs = Mapping[str, "Tensor"]
Call = Callable[[Inputs, "RandomField"], Mapping[str, "Tensor"]]
_LEAST_GAIN = 0.85  # of the voxels: parts whose halos make them hardly smaller than the whole are not worth it


@dataclass(frozen=True)
class PartOfField:
    """A random field over a part of a block. box : of (b, *spatial), in voxels of ``whole``."""

    whole: RandomField
    box: Box

    @property
    def places(self) -> NDArray[np.int64]:
        return self.whole.places[self.box[0]]

    def normal(self, step: int, sample: int = 0, channel: int = 0) -> Tensor:
        return self.whole.normal(step, sample, channel)[self.box].contiguous()

    def finer(self, scale: Sequence[Fraction]) -> PartOfField:
        space = (slice(int(b.start * s), int(b.stop * s)) for b, s in zip(self.box[1:], scale, strict=True))
        return PartOfField(self.whole.finer(scale), (self.box[0], *space))


def halves(method: Method, shape: Sequence[int]) -> tuple[int, ...] | None:
    """Extent of the parts into which a block (b, c, *spatial) is cut next; None if no cut makes it smaller.

    Blocks that give objects or table rows are never cut, as these cannot be joined here.
    """
    if any(output.merge in ("labels", "table") for output in method.outputs):
        return None
    if shape[0] > 1:
        return (-(-shape[0] // 2), *shape[1:])
    steps = map(lcm, method.multiple, denominators(method.outputs, len(method.halo)))
    found = []
    for axis, (n, halo, step) in enumerate(zip(shape[2:], method.halo, steps, strict=True), 2):
        half = -(-n // (2 * step)) * step
        read = min(n, -(-(half + halo) // step) * step)
        found.append((read / n, (*shape[:axis], half, *shape[axis + 1 :])))
    share, extent = min(found)
    return extent if share < _LEAST_GAIN else None


def in_parts(
    method: Method, inputs: Inputs, random: RandomField, extent: tuple[int, ...], call: Call
) -> dict[str, Tensor]:
    """The results of ``call`` on the parts of the inputs, joined as the engine joins blocks; (b, c, *spatial)."""
    import torch

    shape = tuple(inputs[IMAGE].shape)
    axes = "TCYX" if len(shape) == 4 else "TCZYX"
    plan = Plan(Layout(axes, shape, len(shape) - 2), extent, method.halo, method.multiple, method.outputs,
                merge_of(method), 1, 0)  # fmt: skip
    tiles: dict[tuple[str, int], Any] = {}
    for block in map(plan.block, range(plan.size)):
        part = {name: _part(values, block.read) for name, values in inputs.items()}
        done = call(part, PartOfField(random, (block.read[0], *block.read[2:])))
        for output in method.outputs:
            if output.name in done:
                boxes = plan.scaled(block.read, output), plan.scaled(block.reach, output)
                tiles[output.name, block.index] = _cut(done[output.name].cpu().numpy(), *boxes)
    joined = {}
    for output in method.outputs:
        if (output.name, 0) not in tiles:
            continue
        out = np.empty(plan.shape_of(output), tiles[output.name, 0].dtype)
        for block in map(plan.block, range(plan.size)):
            core = plan.scaled(block.core, output)
            if output.merge == "mean":
                out[core] = assemble(plan, output, block, partial(_tile, tiles, output.name))
            else:
                out[core] = _cut(tiles[output.name, block.index], plan.scaled(block.reach, output), core)
        joined[output.name] = torch.from_numpy(out)
    return joined


def _tile(tiles: Mapping[tuple[str, int], Any], name: str, index: int) -> Any:
    return tiles[name, index]


def _part(values: Tensor, box: Box) -> Tensor:
    """A box of an input, whose channels may differ from the image's."""
    return values[(box[0], slice(None), *box[2:])].contiguous()


def _cut(values: Any, of: Box, box: Box) -> Any:
    """A copy: a view would keep the whole in memory."""
    return values[tuple(slice(b.start - o.start, b.stop - o.start) for b, o in zip(box, of, strict=True))].copy()
