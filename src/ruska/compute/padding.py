"""Images of any size for networks that take multiples of some size only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def padded(x: Tensor, multiple: Sequence[int]) -> Tensor:
    """``x`` (b, c, ..., *spatial), its last axes continued at their ends by their edges, to multiples of ``multiple``.

    multiple : for each of the last one to three axes. `cropped` takes off what was added.
    """
    from torch.nn import functional

    rests = [-n % m for n, m in zip(x.shape[-len(multiple) :], multiple, strict=True)]
    return functional.pad(x, [end for rest in reversed(rests) for end in (0, rest)], mode="replicate")


def cropped(x: Tensor, size: Sequence[int]) -> Tensor:
    """The first ``size`` of the last axes of ``x``."""
    box: tuple[Any, ...] = (..., *(slice(n) for n in size))
    return x[box]
