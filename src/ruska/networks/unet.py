"""The U-Net behind the priors: local, without norms over space, so that a block with its halo equals the whole.

Made for throughput on CPUs and GPUs alike: the image is folded 2 x 2 into channels before the first convolution, all
convolutions are dense 3 x 3 (which matrix units do fast), and the description of the noise enters through 1 x 1
convolutions on maps that stay one pixel large if the noise is the same everywhere.

Sources: Ronneberger et al. (2015), arXiv 1505.04597 (shape); Zhang et al. (2018), FFDNet, arXiv 1710.04026 (noise map,
folding into channels); Zhang et al. (2021), DRUNet, arXiv 2008.13751 (residual blocks without norms, strided
convolutions). Differs: the noise modulates every block (scale and shift) instead of entering as one more image.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

_FOLD = 2  # pixels along Y and X that are folded into channels
_TOLD = 32  # channels that describe the noise
_SLACK = 2.0  # times the largest value of a batch
_FOLLOWS = 0.001  # of the way, each step: what is at its limit grows by a thousandth; five times that ran away
_LEAST, _MOST = 1.0, 256.0  # of a limit; what was trained well needs 2 to 100


class Modulated(nn.Module):
    """Residual block: two 3 x 3 convolutions; the description of the noise scales and shifts the values in between.

    limit : largest value in between, infinite at first. Without norms, an image unlike any in training could otherwise
        make blocks drive each other to values a hundred times as large. So could one step of a training, whatever the
        image: all weights of a wide block move by the learning rate at once, and the gains of several blocks in a row
        multiply. So the limit slowly follows twice the largest value of the batches that are learned from. `Bounds`
        sets it once more, by what a trained network needs.
    """

    limit: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.told = nn.Conv2d(_TOLD, 2 * width, 1)
        self.register_buffer("limit", torch.tensor(torch.inf))
        nn.init.zeros_(self.told.weight)
        nn.init.zeros_(self.told.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        scale, shift = self.told(told).chunk(2, 1)
        middle = functional.silu(torch.addcmul(shift, self.first(x), 1 + scale))
        middle = middle.clamp(max=self.limit.to(middle.dtype, copy=True))  # it changes before gradients are found
        if self.training and torch.is_grad_enabled():
            self._follow(middle.detach())
        return x + self.second(middle)

    def _follow(self, middle: Tensor) -> None:
        """As the statistics of a norm do: with the batch, without waiting for it, and without derivatives."""
        found = _SLACK * middle.amax().to(self.limit)
        first = torch.isinf(self.limit)
        followed = torch.where(first, _SLACK * found, torch.lerp(self.limit, found, _FOLLOWS)).clamp(_LEAST, _MOST)
        self.limit.copy_(torch.where(torch.isfinite(found), followed, self.limit))


class Bounds:
    """Sets the limits of all blocks from the values that pass through them inside the ``with`` statement.

    Each limit is ``slack`` times the value that a ``share`` of the passes stays below.
    """

    def __init__(self, network: nn.Module, slack: float = 1.5, share: float = 0.98) -> None:
        self.blocks = [module for module in network.modules() if isinstance(module, Modulated)]
        self.slack, self.share = slack, share

    def lift(self) -> None:
        """Remove all limits, as before the first training."""
        for block in self.blocks:
            block.limit.fill_(torch.inf)

    def __enter__(self) -> Bounds:
        self._seen: list[list[float]] = [[] for _ in self.blocks]
        self.lift()
        self._hooks = [
            block.second.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0].max().item()))
            for block, seen in zip(self.blocks, self._seen, strict=True)
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
        for block, seen in zip(self.blocks, self._seen, strict=True):
            if seen:
                block.limit.fill_(self.slack * float(torch.quantile(torch.tensor(seen), self.share)))


class UNet(nn.Module):
    """Image in, image out, with a description of the noise at every pixel.

    Parameters
    ----------
    inputs, outputs : channels of the image (with image conditions beside it) and of the result.
    told : channels of the map that describes the noise (or time).
    widths : channels at each scale, from 1/2 resolution downwards.
    blocks : residual blocks at each scale, on the way down and again on the way up (once at the last scale).

    Called with x (b, inputs, Y, X), sizes multiples of ``multiple``, and a map (b, told, Y, X) or, where it is the
    same everywhere, (b, told, 1, 1). Returns (b, outputs, Y, X).
    """

    def __init__(
        self, inputs: int = 1, outputs: int = 1, told: int = 3,
        widths: Sequence[int] = (48, 96, 192), blocks: Sequence[int] = (1, 2, 4),
    ) -> None:  # fmt: skip
        super().__init__()
        self.multiple = _FOLD * 2 ** (len(widths) - 1)
        self.widths = tuple(widths)
        self.blocks = tuple(blocks)
        self.tell = nn.Sequential(nn.Conv2d(told, _TOLD, 1), nn.SiLU(), nn.Conv2d(_TOLD, _TOLD, 1), nn.SiLU())
        self.enter = nn.Conv2d(inputs * _FOLD**2, widths[0], 3, padding=1)
        self.leave = nn.Conv2d(widths[0], outputs * _FOLD**2, 3, padding=1)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)  # type: ignore[arg-type]
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(Modulated(w) for w, n in zip(widths, blocks, strict=True) for _ in range(n))
        self.shrink = nn.ModuleList(nn.Conv2d(a, b, 2, stride=2) for a, b in pairs)
        self.grow = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in reversed(pairs))
        ups = list(zip(widths[:-1], blocks[:-1], strict=True))
        self.up = nn.ModuleList(Modulated(w) for w, n in reversed(ups) for _ in range(n))

    @property
    def reach(self) -> int:
        """How far away, in pixels, an input can matter."""
        reach = 2 * 2 * _FOLD  # the convolutions at both ends, and the pixels in one fold
        for level, count in enumerate(self.blocks):
            ways = 1 if level == len(self.blocks) - 1 else 2
            reach += _FOLD * 2**level * (2 * count * ways + ways)
        return reach

    def forward(self, x: Tensor, told: Tensor) -> Tensor:
        told = self.tell(told if told.shape[-1] == 1 else functional.avg_pool2d(told, _FOLD))
        maps, skips = [told], []
        down, up = iter(self.down), iter(self.up)
        x = self.enter(functional.pixel_unshuffle(x, _FOLD))
        for level, count in enumerate(self.blocks):
            if level:
                skips.append(x)
                x = self.shrink[level - 1](x)
                maps.append(maps[-1] if told.shape[-1] == 1 else functional.avg_pool2d(maps[-1], 2))
            for _ in range(count):
                x = next(down)(x, maps[level])
        for grow, level in zip(self.grow, range(len(self.blocks) - 2, -1, -1), strict=True):
            x = grow(x) + skips.pop()
            for _ in range(self.blocks[level]):
                x = next(up)(x, maps[level])
        return functional.pixel_shuffle(self.leave(x), _FOLD)
