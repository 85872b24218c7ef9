"""Colours as grey levels, and tables of colours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BEND = 4  # of 255: the steps of a display table from colour to colour change less
_SMOOTH = 0.85  # share of them; a table may have corners, and mark its ends, as HiLo does
_REC601 = (299, 587, 114)  # thousandths: the weights of Pillow, ImageJ's "weighted" conversion and JPEG


def luminance(rgb: NDArray[Any]) -> NDArray[Any]:
    """Grey of (..., 3) red, green, blue by ITU-R Rec. 601, rounded for integers (half to even).

    Equal channels give exactly that value. The same on every machine: products and sums of integers up to 32 bits are
    exact, whereas those of fractions round as the linear algebra of the machine orders them.
    """
    red, green, blue = (rgb[..., i] for i in range(3))
    wide = [weight * channel.astype(np.float64) for weight, channel in zip(_REC601, (red, green, blue), strict=True)]
    grey = (wide[0] + wide[1] + wide[2]) / 1000
    if rgb.dtype.kind in "iu":
        grey = np.rint(grey)
    return np.where((red == green) & (green == blue), red, grey.astype(rgb.dtype))


def is_display_table(table: NDArray[Any]) -> bool:
    """Whether colours (3, n) of 0 to 255 show the order of their indices, as fire, jet or red do.

    Then the indices are the measurement. The colours that a picture was reduced to come in no such order. What is never
    reached at the end of a table is black, and does not count.
    """
    used = int(np.flatnonzero(table.any(axis=0)).max(initial=-1)) + 1
    if used < 4:
        return False
    bends = np.abs(np.diff(table[:, :used].astype(np.float64), 2, axis=1)).max(axis=0)
    return bool((bends <= max(_BEND, 2 * 255 / used)).mean() >= _SMOOTH)
