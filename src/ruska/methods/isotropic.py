"""Isotropic voxels with the prior: undoing that a slice is the mean over its thickness."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import ClassVar

from pydantic import Field

from ruska.errors import GeometryError
from ruska.methods.about import ISOTROPIC, About
from ruska.methods.posterior import PosteriorMethod, PosteriorSettings, ready
from ruska.methods.sampling import Readable
from ruska.methods.settings import Factor

_HALO = 40  # output voxels of context


class IsotropicSettings(PosteriorSettings):
    """Settings of `Isotropic`."""

    basic: ClassVar[tuple[str, ...]] = ("factor", "steps", "step_size", "model")
    factor: Factor = Field("4", description="Slice distance over pixel size: 4, 2.5, 7/2; above 1, up to 16.")


@dataclass(frozen=True)
class Isotropic:
    """As many slices as the pixel size asks for: undo that a slice is the mean over its thickness."""

    settings: IsotropicSettings

    def prepare(self, source: Readable, normalisation: object, budget: object) -> PosteriorMethod:
        from ruska.physics.operators import Decimation

        if len(source.shape) < 3:
            raise GeometryError("image", "is a single slice, isotropic voxels need a stack", "Give a volume (ZYX).")
        factor = Fraction(self.settings.factor)
        halo = (ceil(_HALO / factor), _HALO, _HALO)
        return ready(Decimation((factor, Fraction(1), Fraction(1))), halo, self.settings, source, 3)


ISOTROPIC_ABOUT = About(
    "isotropic", ISOTROPIC, "Isotropic voxels from an anisotropic stack with the prior, seen along all three axes.",
    IsotropicSettings, Isotropic, learns=True, prior=True, stack=True,
)  # fmt: skip
