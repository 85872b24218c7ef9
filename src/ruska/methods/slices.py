"""`SliceMethod`: a NumPy function on one slice (or one volume) as a `Method` of the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ruska.image import Output

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor


def as_it_is(plane: NDArray[Any]) -> NDArray[Any]:
    """The function of a method that changes nothing."""
    return plane


@dataclass(frozen=True)
class SliceMethod:
    """Applies ``function`` to every slice of every channel on its own.

    function : (Y, X) or (Z, Y, X) array -> array of the same shape and dtype; of a module, so that it can be pickled.
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
    def outputs(self) -> tuple[Output, ...]:
        """Approximate results are blended over their overlap."""
        return (Output(merge="cut" if self.locality == "exact" else "mean"),)

    @property
    def multiple(self) -> tuple[int, ...]:
        return (1,) * len(self.halo)

    def __call__(self, inputs: Mapping[str, Tensor], random: object) -> dict[str, Tensor]:
        """The image: (b, c, *spatial), float32 or float64; ``random`` is not used."""
        import torch

        values = inputs["image"].cpu().numpy()
        out = np.empty_like(values)
        for b in range(values.shape[0]):
            for c in range(values.shape[1]):
                out[b, c] = self.function(values[b, c])
        return {"mean": torch.from_numpy(out)}
