"""A blind-spot network: the output at a pixel never depends on the input inside a rectangle around that pixel.

Four branches each see one half plane (above, below, left, right) beyond the rectangle; together they see everything
but the rectangle. Each branch is a U-Net whose convolutions look one way only, so the context grows with the scales
and costs little, whatever the size of the spot.

Source: Laine, Karras, Lehtinen & Aila (2019), "High-quality self-supervised deep image denoising", NeurIPS, fig. 1.
Differs: any odd rectangle instead of one pixel; separate weights for the vertical and the horizontal pair, because
scan-line noise differs between the two directions; neighbouring frames are also seen inside the rectangle.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


def check_odd(spot: tuple[int, int], frames: int) -> None:
    """Raise ValueError unless spot and frames have a middle."""
    if any(n < 1 or n % 2 == 0 for n in (*spot, frames)):
        raise ValueError(f"spot {spot} and frames {frames} must be odd and positive")


class UpwardConv(nn.Module):
    """3 x 3 convolution that sees its own row and the two above, then leaky ReLU."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inside, outside, 3, padding=(2, 1))

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.conv(x)[:, :, :-2], 0.1)


def shift_down(x: Tensor, rows: int) -> Tensor:
    """Row y takes the value of row y - rows; zeros enter at the top."""
    return functional.pad(x, (0, 0, rows, 0))[:, :, : x.shape[2]]


class UpwardUNet(nn.Module):
    """U-Net whose output at row y depends on rows up to y only. Sizes must be multiples of 2 ** (scales - 1)."""

    def __init__(self, inside: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.down = nn.ModuleList()
        self.up = nn.ModuleList()
        before = inside
        for width in widths:
            self.down.append(nn.Sequential(UpwardConv(before, width), UpwardConv(width, width)))
            before = width
        for width in reversed(widths[:-1]):
            self.up.append(nn.Sequential(UpwardConv(before + width, width), UpwardConv(width, width)))
            before = width

    @property
    def reach(self) -> int:
        """How far away, in pixels, an input can matter."""
        scales = len(self.down)
        # two convolutions of two rows each, on the way down and up, and the shift before each pooling
        return sum((8 if s < scales - 1 else 4) * 2**s + 2**s for s in range(scales))

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for level, block in enumerate(self.down):
            if level:
                # Shift down by one row first: a pooled row must not hold the row below the upper of its two pixels.
                x = functional.avg_pool2d(shift_down(x, 1), 2)
            x = block(x)
            skips.append(x)
        skips.pop()
        for block in self.up:
            x = block(torch.cat([functional.interpolate(x, scale_factor=2, mode="nearest"), skips.pop()], 1))
        return x


class BlindSpotNet(nn.Module):
    """Predict each pixel from everything but a rectangle around it.

    Parameters
    ----------
    spot : (rows, columns), odd: the hidden rectangle; None: nothing is hidden, for training on clean targets.
    frames : number of frames (or slices) in the input, odd; the middle one is predicted, and hidden.
    outputs : channels of the output.
    widths : channels of the branches at each scale; one scale more doubles the context.

    Called with (b, frames, Y, X), sizes multiples of ``multiple``; returns (b, outputs, Y, X).
    """

    def __init__(
        self,
        spot: tuple[int, int] | None = (1, 1),
        frames: int = 1,
        outputs: int = 1,
        widths: Sequence[int] = (24, 48, 48, 48),
    ) -> None:
        super().__init__()
        check_odd(spot or (1, 1), frames)
        self.spot, self.frames, self.outputs, self.multiple = spot, frames, outputs, 2 ** (len(widths) - 1)
        self.vertical = UpwardUNet(frames, widths)
        self.horizontal = UpwardUNet(frames, widths)
        joined = 4 * widths[0]
        if frames > 1:
            self.beside: nn.Module | None = nn.Sequential(
                nn.Conv2d(frames - 1, widths[0], 3, padding=1), nn.LeakyReLU(0.1),
                nn.Conv2d(widths[0], widths[0], 3, padding=1), nn.LeakyReLU(0.1),
                nn.Conv2d(widths[0], widths[0], 3, padding=1), nn.LeakyReLU(0.1),
            )  # fmt: skip
            joined += widths[0]
        else:
            self.beside = None
        self.head = nn.Sequential(
            nn.Conv2d(joined, 96, 1), nn.LeakyReLU(0.1), nn.Conv2d(96, 48, 1), nn.LeakyReLU(0.1),
            nn.Conv2d(48, outputs, 1),
        )  # fmt: skip

    @property
    def reach(self) -> int:
        """How far away, in pixels, an input can matter."""
        return max(self.spot or (1, 1)) // 2 + 1 + self.vertical.reach

    def forward(self, x: Tensor) -> Tensor:
        rows, columns = (n // 2 + 1 for n in self.spot) if self.spot else (0, 0)
        turned = x.transpose(2, 3)
        above, below = self.vertical(torch.cat([x, x.flip(2)])).chunk(2)
        left, right = self.horizontal(torch.cat([turned, turned.flip(2)])).chunk(2)
        seen = [
            shift_down(above, rows),
            shift_down(below, rows).flip(2),
            shift_down(left, columns).transpose(2, 3),
            shift_down(right, columns).flip(2).transpose(2, 3),
        ]
        if self.beside is not None:
            middle = self.frames // 2
            seen.append(self.beside(torch.cat([x[:, :middle], x[:, middle + 1 :]], 1)))
        return self.head(torch.cat(seen, 1))
