"""The networks that do not see the pixel they predict, by the kind named in a card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

KINDS = ("halfplane", "shine", "udvd", "noise2void")


def hidden_network(kind: str, spot: tuple[int, int], frames: int, outputs: int, widths: Sequence[int]) -> Any:
    """The untrained network of this ``kind``. ``outputs`` and ``widths`` are for halfplane; the others have one output.

    Raises ValueError for an unknown kind, or if ``spot`` and ``frames`` are not odd.
    """
    if kind == "halfplane":
        from ruska.networks.blindspot import BlindSpotNet

        return BlindSpotNet(spot, frames, outputs, widths)
    if kind == "shine":
        from ruska.networks.shine import ShineNet

        return ShineNet(spot, frames)
    if kind == "udvd":
        from ruska.networks.udvd import UdvdNet

        return UdvdNet(spot, frames)
    if kind == "noise2void":
        from ruska.networks.noise2void import Noise2VoidNet

        return Noise2VoidNet(spot, frames)
    raise ValueError(f"kind is {kind!r}, expected one of {', '.join(KINDS)}")
