"""The plain U-Net of Noise2Void, a baseline: it sees everything, so it must be trained on masked pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ruska.networks.blindspot import check_odd


class Noise2VoidNet(nn.Module):
    """U-Net of two poolings, 32 channels at the first scale.

    frames : channels of the input, odd; the middle one is predicted. ``spot`` is only stored, for the masks.
    Called with (b, frames, Y, X), sizes multiples of 4; returns (b, 1, Y, X).

    Source: Krull, Buchholz & Jug (2019), "Noise2Void", CVPR, section 4. Differs: no batch normalisation.
    """

    def __init__(self, spot: tuple[int, int] = (1, 1), frames: int = 1, width: int = 32, scales: int = 3) -> None:
        super().__init__()
        check_odd(spot, frames)
        self.spot, self.frames, self.outputs, self.multiple = spot, frames, 1, 2 ** (scales - 1)
        widths = [width * 2**s for s in range(scales)]
        self.down = nn.ModuleList(_block(a, b) for a, b in zip([frames, *widths], widths, strict=False))
        self.up = nn.ModuleList(_block(widths[s + 1] + widths[s], widths[s]) for s in reversed(range(scales - 1)))
        self.last = nn.Conv2d(width, 1, 1)

    @property
    def reach(self) -> int:
        """How far away, in pixels, an input can matter."""
        scales = len(self.down)
        return sum((4 if s < scales - 1 else 2) * 2**s + 2**s for s in range(scales))

    def forward(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(functional.max_pool2d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = block(torch.cat([functional.interpolate(x, scale_factor=2, mode="nearest"), skips.pop()], 1))
        return self.last(x)


def _block(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU(), nn.Conv2d(outside, outside, 3, padding=1), nn.ReLU()
    )
