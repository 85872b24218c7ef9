"""UDVD, a baseline for movies: one half-plane network, rotated four ways, over triplets of frames.

Source: Sheth, Mohan, Vincent et al. (2021), "Unsupervised deep video denoising", ICCV, fig. 2. Differs: any rectangular
spot instead of one pixel; any odd number of frames; 48 channels also on the way up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ruska.networks.blindspot import UpwardUNet, check_odd, shift_down

_WIDTHS = (48, 48, 48, 48)


class UdvdNet(nn.Module):
    """Predict each pixel from everything but a rectangle around it, hidden in every frame.

    spot, frames : as for `BlindSpotNet`. Called with (b, frames, Y, X), sizes multiples of 8; returns (b, 1, Y, X).
    """

    def __init__(self, spot: tuple[int, int] = (1, 1), frames: int = 5) -> None:
        super().__init__()
        check_odd(spot, frames)
        self.spot, self.frames, self.outputs, self.multiple = spot, frames, 1, 2 ** (len(_WIDTHS) - 1)
        self.together = min(frames, 3)
        self.first = UpwardUNet(self.together, _WIDTHS)
        groups = frames - self.together + 1
        self.second = UpwardUNet(groups * _WIDTHS[0], _WIDTHS) if groups > 1 else None
        self.head = nn.Sequential(
            nn.Conv2d(4 * _WIDTHS[0], 4 * _WIDTHS[0], 1), nn.LeakyReLU(0.1),
            nn.Conv2d(4 * _WIDTHS[0], 96, 1), nn.LeakyReLU(0.1), nn.Conv2d(96, 1, 1),
        )  # fmt: skip

    @property
    def reach(self) -> int:
        """How far away, in pixels, an input can matter."""
        return max(self.spot) // 2 + 1 + self.first.reach + (self.second.reach if self.second is not None else 0)

    def forward(self, x: Tensor) -> Tensor:
        # A quarter turn swaps rows and columns, so how far to look past the spot depends on the rotation.
        past = [self.spot[turn % 2] // 2 + 1 for turn in range(4)]
        seen = [shift_down(self._above(x.rot90(turn, (2, 3))), past[turn]).rot90(-turn, (2, 3)) for turn in range(4)]
        return self.head(torch.cat(seen, 1))

    def _above(self, x: Tensor) -> Tensor:
        groups = [self.first(x[:, k : k + self.together]) for k in range(self.frames - self.together + 1)]
        return groups[0] if self.second is None else self.second(torch.cat(groups, 1))
