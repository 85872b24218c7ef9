"""Undoing a blur with the prior: a known one, or one that has to be found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from ruska.errors import GeometryError, SettingsError
from ruska.methods.about import DEBLUR, About
from ruska.methods.looking import Readable, Workplace, planes_to_look_at, typical_plane
from ruska.methods.posterior import HALO, VOLUME_HALO, PosteriorMethod, PosteriorSettings, ready
from ruska.methods.settings import CodeRef, FileRef
from ruska.methods.slices import SliceMethod
from ruska.physics.operators.families import BlurShape, Family, blur_shape
from ruska.physics.valid_part import valid_part

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WAYS = ("sigma", "psf", "blind", "radius", "astigmatism", "kernel", "operator")


class DeblurSettings(PosteriorSettings):
    """Settings of `Deblur`."""

    basic: ClassVar[tuple[str, ...]] = ("sigma", "psf", "blind", "operator", "steps", "step_size", "model")
    sigma: float | None = Field(None, gt=0, le=20, description="Standard deviation of a Gaussian blur in pixels, 0 to "
                                "20. Leave it out if the blur is given in another way.")  # fmt: skip
    psf: FileRef | None = Field(None, description="File with a measured point spread function; its sides must be odd.")
    blind: Family | None = Field(None, description="Find an unknown blur of this family: gaussian, defocus, astigmatic "
                                 "or free.")  # fmt: skip
    radius: float | None = Field(None, gt=0, le=40,
                                 description="Radius of a defocus blur (an even disc) in pixels, 0 to 40.")  # fmt: skip
    astigmatism: str | None = Field(None, description="long,short,angle: standard deviations of an elliptic Gaussian "
                                    "in pixels, and degrees from X towards Y.")  # fmt: skip
    kernel: str | None = Field(None, description="Weights of a blur, odd and square: a,b,c;d,e,f;g,h,i.")
    operator: CodeRef | None = Field(None, description="Your own model of the instrument: path/to/file.py:Name, or "
                                     "an entry point. The file is executed.")  # fmt: skip

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [way for way in _WAYS if getattr(self, way) is not None]
        if len(given) != 1:
            found = "no blur was given" if not given else f"{' and '.join(given)} were given"
            raise SettingsError("deblur", f"{found}; exactly one of {', '.join(_WAYS)} is needed",
                                "Give --sigma in pixels, --psf with a file, or --blind gaussian.")  # fmt: skip
        self.given()
        return self

    def given(self) -> BlurShape | None:
        """The blur that numbers describe; None where a file does or where it has to be found."""
        texts = {"gaussian": self.sigma, "defocus": self.radius, "astigmatic": self.astigmatism, "free": self.kernel}
        return next((blur_shape(family, text) for family, text in texts.items() if text is not None), None)


@dataclass(frozen=True)
class Deblur:
    """Undo a blur: known, or to be found within a family."""

    settings: DeblurSettings

    def prepare(self, source: Readable, normalisation: object, budget: Workplace) -> PosteriorMethod | SliceMethod:
        from ruska.physics.operators import Blur

        if self.settings.blind is not None:
            return self._find(source, budget)
        if (shape := self.settings.given()) is not None:
            return ready(shape.operator(), _halo(shape), self.settings, source, 2)
        if self.settings.operator is not None:
            return own_operator(self.settings.operator, self.settings, source)
        assert self.settings.psf is not None
        operator = Blur(_read_psf(self.settings.psf, budget))
        return ready(operator, (max(operator.psf.shape) // 2 + HALO,) * 2, self.settings, source, 2)

    def _find(self, source: Readable, budget: Workplace) -> PosteriorMethod | SliceMethod:
        """Find the blur of all slices on a typical one."""
        from ruska.methods.blind import find_blur, unchanged

        assert self.settings.blind is not None
        start = BlurShape("gaussian", (2.0,))
        method = ready(start.operator(), _halo(start), self.settings, source, 2)
        if budget.rehearsal:
            return method
        plane = typical_plane(source)
        plane = planes_to_look_at(source)[0] if plane is None else plane
        found = find_blur(valid_part(plane), method, self.settings.blind, budget.progress)
        notes = (*method.notes, str(found))
        if found.shape is None:
            return unchanged(method, notes)
        # of the settings that the record says, so that they repeat it
        own = self.settings.model_copy(update={"blind": None, **found.shape.settings()})
        shape = own.given() or found.shape
        return replace(method, operator=shape.operator(), halo=_halo(shape), own=own, notes=notes)


def own_operator(name: str, settings: DeblurSettings, source: Readable) -> PosteriorMethod:
    """The method that undoes a user's operator, on slices or on volumes, by the length of its ``scale``."""
    from ruska.physics.operators import load_operator

    operator = load_operator(name)
    dimensions = len(operator.scale)
    if dimensions == 3 and len(source.shape) < 3:
        raise GeometryError("image", f"is a single slice, and {name} is for volumes", "Give a volume (ZYX).")
    context = {2: HALO, 3: VOLUME_HALO}[dimensions] + operator.reach
    halo = tuple(ceil(context * s) for s in operator.scale)
    return ready(operator, halo, settings, source, dimensions)


def _halo(shape: BlurShape) -> tuple[int, ...]:
    return (ceil(4 * shape.width) + HALO,) * 2


def _read_psf(name: str, budget: Workplace) -> NDArray[np.float64]:
    """A point spread function from a file, as `measured_psf` makes it."""
    from ruska.physics.operators import measured_psf

    if budget.read is None:
        raise SettingsError("deblur.psf", "names a file, and nothing here reads files", "Give sigma instead.")
    values = np.asarray(budget.read(name), dtype=np.float64).squeeze()
    if values.ndim != 2:
        raise GeometryError(name, f"has shape {values.shape}, expected a point spread function (Y, X)")
    return measured_psf(values, name)


DEBLUR_ABOUT = About(
    "deblur", DEBLUR, "Undo a known or unknown blur with the prior, in a few passes.",
    DeblurSettings, Deblur, learns=True, prior=True, each=True,
)  # fmt: skip
