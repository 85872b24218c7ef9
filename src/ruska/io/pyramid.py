"""Coarser levels of an image, for viewers, with the same averaging in every format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.image import Image


def has_no_means(image: Image) -> bool:
    """Whether the mean of two values is meaningless or inexact: coarser levels then take every other one."""
    return image.meaning == "labels" or image.dtype.kind == "b" or image.dtype.str[1:] in ("i8", "u8")


def halve(values: NDArray[Any], step: tuple[int, ...], *, nearest: bool = False) -> NDArray[Any]:
    """Mean over pairs along every axis whose ``step`` is 2; an odd last voxel stands for itself.

    Integers are rounded to the nearest (half to even); the dtype is kept. nearest : the first of each pair instead.
    """
    if nearest:
        return values[tuple(slice(None, None, f) for f in step)]
    mean = values.astype(np.result_type(values.dtype, np.float32))
    with np.errstate(invalid="ignore", over="ignore"):
        for axis in (i for i, f in enumerate(step) if f == 2):
            last = values.shape[axis] % 2
            mean = np.moveaxis(mean, axis, 0)
            pairs = (mean[0 : len(mean) - last : 2] + mean[1::2]) / 2
            mean = np.moveaxis(np.concatenate([pairs, mean[-1:]]) if last else pairs, 0, axis)
        return (np.rint(mean) if values.dtype.kind in "iu" else mean).astype(values.dtype)
