"""Identity, Gaussian and median: plain filters, on the file's own grey levels, exact block by block."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from ruska.methods.about import DENOISE, About
from ruska.methods.settings import Settings
from ruska.methods.slices import SliceMethod, as_it_is

if TYPE_CHECKING:
    pass

_TRUNCATE = 4.0  # standard deviations at which SciPy cuts the Gaussian


class IdentitySettings(Settings):
    """Nothing to set."""


class GaussianSettings(Settings):
    """Settings of `Gaussian`."""

    basic: ClassVar[tuple[str, ...]] = ("sigma",)
    sigma: float = Field(1.5, gt=0, le=100, description="Standard deviation in pixels, 0 to 100.")
    dimensions: int = Field(2, ge=2, le=3, description="2: every slice on its own. 3: across slices too (Z, Y, X).")


class MedianSettings(Settings):
    """Settings of `Median`."""

    basic: ClassVar[tuple[str, ...]] = ("radius",)
    radius: int = Field(
        1,
        ge=1,
        le=50,
        description="Half width of the square (cubic) window in pixels, 1 to 50.",
    )
    dimensions: int = Field(2, ge=2, le=3, description="2: every slice on its own. 3: across slices too (Z, Y, X).")


@dataclass(frozen=True)
class Identity:
    """Returns the image as it is: for checks and for changing formats."""

    settings: IdentitySettings

    def prepare(self, source: object, normalisation: object, budget: object) -> SliceMethod:
        return SliceMethod(as_it_is, (0, 0), 4.0, {}, domain="raw")


@dataclass(frozen=True)
class Gaussian:
    """Gaussian smoothing (scipy.ndimage.gaussian_filter, edges mirrored)."""

    settings: GaussianSettings

    def prepare(self, source: object, normalisation: object, budget: object) -> SliceMethod:
        from scipy.ndimage import gaussian_filter  # now and not in the first block: counted with what is held before

        sigma = self.settings.sigma
        halo = (int(_TRUNCATE * sigma + 0.5),) * self.settings.dimensions
        smooth = partial(gaussian_filter, sigma=sigma, mode="reflect", truncate=_TRUNCATE)
        return SliceMethod(smooth, halo, 9.0, self.settings.model_dump(), domain="raw")


@dataclass(frozen=True)
class Median:
    """Median over a window (scipy.ndimage.median_filter, edges mirrored)."""

    settings: MedianSettings

    def prepare(self, source: object, normalisation: object, budget: object) -> SliceMethod:
        from scipy.ndimage import median_filter

        radius = self.settings.radius
        median = partial(median_filter, size=2 * radius + 1, mode="reflect")
        halo = (radius,) * self.settings.dimensions
        return SliceMethod(median, halo, 9.0, self.settings.model_dump(), domain="raw")


IDENTITY = About(
    "identity", DENOISE, "Changes nothing; for checks and for converting files.",
    IdentitySettings, Identity,
)  # fmt: skip
GAUSSIAN = About(
    "gaussian", DENOISE, "Gaussian smoothing: fast and linear; blurs edges with the noise.",
    GaussianSettings, Gaussian,
)  # fmt: skip
MEDIAN = About(
    "median", DENOISE, "Median filter: removes hot pixels and spikes, keeps edges.",
    MedianSettings, Median,
)  # fmt: skip
