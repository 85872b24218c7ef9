"""What the engine asks of the things it joins: sources, sinks, methods, passes and executors.

A box is a tuple of slices with explicit bounds and step 1, one per axis of the array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ruska.engine.plan import Block, Plan
    from ruska.engine.statistics import Normalisation
    from ruska.image import Output

Box = tuple[slice, ...]
IMAGE = "image"
"""The input that is restored; further inputs have names of their own."""


class Source(Protocol):
    """Where blocks are read from. Thread-safe; after being sent to another process, it opens its file again there."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def axes(self) -> str: ...
    def read(self, box: Box) -> NDArray[Any]: ...


class Sink(Protocol):
    """Where finished blocks go. ``grain`` is the shape of the pieces that can be written independently.

    No two writes, from any thread or process, touch the same grain, so a chunked store needs no lock.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def grain(self) -> tuple[int, ...]: ...
    def write(self, box: Box, values: NDArray[Any]) -> None: ...
    def read(self, box: Box) -> NDArray[Any]: ...


class RandomField(Protocol):
    """Standard normal numbers tied to positions: a voxel gets the same number in any block."""

    @property
    def places(self) -> NDArray[np.int64]:
        """(b, others): position of each image of the batch along the axes that are neither C nor spatial."""

    def normal(self, step: int, sample: int = 0, channel: int = 0) -> Tensor: ...
    def finer(self, scale: Sequence[Fraction]) -> RandomField: ...


class Method(Protocol):
    """Ready to run on any block of (b, c, *spatial), float32 (or float64, see ``domain``).

    It receives the block of every input it declared, including "image", and returns a tensor for each of its
    ``outputs``, of the shape they declare.

    Optional members: ``working_bytes(shape, kept)``, working memory of one call on a block of this shape, if it is not
    simply ``bytes_per_voxel`` times voxels, or is more when the process keeps freed memory; ``stays``, bytes that the
    first call allocates for good; ``alone``, a call takes so much longer than reading and writing that these are not
    done beside it, as their arrays would leave gaps between its own.
    """

    @property
    def halo(self) -> tuple[int, ...]:
        """Context voxels needed on each side, per spatial axis (2: YX, 3: ZYX or TYX)."""

    @property
    def multiple(self) -> tuple[int, ...]:
        """Shapes and origins of the blocks it receives are multiples of this, counted in the whole image."""

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What it returns; the first is the result, the others are written beside it."""

    @property
    def locality(self) -> Literal["exact", "approximate"]:
        """``exact``: a block with its halo equals the whole, to rounding."""

    @property
    def domain(self) -> Literal["normalised", "raw"]:
        """``raw``: the file's own intensities (float64 where float32 would round them)."""

    @property
    def bytes_per_voxel(self) -> float:
        """Working memory of one call, per voxel of the block it receives."""

    @property
    def threads(self) -> Literal["one", "many"]:
        """``one``: a call keeps one core busy, so the engine runs several side by side."""

    def __call__(self, inputs: Mapping[str, Tensor], random: RandomField) -> Mapping[str, Tensor]: ...


class IterativeMethod(Protocol):
    """A method whose context grows with each step: halos are exchanged between sweeps.

    ``halo`` is what ONE sweep needs. State and result have the same spatial grid as the image.
    """

    @property
    def halo(self) -> tuple[int, ...]: ...
    @property
    def multiple(self) -> tuple[int, ...]: ...
    @property
    def outputs(self) -> tuple[Output, ...]: ...
    @property
    def domain(self) -> Literal["normalised", "raw"]: ...
    @property
    def bytes_per_voxel(self) -> float: ...
    @property
    def threads(self) -> Literal["one", "many"]: ...
    @property
    def sweeps(self) -> int: ...
    @property
    def state_channels(self) -> int:
        """Channels of the state per channel of the image."""

    def init(self, inputs: Mapping[str, Tensor], random: RandomField) -> Tensor: ...
    def sweep(self, state: Tensor, inputs: Mapping[str, Tensor], k: int, random: RandomField) -> Tensor: ...
    def finish(self, state: Tensor, inputs: Mapping[str, Tensor]) -> Mapping[str, Tensor]: ...


Facts = dict[str, Any]
"""What a block of a pass reports, JSON-like: a line of the ledger, which a resumed run reads back."""


class Pass(Protocol):
    """One pass over all blocks. It can be pickled, so that any process can do its work.

    name : of its blocks in the ledger. stage : shown to the user meanwhile.
    """

    @property
    def name(self) -> str: ...
    @property
    def stage(self) -> str: ...
    @property
    def plan(self) -> Plan: ...
    def work(self, block: Block) -> Facts:
        """Read, compute and write one block. Its facts go into the ledger after its data are in place."""
        ...

    def needs(self, block: Block) -> Iterable[int]:
        """Blocks of the previous pass in the same group that ``block`` depends on."""
        ...

    def after(self, block: Block, done: Callable[[int], bool]) -> None:
        """Called by the driver once ``block`` is in the ledger, to drop what no other block needs any more."""
        ...

    def reduce(self, said: Mapping[int, Facts]) -> None:
        """Called by the driver with the reports of all blocks, once all are in the ledger; again on resuming."""
        ...


class Executor(Protocol):
    """What does the work: threads, processes, later the workers of a cluster. Only the driver writes the ledger."""

    @property
    def workers(self) -> int:
        """Number of blocks processed at the same time."""

    def open(self, passes: Sequence[Pass]) -> AbstractContextManager[Submit]:
        """Send ``passes`` to the workers. On exit, running work is finished and the rest is cancelled."""
        ...


Submit = Callable[[int, int], "Future[Facts]"]
"""Called with (number of the pass, number of the block)."""


class Recipe(Protocol):
    """A method as the user asked for it, before it has seen the data."""

    def prepare(self, source: Source, normalisation: Normalisation, budget: Budget) -> Method | IterativeMethod:
        """Estimate noise or PSF, train, or load weights. ``source`` gives normalised intensities."""
        ...


class Budget(Protocol):
    """What a job may use."""

    @property
    def memory_bytes(self) -> int: ...
    @property
    def workers(self) -> int: ...


Progress = Callable[[str, int, int], None]
"""Called as ``progress(stage, done, total)`` from the thread that drives the job. It may raise to stop the job:
finished work is kept, as after Ctrl-C."""
