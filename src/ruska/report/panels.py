"""Panels that the report's figures are made of: images, residuals, outlines, scale bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Plane = NDArray[np.float64]
    Window = tuple[slice, slice]


def detail_window(plane: Plane) -> Window:
    """The most structured square of 128 to 192 pixels (all of a smaller plane)."""
    from scipy.ndimage import gaussian_gradient_magnitude, uniform_filter

    h, w = plane.shape
    side = int(np.clip(min(h, w) // 3, 128, 192))
    tall, wide = min(side, h), min(side, w)
    # the root keeps one glaring edge from outweighing a field of fine structure
    busy = uniform_filter(np.sqrt(gaussian_gradient_magnitude(plane, 2.0)), (tall, wide), mode="constant")
    inner = busy[tall // 2 : h - tall + tall // 2 + 1, wide // 2 : w - wide + wide // 2 + 1]
    y, x = np.unravel_index(int(np.argmax(inner)), inner.shape)
    return slice(int(y), int(y) + tall), slice(int(x), int(x) + wide)


def grey_window(plane: Plane) -> tuple[float, float]:
    low, high = np.percentile(plane, (0.3, 99.7))
    return float(low), float(high) if high > low else float(low) + 1.0


def show(axes: Axes, plane: Plane, window: tuple[float, float], title: str, aspect: float = 1.0) -> None:
    axes.imshow(plane, cmap="gray", vmin=window[0], vmax=window[1], aspect=aspect)
    axes.set_title(title, fontsize=12)
    axes.set_xticks([])
    axes.set_yticks([])


def residual_panel(row: Any, axes: Axes, part: Plane, whole: Plane, title: str, bar: bool) -> None:
    reach = float(np.percentile(np.abs(whole), 99.5)) or 1.0
    drawn = axes.imshow(part, cmap="RdBu_r", vmin=-reach, vmax=reach)
    axes.set_title(title, fontsize=12)
    axes.set_xticks([])
    axes.set_yticks([])
    if bar:
        row.colorbar(drawn, ax=axes, shrink=0.7, location="right", label="grey levels", pad=0.02)


def std_panel(row: Any, axes: Axes, std: Plane, title: str) -> None:
    """Dark where the result is sure."""
    drawn = axes.imshow(std, cmap="viridis", vmin=0, vmax=float(np.percentile(std, 99.5)) or 1.0)
    axes.set_title(title, fontsize=12)
    axes.set_xticks([])
    axes.set_yticks([])
    row.colorbar(drawn, ax=axes, shrink=0.7, location="left", label="grey levels", pad=0.02)


def outline(axes: Axes, window: Window) -> None:
    from matplotlib.patches import Rectangle

    y, x = window
    for colour, width in (("black", 2.6), ("#ffd54a", 1.4)):
        box = Rectangle((x.start - 0.5, y.start - 0.5), x.stop - x.start, y.stop - y.start, fill=False)
        box.set(edgecolor=colour, linewidth=width)
        axes.add_patch(box)


def scale_bar(axes: Axes, width: int, height: int, pixel_nm: float | None) -> None:
    """A bar of a round length, about a fifth of the picture."""
    if pixel_nm is None or not pixel_nm > 0:
        return
    from matplotlib.patches import Rectangle

    length = round_length(0.22 * width * pixel_nm)
    long, thick, gap = length / pixel_nm, 0.014 * width, 0.025 * min(height, width)
    rise = 0.045 * width  # room for the label, whose size goes with the panel's width
    label = f"{length / 1000:g} µm" if length >= 1000 else f"{length:g} nm" if length >= 1 else f"{length * 10:g} Å"
    # the plate keeps the bar readable on bright and on dark ground
    top = height - thick - 2.6 * gap - rise
    plate = Rectangle((gap, top), long + 2 * gap, thick + 1.6 * gap + rise)
    plate.set(facecolor="black", alpha=0.55, edgecolor="none")
    bar = Rectangle((2 * gap, height - thick - 2 * gap), long, thick, facecolor="white", edgecolor="none")
    axes.add_patch(plate)
    axes.add_patch(bar)
    axes.text(
        2 * gap + long / 2, height - thick - 2.3 * gap, label, color="white", ha="center", va="bottom", fontsize=11
    )


def round_length(about: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not larger than ``about`` (> 0)."""
    power = 10.0 ** np.floor(np.log10(about))
    return float(max(step for step in (1, 2, 5) if step * power <= about * (1 + 1e-9)) * power)
