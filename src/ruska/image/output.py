"""`Output`: one of the results a method declares, and how the engine turns its values back and joins its blocks."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Values = Literal["intensity", "spread", "raw"]
Merge = Literal["cut", "mean", "labels", "table"]


@dataclass(frozen=True)
class Output:
    """One result of a method.

    name : mean, std, low, high, labels, features, or a word of the method's own; unique within the method.
    channels : of the result; None: as many as the image has, each restored on its own.
    dtype : NumPy's name of it; None: what the run asks for (the image's own, or float32).
    scale : voxels of the result per voxel of the image, per spatial axis; None: the image's own grid.
    values : ``intensity`` gets the image's offset and scale back, ``spread`` (a standard deviation) its scale alone,
        ``raw`` nothing.
    merge : ``cut``: every voxel comes from one block. ``mean``: overlapping blocks are blended. ``labels``: objects
        that meet at a border become one, and numbers are made consecutive; ``values`` must be raw and ``dtype`` a whole
        number. ``table``: rows of (n, columns), joined.
    columns : of a table. Those named z, y, x are places in voxels of the block, which the engine makes those of the
        image; rows outside the block's own voxels are dropped.
    """

    name: str = "mean"
    channels: int | None = None
    dtype: str | None = None
    scale: tuple[Fraction, ...] | None = None
    values: Values = "intensity"
    merge: Merge = "cut"
    columns: tuple[str, ...] = ()

    def grid(self, dimensions: int) -> tuple[Fraction, ...]:
        """``scale``, written out."""
        return (Fraction(1),) * dimensions if self.scale is None else self.scale
