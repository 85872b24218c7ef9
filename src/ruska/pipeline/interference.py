"""Removes periodic interference from an image before it is restored, slice by slice, as each is read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.engine.validity import BroadcastMask, nan_where_invalid
from ruska.image.changed import ChangedArray
from ruska.physics.interference import Interference, Wave, find_interference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.image import Image, LazyArray

    Box = tuple[slice, ...]

_HELD = 1 << 25  # pixels up to which a plane is read once and held while it is looked at


@dataclass(frozen=True, eq=False)
class CleanedArray(ChangedArray):
    """An array (.., Y, X) without its periodic interference, in its own dtype.

    What is subtracted from a plane is measured on all of it, so it does not depend on how the array is cut into boxes.
    Threads that ask for a plane at the same time may each measure it, with the same result.

    mask : True where a pixel is valid, of the array's shape or broadcast to it, or None. found : planes measured so
    far, by their indices.
    """

    mask: NDArray[np.bool_] | LazyArray | None = None
    found: dict[tuple[int, ...], Interference] = field(default_factory=dict)

    def __getitem__(self, box: Box) -> NDArray[Any]:
        return self.cleaned(np.asarray(self.array[box]), box)

    def cleaned(self, values: NDArray[Any], box: Box) -> NDArray[Any]:
        """``values``, read from a box of the array, without the interference."""
        first, origin = [part.start for part in box[:-2]], (box[-2].start, box[-1].start)
        clean, copied = values, False
        for place in np.ndindex(values.shape[:-2]):
            found = self.of(tuple(a + b for a, b in zip(first, place, strict=True)))
            if found.waves:
                if not copied:  # what was read may be somebody else's array
                    clean, copied = values.copy(), True
                clean[place] = found.remove(values[place], origin)
        return clean

    def of(self, place: tuple[int, ...]) -> Interference:
        """The interference of one plane, measured when it is first asked for."""
        if place not in self.found:
            plane = _Rows(self, place)
            self.found[place] = find_interference(plane.whole() if np.prod(plane.shape) <= _HELD else plane)
        return self.found[place]


@dataclass(frozen=True)
class _Rows:
    """One plane of an array, read by rows; invalid pixels are NaN."""

    of: CleanedArray
    place: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.of.shape[-2:]

    def whole(self) -> NDArray[Any]:
        return self[0 : self.shape[0]]

    def __getitem__(self, rows: slice) -> NDArray[Any]:
        height, width = self.shape
        box = (*(slice(k, k + 1) for k in self.place), slice(rows.start, min(rows.stop, height)), slice(0, width))
        values = np.asarray(self.of.array[box]).reshape(-1, width)
        if self.of.mask is None:
            return values
        return nan_where_invalid(values, BroadcastMask(self.of.mask, self.of.shape)[box].reshape(-1, width))


def cleaned(image: Image, remembered: Iterable[Any] = ()) -> CleanedArray | None:
    """``image.data`` without its interference; None for labels and the like. remembered : of an interrupted run."""
    if image.meaning == "labels" or image.dtype.kind not in "iuf":
        return None
    return CleanedArray(image.data, image.mask, {tuple(place): _restored(known) for place, known in remembered})


def as_json(found: Mapping[tuple[int, ...], Interference]) -> list[Any]:
    """JSON-like, as `cleaned` takes it."""
    return [[list(place), asdict(known)] for place, known in sorted(found.items())]


def _restored(known: Mapping[str, Any]) -> Interference:
    """As JSON has it: lists for tuples."""
    first, last = known["rows"]
    return Interference(tuple(Wave(**wave) for wave in known["waves"]), (first, last), known["low"], known["high"])


def facts_of(found: Mapping[tuple[int, ...], Interference]) -> dict[str, Any]:
    """For the run record: the planes with interference, and the waves of the middle one of them."""
    having = sorted(place for place, known in found.items() if known.waves)
    facts: dict[str, Any] = {"removed": True, "planes": len(having), "of": len(found)}
    if having:
        middle = having[len(having) // 2]
        facts["largest"] = max(found[place].amplitude for place in having)
        facts |= {"plane": list(middle), "rows": list(found[middle].rows)}
        facts["waves"] = [asdict(wave) for wave in found[middle].waves]
    return facts


def sentence_of(found: Mapping[tuple[int, ...], Interference]) -> str:
    """What to tell the user."""
    facts = facts_of(found)
    if not facts["planes"]:
        return "no periodic interference was found, so none was removed"
    first = facts["waves"][0]
    where = f" from {facts['planes']} of {facts['of']} slices" if facts["of"] > 1 else ""
    return (f"periodic interference of {first['amplitude']:.3g} grey levels, with a period of "
            f"{1 / first['frequency_y']:.3g} rows, was removed{where} before restoring")  # fmt: skip
