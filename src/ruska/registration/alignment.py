"""`Alignment`: how one image lies on another, how well that is known, and the moving image put in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.registration.motion import Motion

_STRIP = 256  # rows displaced at a time


@dataclass(frozen=True, eq=False)
class Alignment:
    """The displacement that puts a moving image onto a fixed one.

    motion : the model, on the grid of the fixed image.
    parameters : of the model, in pixels (see `Motion`).
    covariance : of their errors, in pixels squared.
    error_px : estimated error of dy or dx (the standard error, root mean square over axes and image), in pixels.
    confidence : 0 to 1: roughly, the chance that the displacement is right to half a pixel. The product of three:
        that the error is below half a pixel, that unrelated images would not correlate as well, and that no other
        shift fits as well (a lattice fits itself at many).
    correlation : of the band-passed images once aligned, -1 to 1.
    doubts : objections to the alignment, in words.
    """

    motion: Motion
    parameters: NDArray[np.float64]
    covariance: NDArray[np.float64]
    error_px: float
    confidence: float
    correlation: float
    doubts: tuple[str, ...] = ()

    @property
    def shift(self) -> tuple[float, float]:
        """Displacement (dy, dx) in pixels, averaged over the image; positive moves the moving image down and right."""
        dy, dx = self.displacement().mean((1, 2))
        return float(dy), float(dx)

    @property
    def angle_deg(self) -> float:
        """By how much the moving image is turned, anticlockwise on the screen, in degrees (``rigid`` only, else 0)."""
        return float(np.degrees(self.parameters[2] / self.motion.half[1])) if self.motion.model == "rigid" else 0.0

    def displacement(self, shape: tuple[int, int] | None = None) -> NDArray[np.float64]:
        """Displacement (dy, dx) in pixels at every pixel of the fixed image, (2, Y, X).

        shape : of a fixed image cut off or extended at its lower right end; default: as it is.
        """
        height, width = shape or self.motion.shape
        return self.motion.field(self.parameters, np.arange(height, dtype=float), np.arange(width, dtype=float))

    def valid(self, moving_shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Where the moving image of this shape covers the fixed one: (Y, X) of the fixed image."""
        dy, dx = self.displacement()
        y, x = np.arange(self.motion.shape[0])[:, None] - dy, np.arange(self.motion.shape[1])[None, :] - dx
        # half a thousandth of a pixel: an alignment that comes to nothing does not cost the frame
        (bottom, right), slack = moving_shape, 5e-4
        return (y >= -slack) & (y <= bottom - 1 + slack) & (x >= -slack) & (x <= right - 1 + slack)

    def apply(self, moving: NDArray[Any], *, fill: float = np.nan) -> NDArray[Any]:
        """The moving image (Y, X) on the grid of the fixed one, (Y, X), by cubic splines.

        Floats keep their dtype, others become float32. Where the moving image does not reach (see `valid`) stands
        ``fill``; NaN and infinite pixels spread over the two pixels around them. Raises GeometryError unless 2D.
        """
        from scipy.ndimage import map_coordinates, spline_filter

        if moving.ndim != 2:
            raise GeometryError("moving image", f"has shape {moving.shape}, expected (Y, X)", "Apply plane by plane.")
        dtype = moving.dtype if moving.dtype.kind == "f" else np.dtype(np.float32)
        values = moving.astype(np.float64)
        bad = ~np.isfinite(values)
        if bad.any():
            values[bad] = values[~bad].mean() if not bad.all() else 0.0
        splines = spline_filter(values, order=3, mode="mirror")
        covered = self.valid(moving.shape)
        out = np.empty(self.motion.shape, dtype=dtype)
        columns = np.arange(self.motion.shape[1], dtype=float)
        for top in range(0, len(out), _STRIP):
            rows = np.arange(top, min(top + _STRIP, len(out)), dtype=float)
            dy, dx = self.motion.field(self.parameters, rows, columns)
            places = np.stack([rows[:, None] - dy, columns[None, :] - dx])
            strip = out[top : top + len(rows)]
            strip[...] = map_coordinates(splines, places, order=3, prefilter=False, mode="mirror")
            if bad.any():
                near = map_coordinates(bad.astype(np.float32), places, order=1, mode="nearest") > 1e-6
                strip[near] = np.nan
        out[~covered] = fill
        return out

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers for a record."""
        field = self.displacement()
        return {
            "model": self.motion.model,
            "shift_px": list(self.shift),
            "angle_deg": self.angle_deg,
            "largest_px": float(np.hypot(*field).max()),
            "error_px": self.error_px,
            "confidence": self.confidence,
            "correlation": self.correlation,
            "doubts": list(self.doubts),
            "parameters_px": [float(p) for p in self.parameters],
            "segments": self.motion.segments,
            "fixed_shape": list(self.motion.shape),
        }
