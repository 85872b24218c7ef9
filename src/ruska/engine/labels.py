"""Objects across blocks: each block numbers its own, parts of one object get one number, and all are written again.

Two passes follow the one that labels. *Unite* compares the labels that two overlapping blocks give the same voxels.
*Relabel* writes every block's own voxels with the numbers of the whole: 1, 2, 3, ... in the order of the objects' first
voxels in the image, so that the result depends neither on the block plan nor on the executor.

If a method is exact within its halo, two labels of one voxel are one object. If it is not, like a watershed that sees
only its own block, two labels are one object if each shares more voxels with the other than with any third: merging at
any overlap would chain objects that merely touch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.engine.merge import inside, intersect
from ruska.engine.passes import facts, keep, kept, tiles, wanted
from ruska.errors import ResourceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.engine.contracts import Box, Facts, Pass
    from ruska.engine.job import Job
    from ruska.engine.plan import Block, Plan
    from ruska.image import Output

_SHARE = 0.25  # of the smaller of two labels in the overlap that both must share


def labelled(job: Job) -> list[Output]:
    """Wanted outputs that are object labels."""
    return [output for output in wanted(job) if output.merge == "labels"]


def label_passes(job: Job) -> Iterator[Sequence[Pass]]:
    """The passes that follow the one that labels every block."""
    for output in labelled(job):
        yield (Unite(job, output),)
        yield (Relabel(job, output),)


@dataclass(frozen=True)
class Unite:
    """Finds which labels of neighbouring blocks are one object, and where the first voxel of every label lies."""

    job: Job
    output: Output
    stage: str = "uniting objects"

    @property
    def name(self) -> str:
        return f"unite {self.output.name}"

    @property
    def plan(self) -> Plan:
        return self.job.plan

    def needs(self, block: Block) -> Iterable[int]:
        return ()

    def after(self, block: Block, done: Callable[[int], bool]) -> None:
        """Keep the tiles: they are still needed."""

    def work(self, block: Block) -> Facts:
        job, plan, output = self.job, self.plan, self.output
        get = tiles(job, output).get
        own, reach = get(block.index), plan.scaled(block.reach, output)
        core = plan.scaled(block.core, output)
        pairs = [np.empty((0, 4), np.int64)]
        for index in plan.neighbours(block):
            other = plan.block(index)
            theirs = plan.scaled(other.reach, output)
            shared = intersect(reach, theirs) if index > block.index else None
            if shared is None:
                continue
            mine, other_labels = inside(own, reach, shared), inside(get(index), theirs, shared)
            if self._exact:
                sure = _in_either(core, plan.scaled(other.core, output), shared)
                mine, other_labels = mine[sure], other_labels[sure]
            found = same(mine, other_labels, exact=self._exact)
            ends = np.tile([block.index, index], (len(found), 1))
            pairs.append(np.column_stack([ends[:, :1], found[:, :1], ends[:, 1:], found[:, 1:]]))
        labels, first = first_voxels(inside(own, reach, core), core, plan.shape_of(output))
        keep(job, output, f"pairs {block.index}", np.concatenate(pairs))
        keep(job, output, f"first {block.index}", np.column_stack([labels, first]))
        return facts(job) | {"objects": len(labels)}

    @property
    def _exact(self) -> bool:
        return getattr(self.job.method, "locality", "exact") == "exact"

    def reduce(self, said: Mapping[int, Facts]) -> None:
        """Number the objects of the whole image from what all blocks kept; always with the same result."""
        job, output, blocks = self.job, self.output, range(self.plan.size)
        known = [kept(job, output, f"first {index}") for index in blocks]
        starts = np.cumsum([0, *map(len, known)])
        parent = np.arange(starts[-1])
        for index in blocks:
            for a, x, b, y in kept(job, output, f"pairs {index}").tolist():
                one, two = (_place(known[i][:, 0], label, starts[i]) for i, label in ((a, x), (b, y)))
                if one is not None and two is not None:
                    _join(parent, one, two)
        roots = _roots(parent)
        number = _in_order(roots, np.concatenate([rows[:, 1] for rows in known]))
        sink = job.sinks[output.name]
        assert sink is not None
        dtype = sink.dtype
        if number.max(initial=0) > np.iinfo(dtype).max:
            raise ResourceError(output.name, f"has {number.max()} objects, more than {dtype} can count",
                                "Ask for uint32.")  # fmt: skip
        for index, rows in zip(blocks, known, strict=True):
            numbers = number[starts[index] : starts[index + 1]]
            keep(job, output, f"numbers {index}", np.column_stack([rows[:, 0], numbers]))


@dataclass(frozen=True)
class Relabel:
    """Writes every block's own voxels, with the numbers of the whole image."""

    job: Job
    output: Output
    stage: str = "numbering objects"

    @property
    def name(self) -> str:
        return f"relabel {self.output.name}"

    @property
    def plan(self) -> Plan:
        return self.job.plan

    def needs(self, block: Block) -> Iterable[int]:
        return ()

    def after(self, block: Block, done: Callable[[int], bool]) -> None:
        """Drop its tile and its numbers, which are no longer needed."""
        tiles(self.job, self.output).drop(block.index)

    def work(self, block: Block) -> Facts:
        job, output = self.job, self.output
        reach, core = self.plan.scaled(block.reach, output), self.plan.scaled(block.core, output)
        own = inside(tiles(job, output).get(block.index), reach, core)
        known = kept(job, output, f"numbers {block.index}")
        table = np.zeros(int(own.max(initial=0)) + 1, np.int64)
        table[known[:, 0]] = known[:, 1]
        job.finish(block, output, table[own], job.invalid_in(block.core), block.core)
        return facts(job)

    def reduce(self, said: Mapping[int, Facts]) -> None:
        """Nothing is left to say."""


