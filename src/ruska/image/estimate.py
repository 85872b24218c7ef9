"""`Estimate`: what a method returns for a block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Estimate:
    """A restored block and what is known of its error.

    mean : Tensor, (b, c, *spatial), the intensity units the method was handed.
    std : Tensor of the same shape, standard deviation of the error, or None when the method cannot say.
    """

    mean: Tensor
    std: Tensor | None = None
