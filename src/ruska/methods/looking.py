"""Looking at a few planes of a source of any size, to estimate what a method needs to know."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from weakref import ref

import numpy as np

from ruska.compute.mirroring import mirrored
from ruska.image.grid import place_of
from ruska.physics.valid_part import valid_part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from ruska.physics.noise_level import NoiseLevel
    from ruska.physics.noise_statistics import NoiseEstimate


LOOKED_AT = 1024  # pixels of a plane that are looked at, each way
_SMALLEST = 16  # pixels each way, below which noise is not told from signal
_MOST_LOOKED_FOR = 64  # planes among which one of more than one grey level is looked for
_KEPT = 1 << 23  # bytes of a plane that is kept for the next look
_ENOUGH = 0.6  # share of valid pixels, from which a plane is looked at as it is; estimates need half

Box = tuple[slice, ...]


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
    """Read the central ``edge`` x ``edge`` pixels of up to ``count`` planes, evenly spaced over the other axes.

    Invalid pixels are NaN, and are less than half of each plane: where they are more, a plane nearby is taken, or the
    part that is valid. Planes of one grey level tell nothing and are left out, where there are others. Where nothing of
    the source can be looked at, what is missing is the mean of what is there.
    """
    return [plane for _, plane in _looked_at(source, edge, count)] or [_filled(source, _boxes(source, edge, count)[0])]


def _looked_at(source: Readable, edge: int = LOOKED_AT, count: int = 5) -> list[tuple[Box, NDArray[Any]]]:
    """Boxes and planes of `planes_to_look_at`; none that is smaller than the source's for lack of valid pixels."""
    smallest = min(_SMALLEST, *source.shape[-2:])
    found = []
    for box in _boxes(source, edge, count):
        plane = _plane(source, box)
        if not _telling(plane):
            box, plane = _better(source, box, plane, count)
        if min(plane.shape) >= smallest:
            found.append((box, plane))
    uneven = [(box, plane) for box, plane in found if not _even(plane)]
    if found and not uneven and math.prod(source.shape[:-2]) > count:  # as where few slices are not empty
        uneven = list(islice(_anywhere(source, edge), count))
    return uneven or found


def _anywhere(source: Readable, edge: int) -> Iterator[tuple[Box, NDArray[Any]]]:
    for box in _boxes(source, edge, _MOST_LOOKED_FOR):
        if _telling(plane := _plane(source, box)):
            yield box, plane


def _telling(plane: NDArray[Any]) -> bool:
    return _valid_share(plane) >= _ENOUGH and not _even(plane)


def _even(plane: NDArray[Any]) -> bool:
    """Whether there is one grey level only."""
    low, high = np.fmin.reduce(plane, axis=None), np.fmax.reduce(plane, axis=None)
    return not high > low


def _better(source: Readable, box: Box, plane: NDArray[Any], count: int) -> tuple[Box, NDArray[Any]]:
    """A plane near that of ``box`` with enough valid pixels and more than one grey level, or its valid part."""
    leading = source.shape[:-2]
    total = math.prod(leading)
    middle = int(np.ravel_multi_index([b.start for b in box[:-2]], leading)) if leading else 0
    part = total / min(total, count)
    for away in (-0.25, 0.25, -0.4, 0.4):
        place = place_of(min(total - 1, max(0, round(middle + away * part))), leading)
        other = (*(slice(i, i + 1) for i in place), *box[-2:])
        if other != box and _telling(found := _plane(source, other)):
            return other, found
    return box, valid_part(plane)


def _valid_share(plane: NDArray[Any]) -> float:
    return 1.0 if plane.dtype.kind != "f" else 1.0 - float(np.isnan(plane).mean())


def _filled(source: Readable, box: Box) -> NDArray[Any]:
    plane = _plane(source, box)
    missing = ~np.isfinite(plane)
    return np.where(missing, plane[~missing].mean() if not missing.all() else 0, plane) if missing.any() else plane


def _boxes(source: Readable, edge: int = LOOKED_AT, count: int = 5) -> list[Box]:
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


def _plane(source: Readable, box: Box) -> NDArray[Any]:
    """A plane with NaN where it is not valid, of sources that can tell (`NormalisedSource.look`). A new array."""
    last = _last.get("plane")
    if last is not None and last[0]() is source and last[1] == box:
        return last[2].copy()
    plane = getattr(source, "look", source.read)(box)
    plane = plane.reshape(plane.shape[-2:])
    if plane.nbytes <= _KEPT:
        _last["plane"] = (ref(source, _forget), box, plane.copy())
    return plane


def _forget(gone: ref[Readable]) -> None:
    last = _last.get("plane")
    if last is not None and last[0] is gone:
        _last.pop("plane", None)


@dataclass(frozen=True)
class _Typical:
    """The box of the sample plane whose noise level is the median one, and its noise by statistics.

    level : over the grey level, where it was told; the noise, then, was too.
    """

    box: Box
    noise: NoiseEstimate
    level: NoiseLevel | None = None


@dataclass(frozen=True)
class _Read:
    """The noise of that plane by statistics and the network, and how it changes with the grey level.

    known : whether the network read it: no ``level`` then means that the noise is the same everywhere.
    """

    noise: NoiseEstimate
    level: NoiseLevel | None
    known: bool


