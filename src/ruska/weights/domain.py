"""What a model was trained for: pixel sizes, noise and the look of its images, and whether an image is like them."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from ruska.physics.appearance import Appearance

Range = tuple[float, float]


def _in_order(found: Range) -> Range:
    if found[0] > found[1]:
        raise ValueError(f"begins at {found[0]:g} and ends at {found[1]:g}")
    return found


_Above = Annotated[float, Field(ge=0, le=1e9)]
_Share = Annotated[float, Field(ge=0, le=1)]
_Any = Annotated[float, Field(ge=-1e9, le=1e9)]

# How far beyond its training a model is still at home; no electron micrograph of 100 that were tried is outside.
_SKEWNESS, _EQUAL, _DETAIL = 0.28, 0.25, 1.4
_FINER, _COARSER = 3.0, 1.5  # pixels: micrographs of 4 nm are restored as well as those of 10 nm that were trained on
_FINEST = 0.5  # pixels: no detail is finer
_KNOWN = 0.9  # share of the training whose pixel size is known, below which the others may be of any


class Domain(BaseModel):
    """Ranges that hold all but a twentieth of what a model was trained on, weighted as it was drawn.

    noise : standard deviation over that of the signal, as training adds it. pixel_size_nm : smallest and largest, of
    the planes as they were trained on. pixel_size_known : share of the training whose pixel size is known.
    skewness, equal, detail : see `physics.appearance.Appearance`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    noise: Annotated[tuple[_Above, _Above], AfterValidator(_in_order)]
    skewness: Annotated[tuple[_Any, _Any], AfterValidator(_in_order)]
    equal: Annotated[tuple[_Share, _Share], AfterValidator(_in_order)]
    detail: Annotated[tuple[_Above, _Above], AfterValidator(_in_order)]
    pixel_size_nm: Annotated[tuple[_Above, _Above], AfterValidator(_in_order)] | None = None
    pixel_size_known: _Share = 0.0

    def strange(self, found: Appearance, pixel_size_nm: float | None = None, *, blurred: bool = False) -> list[str]:
        """What sets an image apart from the training, in words; nothing where it is like it.

        blurred : whether the image is to be deblurred, and may have coarser detail for that.
        """
        if found.noise > self.noise[1]:
            return [f"the noise is {found.noise:.2g} times as strong as the signal or more (trained: up to "
                    f"{self.noise[1]:.2g} times), so there is hardly anything to restore"]  # fmt: skip
        words = []
        if found.equal > self.equal[1] + _EQUAL:
            words.append(f"{found.equal:.0%} of neighbouring pixels are equal (trained: up to {self.equal[1]:.0%}), "
                         "as in a mask, a drawing or an empty background")  # fmt: skip
        low, high = self.skewness
        if not low - _SKEWNESS <= found.skewness <= high + _SKEWNESS:
            kind = "bright spots on black" if found.skewness > 0 else "dark marks on white"
            words.append(f"the grey levels are those of {kind} (skewness {found.skewness:.2f}, trained: {low:.2f} to "
                         f"{high:.2f})")  # fmt: skip
        if not blurred and found.detail > self.detail[1] * _DETAIL:
            words.append(f"its detail is {found.detail:.2g} pixels wide (trained: up to {self.detail[1]:.2g}), which "
                         f"binning by {ceil(found.detail / max(self.detail[1], _FINEST))} would mend")  # fmt: skip
        return words + self._strange_pixels(pixel_size_nm)

    def _strange_pixels(self, here: float | None) -> list[str]:
        if here is None or self.pixel_size_nm is None or self.pixel_size_known < _KNOWN:
            return []
        low, high = self.pixel_size_nm
        if low / _FINER <= here <= high * _COARSER:
            return []
        said = f"the pixels are {here:.3g} nm (trained on {low:.3g} to {high:.3g} nm)"
        return [f"{said}, which binning by {ceil(low / here)} would mend" if here < low else said]
