"""Memory of networks on the processor: arrays in use at once, and what lies unused between them.

glibc takes arrays of 32 MB from the system and gives them back at once. Smaller ones, and on the command line all (see
`engine.allocator`), lie on a heap, where PyTorch asks for aligned arrays: of the same size, one does not fit where
another was. How much lies unused depends on the sizes and their order, by up to a third of all; hence the shares here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FIRST_CALL = 24 << 20  # code of libraries, weights as the kernels want them: taken by the first call, and stays
_IMAGES = 45.0  # bytes a pixel of images, and
_ALIVE = 4.8  # how many of the largest arrays live at once; measured with widths of 16 to 96
_MAPS, _MAPS_ALIVE = 90.0, 1.35  # the same for what a map of the noise adds
_MAPPED = 32 << 20  # bytes from which glibc takes arrays from the system


@dataclass(frozen=True)
class Arrays:
    """Of the priors' network: bytes a pixel of its largest arrays, and of those at half their scale."""

    widest: float
    next: float

    @classmethod
    def of(cls, widths: Sequence[int]) -> Arrays:
        """Channels at each scale, from 1/2 resolution downwards, of 4 bytes."""
        sizes = [width / 4**level for level, width in enumerate(widths)]
        return cls(max(sizes), sorted(sizes)[-2] if len(sizes) > 1 else 0.0)

    def alive(self, maps: bool) -> float:
        """Bytes a pixel of the arrays that live at once. maps : the noise differs from pixel to pixel."""
        flat = _IMAGES + _ALIVE * self.widest
        return flat + _MAPS + _MAPS_ALIVE * self.widest if maps else flat


@dataclass(frozen=True)
class Gaps:
    """Shares of the living arrays that lie unused between them.

    small, middle, large : where freed memory is given back, of images all, most, few of whose arrays lie on the heap.
    small_kept, kept : where it is kept, of small and of other images.
    """

    small: float
    middle: float
    small_kept: float
    large: float = 0.15  # measured 0.0 to 0.1
    kept: float = 0.45  # measured 0.2 to 0.5; of passes 0.2 to 0.8

    def around(self, pixels: float, arrays: Arrays, kept: bool, maps: bool = False) -> float:
        """Bytes of the arrays and of the gaps between them, for an image of so many pixels."""
        if pixels * arrays.widest < _MAPPED:
            share = self.small_kept if kept else self.small
        elif kept:
            share = self.kept
        else:
            share = self.middle if pixels * arrays.next < _MAPPED else self.large
        return pixels * arrays.alive(maps) * (1 + share)


ONE_PASS = Gaps(small=0.7, middle=0.35, small_kept=0.45)  # measured 0.45 to 0.75, 0.15 to 0.45, 0.25 to 0.45
ITERATED = Gaps(small=0.95, middle=0.4, small_kept=0.9, kept=0.6)  # each pass leaves its own: 0.5 to 1.1
