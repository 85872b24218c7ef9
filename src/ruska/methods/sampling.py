"""Looking at a few planes of a source of any size, to estimate what a method needs to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ruska.physics.noise_statistics import NoiseEstimate


class Readable(Protocol):
    """The part of the engine's ``Source`` that is needed here."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def read(self, box: tuple[slice, ...]) -> NDArray[Any]: ...


class Workplace(Protocol):
    """The part of the engine's ``Budget`` that a method which learns needs."""

    @property
    def folder(self) -> Path | None: ...
    @property
    def progress(self) -> Callable[[str, int, int], None] | None: ...
    @property
    def rehearsal(self) -> bool: ...


def sample_planes(source: Readable, edge: int = 1024, count: int = 5) -> list[NDArray[Any]]:
    """Read the central ``edge`` x ``edge`` pixels of up to ``count`` planes, evenly spaced over the other axes."""
    leading = source.shape[:-2]
    total = int(np.prod(leading, dtype=np.int64)) if leading else 1
    window = []
    for n in source.shape[-2:]:
        start = max(0, (n - edge) // 2)
        window.append(slice(start, min(n, start + edge)))
    planes = []
    # The middles of `count` equal parts: the first and last slices of a stack are often empty.
    for part in range(min(total, count)):
        place = np.unravel_index(int((part + 0.5) * total / min(total, count)), leading) if leading else ()
        box = (*(slice(int(i), int(i) + 1) for i in place), *window)
        plane = source.read(box)
        planes.append(plane.reshape(plane.shape[-2:]))
    return planes


def typical_noise(source: Readable) -> NoiseEstimate | None:
    """The noise estimate of the plane whose level is the median one; None when planes are too small to tell."""
    from ruska.physics.noise_statistics import estimate_noise

    planes = sample_planes(source)
    if min(planes[0].shape) < 16:
        return None
    estimates = sorted((estimate_noise(p) for p in planes), key=lambda e: e.white_equivalent_std)
    return estimates[len(estimates) // 2]
