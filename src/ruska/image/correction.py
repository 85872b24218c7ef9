"""Correcting a micrograph for its detector: (raw - dark) x gain, lazily, with references of one frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError
from ruska.image.image import Image, LazyArray

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.image.held import Held


@dataclass(frozen=True, eq=False)
class CorrectedArray:
    """``(array - dark) x gain``, float32, computed for what is read. NaN where the references hold no usable value.

    array : (.., Y, X), any real dtype.
    dark, gain : (Y, X), or None.
    """

    array: NDArray[Any] | LazyArray
    dark: NDArray[np.float32] | None = None
    gain: NDArray[np.float32] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(np.float32)

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of the pieces the array is stored in, where it is."""
        return getattr(self.array, "chunks", None)

    def held(self) -> Held | None:
        """Which of its chunks are there, as `io.lazy.LazyPixels.held`."""
        look = getattr(self.array, "held", None)
        found: Held | None = look() if look is not None else None
        return found

    def __getitem__(self, box: tuple[slice, ...]) -> NDArray[np.float32]:
        raw = np.asarray(self.array[box])
        # 32 bit counts and double precision may differ from the dark reference in digits float32 does not hold
        values = raw.astype(np.result_type(raw.dtype, np.float32))
        if self.dark is not None:
            values -= self.dark[box[-2:]]
        if self.gain is not None:
            values *= self.gain[box[-2:]]
        return values.astype(np.float32, copy=False)


def corrected(
    image: Image, dark: Image | NDArray[Any] | None = None, gain: Image | NDArray[Any] | None = None
) -> Image:
    """Return ``image`` with the dark reference subtracted and multiplied by the gain reference, read lazily.

    Parameters
    ----------
    dark : grey levels of the detector without a beam, (Y, X); axes of length 1 before these are dropped.
    gain : multiplicative gain reference, likewise, as movie cameras write it: about 1, larger where the detector
        responds less. `physics.gain_reference` makes one. A flat field is divided by: pass its mean over it.

    Pixels whose gain is zero, negative or not finite, or whose dark level is not finite, become NaN and invalid in the
    mask. Everything else is kept; notes say what was done. Raises GeometryError when the shapes do not fit.
    """
    references = {"dark": dark, "gain": gain}
    found = {name: _reference(image, name, r) for name, r in references.items() if r is not None}
    if not found:
        return image
    valid = np.ones(image.shape[-2:], dtype=bool)
    for name, reference in found.items():
        usable = np.isfinite(reference) & ((reference > 0) | (name == "dark"))
        reference[~usable] = np.nan
        valid &= usable
    done = [f"{_STEPS[name]} ({_name(references[name], name)})" for name in found]
    notes = [*image.notes, f"Corrected for the detector: {' and '.join(done)}."]
    mask = image.mask
    if not valid.all():
        invalid = valid.size - np.count_nonzero(valid)
        notes.append(
            f"{invalid} pixels of a frame ({invalid / valid.size:.2%}) have no usable reference and count as invalid."
        )
        mask = valid if mask is None else _whole(mask) & valid
    data = CorrectedArray(image.data, found.get("dark"), found.get("gain"))
    return image.with_data(data, mask=mask, notes=tuple(notes))


_STEPS = {"dark": "dark reference subtracted", "gain": "gain reference multiplied"}


def _reference(image: Image, name: str, reference: Image | NDArray[Any]) -> NDArray[np.float32]:
    """The reference as a new (Y, X) array that fits ``image``."""
    values = np.array(reference, dtype=np.float32)
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    wanted = image.shape[-2:]
    if values.shape == wanted:
        return values
    called = _name(reference, name)
    problem = f"the {name} reference ({called}) is {_size(values.shape)}, the frames of the image are {_size(wanted)}"
    if values.ndim != 2:
        way = "Average its frames into one (Y, X) first" if values.ndim > 2 else "It must be one frame (Y, X)"
    elif values.shape[::-1] == wanted:
        way = (f"Its transpose would fit: pass {name}.T, or swap the last two of --axes. Then look at the result: a "
               "flipped reference fits too")  # fmt: skip
    elif all(r >= w and r % w == 0 for r, w in zip(values.shape, wanted, strict=True)):
        factor = " x ".join(str(r // w) for r, w in zip(values.shape, wanted, strict=True))
        way = f"It was taken with {factor} as many pixels: bin it to {_size(wanted)}"
    elif all(r >= w for r, w in zip(values.shape, wanted, strict=True)):
        way = "Crop the reference to the part of the detector that the image shows"
    elif all(r <= w for r, w in zip(values.shape, wanted, strict=True)):
        way = "Crop the image to the part that the reference covers (--roi)"
    else:
        way = "Crop both to the part they share; check --axes if the image's last two axes are not Y and X"
    raise GeometryError(image.name, problem, way + ".")


def _name(reference: Image | NDArray[Any] | None, name: str) -> str:
    return reference.name if isinstance(reference, Image) else f"an array, {name}"


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _whole(mask: NDArray[np.bool_] | LazyArray) -> NDArray[np.bool_]:
    return mask if isinstance(mask, np.ndarray) else mask[tuple(slice(0, n) for n in mask.shape)]
