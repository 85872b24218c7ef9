"""Finer pixels with the prior: undoing the averaging over the area of each pixel."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import ClassVar

from pydantic import Field

from ruska.methods.about import SUPERRES, About
from ruska.methods.looking import Readable
from ruska.methods.posterior import HALO, PosteriorMethod, PosteriorSettings, ready
from ruska.methods.settings import Factor


class SuperresSettings(PosteriorSettings):
    """Settings of `Superres`."""

    basic: ClassVar[tuple[str, ...]] = ("scale", "steps", "step_size", "model")
    scale: Factor = Field("2", description="How many times finer the pixels become: 2, 3, 4, or a fraction such as "
                          "3/2; above 1, up to 16.")  # fmt: skip


@dataclass(frozen=True)
class Superres:
    """Finer pixels: undo the averaging over the area of each pixel."""

    settings: SuperresSettings

    def prepare(self, source: Readable, normalisation: object, budget: object) -> PosteriorMethod:
        from ruska.physics.operators import Decimation

        factor = Fraction(self.settings.scale)
        return ready(Decimation((factor,) * 2), (ceil(HALO / factor),) * 2, self.settings, source, 2)


SUPERRES_ABOUT = About(
    "superres", SUPERRES, "Make pixels finer in every slice with the prior; a few passes.",
    SuperresSettings, Superres, learns=True, prior=True, each=True,
)  # fmt: skip