def same(mine: NDArray[Any], theirs: NDArray[Any], *, exact: bool) -> NDArray[np.int64]:
    """Pairs (label in ``mine``, label in ``theirs``) that are one object, from the same voxels; (n, 2), in order."""
    both = (mine > 0) & (theirs > 0)
    pairs, count = np.unique(np.column_stack([mine[both], theirs[both]]), axis=0, return_counts=True)
    pairs = pairs.reshape(-1, 2).astype(np.int64)
    if exact or len(pairs) == 0:
        return pairs
    best_of_mine, best_of_theirs = _best(pairs[:, 0], count), _best(pairs[:, 1], count)
    sizes = [dict(zip(*np.unique(side[side > 0], return_counts=True), strict=True)) for side in (mine, theirs)]
    smaller = np.array([min(sizes[0][a], sizes[1][b]) for a, b in pairs])
    return pairs[best_of_mine & best_of_theirs & (count >= _SHARE * smaller)]


def _best(labels: NDArray[Any], count: NDArray[Any]) -> NDArray[np.bool_]:
    """For each label, mark its pair with the most voxels (the first of equals)."""
    order = np.lexsort((np.arange(len(count)), -count, labels))
    chosen = np.zeros(len(count), bool)
    chosen[order[np.unique(labels[order], return_index=True)[1]]] = True
    return chosen


def first_voxels(labels: NDArray[Any], box: Box, shape: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every label in ``box``, and the index of its first voxel in an array of ``shape``."""
    found, index = np.unique(labels, return_index=True)
    if found.size and found[0] == 0:
        found, index = found[1:], index[1:]
    inside = np.unravel_index(index, labels.shape)
    place = tuple(i + part.start for i, part in zip(inside, box, strict=True))
    return found.astype(np.int64), np.ravel_multi_index(place, shape).astype(np.int64)


def _in_either(a: Box, b: Box, shared: Box) -> NDArray[np.bool_]:
    """Voxels of ``shared`` that are in one of two boxes: outside both, neither block's labels are reliable."""
    out = np.zeros(tuple(s.stop - s.start for s in shared), bool)
    for box in (a, b):
        part = intersect(box, shared)
        if part is not None:
            out[tuple(slice(p.start - s.start, p.stop - s.start) for p, s in zip(part, shared, strict=True))] = True
    return out


def _place(labels: NDArray[Any], label: int, start: int) -> int | None:
    """Number of a block's label among all; None if none of its voxels belongs to the block."""
    at = int(np.searchsorted(labels, label))
    return int(start) + at if at < len(labels) and labels[at] == label else None


def _in_order(roots: NDArray[np.int64], first: NDArray[np.int64]) -> NDArray[np.int64]:
    """1, 2, 3, ... for each root, in the order of the first voxel among its labels."""
    found, which = np.unique(roots, return_inverse=True)
    earliest = np.full(len(found), np.iinfo(np.int64).max)
    np.minimum.at(earliest, which, first)
    rank = np.empty(len(found), np.int64)
    rank[np.argsort(earliest, kind="stable")] = np.arange(1, len(found) + 1)
    return rank[which]


def _join(parent: NDArray[np.int64], a: int, b: int) -> None:
    """Union by the smaller root, with halved paths. Source: Tarjan & van Leeuwen (1984), J. ACM 31, 245."""
    a, b = _root(parent, a), _root(parent, b)
    if a != b:
        parent[max(a, b)] = min(a, b)


def _root(parent: NDArray[np.int64], a: int) -> int:
    while parent[a] != a:
        parent[a] = parent[parent[a]]
        a = int(parent[a])
    return a


def _roots(parent: NDArray[np.int64]) -> NDArray[np.int64]:
    """The root of every element."""
    while not np.array_equal(further := parent[parent], parent):
        parent = further
    return parent
