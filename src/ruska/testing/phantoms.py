"""Small noisy images for the checks, if none is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_EDGE = {2: (88, 240), 3: (28, 64)}  # shortest and longest
_NOISE = 12.0  # grey levels


def phantom(halo: Sequence[int]) -> tuple[NDArray[np.float32], str]:
    """A noisy cell (Y, X) or a stack of its shifted copies (Z, Y, X), float32, and its axes.

    Large enough that blocks with this halo do not see the whole, as far as time allows; edges are odd, so that the last
    blocks are smaller.
    """
    from ruska.physics.phantom import cell_phantom

    shortest, longest = _EDGE[len(halo)]
    edges = [min(longest, max(shortest, 2 * h + shortest // 2)) + 1 + 2 * k for k, h in enumerate(halo)]
    clean = 40 + 160 * cell_phantom((edges[-2], edges[-1]))
    if len(halo) == 3:
        clean = np.stack([np.roll(clean, k, axis=1) for k in range(edges[0])])
    noise = np.random.default_rng(0).normal(0, _NOISE, clean.shape)
    return (clean + noise).astype(np.float32), "ZYX"[-len(halo) :]
