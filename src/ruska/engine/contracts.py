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
"""The input that is restored; others stand beside it under names of their own."""


class Source(Protocol):
    """Where blocks are read from. Thread-safe; one that is sent to other processes opens its file there again."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def axes(self) -> str: ...
    def read(self, box: Box) -> NDArray[Any]: ...


class Sink(Protocol):
    """Where finished blocks go. ``grain`` is the shape of the pieces it can write independently.

    Two writes never touch the same grain, from whatever thread or process, so a chunked store needs no lock.
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
    """Standard normal numbers that belong to places: the same voxel gets the same number in any block."""

    @property
    def places(self) -> NDArray[np.int64]:
        """(b, others): where each image of the batch lies along the axes that are neither C nor spatial."""

    def normal(self, step: int, sample: int = 0, channel: int = 0) -> Tensor: ...
    def finer(self, scale: Sequence[Fraction]) -> RandomField: ...


class Method(Protocol):
    """Ready to run on any block of (b, c, *spatial), float32 (or float64, see ``domain``).

    It is handed the block of every input it declared, "image" among them, and returns a tensor for each of its
    ``outputs``, of the shape that they declare.

    May also have ``working_bytes(shape, kept)``: working memory of one call on a block of this shape, where it is not
    ``bytes_per_voxel`` for each voxel, or more where the process keeps freed memory; and ``stays``: bytes that the
    first call takes for good; and ``alone``: a call takes so much longer than reading and writing that nothing is done
    beside it, whose arrays would leave gaps between its own.
    """

    @property
    def halo(self) -> tuple[int, ...]:
        """Context voxels needed on each side, per spatial axis (2: YX, 3: ZYX or TYX)."""

    @property
    def multiple(self) -> tuple[int, ...]:
        """Shapes and origins of what it is handed are multiples of this, globally."""

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What it returns; the first is the result, the others stand beside it."""

    @property
    def locality(self) -> Literal["exact", "approximate"]:
        """``exact``: a block with its halo equals the whole, to rounding."""

    @property
    def domain(self) -> Literal["normalised", "raw"]:
        """``raw``: the file's own intensities (float64 where float32 would round them)."""

    @property
    def bytes_per_voxel(self) -> float:
        """Working memory of one call per voxel of the block it is handed."""

    @property
    def threads(self) -> Literal["one", "many"]:
        """``one``: a call keeps one core busy, so the engine runs several side by side."""

    def __call__(self, inputs: Mapping[str, Tensor], random: RandomField) -> Mapping[str, Tensor]: ...


class IterativeMethod(Protocol):
    """A method whose context grows with every step: halos are exchanged between its sweeps.

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
"""What a block of a pass has to say, JSON-like: it is a line of the ledger, which a resumed run reads again."""


class Pass(Protocol):
    """One look at all blocks. What it holds can be pickled, so that any process can do its work.

    name : of its blocks in the ledger. stage : what the user is told meanwhile.
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
        """Blocks of the pass before, in the same group of passes, without which ``block`` cannot be done."""
        ...

    def after(self, block: Block, done: Callable[[int], bool]) -> None:
        """Called by the driver when ``block`` is in the ledger: to drop what nobody waits for any more."""
        ...

    def reduce(self, said: Mapping[int, Facts]) -> None:
        """Called by the driver when all blocks are in the ledger, with what they said; again when a run resumes."""
        ...


class Executor(Protocol):
    """Who does the work: threads, processes, later the workers of a cluster. The driver alone writes the ledger."""

    @property
    def workers(self) -> int:
        """Blocks that are worked on at the same time."""

    def open(self, passes: Sequence[Pass]) -> AbstractContextManager[Submit]:
        """Send ``passes`` to whoever works. Leaving it waits for work under way, and cancels what has not begun."""
        ...


Submit = Callable[[int, int], "Future[Facts]"]
"""Called with (number of the pass, number of the block)."""


class Recipe(Protocol):
    """What the user asked for, before it has seen the data."""

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
"""Called as ``progress(stage, done, total)`` from the thread that drives the job. It may raise, to end the job there:
what is done stays done, as after Ctrl-C."""
