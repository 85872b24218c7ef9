"""Mirrored images and indices, and the orientations in which a network may see an image.

Its errors differ between orientations, and average out.

Source: Timofte et al. (2016), "Seven ways to improve example-based single image super resolution", section 3.6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Mirrored = tuple[int, ...]  # axes along which an image is mirrored before the network sees it, and back after

MIRRORS: tuple[Mirrored, ...] = ((), (-1,), (-2,), (-2, -1))


def averaged(
    image: Tensor, count: int, upright: Callable[[Tensor], Tensor], across: Callable[[Tensor], Tensor]
) -> Tensor:
    """Mean of what is made of an image (..., Y, X) in ``count`` orientations, 1 to 8.

    upright : takes the image mirrored. across : takes it with rows and columns exchanged.
    """
    total = None
    for k in range(count):
        axes = MIRRORS[k % len(MIRRORS)]
        seen = upright(image.flip(axes)).flip(axes) if k < len(MIRRORS) else across(image.mT.flip(axes)).flip(axes).mT
        total = seen if total is None else total + seen
    assert total is not None
    return total / count


def mirrored(index: int, size: int) -> int:
    """``index`` reflected into ``range(size)`` without repeating the edge."""
    if size == 1:
        return 0
    period = 2 * (size - 1)
    index %= period
    return min(index, period - index)
