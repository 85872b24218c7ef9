"""What a lazy array keeps of the one it changes while it is read."""

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
    """The shape, data type, chunks and files of ``array``, whose values whoever derives from this changes when read."""

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
        """Shape of the pieces the array is stored in, where it is."""
        return getattr(self.array, "chunks", None)

    @property
    def files(self) -> tuple[Any, ...]:
        """Files that the array is read from, where it knows them."""
        return tuple(getattr(self.array, "files", ()))

    def held(self) -> Held | None:
        """Which of its chunks are there, as `io.lazy.LazyPixels.held`."""
        look = getattr(self.array, "held", None)
        found: Held | None = look() if look is not None else None
        return found
