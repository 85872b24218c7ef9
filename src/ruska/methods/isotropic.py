"""Isotropic voxels with the prior: undoing the averaging over the thickness of each slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import ClassVar

from pydantic import Field

from ruska.errors import GeometryError
from ruska.methods.about import ISOTROPIC, About
from ruska.methods.looking import Readable
from ruska.methods.posterior import VOLUME_HALO, PosteriorMethod, PosteriorSettings, ready
from ruska.methods.settings import Factor

_FINEST = 12  # denominator of a factor that is told from voxel sizes


class IsotropicSettings(PosteriorSettings):
    """Settings of `Isotropic`."""

    basic: ClassVar[tuple[str, ...]] = ("factor", "steps", "step_size", "model")
    factor: Factor | None = Field(None, description="Slice distance over pixel size: 4, 2.5, 7/2; above 1, up to 16. "
                                  "Default: from the voxel size.")  # fmt: skip


@dataclass(frozen=True)
class Isotropic:
    """As many slices as the pixel size asks for: undo the averaging over the thickness of each slice."""

    settings: IsotropicSettings

    def prepare(self, source: Readable, normalisation: object, budget: object) -> PosteriorMethod:
        from ruska.physics.operators import Decimation

        if len(source.shape) < 3:
            raise GeometryError("image", "is a single slice, isotropic voxels need a stack", "Give a volume (ZYX).")
        factor = Fraction(self.settings.factor or anisotropy(getattr(budget, "voxel_edges", {})))
        own = self.settings.model_copy(update={"factor": str(factor)})  # so that the record says it
        halo = (ceil(VOLUME_HALO / factor), VOLUME_HALO, VOLUME_HALO)
        return ready(Decimation((factor, Fraction(1), Fraction(1))), halo, own, source, 3)


def anisotropy(sizes: Mapping[str, float], name: str = "image") -> Fraction:
    """Slice distance over pixel size (``sizes`` by axis, in one unit), to a twelfth.

    Raises GeometryError where it is not to be told, or not above 1.
    """
    if "Z" not in sizes or "X" not in sizes:
        raise GeometryError(name, "does not say how far apart its slices are",
                            "Pass --factor, or --voxel-size such as 50nm,5nm,5nm.")  # fmt: skip
    found = Fraction(sizes["Z"] / sizes["X"]).limit_denominator(_FINEST)
    if found <= 1:
        raise GeometryError(name, f"has slices {sizes['Z']:.3g} apart and pixels of {sizes['X']:.3g}",
                            "Its voxels are isotropic already. For finer pixels, use `ruska superres`.")  # fmt: skip
    return found


ISOTROPIC_ABOUT = About(
    "isotropic", ISOTROPIC, "Isotropic voxels from an anisotropic stack with the prior, seen along all three axes.",
    IsotropicSettings, Isotropic, learns=True, prior=True, stack=True, each=True,
)  # fmt: skip
