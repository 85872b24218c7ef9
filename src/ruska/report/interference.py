"""What the verdict says of periodic interference: whether the input has some, and how much the result still has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ruska.physics.interference import find_interference

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LEFT = 0.1  # share of the amplitude that a result may still have


def interference_left(before: NDArray[Any], after: NDArray[Any]) -> str | None:
    """A sentence where ``before`` (Y, X) has periodic interference that ``after`` still has; else None."""
    found = find_interference(before)
    if not found.waves:
        return None
    first, left = found.waves[0], found.left_in(after)
    if left < _LEFT * first.amplitude:
        return None
    return (
        f"Interference: the input has a wave of {first.amplitude:.3g} grey levels with a period of "
        f"{1 / first.frequency_y:.3g} rows, as mains hum makes, and the result still has {left:.3g} of them. If the "
        "specimen has no such period, remove it before restoring: --remove-interference."
    )
