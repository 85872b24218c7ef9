"""Synthetic electron micrographs: a cell in section, nanoparticles on a film, and a detector to record them.

Everything is drawn on a grid twice as fine as asked for and area-averaged by the probe, so edges are as soft as in
a recorded micrograph. Membranes are dark, as in stained tissue imaged with inverted back-scattered electrons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import SettingsError
from ruska.physics.noise import STANDARD_DOSES, PoissonGaussian

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FINE = 2  # drawing pixels per pixel


def cell_phantom(shape: tuple[int, int] = (512, 512), seed: int = 0, pixel_size_nm: float = 4.0) -> NDArray[np.float32]:
    """Draw a section through a cell: cytosol, nucleus, mitochondria, endoplasmic reticulum, vesicles, ribosomes.

    Parameters
    ----------
    shape : (Y, X) in pixels, at least 16 each way.
    seed : which cell; the same seed draws the same one.
    pixel_size_nm : size of a pixel; membranes are 8 nm thick, mitochondria 350 to 600 nm wide.

    Returns float32 (Y, X) in 0-1, noise-free.
    """
    canvas = _Canvas(shape, seed, pixel_size_nm)
    for strength, scale_nm in ((0.05, 13), (0.045, 34), (0.03, 160), (0.03, 700)):
        canvas.texture(strength, scale_nm)
    canvas.nucleus()
    canvas.reticulum()
    canvas.mitochondria()
    canvas.vesicles()
    canvas.ribosomes()
    canvas.texture(0.022, 11)  # stain grain lies over everything
    canvas.texture(0.015, 900)  # as does uneven staining
    return canvas.exposed(probe_nm=6.0)


def particle_phantom(
    shape: tuple[int, int] = (512, 512), seed: int = 0, pixel_size_nm: float = 0.5
) -> NDArray[np.float32]:
    """Draw bright nanoparticles, some facetted, some overlapping, on a faintly uneven support film.

    Parameters and result as in `cell_phantom`; particles are 8 to 45 nm wide.
    """
    canvas = _Canvas(shape, seed, pixel_size_nm, ground=0.22)
    canvas.texture(0.02, 1.5)
    canvas.texture(0.03, 60)
    canvas.particles()
    return canvas.exposed(probe_nm=0.8)


def simulate_micrograph(
    clean: NDArray[Any], dose: int | PoissonGaussian = 1, seed: int = 0, bits: int = 16
) -> NDArray[Any]:
    """Record ``clean`` (any shape, 0-1) with noise on a detector of 8 or 16 bits.

    dose : a noise model, or 0 (high), 1 (middle), 2 (low) of `STANDARD_DOSES`.

    The detector's black level is at 10 % of its range and clean white at 80 %, so that noise is hardly clipped.
    Returns uint8 or uint16 grey levels of the shape of ``clean``.
    """
    if bits not in (8, 16):
        raise SettingsError("bits", f"is {bits}, expected 8 or 16")
    if isinstance(dose, int):
        if not 0 <= dose < len(STANDARD_DOSES):
            raise SettingsError("dose", f"is {dose}, expected 0 (high), 1 (middle) or 2 (low), or a noise model")
        dose = STANDARD_DOSES[dose]
    top = 2**bits - 1
    levels = top * (0.1 + 0.7 * dose.simulate(clean, seed))
    return np.clip(np.rint(levels), 0, top).astype(np.uint8 if bits == 8 else np.uint16)


class _Canvas:
    """A finely sampled picture that organelles are painted on. Lengths are in nanometres, positions in pixels."""

    def __init__(self, shape: tuple[int, int], seed: int, pixel_size_nm: float, ground: float = 0.66) -> None:
        if len(shape) != 2 or min(shape) < 16:
            raise SettingsError("shape", f"is {tuple(shape)}, expected (Y, X) of at least 16 pixels each")
        if not pixel_size_nm > 0:
            raise SettingsError("pixel_size_nm", f"is {pixel_size_nm}, expected a positive number")
        self.size = (shape[0] * _FINE, shape[1] * _FINE)
        self.nm = pixel_size_nm / _FINE
        self.random = np.random.default_rng(seed)
        self.values = np.full(self.size, ground, dtype=np.float32)
        self.taken = np.zeros(self.size, dtype=bool)  # where an organelle lies already

    def smooth_field(self, scale_nm: float, size: tuple[int, int] | None = None) -> NDArray[np.float32]:
        """Gaussian random field of unit variance with grains ``scale_nm`` wide."""
        from scipy.ndimage import gaussian_filter, zoom

        size = size or self.size
        grain = scale_nm / self.nm
        step = max(1, int(grain / 7))  # drawn coarsely and enlarged: the field holds nothing finer
        coarse = tuple(n // step + 4 for n in size)
        field = gaussian_filter(self.random.standard_normal(coarse, dtype=np.float32), grain / step / 2, mode="wrap")
        if step > 1:
            field = zoom(field, step, order=1)
        field = field[: size[0], : size[1]]
        return (field - field.mean()) / max(float(field.std()), 1e-6)

    def texture(self, strength: float, scale_nm: float) -> None:
        self.values += strength * self.smooth_field(scale_nm)

    def blob(
        self, centre: tuple[float, float], radii_nm: tuple[float, float], angle: float, roughness: float
    ) -> tuple[tuple[slice, slice], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]] | None:
        """A wobbly ellipse: its box, signed depth (nm, > 0 inside) and coordinates (nm) along its axes."""
        reach = max(radii_nm) * (1 + 2 * roughness) / self.nm + 12
        box = tuple(
            slice(max(0, int(c - reach)), min(n, int(c + reach))) for c, n in zip(centre, self.size, strict=True)
        )
        if any(s.stop - s.start < 4 for s in box):
            return None
        y, x = np.ogrid[box[0], box[1]]
        dy, dx = (y - centre[0]) * self.nm, (x - centre[1]) * self.nm
        u = (dx * np.cos(angle) + dy * np.sin(angle)).astype(np.float32)
        v = (-dx * np.sin(angle) + dy * np.cos(angle)).astype(np.float32)
        theta = np.arctan2(v / radii_nm[1], u / radii_nm[0])
        wobble = np.ones_like(u)
        for order in (2, 3, 5):
            wobble += roughness / order * np.cos(order * theta + self.random.uniform(0, 6.28)).astype(np.float32)
        # depth of r < wobble, turned into a length by the local gradient of r
        r = np.sqrt((u / radii_nm[0]) ** 2 + (v / radii_nm[1]) ** 2) + 1e-6
        steepness = np.hypot(u / radii_nm[0] ** 2, v / radii_nm[1] ** 2) / r + 1e-9
        return (box[0], box[1]), (wobble - r) / steepness, u, v

    def free(self, box: tuple[slice, slice], depth: NDArray[np.float32], gap_nm: float) -> bool:
        """Whether nothing lies there yet; if so, claim it."""
        footprint = depth > -gap_nm
        if (self.taken[box] & footprint).any():
            return False
        self.taken[box] |= footprint
        return True

    def membrane(self, box: tuple[slice, slice], depth: NDArray[np.float32], level: float, at: float = 0.0) -> None:
        """Paint a sheet 8 nm thick, ``at`` nm inside the outline, as dark as ``level``."""
        oblique = 2.6 * np.abs(self.smooth_field(240, depth.shape))  # a tilted sheet is cut broader and fainter
        weight = np.exp(-(((depth - at) / (4.6 + oblique)) ** 2)) / (1 + 0.07 * oblique)
        self.values[box] += weight * (level - self.values[box])

    def fill(self, box: tuple[slice, slice], depth: NDArray[np.float32], level: float, strength: float) -> None:
        weight = strength * np.clip(depth / 6.0 + 0.5, 0, 1)
        self.values[box] += weight * (level - self.values[box])

    def place(self) -> tuple[float, float]:
        y, x = self.random.uniform(-0.05, 1.05, 2) * self.size
        return float(y), float(x)

    def nucleus(self) -> None:
        """A double envelope around patchy chromatin, partly outside the picture."""
        h, w = self.size
        corner = self.random.integers(0, 4)
        centre = (h * (0.02 if corner < 2 else 0.98), w * (0.05 if corner % 2 else 0.95))
        radius = 0.42 * min(h, w) * self.nm
        made = self.blob(centre, (radius, radius * 0.85), self.random.uniform(0, 3), 0.09)
        if made is None:
            return
        box, depth, _, _ = made
        self.taken[box] |= depth > -25
        self.fill(box, depth, 0.6, 0.45)
        patchy = self.smooth_field(130, depth.shape)
        chromatin = np.clip(patchy - 0.35 + np.exp(-np.maximum(depth - 20, 0) / 45) * 0.9, 0, 1) * (depth > 14)
        grain = 1 + 0.35 * self.smooth_field(14, depth.shape)
        self.values[box] -= 0.26 * chromatin * grain
        pores = np.clip(self.smooth_field(110, depth.shape) * 3 + 5, 0, 1)
        for at in (0.0, 32.0):
            weight = pores * np.exp(-(((depth - at) / 6.0) ** 2))
            self.values[box] += weight * (0.2 - self.values[box])

    def mitochondria(self) -> None:
        """Dark matrix, two membranes, and folded cristae across the long axis."""
        area_um2 = self.size[0] * self.size[1] * self.nm**2 / 1e6
        for _ in range(int(24 * area_um2) + 12):
            length = self.random.uniform(220, 520)
            made = self.blob(self.place(), (length, self.random.uniform(120, 190)), self.random.uniform(0, 3.2), 0.09)
            if made is None or not self.free(made[0], made[1], 22):
                continue
            box, depth, u, _ = made
            self.fill(box, depth, self.random.uniform(0.42, 0.5), 0.8)
            bend = 22 * self.smooth_field(110, depth.shape)
            period = self.random.uniform(62, 80)
            phase = (u + bend) / period
            stretch = np.clip(self.smooth_field(130, depth.shape) * 2 + 1.2, 0, 1)  # cristae end inside the matrix
            fold = np.abs(phase - np.rint(phase)) * period
            inside = np.clip((depth - 26) / 8, 0, 1) * stretch
            lumen = inside * np.clip(1.4 - fold / 9, 0, 1)
            self.values[box] += lumen * (0.6 - self.values[box])
            walls = inside * np.exp(-(((fold - 13) / 4.5) ** 2))
            self.values[box] += 0.9 * walls * (0.2 - self.values[box])
            self.membrane(box, depth, 0.17)
            self.membrane(box, depth, 0.22, at=20)

    def reticulum(self) -> None:
        """Pairs of membranes that run roughly parallel: level lines of a slowly varying field."""
        field = self.smooth_field(420) + 0.18 * self.smooth_field(140)
        slope_y, slope_x = np.gradient(field, self.nm)
        steep = np.hypot(slope_y, slope_x) + 3e-4
        where = np.clip(self.smooth_field(520) * 3 - 0.6, 0, 1) * ~self.taken
        for level in (-0.35, 0.05, 0.45):
            distance = np.abs(field - level) / steep  # nm from the middle of the sheet
            self.values += where * np.clip(1.6 - distance / 18, 0, 1) * (0.72 - self.values)
            walls = where * np.exp(-(((distance - 27) / 5.0) ** 2))
            self.values += 0.85 * walls * (0.24 - self.values)
            rim = (np.abs(distance - 43) < 9) & (where > 0.6)
            self.dots(rim, self.random.uniform(0.004, 0.006), 0.24)
            self.taken |= (distance < 55) & (where > 0.15)

    def vesicles(self) -> None:
        """Small round compartments, empty or filled."""
        area_um2 = self.size[0] * self.size[1] * self.nm**2 / 1e6
        for _ in range(int(70 * area_um2) + 20):
            radius = float(np.clip(self.random.lognormal(np.log(32), 0.4), 18, 130))
            made = self.blob(
                self.place(), (radius, radius * self.random.uniform(0.6, 1)), self.random.uniform(0, 3), 0.13
            )
            if made is None or not self.free(made[0], made[1], 14):
                continue
            box, depth, _, _ = made
            dense = self.random.uniform() < 0.25
            self.fill(box, depth - (12 if dense else 0), 0.33 if dense else self.random.uniform(0.64, 0.74), 0.75)
            self.membrane(box, depth, 0.22)

    def dots(self, where: NDArray[np.bool_], density: float, level: float, radius_nm: float = 11.0) -> None:
        """Scatter granules: ``density`` is the share of the pixels of ``where`` that are a centre at 2 nm a pixel."""
        from scipy.ndimage import gaussian_filter

        chance = density * (self.nm / 2.0) ** 2
        centres = np.where(where & (self.random.random(self.size, dtype=np.float32) < chance), 1, 0)
        sigma = radius_nm / self.nm / 1.6
        spots = gaussian_filter(centres.astype(np.float32), sigma) * (2 * np.pi * sigma**2)
        self.values += np.clip(spots, 0, 1) * (level - self.values)

    def ribosomes(self) -> None:
        """Free granules in the cytosol, in clusters."""
        clusters = self.smooth_field(160) > -0.4
        self.dots(~self.taken & clusters, 0.0016, 0.34)

    def particles(self) -> None:
        """Bright discs and polygons of projected thickness."""
        area = self.size[0] * self.size[1] * self.nm**2
        for _ in range(int(area / 1800) + 4):
            radius = float(np.clip(self.random.lognormal(np.log(9), 0.35), 4, 23))
            centre, turn = self.place(), self.random.uniform(0, 6.28)
            made = self.blob(centre, (radius, radius * self.random.uniform(0.8, 1)), turn, 0.02)
            if made is None:
                continue
            box, depth, u, v = made
            if self.random.uniform() < 0.5:
                sides = self.random.integers(5, 8)
                angles = 2 * np.pi * np.arange(sides) / sides
                facets = [radius * self.random.uniform(0.75, 0.95) - (u * np.cos(a) + v * np.sin(a)) for a in angles]
                depth = np.min(facets, axis=0)
            thickness = np.sqrt(np.clip(depth * (2 * radius - np.minimum(depth, radius)), 0, None)) / radius
            edge = np.clip(depth / self.nm / 2 + 0.5, 0, 1)
            added = edge * (0.12 + 0.36 * thickness) * self.random.uniform(0.75, 1.1)
            self.values[box] += added * (1.25 - self.values[box])  # stacked particles saturate slowly

    def exposed(self, probe_nm: float) -> NDArray[np.float32]:
        """Blur with the probe (full width at half maximum), area-average to the pixels, and clip to 0-1."""
        from scipy.ndimage import gaussian_filter

        blurred = gaussian_filter(self.values, probe_nm / 2.355 / self.nm)
        h, w = self.size
        pixels = blurred.reshape(h // _FINE, _FINE, w // _FINE, _FINE).mean((1, 3))
        return np.clip(pixels, 0, 1).astype(np.float32)
