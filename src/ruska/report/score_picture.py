"""The picture of a score: noisy, result, truth and error, a detail of each, and what they share at each frequency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.evaluation import noise_spectrum, scored_places
from ruska.metrics import fit_gain_offset, frc, radial_spectrum
from ruska.physics import estimate_noise
from ruska.report.lettering import set_title
from ruska.report.panels import detail_window, grey_window, outline, residual_panel, scale_bar, show
from ruska.report.png import png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from ruska.image import Image

    Plane = NDArray[np.float64]

_MOST_PIXELS = 1024  # side of the central part of a large plane that is shown
_NOISY, _RESULT, _MODEL, _LINE = "#7a7a7a", "#0b6fa4", "#c2571a", "#444444"
_WIDTH = 4.4  # inches of a panel


@dataclass(frozen=True)
class Compared:
    """One plane of each image, (Y, X), float64, on one grid; None for what was not given.

    pixel_nm : along X, None where unknown. caption : which part of the data this is.
    """

    result: Plane
    truth: Plane | None
    noisy: Plane | None
    pixel_nm: float | None
    caption: str


def choose_compared(result: Image, truth: Image | None, noisy: Image | None) -> Compared:
    """Read the middle one of the planes that are scored: its central part when it is large."""
    places = scored_places(result)
    place = places[len(places) // 2]
    shape = result.shape[-2:]
    sides = [min(n, _MOST_PIXELS) for n in shape]
    inner = tuple(slice((n - side) // 2, (n - side) // 2 + side) for n, side in zip(shape, sides, strict=True))
    box = (*(slice(i, i + 1) for i in place), *inner)
    planes = [
        None if image is None else np.asarray(image.data[box], dtype=np.float64).reshape(sides)
        for image in (result, truth, noisy)
    ]
    assert planes[0] is not None
    where = [f"plane {i + 1} of {n} along {a}" for a, i, n in zip(result.axes, place, result.shape, strict=False)]
    whole = f"all {shape[0]} x {shape[1]} pixels"
    part = f"central {sides[0]} x {sides[1]} of {shape[0]} x {shape[1]} pixels"
    caption = "Shown: " + ", ".join([*where, whole if tuple(sides) == tuple(shape) else part])
    return Compared(planes[0], planes[1], planes[2], result.voxel_size_nm.get("X"), caption)


def draw_scores(found: Compared, title: str, headline: str = "") -> bytes:
    """PNG: the images side by side, the same detail of each, the curves. ``headline`` stands above them."""
    from matplotlib.figure import Figure

    panels = _panels(found)
    width = max(len(panels), 2) * _WIDTH
    h, w = found.result.shape
    tall = float(np.clip(h / w, 0.35, 1.6)) * _WIDTH
    figure = Figure(figsize=(width, tall + _WIDTH + 5.1), dpi=100, layout="constrained", facecolor="white")
    set_title(figure, title, *([headline] if headline else []), found.caption)
    rows: Any = figure.subfigures(3, 1, height_ratios=[tall + 0.4, _WIDTH + 0.4, 3.6])
    window = detail_window(found.result if found.truth is None else found.truth)
    for row, part in ((rows[0], None), (rows[1], window)):
        for axes, panel in zip(row.subplots(1, max(len(panels), 2), squeeze=False)[0], panels, strict=False):
            _draw_panel(row, axes, panel, part, found.pixel_nm)
            if part is None and panel[0] != "error":
                outline(axes, window)
    if len(panels) == 1:
        for row in rows[:2]:
            row.axes[1].set_axis_off()
    _draw_curves(rows[2], found)
    return png(figure)


def _panels(found: Compared) -> list[tuple[str, Plane, str, Any]]:
    """Kind, plane, title and grey window of each panel; ``error`` is drawn in two colours around zero."""
    grey = grey_window(found.result)
    panels: list[tuple[str, Plane, str, Any]] = []
    if found.noisy is not None:
        panels.append(("image", found.noisy, "Noisy (grey window of the result)", grey))
    panels.append(("image", found.result, "Result", grey))
    if found.truth is not None:
        gain, offset = fit_gain_offset(found.result, found.truth)
        panels.append(("image", found.truth, "Truth", grey_window(found.truth)))
        panels.append(("error", gain * found.result + offset - found.truth, "Error: fitted result − truth", None))
    elif found.noisy is not None:
        panels.append(("error", found.noisy - found.result, "Residual: noisy − result", None))
    return panels


def _draw_panel(row: Any, axes: Axes, panel: tuple[str, Plane, str, Any], part: Any, pixel_nm: float | None) -> None:
    kind, plane, title, grey = panel
    seen = plane if part is None else plane[part]
    shown = title if part is None else f"Detail, {seen.shape[1]} x {seen.shape[0]} px"
    if kind == "error":
        residual_panel(row, axes, seen, plane, shown, bar=True)
        return
    show(axes, seen, grey, shown)
    scale_bar(axes, seen.shape[1], seen.shape[0], pixel_nm)


def _draw_curves(row: Any, found: Compared) -> None:
    both = found.truth is not None and found.noisy is not None
    panels = row.subplots(1, 2 if both or found.truth is not None else 1, squeeze=False)[0]
    if found.truth is not None:
        _draw_frc(panels[0], found, found.truth)
    _draw_spectra(panels[-1], found)
    for axes in panels:
        axes.set(xlabel="spatial frequency (cycles per pixel; right = finest)", xlim=(0, 0.5))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)


def _draw_frc(axes: Axes, found: Compared, truth: Plane) -> None:
    for name, plane, colour in (("noisy", found.noisy, _NOISY), ("result", found.result, _RESULT)):
        if plane is not None:
            curve = frc(plane, truth, threshold=0.5)
            period = f"{curve.resolution_px or 2:.1f} px"
            axes.plot(
                curve.frequency, curve.correlation, color=colour, linewidth=1.8, label=f"{name}, down to {period}"
            )
    axes.axhline(0.5, color=_LINE, linewidth=0.8, linestyle=":")
    axes.set(title="What is shared with the truth (Fourier ring correlation)", ylim=(-0.1, 1.05), ylabel="correlation")


def _draw_spectra(axes: Axes, found: Compared) -> None:
    """The residual beside the noise; without a noisy image the error, or the result alone."""
    if found.noisy is not None:
        frequency, power = radial_spectrum(found.noisy - found.result)
        axes.semilogy(frequency, np.maximum(power, 1e-300), color=_RESULT, linewidth=1.8, label="noisy − result")
        expected = noise_spectrum(estimate_noise(found.noisy), frequency)
        axes.semilogy(frequency, expected, "--", color=_MODEL, linewidth=1.8, label="noise, as estimated")
        axes.set(title="What was removed, and what the noise is")
    elif found.truth is not None:
        gain, offset = fit_gain_offset(found.result, found.truth)
        frequency, power = radial_spectrum(gain * found.result + offset - found.truth)
        axes.semilogy(frequency, np.maximum(power, 1e-300), color=_RESULT, linewidth=1.8, label="error")
        axes.semilogy(*radial_spectrum(found.truth), "--", color=_NOISY, linewidth=1.8, label="truth")
        axes.set(title="What is wrong, and what is there")
    else:
        axes.semilogy(*radial_spectrum(found.result), color=_RESULT, linewidth=1.8, label="result")
        axes.set(title="Power at each spatial frequency")
    axes.set_ylabel("power per pixel")
