"""`SliceMethod`: a NumPy function on one slice (or one volume) as a `Method` of the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ruska.image import Estimate

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


@dataclass(frozen=True)
class SliceMethod:
    """Applies ``function`` to every slice of every channel on its own.

    function : (Y, X) or (Z, Y, X) array -> array of the same shape and dtype.
    halo : context the function needs, per spatial axis; its length says whether slices or volumes are taken.
    settings : what the method resolved to. notes : what it found in the data, for the run record.
    The other fields are those of the engine's ``Method``.
    """

    function: Callable[[NDArray[Any]], NDArray[Any]]
    halo: tuple[int, ...]
    bytes_per_voxel: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    domain: Literal["normalised", "raw"] = "normalised"
    locality: Literal["exact", "approximate"] = "exact"
    threads: Literal["one", "many"] = "one"

    def working_bytes(self, shape: Sequence[int], kept: bool) -> float:
        """Of a call on (b, c, *spatial): of one slice or volume at a time."""
        return self.bytes_per_voxel * float(np.prod(shape[2:]))

    @property
    def merge(self) -> Literal["mean", "none"]:
        """Approximate results are blended over their overlap."""
        return "none" if self.locality == "exact" else "mean"

    @property
    def multiple(self) -> tuple[int, ...]:
        return (1,) * len(self.halo)

    @property
    def scale(self) -> tuple[Fraction, ...]:
        return (Fraction(1),) * len(self.halo)

    def __call__(self, y: Tensor, random: object) -> Estimate:
        """``y`` : (b, c, *spatial), float32 or float64; ``random`` is not used."""
        import torch

        values = y.cpu().numpy()
        out = np.empty_like(values)
        for b in range(values.shape[0]):
            for c in range(values.shape[1]):
                out[b, c] = self.function(values[b, c])
        return Estimate(torch.from_numpy(out))
