"""Orientations in which a network may see an image: its errors differ between them, and average out.

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
        mirrored = MIRRORS[k % len(MIRRORS)]
        if k < len(MIRRORS):
            seen = upright(image.flip(mirrored)).flip(mirrored)
        else:
            seen = across(image.mT.flip(mirrored)).flip(mirrored).mT
        total = seen if total is None else total + seen
    assert total is not None
    return total / count
