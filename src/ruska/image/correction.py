"""Correcting a micrograph for its detector: (raw - dark) x gain, lazily, with references of one frame.

Pixels for which the detector gives no usable value become the median of their neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.image.changed import ChangedArray
from ruska.image.image import Image, LazyArray
from ruska.image.reference import Reference, misfit

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Bad = NDArray[np.bool_]

MEND_REACH = 6
"""How far around a defect good pixels are looked for; a defect further from any stays invalid."""
_AT_ONCE = 1 << 13  # defects that are mended at once


@dataclass(frozen=True, eq=False)
class CorrectedArray(ChangedArray):
    """``(array - dark) x gain``, float32, computed for what is read, and mended.

    array : (.., Y, X), any real dtype.
    dark, gain : (Y, X), or None. NaN where they hold no usable value.
    bad : (Y, X), True where a pixel becomes the median of good pixels around it, or NaN if none is near; None: nowhere.
    covers : rows and columns that the references cover, if not the whole frame; the rest is NaN.
    """

    dark: NDArray[np.float32] | None = None
    gain: NDArray[np.float32] | None = None
    bad: Bad | None = None
    covers: tuple[slice, slice] | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[np.float32]:
        if self.bad is None or not self.bad[box[-2:]].any():
            return self._computed(box)
        wide = tuple(
            slice(max(0, part.start - MEND_REACH), min(n, part.stop + MEND_REACH))
            for part, n in zip(box[-2:], self.shape[-2:], strict=True)
        )
        values = self._computed((*box[:-2], *wide))
        inner = tuple(slice(b.start - w.start, b.stop - w.start) for b, w in zip(box[-2:], wide, strict=True))
        bad = self.bad[wide]
        values[..., bad] = np.nan
        here = np.zeros_like(bad)
        here[inner] = bad[inner]
        for plane in values.reshape(-1, *bad.shape):  # views
            _mend(plane, here)
        return np.ascontiguousarray(values[..., inner[0], inner[1]])

    def _computed(self, box: tuple[slice, ...]) -> NDArray[np.float32]:
        raw = np.asarray(self.array[box])
        # 32 bit counts and double precision may differ from the dark reference in digits float32 does not hold
        values = raw.astype(np.result_type(raw.dtype, np.float32))
        if self.dark is not None:
            values -= self.dark[box[-2:]]
        if self.gain is not None:
            values *= self.gain[box[-2:]]
        return np.ascontiguousarray(values, np.float32)


def _mend(plane: NDArray[np.float32], places: Bad) -> None:
    """Put the median of the finite pixels in the smallest square that has any in each of ``places``, in place.

    plane : (Y, X), NaN in every defect.
    """
    padded = np.pad(plane, MEND_REACH, constant_values=np.nan)
    where = np.argwhere(places)
    for first in range(0, len(where), _AT_ONCE):
        left = where[first : first + _AT_ONCE]
        for reach in range(1, MEND_REACH + 1):
            steps = np.arange(-reach, reach + 1) + MEND_REACH
            near = padded[left[:, 0, None, None] + steps[:, None], left[:, 1, None, None] + steps].reshape(
                len(left), -1
            )
            near = np.where(np.isfinite(near), near, np.nan)
            found = np.isfinite(near).any(1)
            y, x = left[found].T
            plane[y, x] = np.nanmedian(near[found], axis=1)
            left = left[~found]
            if not len(left):
                break


def corrected(
    image: Image,
    dark: Image | NDArray[Any] | Reference | None = None,
    gain: Image | NDArray[Any] | Reference | None = None,
    defects: NDArray[Any] | Reference | None = None,
    *,
    covers: tuple[slice, slice] | None = None,
) -> Image:
    """Return ``image`` with the dark reference subtracted and multiplied by the gain reference, read lazily.

    Parameters
    ----------
    dark : grey levels of the detector without a beam, (Y, X); of several frames (.., Y, X) the mean is taken.
    gain : multiplicative gain reference, likewise, as movie cameras write it: about 1, larger where the detector
        responds less. `physics.gain_reference` makes one. A flat field is divided by: pass its mean over it.
    defects : (Y, X), not 0 at bad pixels of the detector.
    covers : rows and columns that the references cover; None: the whole frame. The rest is NaN.

    Defects, and pixels whose gain is zero, negative or not finite, or whose dark level is not finite, become the median
    of good pixels around them; without one within `MEND_REACH` pixels they are NaN, and invalid in the mask. Everything
    else is kept; notes count them. Raises GeometryError when the shapes do not fit.
    """
    given = {"dark": dark, "gain": gain, "defects": defects}
    found = {kind: _fitting(image, kind, r, covers) for kind, r in given.items() if r is not None}
    if not found:
        return image
    frame = image.shape[-2:]
    part = covers or (slice(0, frame[0]), slice(0, frame[1]))
    bad = np.zeros(frame, dtype=bool)
    for reference in found.values():
        bad[part] |= (reference.values != 0) | ~reference.usable if reference.kind == "defects" else ~reference.usable
    values = {kind: _placed(r, frame, part) for kind, r in found.items() if kind != "defects"}
    lost = _far(bad[part])
    notes, mask = [*image.notes, *_notes(found, bad, lost)], image.mask
    if lost.any():
        valid = np.ones(frame, dtype=bool)
        valid[part] = ~lost
        mask = valid if mask is None else _whole(mask) & valid
    data = CorrectedArray(image.data, values.get("dark"), values.get("gain"), bad if bad.any() else None, covers)
    return image.with_data(data, mask=mask, notes=tuple(notes))


def _fitting(
    image: Image, kind: str, given: Image | NDArray[Any] | Reference, covers: tuple[slice, slice] | None
) -> Reference:
    reference = given if isinstance(given, Reference) else Reference.of(kind, given)
    frame = image.shape[-2:]
    wanted = frame if covers is None else tuple(part.stop - part.start for part in covers)
    if reference.values.shape != wanted:
        raise misfit(image, reference, (frame[0], frame[1]), None if covers is None else (wanted[0], wanted[1]))
    return reference


def _placed(reference: Reference, frame: tuple[int, ...], part: tuple[slice, slice]) -> NDArray[np.float32]:
    """The reference over the whole frame, NaN where it is unusable."""
    values = np.full(frame, np.nan, np.float32)
    np.copyto(values[part], reference.values, where=reference.usable)
    return values


def _far(bad: Bad) -> Bad:
    """Where no good pixel is near enough to mend a bad one."""
    if not bad.any():
        return bad
    from scipy.ndimage import minimum_filter

    return np.asarray(minimum_filter(bad, 2 * MEND_REACH + 1, mode="constant", cval=1))


_STEPS = {"dark": "dark reference subtracted", "gain": "gain reference multiplied"}


def _notes(found: dict[str, Reference], bad: Bad, lost: Bad) -> list[str]:
    done = [f"{_STEPS[kind]} ({_source(r)})" for kind, r in found.items() if kind in _STEPS]
    notes = [f"corrected for the detector: {' and '.join(done)}"] if done else []
    if bad.any():
        count = int(np.count_nonzero(bad))
        why = "are defects" if list(found) == ["defects"] else "have no usable reference"
        if "defects" in found and done:
            why = f"are defects ({found['defects'].called}) or {why}"
        pixels = f"1 pixel of a frame {why}".replace("are defects", "is a defect").replace("have no", "has no")
        pixels = pixels if count == 1 else f"{count} pixels of a frame ({count / bad.size:.2%}) {why}"
        notes.append(f"{pixels}: replaced by the median of good pixels around")
    if lost.any():
        notes.append(
            f"{int(np.count_nonzero(lost))} of them have no good pixel within {MEND_REACH} pixels and count as invalid"
        )
    return notes


def _source(reference: Reference) -> str:
    mean = f", the mean of its {reference.frames} frames" if reference.frames > 1 else ""
    return reference.called + mean + (f", {reference.done}" if reference.done else "")


def _whole(mask: NDArray[np.bool_] | LazyArray) -> NDArray[np.bool_]:
    return mask if isinstance(mask, np.ndarray) else mask[tuple(slice(0, n) for n in mask.shape)]
