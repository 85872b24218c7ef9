"""Stripes: offsets that whole rows or whole columns share, as scan-line noise and curtains leave them.

A stripe runs through the whole image, a structure does not. So the image is cut across its rows into quarters, and
only what the first and third say of a row together with the second and fourth counts as the row's own offset:
pixel noise, correlated or not, and structures shorter than a quarter differ between the two and cancel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WIDTHS = (1, 2, 4, 8, 16)  # pixels: of the stripes that are looked for
_FEWEST = 24  # stripes side by side that a width must have room for
_STEEP = np.array([1.0, -4.0, 6.0, -4.0, 1.0]) / np.sqrt(70.0)  # fourth difference with unit noise gain
_SIGMAS = 4.5  # by which the agreement must exceed what chance gives


@dataclass(frozen=True)
class Stripes:
    """How much rows and columns are shifted in brightness, in the image's own grey levels.

    rows, columns : standard deviation of the offsets of whole rows (along Y) and of whole columns (along X), at
        the one of the widths of 1 to 16 pixels where they are strongest; 0 where none were found. Exact to 10 % for
        scan lines; of curtains, which spread over several widths, it holds about 0.6.
    rows_width, columns_width : that width in pixels: 1 for scan lines each on their own, more for curtains; 0 for none.
    """

    rows: float
    columns: float
    rows_width: int
    columns_width: int

    @property
    def significant(self) -> bool:
        """Whether stripes were found along either axis."""
        return self.rows > 0 or self.columns > 0


def measure_stripes(image2d: NDArray[Any]) -> Stripes:
    """Measure the stripes of one micrograph (Y, X), at least 32 pixels each way; NaN and infinite are left out.

    Layers of the specimen that run exactly along an axis through the whole image are taken for stripes. Raises
    GeometryError when the image is smaller or not 2D.
    """
    if image2d.ndim != 2 or min(image2d.shape) < 32:
        raise GeometryError("stripes", f"got shape {image2d.shape}, expected a 2D image of at least 32 pixels")
    image = np.asarray(image2d, dtype=np.float64)
    image = np.where(np.isfinite(image), image, np.nan)
    rows, rows_width = _offsets(image)
    columns, columns_width = _offsets(image.T)
    return Stripes(rows, columns, rows_width, columns_width)


def _offsets(image: NDArray[np.float64]) -> tuple[float, int]:
    """Standard deviation of the offsets of the rows of ``image``, and their width; (0, 0) for none."""
    strongest = 0.0, 0
    for width in _WIDTHS:
        count = len(image) // width
        if count < _FEWEST:
            break
        binned = image[: count * width].reshape(count, width, -1).mean(1)
        steep = np.sum([c * binned[k : count - 4 + k] for k, c in enumerate(_STEEP)], axis=0)
        first, second, third, fourth = (_row_medians(part) for part in np.array_split(steep, 4, axis=1))
        one, other = (first + third) / 2, (second + fourth) / 2
        # covariance of the two from the robust variances of their sum and difference (Gnanadesikan & Kettenring 1972)
        shared, own = _robust_variance((one + other) / 2), _robust_variance((one - other) / 2)
        chance = np.sqrt(10 / len(steep))  # standard deviation of log(shared / own) without stripes, simulated
        if shared > own * np.exp(_SIGMAS * chance):
            strongest = max(strongest, (float(np.sqrt(shared - own)), width))
    return strongest


def _row_medians(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median along X of the valid values, NaN where there is none."""
    if np.isfinite(values).all():
        return np.median(values, axis=1)
    return np.array([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan for row in values])


def _robust_variance(values: NDArray[np.float64]) -> float:
    """Variance within three robust standard deviations: a few edges of the specimen along a row do not count."""
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0
    away = np.abs(values - np.median(values))
    near = away[away <= 3 * 1.4826 * np.median(away)]
    return float((near**2).mean() / 0.9733)  # of a Gaussian's variance, that much is within three
