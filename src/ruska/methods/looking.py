"""Looking at a few planes of a source of any size, to estimate what a method needs to know."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from weakref import ref

import numpy as np

from ruska.compute.mirroring import mirrored
from ruska.image.grid import place_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from ruska.physics.noise_statistics import NoiseEstimate


LOOKED_AT = 1024  # pixels of a plane that are looked at, each way


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
    @property
    def room(self) -> int: ...
    @property
    def read(self) -> Callable[[str], NDArray[Any]] | None: ...
    def tidy(self) -> None:
        """Give freed memory back, so that what comes next finds the room that there was."""


def planes_to_look_at(source: Readable, edge: int = LOOKED_AT, count: int = 5) -> list[NDArray[Any]]:
    """Read the central ``edge`` x ``edge`` pixels of up to ``count`` planes, evenly spaced over the other axes."""
    return [_plane(source, box) for box in _boxes(source, edge, count)]


def _boxes(source: Readable, edge: int = LOOKED_AT, count: int = 5) -> list[tuple[slice, ...]]:
    leading = source.shape[:-2]
    total = math.prod(leading)
    window = []
    for n in source.shape[-2:]:
        start = max(0, (n - edge) // 2)
        window.append(slice(start, min(n, start + edge)))
    boxes = []
    # The middles of `count` equal parts: the first and last slices of a stack are often empty.
    for part in range(min(total, count)):
        place = place_of(int((part + 0.5) * total / min(total, count)), leading)
        boxes.append((*(slice(i, i + 1) for i in place), *window))
    return boxes


def _plane(source: Readable, box: tuple[slice, ...]) -> NDArray[Any]:
    plane = source.read(box)
    return plane.reshape(plane.shape[-2:])


@dataclass(frozen=True)
class _Typical:
    """The sample plane whose noise level is the median one, by number, and its noise."""

    index: int
    noise: NoiseEstimate


# By identity, not in a WeakKeyDictionary: sources compare by their arrays, which have no hash.
_found: dict[int, tuple[ref[Readable], _Typical | None]] = {}


def _typical(source: Readable) -> _Typical | None:
    """Estimated once for as long as ``source`` lives: a method is chosen, prepared and reported by the same planes.

    A source does not change while it lives. Threads that ask at once may each estimate, and find the same.
    """
    key = id(source)
    kept = _found.get(key)
    if kept is not None and kept[0]() is source:  # else the number was that of a source now gone
        return kept[1]
    typical = _estimated(source)
    _found[key] = ref(source, lambda _: _found.pop(key, None)), typical
    return typical


def _estimated(source: Readable) -> _Typical | None:
    from ruska.physics.noise_statistics import estimate_noise

    if min(source.shape[-2:]) < 16:
        return None
    found = [estimate_noise(_plane(source, box)) for box in _boxes(source)]
    levels = [noise.white_equivalent_std for noise in found]
    index = int(np.argsort(levels, kind="stable")[len(levels) // 2])
    return _Typical(index, found[index])


def typical_noise(source: Readable) -> NoiseEstimate | None:
    """The noise estimate of the plane whose level is the median one; None when planes are too small to tell."""
    typical = _typical(source)
    return None if typical is None else typical.noise


def typical_plane(source: Readable) -> NDArray[Any] | None:
    """The plane whose noise level is the median one; None when planes are too small to tell."""
    if len(boxes := _boxes(source)) == 1:
        return _plane(source, boxes[0]) if min(source.shape[-2:]) >= 16 else None
    typical = _typical(source)
    return None if typical is None else _plane(source, boxes[typical.index])


def stacks_to_look_at(source: Readable, frames: int, count: int = 5) -> list[NDArray[Any]]:
    """Like `planes_to_look_at`, each between its neighbours along the last leading axis, mirrored at the ends.

    Each is (frames, Y, X).
    """
    if frames == 1:
        return [plane[None] for plane in planes_to_look_at(source, count=count)]
    *leading, length, height, width = source.shape
    starts = [max(0, (n - LOOKED_AT) // 2) for n in (height, width)]
    window = [slice(s, s + min(n, LOOKED_AT)) for s, n in zip(starts, (height, width), strict=True)]
    total = math.prod([*leading, length])
    stacks = []
    for part in range(min(total, count)):
        *place, middle = place_of(int((part + 0.5) * total / min(total, count)), (*leading, length))
        near = [mirrored(middle + d, length) for d in range(-(frames // 2), frames // 2 + 1)]
        boxes = [(*(slice(i, i + 1) for i in (*place, k)), *window) for k in near]
        stacks.append(np.stack([source.read(box).reshape(-1, window[1].stop - window[1].start) for box in boxes]))
    return stacks
