"""How one image may lie displaced against another: a few parameters, a displacement, and its derivative.

The displacement ``d = (dy, dx)`` lives on the grid of the fixed image: what the fixed image shows at ``p`` lies in the
moving image at ``p - d(p)``. A positive ``dy`` therefore moves the moving image down, as `scipy.ndimage.shift` does.
All parameters are in pixels: those of a rotation or a stretch are what it does at the middle of an edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from ruska.errors import SettingsError, did_you_mean

if TYPE_CHECKING:
    from numpy.typing import NDArray

Model = Literal["shift", "rigid", "affine", "drift"]
MODELS: tuple[str, ...] = get_args(Model)

_DEGREE = 3


@dataclass(frozen=True)
class Motion:
    """A family of displacements over an image of ``shape`` (Y, X) pixels.

    shift : parameters (dy, dx).
    rigid : (dy, dx, turn): turned about the middle of the image, then shifted; ``turn`` is the arc in pixels at the
        half width, positive anticlockwise on the screen.
    affine : (dy, dx) at the middle, then what is added to each from the middle to the lower edge (dy, dx), and to the
        right edge (dy, dx).
    drift : the probe drifts while it scans: dy and dx are cubic B-splines of the row, ``segments`` polynomial pieces
        from the first row to the last; parameters are ``segments + 3`` coefficients of dy, then as many of dx.
    """

    model: Model
    shape: tuple[int, int]
    segments: int = 0

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise SettingsError("model", f"'{self.model}' is not one", did_you_mean(str(self.model), MODELS))

    @property
    def size(self) -> int:
        """Number of parameters."""
        return {"shift": 2, "rigid": 3, "affine": 6, "drift": 2 * (self.segments + _DEGREE)}[self.model]

    @property
    def half(self) -> tuple[float, float]:
        """Distance (Y, X) in pixels from the middle to the edges; where the middle is, as the first pixel is at 0."""
        return (self.shape[0] - 1) / 2, (self.shape[1] - 1) / 2

    def constant(self, shift: tuple[float, float] | NDArray[np.float64]) -> NDArray[np.float64]:
        """Parameters of a plain shift (dy, dx)."""
        if self.model == "drift":
            return np.repeat(np.asarray(shift, dtype=np.float64), self.size // 2)
        return np.array([*shift, *np.zeros(self.size - 2)], dtype=np.float64)

    def field(
        self, parameters: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Displacement, (2, rows, columns), in pixels, at rows ``y`` and columns ``x`` (both 1D, may be fractions)."""
        if self.model == "rigid":
            rows, columns = self._centred(y, x)
            angle = parameters[2] / self.half[1]
            cos, sin = np.cos(angle), np.sin(angle)
            return np.stack([
                parameters[0] + rows - (rows * cos + columns * sin),
                parameters[1] + columns - (columns * cos - rows * sin),
            ])  # fmt: skip
        found = np.zeros((2, y.size, x.size))
        if self.model == "drift":
            along = cubic_splines(y / (self.shape[0] - 1), self.segments) @ parameters.reshape(2, -1).T
            found += along.T[:, :, None]
            return found
        for value, part in zip(parameters, self.basis(parameters, y, x), strict=True):
            found += value * part
        return found

    def basis(
        self, parameters: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]
    ) -> list[NDArray[np.float64]]:
        """Derivative of `field` by each parameter, arrays that broadcast to (2, rows, columns)."""
        down, right = np.array([1.0, 0.0])[:, None, None], np.array([0.0, 1.0])[:, None, None]
        if self.model == "drift":
            splines = cubic_splines(y / (self.shape[0] - 1), self.segments)
            return [axis * spline[:, None] for axis in (down, right) for spline in splines.T]
        parts = [down, right]
        rows, columns = self._centred(y, x)
        if self.model == "rigid":
            angle = parameters[2] / self.half[1]
            cos, sin = np.cos(angle), np.sin(angle)
            parts.append((down * (rows * sin - columns * cos) + right * (rows * cos + columns * sin)) / self.half[1])
        if self.model == "affine":
            edge = (rows / self.half[0], columns / self.half[1])
            parts += [axis * along for along in edge for axis in (down, right)]
        return parts

    def roughness(self) -> NDArray[np.float64]:
        """Matrix S such that ``p' S p`` is the sum of squared second differences of a drift; zero for other models.

        Source: Eilers & Marx (1996), Statistical Science 11, eq. 8.
        """
        if self.model != "drift":
            return np.zeros((self.size, self.size))
        second = np.diff(np.eye(self.size // 2), n=2, axis=0)
        return np.asarray(np.kron(np.eye(2), second.T @ second), dtype=np.float64)

    def _centred(
        self, y: NDArray[np.float64], x: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return (y - self.half[0])[:, None], (x - self.half[1])[None, :]


def cubic_splines(t: NDArray[np.float64], segments: int) -> NDArray[np.float64]:
    """Uniform cubic B-splines at ``t`` (n,), 0 to 1 over the ``segments``: (n, segments + 3), rows sum to 1.

    Outside 0 to 1 the value of the nearer end is held.
    """
    place = np.clip(t, 0, 1) * segments
    first = np.minimum(place.astype(int), segments - 1)
    u = place - first
    weights = np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3]) / 6
    found = np.zeros((t.size, segments + _DEGREE))
    for k, weight in enumerate(weights):
        found[np.arange(t.size), first + k] = weight
    return found
