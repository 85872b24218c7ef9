"""Families of blurs that an instrument can have, each with the few parameters that an estimate of it has to find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ruska.errors import SettingsError, did_you_mean
from ruska.physics.operators.blur import Blur, GaussianBlur
from ruska.physics.operators.psf import astigmatic_psf, disc_psf, gaussian_psf

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.physics.operators.contract import Operator

Family = Literal["gaussian", "defocus", "astigmatic", "free"]
FAMILIES: tuple[Family, ...] = ("gaussian", "defocus", "astigmatic", "free")
WIDEST = 33  # pixels across a free kernel
_FAINT = 0.01  # of the peak, below which the edge of a free kernel is cut
_SMOOTH = 0.5  # pixels over which neighbours in a free kernel agree


@dataclass(frozen=True)
class BlurShape:
    """A blur of a family.

    values : gaussian: standard deviation. defocus: radius of an even disc. astigmatic: standard deviations along the
        long and the short axis, and the angle of the long one from X towards Y in degrees. free: the weights of a
        square with an odd edge, row by row. In pixels.
    """

    family: Family
    values: tuple[float, ...]

    def psf(self) -> NDArray[np.float64]:
        """(Y, X), odd, summing to 1."""
        if self.family == "gaussian":
            return gaussian_psf(*self.values)
        if self.family == "defocus":
            return disc_psf(*self.values)
        if self.family == "astigmatic":
            return astigmatic_psf(*self.values)
        edge = int(np.sqrt(len(self.values)))
        return np.reshape(self.values, (edge, edge))

    def operator(self) -> Operator:
        return GaussianBlur((self.values[0],) * 2) if self.family == "gaussian" else Blur(self.psf())

    @property
    def width(self) -> float:
        """Standard deviation per axis, so that families can be compared."""
        if self.family == "gaussian":
            return self.values[0]
        if self.family == "defocus":
            return self.values[0] / 2
        if self.family == "astigmatic":
            return float(np.hypot(self.values[0], self.values[1]) / np.sqrt(2))
        psf = self.psf()
        y, x = np.indices(psf.shape) - psf.shape[0] // 2
        return float(np.sqrt((psf * (y**2 + x**2)).sum() / 2))

    def scaled(self, factor: float) -> BlurShape:
        """As wide by ``factor``; a free one stays as it is."""
        if self.family == "free":
            return self
        lengths = 2 if self.family == "astigmatic" else 1
        return replace(self, values=(*(v * factor for v in self.values[:lengths]), *self.values[lengths:]))

    def transfer(self, fy: NDArray[Any], fx: NDArray[Any]) -> NDArray[Any]:
        """What is left of a wave of ``fy``, ``fx`` cycles per pixel; not for a free kernel."""
        if self.family == "defocus":
            from scipy.special import j1

            phase = np.maximum(2 * np.pi * self.values[0] * np.hypot(fy, fx), 1e-9)
            return np.asarray(2 * j1(phase) / phase)
        long, short, angle = self.values if self.family == "astigmatic" else (*self.values * 2, 0.0)
        turn = np.deg2rad(angle)
        along, across = fx * np.cos(turn) + fy * np.sin(turn), fy * np.cos(turn) - fx * np.sin(turn)
        return np.asarray(np.exp(-2 * np.pi**2 * ((long * along) ** 2 + (short * across) ** 2)))

    def settings(self) -> dict[str, float | str]:
        """What repeats a deblurring with it."""
        if self.family in ("gaussian", "defocus"):
            return {"sigma" if self.family == "gaussian" else "radius": float(f"{self.values[0]:.4g}")}
        if self.family == "astigmatic":
            return {"astigmatism": ",".join(f"{v:.4g}" for v in self.values)}
        return {"kernel": ";".join(",".join(f"{v:.3g}" for v in row) for row in self.psf())}

    def __str__(self) -> str:
        if self.family == "gaussian":
            return f"Gaussian of {self.values[0]:.2f} pixels (standard deviation)"
        if self.family == "defocus":
            return f"disc of {self.values[0]:.2f} pixels radius"
        if self.family == "astigmatic":
            return "ellipse of {:.2f} by {:.2f} pixels (standard deviations), long at {:.0f} degrees".format(
                *self.values
            )
        return f"free-form kernel as wide as a Gaussian of {self.width:.2f} pixels"


def blur_shape(family: str, text: str | float) -> BlurShape:
    """The blur that a setting describes: one number, ``long,short,angle``, or rows ``a,b,c;d,e,f;g,h,i``.

    Raises SettingsError unless the numbers make a blur of the family.
    """
    if family not in FAMILIES:
        raise SettingsError("blind", f"'{family}' is not a family of blurs", did_you_mean(family, FAMILIES))
    rows = [row.split(",") for row in str(text).split(";")]
    try:
        values = tuple(float(v) for row in rows for v in row)
    except ValueError as error:
        raise SettingsError(family, f"'{text}' contains something that is not a number") from error
    counts = {"gaussian": 1, "defocus": 1, "astigmatic": 3}
    square = all(len(row) == len(rows) for row in rows) and len(rows) % 2 == 1
    if not (square if family == "free" else len(values) == counts[family]):
        raise SettingsError(family, f"got {len(values)} numbers", "See `ruska methods deblur`.")
    shape = BlurShape(next(f for f in FAMILIES if f == family), values)
    shape.psf()
    return free_shape(shape.psf()) if family == "free" else shape


def free_shape(weights: NDArray[Any], *, smooth: bool = False) -> BlurShape:
    """What is physical of ``weights`` (odd square): nowhere negative, centred, up to `WIDEST` across, summing to 1."""
    from scipy.ndimage import center_of_mass, gaussian_filter, shift

    psf = np.asarray(weights, dtype=np.float64)
    if smooth:
        psf = gaussian_filter(psf, _SMOOTH, mode="constant")
        psf = np.maximum(psf - _FAINT * psf.max(), 0)
        off = [n // 2 - c for n, c in zip(psf.shape, center_of_mass(psf), strict=True)]
        psf = np.maximum(shift(psf, off, order=1), 0)
    if not np.isfinite(psf).all() or psf.min() < 0 or psf.sum() <= 0:
        raise SettingsError("kernel", "has negative weights or none at all", "Weights are 0 or more.")
    return BlurShape("free", tuple(float(v) for v in _cut(psf).ravel() / _cut(psf).sum()))


def _cut(psf: NDArray[Any]) -> NDArray[Any]:
    """Without the frame in which there is next to nothing."""
    middle = psf.shape[0] // 2
    seen: Sequence[Any] = np.argwhere(psf > _FAINT * psf.max() * 0.1) - middle
    half = min(int(np.abs(seen).max(initial=1)), WIDEST // 2, middle)
    return psf[middle - half : middle + half + 1, middle - half : middle + half + 1]
