"""Base of lazy arrays that change the values of another array as it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.image.held import Held
    from ruska.image.image import LazyArray


@dataclass(frozen=True, eq=False)
class ChangedArray:
    """The shape, dtype, chunks and files of ``array``; subclasses change its values as they are read."""

    array: NDArray[Any] | LazyArray

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(int(n) for n in self.array.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.array.dtype)

    @property
    def chunks(self) -> tuple[int, ...] | None:
        """Shape of the chunks the array is stored in, if it is."""
        return getattr(self.array, "chunks", None)

    @property
    def files(self) -> tuple[Any, ...]:
        """Files that the array is read from, if known."""
        return tuple(getattr(self.array, "files", ()))

    def held(self) -> Held | None:
        """Which of its chunks are stored, as `io.lazy.LazyPixels.held`."""
        look = getattr(self.array, "held", None)
        found: Held | None = look() if look is not None else None
        return found
