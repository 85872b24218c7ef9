"""What of the input the output of a run will not hold, said before the work."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska import io
from ruska.image import Image, crop

if TYPE_CHECKING:
    from ruska.pipeline.context import Context

_FINER = {"superres": "YX", "isotropic": "Z"}  # axes along which a task makes more voxels, of which only it knows


def blank(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """An array of any size that takes no memory."""
    return np.broadcast_to(np.zeros((), dtype), shape)


def expected(image: Image, task: str, dtype: str, region: Mapping[str, slice] | None) -> Image:
    """What a run will write, as far as known before it is prepared; without pixels and record."""
    part = crop(image, region) if region else image
    shape = tuple(2 * n if a in _FINER.get(task, "") else n for a, n in zip(part.axes, part.shape, strict=True))
    made = np.dtype(np.float32) if dtype == "float32" else part.dtype
    mask = part.mask if shape == part.shape else None
    return part.with_data(blank(shape, made), provenance={}, mask=mask)


def tell(context: Context, target: Path, image: Image) -> None:
    """Tell ``context`` in one line what of ``image`` ``target`` cannot hold; say nothing if nothing is lost."""
    if (said := io.losses_sentence(target, image)) is not None:
        context.event("checking the output", 0, 0, said)


def kept_out(lines: tuple[str, ...]) -> list[str]:
    """What a result does not hold, for the record. The record itself is a file of its own and not lost."""
    return [line for line in lines if line != f"{io.RECORD} not kept"]
