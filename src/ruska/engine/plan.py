"""Cuts a source into blocks: what is read, computed and written for each.

Plans are in canonical axis order (see `layout`). Blocks are made on demand, so a plan of a million blocks is small.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import lcm, prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ruska.engine.allocator import give_back_freed_memory
from ruska.engine.devices import other_devices
from ruska.engine.memory import format_bytes, keeps_freed_memory, peak_memory, resident_memory
from ruska.engine.need import Delivery, Need, reach
from ruska.errors import GeometryError, ResourceError
from ruska.image.grid import place_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ruska.engine.contracts import Box, IterativeMethod, Method
    from ruska.engine.layout import Layout
    from ruska.engine.memory import Budget
    from ruska.image import Output

Merging = Literal["mean", "seen", "cut"]
_PREFERRED_EDGE = {2: 1024, 3: 128}
_SMALLEST_EDGE = {2: 256, 3: 64}
_BATCH_VOXELS = 1 << 20
_BLOCK_VOXELS = 1 << 22  # in a block of several slices
_MOST_SLICES = 64
_LARGEST_OVERHEAD = 0.5  # share of halo in a block, before its edge is made longer or its slices fewer


@dataclass(frozen=True)
class Block:
    """One unit of work. All boxes are canonical.

    core : the voxels this block is responsible for; the cores partition the source.
    read : core and halo, with starts aligned to ``multiple``, clipped to the source.
    pad : voxels to append per spatial axis so that the shape is a multiple, too.
    reach : the part kept for blending: core, and overlap into the neighbours.
    """

    index: int
    cell: tuple[int, ...]
    core: Box
    read: Box
    pad: tuple[int, ...]
    reach: Box


@dataclass(frozen=True)
class Plan:
    """How ``layout.canonical_shape`` is cut. ``extent`` is the shape of a core, per canonical axis."""

    layout: Layout
    extent: tuple[int, ...]
    halo: tuple[int, ...]
    multiple: tuple[int, ...]
    outputs: tuple[Output, ...]
    merge: Merging
    workers: int
    memory_bytes: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.layout.canonical_shape

    @property
    def cells(self) -> tuple[int, ...]:
        """Number of blocks along each canonical axis."""
        return tuple(-(-n // e) for n, e in zip(self.shape, self.extent, strict=True))

    @property
    def size(self) -> int:
        """Number of blocks."""
        return prod(self.cells)

    @property
    def first_spatial(self) -> int:
        return len(self.shape) - len(self.halo)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Canonical shape of the first output, the result."""
        return self.shape_of(self.outputs[0])

    def shape_of(self, output: Output) -> tuple[int, ...]:
        """Canonical shape of ``output``."""
        return self._scaled_sizes(self.shape, output)

    def extent_of(self, output: Output) -> tuple[int, ...]:
        """Shape of a block on the grid of ``output``."""
        head, space = self._head(self.extent, output), self.extent[self.first_spatial :]
        scale = output.grid(len(space))
        return (*head, *(max(1, int(n * s)) for n, s in zip(space, scale, strict=True)))

    def _scaled_sizes(self, sizes: tuple[int, ...], output: Output) -> tuple[int, ...]:
        space, scale = sizes[self.first_spatial :], output.grid(len(self.halo))
        return (*self._head(sizes, output), *(int(n * s) for n, s in zip(space, scale, strict=True)))

    def _head(self, sizes: tuple[int, ...], output: Output) -> tuple[int, ...]:
        """Sizes along the non-spatial axes; an output's channels may differ from the image's."""
        channels = sizes[self.first_spatial - 1] if output.channels is None else output.channels
        return (*sizes[: self.first_spatial - 1], channels)

    @property
    def overlap(self) -> tuple[int, ...]:
        """Voxels of the image by which a tile reaches into each neighbour, per spatial axis (0 unless blended)."""
        if self.merge == "cut":
            return (0,) * len(self.halo)
        if self.merge == "seen":  # one voxel beyond, to see which object continues there
            return denominators(self.outputs, len(self.halo))
        space = self.extent[self.first_spatial :]
        # Multiples of the scales' denominators, so that the overlap is whole voxels on the outputs' grids, too.
        steps = denominators(self.outputs, len(space))
        return tuple(min(h, e) // 2 // s * s for h, e, s in zip(self.halo, space, steps, strict=True))

    def block(self, index: int) -> Block:
        """The block with this number, in raster order."""
        cell = place_of(index, self.cells)
        core = tuple(slice(i * e, min((i + 1) * e, n)) for i, e, n in zip(cell, self.extent, self.shape, strict=True))
        head, space = core[: self.first_spatial], core[self.first_spatial :]
        sizes = self.shape[self.first_spatial :]
        read, pad = [], []
        for part, halo, step, n in zip(space, self.halo, self.multiple, sizes, strict=True):
            start, stop = reach(part.start, part.stop, halo, step, n)
            read.append(slice(start, min(stop, n)))
            pad.append(max(0, stop - n))
        near = [
            slice(max(0, p.start - o), min(n, p.stop + o)) for p, o, n in zip(space, self.overlap, sizes, strict=True)
        ]
        return Block(index, cell, core, (*head, *read), tuple(pad), (*head, *near))

    def scaled(self, box: Box, output: Output) -> Box:
        """A canonical box on the grid of ``output``, with all channels of the output if they are its own."""
        head, space = box[: self.first_spatial], box[self.first_spatial :]
        if output.channels is not None:
            head = (*head[:-1], slice(0, output.channels))
        scale = output.grid(len(space))
        return (*head, *(slice(int(b.start * s), int(b.stop * s)) for b, s in zip(space, scale, strict=True)))

    def neighbours(self, block: Block) -> list[int]:
        """Numbers of the blocks whose tiles reach into this block's core, itself included, in raster order."""
        reach = [range(i, i + 1) for i in block.cell[: self.first_spatial]]
        for i, cells, overlap in zip(
            block.cell[self.first_spatial :], self.cells[self.first_spatial :], self.overlap, strict=True
        ):
            near = 1 if overlap else 0
            reach.append(range(max(0, i - near), min(cells, i + near + 1)))
        grid = np.meshgrid(*reach, indexing="ij")
        return [int(i) for i in np.ravel_multi_index([g.ravel() for g in grid], self.cells)]

    def as_dict(self) -> dict[str, Any]:
        """Identifies the plan, for the ledger and the record."""
        return {
            "axes": self.layout.canonical_axes,
            "block": list(self.extent),
            "blocks": self.size,
            "halo": list(self.halo),
            "merge": self.merge,
        }


def plan_blocks(
    layout: Layout,
    method: Method | IterativeMethod,
    budget: Budget,
    *,
    dtype: Any,
    out_dtype: Any,
    chunks: tuple[int, ...] | None = None,
    edge: int | tuple[int, ...] | None = None,
    baseline: int | None = None,
    delivery: Delivery | None = None,
) -> Plan:
    """Choose the largest sensible blocks that keep the whole process within ``budget``.

    chunks : canonical shape of the source's chunks; a block takes whole chunks along the axes that the method does not
        look along, so that each is decoded once.
    edge : length of a block along each spatial axis, or the extent of an earlier plan's blocks (used unchanged, so
        that a resumed run keeps its plan whatever memory is free now); chosen when None.
    baseline : bytes the process holds before the run; measured when None.
    delivery : what happens to the results, which takes memory, too; None: written to a file, with a report.

    Raises ResourceError if not even the smallest block fits, GeometryError if halo and layout disagree.
    """
    space = layout.canonical_shape[-len(method.halo) :]
    if not len(method.halo) == len(method.multiple) == layout.dimensions:
        raise GeometryError("method", f"halo {method.halo} and multiple {method.multiple} do not fit "
                            f"{layout.dimensions} spatial axes")  # fmt: skip
    outputs = method.outputs
    scale = outputs[0].grid(len(space))
    steps = [lcm(m, s) for m, s in zip(method.multiple, denominators(outputs, len(space)), strict=True)]
    head = list(edge[: -len(space)]) if isinstance(edge, tuple) else _head_extent(layout, space, chunks)
    need = Need(method, layout.canonical_shape, np.dtype(dtype).itemsize, np.dtype(out_dtype).itemsize, scale,
                keeps_freed_memory(), delivery or Delivery(),
                dict(zip(layout.axes, layout.shape, strict=True)).get("Z", 1), chunks)  # fmt: skip
    # A method that uses every core of its device: one block on each device, and one being read or written meanwhile.
    side_by_side = budget.workers
    if method.threads == "many":
        beside = 0 if getattr(method, "alone", False) else 1
        side_by_side = min(1 + beside + len(other_devices(method)), budget.workers)
    edges: list[int]
    if isinstance(edge, tuple):
        edges = list(edge[-len(space) :])
    elif edge is not None:
        edges = [edge] * len(space)
    else:
        edges = _preferred(space, method, side_by_side, prod(layout.canonical_shape[: -len(space)]), prod(head))
    if edge is None:
        while prod(head) * prod(map(min, edges, space)) > _BLOCK_VOXELS and _is_thick(head):
            _make_thinner(head)
    extent = [_round_up(min(e, n), s) for e, n, s in zip(edges, space, steps, strict=True)]
    give_back_freed_memory()
    held = resident_memory() if baseline is None else baseline
    prepared = now if baseline is None and (now := peak_memory()) > budget.peak_before else 0
    room = budget.memory_bytes - held
    while need.bytes(head, extent, side_by_side) > room and not isinstance(edge, tuple):
        shortest = max(extent) <= _SMALLEST_EDGE[len(space)]
        # Fewer slices, then fewer blocks at a time, before blocks that are mostly halo.
        if _is_thick(head) and (shortest or _halved_is_halo(extent, space, method.halo)):
            _make_thinner(head)
            continue
        if shortest and side_by_side > 1:
            side_by_side -= 1
            continue
        longest = max(range(len(extent)), key=lambda i: extent[i] / steps[i])
        if extent[longest] <= steps[longest]:
            if side_by_side > 1:
                side_by_side -= 1
                continue
            least = held + need.bytes(head, extent)
            raise ResourceError("--memory", f"{format_bytes(budget.memory_bytes)} is too little even for the smallest "
                                f"block: {format_bytes(least)} are needed, of which Python and its libraries hold "
                                f"{format_bytes(held)}", f"Allow at least {format_bytes(1.02 * least)}.")  # fmt: skip
        extent[longest] = _round_up(extent[longest] // 2, steps[longest])
    plan = Plan(layout, (*head, *extent), halo_of(method), method.multiple, outputs, merge_of(method),
                min(side_by_side, need.blocks(head, extent)),
                max(held + need.bytes(head, extent, side_by_side), prepared))  # fmt: skip
    # One block needs no blending.
    return plan if plan.size > 1 else replace(plan, merge="cut")


def denominators(outputs: Sequence[Output], dimensions: int) -> tuple[int, ...]:
    """Voxels of the image, per spatial axis, that are whole voxels on the grids of all ``outputs``."""
    grids = [output.grid(dimensions) for output in outputs if output.merge != "table"]
    return tuple(lcm(1, *(scale.denominator for scale in along)) for along in zip(*grids, strict=True)) or (
        (1,) * dimensions
    )


def merge_of(method: Method | IterativeMethod) -> Merging:
    """How far blocks of a method overlap: half their halo, a voxel, or not at all."""
    kinds = {output.merge for output in method.outputs}
    if "mean" in kinds or ("labels" in kinds and getattr(method, "locality", "exact") == "approximate"):
        return "mean"
    return "seen" if "labels" in kinds else "cut"


def halo_of(method: Method | IterativeMethod) -> tuple[int, ...]:
    """Context that is read: the method's own halo, and the margin beyond the block in which it must be right."""
    if merge_of(method) != "seen":
        return method.halo
    seen = denominators(method.outputs, len(method.halo))
    return tuple(halo + more for halo, more in zip(method.halo, seen, strict=True))


def _head_extent(layout: Layout, space: tuple[int, ...], chunks: tuple[int, ...] | None) -> list[int]:
    """Extent along the other axes and C: all channels, and several slices if they are small or stored together."""
    others = layout.canonical_shape[: -len(space) - 1]
    channels = layout.canonical_shape[-len(space) - 1]
    extent = [1] * len(others)
    if others:
        extent[-1] = min(others[-1], max(1, _BATCH_VOXELS // (prod(space) * channels)))
    if chunks is not None:
        stored = (min(n, c, _MOST_SLICES) for n, c in zip(others, chunks, strict=False))
        extent = [max(e, c) for e, c in zip(extent, stored, strict=True)]
    return [*extent, channels]


def _preferred(
    space: tuple[int, ...], method: Method | IterativeMethod, workers: int, slices: int, together: int
) -> list[int]:
    """Edges that keep the share of halo low, yet give every worker a few blocks (of ``together`` slices)."""
    dims = len(space)
    edges = []
    for n, halo in zip(space, method.halo, strict=True):
        edge = _PREFERRED_EDGE[dims]
        while edge < n and (edge + 2 * halo) ** dims > (1 + _LARGEST_OVERHEAD) * edge**dims and edge < 4096:
            edge *= 2
        edges.append(edge)
    while together * prod(edges) > _BLOCK_VOXELS and max(edges) > _SMALLEST_EDGE[dims] and together > 1:
        if _halved_is_halo(edges, space, method.halo):
            break
        edges[edges.index(max(edges))] //= 2
    smallest = [max(_SMALLEST_EDGE[dims], 4 * h) for h in method.halo]
    while method.threads == "one":
        count = -(-slices // together) * prod(-(-n // e) for n, e in zip(space, edges, strict=True))
        longest = max(range(dims), key=lambda i: min(edges[i], space[i]) - smallest[i])
        if count >= 2 * workers or min(edges[longest], space[longest]) // 2 < smallest[longest]:
            break
        edges[longest] = -(-min(edges[longest], space[longest]) // 2)
    return edges


def _halved_is_halo(edges: Sequence[int], space: Sequence[int], halo: Sequence[int]) -> bool:
    """Whether too much of what is computed would be halo if the longest edge were halved."""
    shorter = list(edges)
    shorter[shorter.index(max(shorter))] //= 2
    parts = [min(e + 2 * h, n) / min(e, n) for e, h, n in zip(shorter, halo, space, strict=True)]
    return prod(parts) > 1 + _LARGEST_OVERHEAD


def _is_thick(head: Sequence[int]) -> bool:
    """Whether a block has several slices; the last of ``head`` are channels."""
    return max(head[:-1], default=1) > 1


def _make_thinner(head: list[int]) -> None:
    thickest = head.index(max(head[:-1]))
    head[thickest] = -(-head[thickest] // 2)


def _round_up(value: int, step: int) -> int:
    return max(step, -(-value // step) * step)
