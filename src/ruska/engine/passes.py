"""The passes of a run: blocks that are cropped, or tiles that are blended once their neighbours are done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.engine.merge import TilePool, assemble
from ruska.engine.tables import own_rows
from ruska.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ruska.engine.contracts import Facts
    from ruska.engine.job import Job
    from ruska.engine.plan import Block, Plan
    from ruska.image import Output

_MEND = "Fix the method; see docs/extending.md."


@dataclass(frozen=True)
class Compute:
    """Runs the method on every block. Outputs that come from one block are finished; others are kept for `Blend`.

    name : "block", or "tile" if there is something to blend.
    """

    job: Job
    name: str = "block"
    stage: str = "restoring"

    @property
    def plan(self) -> Plan:
        return self.job.plan

    def work(self, block: Block) -> Facts:
        job = self.job
        inputs, invalid = job.read(block.read, block.pad)
        results, seconds = job.workshop.estimate(inputs, job.random(block.read, block.pad))
        del inputs
        clipped = 0
        for output in wanted(job):
            check_given(job, block, output, results)
            if output.merge == "table":
                rows = own_rows(job, block, output, results.pop(output.name).cpu().numpy())
                keep(job, output, f"rows {block.index}", rows)
                continue
            if blended(job, output) or output.merge == "labels":
                tile = job.crop(results.pop(output.name), output, block.read, block.reach)
                tiles(job, output).put(
                    block.index, _numbered(tile, len(job.plan.halo)) if output.merge == "labels" else tile
                )
                continue
            values = self._own(results, output, block)
            clipped += job.finish(block, output, values, invalid, block.read)
        return facts(job, clipped, seconds)

    def _own(self, results: dict[str, Tensor], output: Output, block: Block) -> NDArray[Any]:
        """The block's own voxels; the rest is freed before finishing makes copies."""
        return self.job.crop(results.pop(output.name), output, block.read, block.core)

    def needs(self, block: Block) -> Iterable[int]:
        return ()

    def after(self, block: Block, done: Callable[[int], bool]) -> None:
        """Nothing waits for a block."""

    def reduce(self, said: Mapping[int, Facts]) -> None:
        """Join the tables of the blocks, in order."""
        for output in wanted(self.job):
            if output.merge == "table":
                self.job.tables[output.name] = np.concatenate(
                    [kept(self.job, output, f"rows {i}") for i in sorted(said)]
                )


@dataclass(frozen=True)
class Blend:
    """Puts together every block's own voxels from the tiles that reach into it."""

    job: Job
    name: str = "block"
    stage: str = "blending"

    @property
    def plan(self) -> Plan:
        return self.job.plan

    def needs(self, block: Block) -> Iterable[int]:
        return self.plan.neighbours(block)

    def work(self, block: Block) -> Facts:
        job, clipped = self.job, 0
        invalid = job.invalid_in(block.core)
        for output in wanted(job):
            if blended(job, output):
                values = assemble(job.plan, output, block, tiles(job, output).get)
                clipped += job.finish(block, output, values, invalid, block.core)
        return facts(job, clipped)

    def after(self, block: Block, done: Callable[[int], bool]) -> None:
        """Drop tiles that no block needs any more."""
        for index in self.plan.neighbours(block):
            if all(done(i) for i in self.plan.neighbours(self.plan.block(index))):
                for output in wanted(self.job):
                    if blended(self.job, output):
                        tiles(self.job, output).drop(index)

    def reduce(self, said: Mapping[int, Facts]) -> None:
        """Nothing is left to say."""


def wanted(job: Job) -> Iterable[Output]:
    """The method's outputs that are to be written."""
    return [output for output in job.method.outputs if output.name in job.sinks]


def check_given(job: Job, block: Block, output: Output, results: Mapping[str, Tensor]) -> None:
    """Raise SettingsError if the method did not return, for this block, what it declared."""
    subject, first = f"output '{output.name}' of the method", job.plan.first_spatial
    if output.name not in results:
        raise SettingsError(subject, f"is missing: it returned {', '.join(results) or 'nothing'}", _MEND)
    if output.merge == "table":
        return
    *head, channels = (b.stop - b.start for b in block.read[:first])
    handed = (b.stop - b.start + p for b, p in zip(block.read[first:], block.pad, strict=True))
    space = (int(n * s) for n, s in zip(handed, output.grid(len(block.pad)), strict=True))
    expected = (prod(head), channels if output.channels is None else output.channels, *space)
    if (shape := tuple(results[output.name].shape)) != expected:
        raise SettingsError(subject, f"has shape {shape}, expected {expected}", _MEND)


def blended(job: Job, output: Output) -> bool:
    """Whether the output's tiles are blended; a single block is simply cropped."""
    return output.merge == "mean" and job.plan.merge == "mean"


def tiles(job: Job, output: Output) -> TilePool:
    """Where tiles of ``output`` are kept: files in the job's folder, or memory that its passes share."""
    key = f"tiles of {output.name}"
    if key not in job.shared:
        folder = None if job.folder is None else job.folder / "tiles" / output.name
        job.shared.setdefault(key, TilePool(folder))
    pool: TilePool = job.shared[key]
    return pool


def facts(job: Job, clipped: int = 0, seconds: float = 0.0) -> Facts:
    """The report of a block: voxels clipped, seconds in the method, and what did not go as planned."""
    said: Facts = {"clipped": clipped}
    if seconds:
        said["seconds"] = round(seconds, 4)
    if notes := job.workshop.take_notes():
        said["notes"] = notes
    return said


def _numbered(values: NDArray[Any], dimensions: int) -> NDArray[np.int64]:
    """Labels of a tile (others, c, *spatial), consecutive, and distinct between its images or volumes; 0 is nothing."""
    flat = values.reshape(-1, int(np.prod(values.shape[-dimensions:])))
    out, used = np.zeros(flat.shape, np.int64), 0
    for here, one in zip(out, flat, strict=True):
        found, inverse = np.unique(one[one > 0], return_inverse=True)
        here[one > 0] = used + 1 + inverse.ravel()
        used += len(found)
    return out.reshape(values.shape)


def keep(job: Job, output: Output, name: str, values: NDArray[Any]) -> None:
    """Keep an array for a later pass: in a file in the job's folder, or in memory that the passes share."""
    if job.folder is None:
        job.shared[f"{output.name} {name}"] = values
        return
    from ruska.engine.store import save_tile

    folder = _folder(job, output)
    folder.mkdir(parents=True, exist_ok=True)
    save_tile(folder / f"{name.replace(' ', '-')}.npy", values)


def kept(job: Job, output: Output, name: str) -> NDArray[Any]:
    """What `keep` left."""
    if job.folder is None:
        found: NDArray[Any] = job.shared[f"{output.name} {name}"]
        return found
    from ruska.engine.store import load_tile

    return load_tile(_folder(job, output) / f"{name.replace(' ', '-')}.npy")


def _folder(job: Job, output: Output) -> Path:
    assert job.folder is not None
    return job.folder / "objects" / output.name
