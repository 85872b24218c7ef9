"""What the engine asks of the things it joins: sources, sinks, recipes and methods.

A box is a tuple of slices with explicit bounds and step 1, one per axis of the array.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ruska.engine.statistics import Normalisation
    from ruska.image import Estimate

Box = tuple[slice, ...]


class Source(Protocol):
    """Where blocks are read from. Thread-safe."""

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

    def normal(self, step: int, sample: int = 0, channel: int = 0) -> Tensor: ...
    def finer(self, scale: Sequence[Fraction]) -> RandomField: ...


class Method(Protocol):
    """Ready to run on any block of (b, c, *spatial), float32 (or float64, see ``domain``).

    May also have ``working_bytes(shape, kept)``: working memory of one call on a block of this shape, where it is not
    ``bytes_per_voxel`` for each voxel, or more where the process keeps freed memory; and ``stays``: bytes that the
    first call takes for good; and ``alone``: a call takes so much longer than reading and writing that nothing is done
    beside it, whose arrays would leave gaps between its own.
    """

    halo: tuple[int, ...]  # context voxels needed on each side, per spatial axis (2: YX, 3: ZYX or TYX)
    multiple: tuple[int, ...]  # shapes and origins of what it is handed are multiples of this, globally
    scale: tuple[Fraction, ...]  # output voxels per input voxel, per spatial axis
    merge: Literal["mean", "none"]  # blend overlapping blocks, or let each voxel come from one block
    locality: Literal["exact", "approximate"]  # exact: a block with its halo equals the whole, to rounding
    domain: Literal["normalised", "raw"]  # raw: the file's own intensities (float64 where float32 would round them)
    bytes_per_voxel: float  # working memory of one call per voxel of the block it is handed
    threads: Literal["one", "many"]  # one: a call keeps one core busy, so the engine runs several side by side

    def __call__(self, y: Tensor, random: RandomField) -> Estimate: ...


class IterativeMethod(Protocol):
    """A method whose context grows with every step: halos are exchanged between its sweeps.

    ``halo`` is what ONE sweep needs. State and measurement have the same spatial grid as the source.
    """

    halo: tuple[int, ...]
    multiple: tuple[int, ...]
    domain: Literal["normalised", "raw"]
    bytes_per_voxel: float
    threads: Literal["one", "many"]
    sweeps: int
    state_channels: int  # channels of the state per channel of the measurement

    def init(self, y: Tensor, random: RandomField) -> Tensor: ...
    def sweep(self, state: Tensor, y: Tensor, k: int, random: RandomField) -> Tensor: ...
    def finish(self, state: Tensor, y: Tensor) -> Estimate: ...


class Recipe(Protocol):
    """What the user asked for, before it has seen the data."""

    def prepare(self, source: Source, normalisation: Normalisation, budget: Budget) -> Method | IterativeMethod:
        """Estimate noise or PSF, train, or load weights. ``source`` gives normalised intensities."""
        ...


class Budget(Protocol):
    """What a job may use."""

    memory_bytes: int
    workers: int


Progress = Callable[[str, int, int], None]
"""Called as ``progress(stage, done, total)`` from the thread that runs the job."""
