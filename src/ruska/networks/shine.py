"""SHINE's blind-spot network, a baseline: all layers at full width, blind through dilated kernels without a centre.

Ordinary 3 x 3 convolutions see r pixels around a position; a kernel without its centre, dilated by more than r plus the
spot's half width, then sees past everything that the spot hides.

Source: rebuilt from a description of the public SHINE system (its code is MIT; none of it is used). Differs: the spot
may be any rectangle, with one dilation per axis; frames may be any odd number; the output is not stretched to the
input's extremes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from ruska.networks.blindspot import check_odd

_WIDTH, _SCALES = 64, 4


def _conv(inside: int, outside: int, edge: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, edge, padding=edge // 2, bias=False)


class _Pair(nn.Module):
    """Two 3 x 3 convolutions with a shortcut: sees two pixels in each direction."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = _conv(_WIDTH, _WIDTH, 3), _conv(_WIDTH, _WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        return functional.gelu(x + self.second(functional.gelu(self.first(x))))


class _Donut(nn.Module):
    """3 x 3 kernel without its centre, dilated by (rows, columns)."""

    hole: Tensor

    def __init__(self, dilation: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=dilation, dilation=dilation, bias=False)
        hole = torch.ones(3, 3)
        hole[1, 1] = 0
        self.register_buffer("hole", hole, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        conv = self.conv
        weight = conv.weight * self.hole.to(conv.weight.dtype)
        return functional.gelu(functional.conv2d(x, weight, padding=conv.padding, dilation=conv.dilation))


def dilations(half: int) -> list[tuple[int, int]]:
    """(after the first pair, after the second) at each scale, for a spot that reaches ``half`` pixels."""
    full, out = half + 5, []
    for _ in range(_SCALES):
        out.append((full - 2, full))
        full = (2 * full + 1) // 4 + 6
    return out


class ShineNet(nn.Module):
    """Predict each pixel from everything but a rectangle around it; neighbouring frames are seen there, too.

    spot, frames : as for `BlindSpotNet`. Called with (b, frames, Y, X), sizes multiples of 8; returns (b, 1, Y, X).
    """

    def __init__(self, spot: tuple[int, int] = (1, 1), frames: int = 1) -> None:
        super().__init__()
        check_odd(spot, frames)
        self.spot, self.frames, self.outputs, self.multiple = spot, frames, 1, 2 ** (_SCALES - 1)
        beside = 16 if frames > 1 else 0
        self.middle = _conv(1, _WIDTH - beside, 1)
        layers: list[nn.Module] = []
        for k in range(1 + max(spot) // 2 if beside else 0):
            layers += [_conv(beside if k else frames - 1, beside, 3), nn.GELU()]
        self.beside = nn.Sequential(*layers)
        rows, columns = (n // 2 for n in spot)
        self.first = _Donut((rows + 1, columns + 1))
        steps = zip(dilations(rows), dilations(columns), strict=True)
        holes = [(r[k], c[k]) for r, c in steps for k in (0, 1)]
        self.pairs = nn.ModuleList(_Pair() for _ in holes)
        self.donuts = nn.ModuleList(_Donut(d) for d in holes)
        self.after = nn.ModuleList(_conv(_WIDTH, _WIDTH, 1) for _ in holes)
        self.head = nn.Sequential(
            _conv(_WIDTH * (1 + len(holes)), 288, 1), nn.GELU(), _conv(288, _WIDTH, 1), nn.GELU(), _conv(_WIDTH, 1, 1)
        )

    @property
    def reach(self) -> int:
        """How far away, in pixels, an input can matter; measured 159 for the largest dilations of one-pixel spots."""
        deepest = max(d[1] for d in (dilations(n // 2)[-1] for n in self.spot))
        scale = 2 ** (_SCALES - 1)
        # pairs see 4 pixels per scale; then the donut of the last; pooling and upsampling, up to two of its pixels
        return sum(4 * 2**s for s in range(_SCALES)) + scale * deepest + 2 * scale

    def forward(self, x: Tensor) -> Tensor:
        middle = self.frames // 2
        seen = self.middle(x[:, middle : middle + 1])
        if self.frames > 1:
            seen = torch.cat([seen, self.beside(torch.cat([x[:, :middle], x[:, middle + 1 :]], 1))], 1)
        outputs = [self.first(seen)]
        for k, (pair, donut, after) in enumerate(zip(self.pairs, self.donuts, self.after, strict=True)):
            if k and k % 2 == 0:
                seen = functional.avg_pool2d(seen, 2)
            seen = pair(seen)
            found = donut(seen)
            if k >= 2:
                found = functional.interpolate(found, size=x.shape[-2:], mode="bilinear", align_corners=False)
            outputs.append(after(found))
        return self.head(torch.cat(outputs, 1))
