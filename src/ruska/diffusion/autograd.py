"""Derivatives of a prior, inside an engine that otherwise disables them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@contextmanager
def with_gradients() -> Iterator[None]:
    """Allow derivatives here, even under ``torch.inference_mode``."""
    import torch

    with torch.inference_mode(False), torch.enable_grad():
        yield


def pull_back(function: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """(transposed derivative of ``function`` at x, its value there), both free of any graph."""
    import torch

    x = x.detach().clone().requires_grad_(True)
    value = function(x)

    def transposed(direction: Tensor) -> Tensor:
        return torch.autograd.grad(value, x, direction, retain_graph=True)[0]

    return transposed, value.detach()
