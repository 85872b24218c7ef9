"""Colours as grey levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
