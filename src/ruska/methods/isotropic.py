"""Isotropic voxels with the prior: undoing that a slice is the mean over its thickness."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any, ClassVar

from pydantic import Field

from ruska.errors import GeometryError
from ruska.methods.posterior import PosteriorMethod, PosteriorSettings, ready
from ruska.methods.sampling import Readable
from ruska.methods.settings import Factor, parse

_HALO = 40  # output voxels of context


class IsotropicSettings(PosteriorSettings):
    """Settings of `Isotropic`."""

    factor: Factor = Field("4", description="Slice distance over pixel size: 4, 2.5, 7/2; above 1, up to 16.")


@dataclass(frozen=True)
class Isotropic:
    """As many slices as the pixel size asks for: undo that a slice is the mean over its thickness."""

    settings: IsotropicSettings
    summary: ClassVar[str] = "Isotropic voxels from an anisotropic stack with the prior, seen along all three axes."
    task: ClassVar[str] = "isotropic"
    learns: ClassVar[bool] = True
    record: ClassVar[type[IsotropicSettings]] = IsotropicSettings

    @classmethod
    def create(cls, values: Mapping[str, Any]) -> Isotropic:
        return cls(parse(IsotropicSettings, "isotropic", values))

    def prepare(self, source: Readable, normalisation: object, budget: object) -> PosteriorMethod:
        from ruska.physics.operators import Decimation

        if len(source.shape) < 3:
            raise GeometryError("image", "is a single slice, isotropic voxels need a stack", "Give a volume (ZYX).")
        factor = Fraction(self.settings.factor)
        halo = (ceil(_HALO / factor), _HALO, _HALO)
        return ready(Decimation((factor, Fraction(1), Fraction(1))), halo, self.settings, source, 3)