# The plane that was read last: of a single image, half a dozen look at the same one.
_last: dict[str, tuple[ref[Readable], Box, NDArray[Any]]] = {}
# By identity, not in a WeakKeyDictionary: sources compare by their arrays, which have no hash.
_found: dict[int, tuple[ref[Readable], _Typical | None]] = {}
_was_read: dict[int, tuple[ref[Readable], _Read | None]] = {}
_T = TypeVar("_T")


def _typical(source: Readable) -> _Typical | None:
    return _once(_found, source, _estimated)


def _read(source: Readable) -> _Read | None:
    return _once(_was_read, source, _read_by_network)


def _once(found: dict[int, tuple[ref[Readable], _T]], source: Readable, estimate: Callable[[Readable], _T]) -> _T:
    """Estimated once for as long as ``source`` lives: a method is chosen, prepared and reported by the same planes.

    A source does not change while it lives. Threads that ask at once may each estimate, and find the same.
    """
    key = id(source)
    kept = found.get(key)
    if kept is not None and kept[0]() is source:  # else the number was that of a source now gone
        return kept[1]
    estimated = estimate(source)
    found[key] = ref(source, lambda _: found.pop(key, None)), estimated
    return estimated


def _estimated(source: Readable) -> _Typical | None:
    from ruska.physics.noise_statistics import estimate_noise

    if min(source.shape[-2:]) < _SMALLEST:
        return None
    found = [_Typical(box, estimate_noise(plane)) for box, plane in _looked_at(source)]
    levels = [typical.noise.white_equivalent_std for typical in found]
    return found[int(np.argsort(levels, kind="stable")[len(levels) // 2])] if found else None


def tell_noise(source: Readable, noise: NoiseEstimate, level: NoiseLevel) -> None:
    """Tell every method that looks at ``source`` a noise level from elsewhere, such as repeated frames."""
    found = _estimated(source)
    box = found.box if found is not None else _boxes(source, count=1)[0]
    key = id(source)
    _was_read.pop(key, None)
    _found[key] = ref(source, lambda _: _found.pop(key, None)), _Typical(box, noise, level)


def told_level(source: Readable) -> NoiseLevel | None:
    """How the noise grows with the grey level, where `tell_noise` said so."""
    kept = _found.get(id(source))
    return kept[1].level if kept is not None and kept[0]() is source and kept[1] is not None else None


def _read_by_network(source: Readable) -> _Read | None:
    from ruska.methods.noise_reading import joined, read_noise

    typical, plane = _typical(source), typical_plane(source)
    if typical is None or plane is None:
        return None
    if typical.level is not None:  # told, and better known than what a single image says
        return _Read(typical.noise, None, known=False)
    read = read_noise(plane)
    return _Read(*joined(typical.noise, read), known=read is not None)


def typical_noise(source: Readable) -> NoiseEstimate | None:
    """The noise of the plane whose level is the median one; None when too few pixels are there to tell.

    From statistics and, where it knows such images, from the network that reads noise.
    """
    read = _read(source)
    return None if read is None else read.noise


def statistical_noise(source: Readable) -> NoiseEstimate | None:
    """The same from statistics alone: for what was tuned to their errors, as the deblurring of coarse pixels was."""
    typical = _typical(source)
    return None if typical is None else typical.noise


def typical_level(source: Readable) -> tuple[bool, NoiseLevel | None]:
    """Whether the network read the noise of the typical plane, and how it then changes with the grey level.

    None: it is the same everywhere. Levels and variances are those of the source.
    """
    read = _read(source)
    return (False, None) if read is None else (read.known, read.level)


def typical_plane(source: Readable) -> NDArray[Any] | None:
    """The plane whose noise level is the median one, NaN where it is not valid; None where `typical_noise` is None."""
    if min(source.shape[-2:]) < _SMALLEST:
        return None
    if math.prod(source.shape[:-2]) == 1:
        return next((plane for _, plane in _looked_at(source)), None)
    typical = _typical(source)
    if typical is None:
        return None
    plane = _plane(source, typical.box)
    return plane if _valid_share(plane) >= _ENOUGH else valid_part(plane)


def stacks_to_look_at(source: Readable, frames: int, count: int = 5) -> list[NDArray[Any]]:
    """Planes evenly spaced over the source, each between its neighbours along the last leading axis, mirrored.

    Each is (frames, Y, X), as a network sees it: filled where it is not valid.
    """
    return [np.stack([source.read(box).reshape([b.stop - b.start for b in box[-2:]]) for box in boxes])
            for boxes in _stack_boxes(source, frames, count)]  # fmt: skip


def middles_to_look_at(source: Readable, frames: int, count: int = 5) -> list[NDArray[Any]]:
    """The middle planes (Y, X) of `stacks_to_look_at`, NaN where they are not valid."""
    return [_plane(source, boxes[frames // 2]) for boxes in _stack_boxes(source, frames, count)]


def _stack_boxes(source: Readable, frames: int, count: int) -> list[list[Box]]:
    if frames == 1:
        return [[box] for box in _boxes(source, count=count)]
    *leading, length, height, width = source.shape
    starts = [max(0, (n - LOOKED_AT) // 2) for n in (height, width)]
    window = [slice(s, s + min(n, LOOKED_AT)) for s, n in zip(starts, (height, width), strict=True)]
    total = math.prod([*leading, length])
    found = []
    for part in range(min(total, count)):
        *place, middle = place_of(int((part + 0.5) * total / min(total, count)), (*leading, length))
        near = [mirrored(middle + d, length) for d in range(-(frames // 2), frames // 2 + 1)]
        found.append([(*(slice(i, i + 1) for i in (*place, k)), *window) for k in near])
    return found
