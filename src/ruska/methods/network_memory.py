"""What networks take on the processor: arrays that live at once, and what lies unused between them.

glibc takes arrays of 32 MB from the system and gives them back at once. Smaller ones, and on the command line all (see
`engine.allocator`), lie on a heap, where PyTorch asks for aligned arrays: of the same size, one does not fit where
another was. How much lies unused depends on the sizes and their order, by up to a third of all; hence the shares here.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_CALL = 24 << 20  # code of libraries, weights as the kernels want them: taken by the first call, and stays
UNET = 275.0  # bytes a pixel of the priors' network, of arrays that live at once; measured 270 to 277
UNET_MAPS = 430.0  # the same where the noise is a map; measured 421 to 441
_WIDEST = 48.0  # bytes a pixel of the priors' largest arrays
_MAPPED = 32 << 20  # bytes from which glibc takes arrays from the system


@dataclass(frozen=True)
class Gaps:
    """Shares of the living arrays that lie unused between them, where freed memory is kept and where it is not.

    small, small_kept : of images whose arrays all lie on the heap. large, large_kept : of larger ones.
    """

    small: float
    small_kept: float
    large: float = 0.25  # measured 0.0 to 0.45
    large_kept: float = 0.45  # measured 0.2 to 0.5

    def around(self, pixels: float, per_pixel: float, kept: bool) -> float:
        """Bytes of the arrays and of the gaps between them, for an image of so many pixels."""
        if pixels * _WIDEST < _MAPPED:
            share = self.small_kept if kept else self.small
        else:
            share = self.large_kept if kept else self.large
        return pixels * per_pixel * (1 + share)


ONE_PASS = Gaps(small=0.7, small_kept=0.45)  # measured 0.45 to 0.75, 0.25 to 0.45
ITERATED = Gaps(small=0.95, small_kept=0.9, large_kept=0.25)  # each leaves gaps of its own; measured 0.5 to 1.1
