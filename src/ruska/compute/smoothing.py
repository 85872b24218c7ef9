"""Smoothing of images, the same wherever they are computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


BRIGHTNESS = 2.0  # pixels by which a noisy image is smoothed to see how bright it is: the same in training and use


def smooth(y: Tensor, sigma: float = BRIGHTNESS) -> Tensor:
    """Gaussian smoothing of (b, 1, Y, X) over ``sigma`` pixels, edges repeated."""
    import torch
    from torch.nn import functional

    reach = int(3 * sigma)
    at = torch.arange(-reach, reach + 1, device=y.device, dtype=y.dtype)
    taps = torch.exp(-(at**2) / (2 * sigma**2))
    taps = taps / taps.sum()
    y = functional.conv2d(functional.pad(y, (reach, reach, 0, 0), mode="replicate"), taps.view(1, 1, 1, -1))
    return functional.conv2d(functional.pad(y, (0, 0, reach, reach), mode="replicate"), taps.view(1, 1, -1, 1))
