"""How strong the noise most likely is, by the prior, which can tell texture from noise where statistics cannot."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

SMALLEST = 64  # pixels each way, below which an image says too little
_EDGE = 256  # pixels each way that are looked at
_LEAST, _MOST = 0.2, 1.5  # range of the answer
_HALVINGS = 7  # of that range, in logarithms: the answer is good to 2 %
_NUDGE = 0.02  # of the noise, by which an image is changed to see how much of the change the prior keeps

Denoise = Callable[["Tensor", float], "Tensor"]


def likely_scale(denoise: Denoise, sigma: Callable[[Tensor], Tensor], plane: NDArray[Any], multiple: int = 1) -> float:
    """Factor on a noise level that makes ``plane`` (Y, X) most likely under the prior; 0.2 to 1.5.

    denoise : (image (n, 1, Y, X), factor) to the posterior mean when the noise is ``factor * sigma(image)``.
    multiple : Y and X of what it is handed are multiples of this.

    Where noise is white with standard deviation f s, and D the posterior mean, the derivative of log p(y) by f vanishes
    where ``sum (y - D)^2 / (f s)^2 = sum (1 - dD/dy)``: what the prior takes away is as large as what it is sure not to
    know. Source: the derivative of Tweedie's formula (Efron 2011; Robbins 1956); the sum of derivatives by one random
    probe (Ramani, Blu & Unser 2008, IEEE Trans. Image Process. 17, 1540, eq. 15).
    """
    import torch

    height, width = (min(n, _EDGE) // multiple * multiple for n in plane.shape)
    top, left = ((n - size) // 2 for n, size in zip(plane.shape, (height, width), strict=True))
    values = np.ascontiguousarray(plane[top : top + height, left : left + width], dtype=np.float32)
    y = torch.from_numpy(values)[None, None]
    probe = torch.randn(y.shape, generator=torch.Generator().manual_seed(0))
    level = sigma(y)
    low, high = np.log(_LEAST), np.log(_MOST)
    with torch.inference_mode():
        for _ in range(_HALVINGS):
            factor = float(np.exp((low + high) / 2))
            step = _NUDGE * factor * level
            guess, nudged = (denoise(image, factor) for image in (y, y + step * probe))
            kept = float(((nudged - guess) * probe / step).mean())
            taken = float(((y - guess) / (factor * level)).square().mean())
            if taken > 1 - kept:  # more than such noise would leave: it is stronger
                low = np.log(factor)
            else:
                high = np.log(factor)
    return float(np.exp((low + high) / 2))
