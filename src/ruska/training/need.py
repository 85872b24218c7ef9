"""What a training takes of memory on the processor, and whether there is room for it."""

from __future__ import annotations

from collections.abc import Sequence

from ruska.errors import ResourceError

_FIRST_STEP = 120 << 20  # code and kernels, torch's compiler among it, which its optimisers import; measured 110 to 115
_PER_WEIGHT = 20  # bytes of a weight, its gradient, its two moments and its average
_KEPT = 26.0  # bytes of each number in a block of a prior's network, kept for its gradient; measured 11 to 24


def prior_bytes(widths: Sequence[int], blocks: Sequence[int], weights: int, pixels: int, corpus: int) -> float:
    """Bytes that training a prior takes over what the process holds before its corpus is read.

    widths, blocks : of `networks.unet.UNet`. weights : how many. pixels : of the largest step. corpus : bytes.
    """
    last = len(widths) - 1
    numbers = sum(
        w * n * (1 if k == last else 2) / 4 ** (k + 1) for k, (w, n) in enumerate(zip(widths, blocks, strict=True))
    )
    state = _PER_WEIGHT * weights  # which is copied when it is saved, while no gradient is kept
    return corpus + max(corpus, _FIRST_STEP + state + max(_KEPT * numbers * pixels, state))


def check_room(room: float, needed: float, advice: str) -> None:
    """ResourceError where ``needed`` bytes are more than ``room``; ``advice`` : what would need less, "train ..."."""
    if needed > room:
        left, lacking = max(0.0, room) / 1e9, (needed - room) / 1e9 + 0.05
        raise ResourceError("--memory", f"leaves {left:.2g} GB for training, which needs {needed / 1e9:.2g} GB",
                            f"Allow {lacking:.2g} GB more, or {advice}.")  # fmt: skip
