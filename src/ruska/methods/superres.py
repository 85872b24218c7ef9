"""Finer pixels with the prior: undoing that a pixel is the mean over its area."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import Any, ClassVar

from pydantic import Field

from ruska.methods.posterior import HALO, PosteriorMethod, PosteriorSettings, ready
from ruska.methods.sampling import Readable
from ruska.methods.settings import Factor, parse


class SuperresSettings(PosteriorSettings):
    """Settings of `Superres`."""

    scale: Factor = Field("2", description="How many times finer pixels: 2, 3, 4, or a fraction such as 3/2; above 1, "
                          "up to 16.")  # fmt: skip


@dataclass(frozen=True)
class Superres:
    """Finer pixels: undo that a pixel is the mean over its area."""

    settings: SuperresSettings
    summary: ClassVar[str] = "Finer pixels in every slice with the prior; a few passes."
    task: ClassVar[str] = "superres"
    learns: ClassVar[bool] = True
    record: ClassVar[type[SuperresSettings]] = SuperresSettings

    @classmethod
    def create(cls, values: Mapping[str, Any]) -> Superres:
        return cls(parse(SuperresSettings, "superres", values))

    def prepare(self, source: Readable, normalisation: object, budget: object) -> PosteriorMethod:
        from ruska.physics.operators import Decimation

        factor = Fraction(self.settings.scale)
        return ready(Decimation((factor,) * 2), (ceil(HALO / factor),) * 2, self.settings, source, 2)
