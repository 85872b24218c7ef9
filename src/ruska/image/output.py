"""`Output`: one result that a method declares, and how the engine rescales its values and joins its blocks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

Values = Literal["intensity", "spread", "raw"]
Merge = Literal["cut", "mean", "labels", "table"]
_WORD = re.compile(r"[a-z][a-z0-9_]*\Z")  # it becomes part of file names, and follows the dot in @STEP.OUTPUT


@dataclass(frozen=True)
class Output:
    """One result of a method.

    name : mean, std, low, high, labels, features, or the method's own word; unique within the method.
    channels : of the result; None: as many as the image has, each restored on its own.
    dtype : its NumPy name; None: the dtype of the run (the image's own, or float32).
    scale : voxels of the result per voxel of the image, per spatial axis; None: the image's own grid.
    values : ``intensity`` is given the image's offset and scale back, ``spread`` (a standard deviation) its scale
        only, ``raw`` nothing.
    merge : ``cut``: every voxel comes from one block. ``mean``: overlapping blocks are blended. ``labels``: objects
        that meet at a border are merged, and numbers made consecutive; ``values`` must be raw and ``dtype`` an
        integer. ``table``: rows of (n, columns), joined.
    columns : of a table. Those named z, y, x are positions in voxels of the block, which the engine converts to those
        of the image; rows outside the block's own voxels are dropped.
    """

    name: str = "mean"
    channels: int | None = None
    dtype: str | None = None
    scale: tuple[Fraction, ...] | None = None
    values: Values = "intensity"
    merge: Merge = "cut"
    columns: tuple[str, ...] = ()

    def grid(self, dimensions: int) -> tuple[Fraction, ...]:
        """``scale``, for each spatial axis."""
        return (Fraction(1),) * dimensions if self.scale is None else self.scale


def fault_of(outputs: Sequence[Output], dimensions: int) -> str | None:
    """What is wrong with the outputs that a method declares, for this number of spatial axes; None if nothing is."""
    if not outputs or outputs[0].merge == "table":
        return "declares no image as its first output"
    names = [output.name for output in outputs]
    if len(set(names)) < len(names):
        return f"declares two outputs with the same name: {', '.join(names)}"
    faults = (f"declares output '{o.name}' {fault}" for o in outputs if (fault := _fault(o, dimensions)) is not None)
    return next(faults, None)


def _fault(output: Output, dimensions: int) -> str | None:
    if not _WORD.match(output.name):
        return "with a name that is not a word of lowercase letters, digits and _"
    if output.merge == "table":
        return None if output.columns else "as a table without columns"
    if output.channels is not None and output.channels < 1:
        return f"with {output.channels} channels, expected at least 1"
    grid = output.grid(dimensions)
    if len(grid) != dimensions or min(grid) <= 0:
        return f"with a scale of {', '.join(map(str, grid))}, expected {dimensions} positive numbers"
    kinds = "iu" if output.merge == "labels" else "biuf"
    try:
        kind: str = np.dtype(output.dtype or "float32").kind
    except TypeError:
        kind = "?"
    if kind not in kinds or (output.merge == "labels" and output.values != "raw"):
        whole = "an integer with raw values, as for all labels" if output.merge == "labels" else "a number"
        return f"of dtype {output.dtype}, expected {whole}"
    return None
