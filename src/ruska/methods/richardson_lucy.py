"""Richardson-Lucy deconvolution: the classical way to undo a known blur, for comparison with the prior.

Each iteration looks twice as far as the blur reaches, so halos are exchanged between iterations: blocks are exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from ruska.errors import GeometryError, SettingsError
from ruska.image import Output
from ruska.methods.about import DEBLUR, About
from ruska.methods.looking import Readable, Workplace
from ruska.methods.settings import FileRef, Settings

if TYPE_CHECKING:
    from torch import Tensor

    from ruska.physics.operators import Blur

_LEAST = 1e-6  # of the range: what is divided by is never less
_BYTES = 40.0  # a voxel of a block: state, measurement, what the blur makes of the one, their ratio and its blur


class RichardsonLucySettings(Settings):
    """Settings of `RichardsonLucy`."""

    basic: ClassVar[tuple[str, ...]] = ("sigma", "psf", "iterations")

    sigma: float | None = Field(None, gt=0, le=20, description="Standard deviation of a Gaussian blur in pixels, 0 to "
                                "20. Leave it out if a file is given.")  # fmt: skip
    psf: FileRef | None = Field(None, description="File with a measured point spread function; its sides must be odd.")
    iterations: int = Field(20, ge=1, le=1000, description="Iterations, 1 to 1000; noise grows with them.")

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.sigma is None) == (self.psf is None):
            raise SettingsError("richardson-lucy", "takes either sigma or psf", "Give one of them, e.g. --sigma 2.")
        return self


@dataclass(frozen=True)
class RichardsonLucy:
    """Undo a known blur by Richardson-Lucy iterations."""

    settings: RichardsonLucySettings

    def prepare(self, source: Readable, normalisation: object, budget: Workplace) -> RichardsonLucyMethod:
        from ruska.physics.operators import Blur, gaussian_psf, measured_psf

        if self.settings.sigma is not None:
            return RichardsonLucyMethod(Blur(gaussian_psf(self.settings.sigma)), self.settings)
        name = self.settings.psf
        assert name is not None
        if budget.read is None:
            raise SettingsError("richardson-lucy.psf", "names a file, and nothing here reads files", "Give sigma.")
        values = np.asarray(budget.read(name), dtype=np.float64).squeeze()
        if values.ndim != 2:
            raise GeometryError(name, f"has shape {values.shape}, expected a point spread function (Y, X)")
        return RichardsonLucyMethod(Blur(measured_psf(values, name)), self.settings)


@dataclass(frozen=True)
class RichardsonLucyMethod:
    """The iterations as an `IterativeMethod` of the engine, on normalised intensities, which count from the darkest.

    Source: Richardson (1972), J. Opt. Soc. Am. 62, 55; Lucy (1974), Astron. J. 79, 745. Differs: what is divided by is
    never below a millionth of the range.
    """

    blur: Blur
    own: RichardsonLucySettings
    multiple: tuple[int, ...] = (1, 1)
    outputs: tuple[Output, ...] = (Output(),)
    domain: Literal["normalised", "raw"] = "normalised"
    threads: Literal["one", "many"] = "one"
    bytes_per_voxel: float = _BYTES
    state_channels: int = 1

    @property
    def settings(self) -> Mapping[str, object]:
        """For the record."""
        return self.own.model_dump()

    @property
    def halo(self) -> tuple[int, ...]:
        """Of one iteration: there and back."""
        return tuple(2 * (n // 2) for n in self.blur.psf.shape)

    @property
    def sweeps(self) -> int:
        return self.own.iterations

    def init(self, inputs: Mapping[str, Tensor], random: object) -> Tensor:
        """Begins at the measurement."""
        return inputs["image"].clamp(min=_LEAST)

    def sweep(self, state: Tensor, inputs: Mapping[str, Tensor], k: int, random: object) -> Tensor:
        y = inputs["image"].clamp(min=0)
        return state * self._each(y / self._each(state).clamp(min=_LEAST), back=True)

    def finish(self, state: Tensor, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"mean": state}

    def _each(self, x: Tensor, back: bool = False) -> Tensor:
        """The blur, or its transpose, of every channel on its own."""
        flat = x.reshape(-1, 1, *x.shape[2:])
        return (self.blur.adjoint(flat) if back else self.blur.forward(flat)).reshape(x.shape)


RICHARDSON_LUCY = About(
    "richardson-lucy", DEBLUR, "Richardson-Lucy deconvolution of a known blur: classical, for comparison; noise grows.",
    RichardsonLucySettings, RichardsonLucy, each=True,
)  # fmt: skip
