"""The report's figure: before, after, residual, a detail, spectra and histograms. Reads only what it shows."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.metrics import radial_spectrum

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from ruska.image import Image

    Plane = NDArray[np.float64]

MOST_PIXELS = 1024  # side of the central part of a large plane that is shown
_RESLICE_BYTES = 256 << 20  # a compressed file may have to be read whole for one XZ re-slice
_BEFORE, _AFTER, _RESIDUAL = "#7a7a7a", "#0b6fa4", "#c2571a"  # distinct in grey as well


@dataclass(frozen=True)
class Shown:
    """The planes a report shows.

    before, after : (Y, X), float64, NaN and infinite values replaced by the plane's median.
    residual : before minus after, or None when the two have different grids.
    before_xz, after_xz : (Z, X) re-slices through the middle, or None.
    pixel_nm : pixel size of ``before`` and of ``after`` along X, None where unknown.
    depth_ratio : Z spacing over X spacing of ``before`` and ``after``, 1 where unknown.
    caption : which part of the data this is.
    """

    before: Plane
    after: Plane
    residual: Plane | None
    before_xz: Plane | None
    after_xz: Plane | None
    pixel_nm: tuple[float | None, float | None]
    depth_ratio: tuple[float, float]
    caption: str


def choose_shown(before: Image, after: Image) -> Shown:
    """Read the middle plane (its central part when it is large) of both images, and a re-slice where it is cheap."""
    same = before.axes == after.axes and before.shape == after.shape
    side = MOST_PIXELS
    zoom = max(1.0, after.shape[-1] / before.shape[-1])
    b, a = _read(before, side, "plane"), _read(after, round(side * zoom), "plane")
    xz = all("Z" in i.axes and i.size("Z") >= 8 and i.nbytes <= _RESLICE_BYTES for i in (before, after))
    ratio = tuple(
        i.voxel_size_nm["Z"] / i.voxel_size_nm["X"] if {"Z", "X"} <= set(i.voxel_size_nm) else 1.0
        for i in (before, after)
    )
    return Shown(
        b, a, b - a if same else None,
        _read(before, side, "reslice") if xz else None, _read(after, round(side * zoom), "reslice") if xz else None,
        (before.voxel_size_nm.get("X"), after.voxel_size_nm.get("X")), (ratio[0], ratio[1]), _caption(before),
    )  # fmt: skip


def _read(image: Image, side: int, what: str) -> Plane:
    """The middle plane or XZ re-slice; ``side`` limits Y and X."""
    box, shape = [], []
    for axis, n in zip(image.axes, image.shape, strict=True):
        whole = axis == "X" or axis == ("Y" if what == "plane" else "Z")
        wanted = (min(n, side) if axis in "YX" else min(n, MOST_PIXELS)) if whole else 1
        start = 0 if axis == "C" else (n - wanted) // 2
        box.append(slice(start, start + wanted))
        if whole:
            shape.append((axis, wanted))
    values = np.asarray(image.data[tuple(box)], dtype=np.float64).reshape([n for _, n in shape])
    if shape[0][0] == "X":
        values = values.T
    finite = np.isfinite(values)
    if finite.all():
        return values
    return np.where(finite, values, np.median(values[finite]) if finite.any() else 0.0)


def _caption(image: Image) -> str:
    parts = []
    names = {"T": "frame", "C": "channel", "Q": "slice", "Z": "slice"}
    for axis, n in zip(image.axes, image.shape, strict=True):
        if axis in names and n > 1:
            parts.append(f"{names[axis]} {1 if axis == 'C' else (n - 1) // 2 + 1} of {n}")
    h, w = image.shape[-2:]
    if max(h, w) > MOST_PIXELS:
        shown = f"{min(h, MOST_PIXELS)} x {min(w, MOST_PIXELS)}"
        parts.append(f"central {shown} of {h} x {w} pixels")
    else:
        parts.append(f"all {h} x {w} pixels")
    return "Shown: " + ", ".join(parts)


def detail_window(plane: Plane) -> tuple[slice, slice]:
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


def draw(shown: Shown, title: str) -> bytes:
    """Draw the figure and return it as PNG, about 1500 pixels wide."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    h, w = shown.before.shape
    columns = 2 if shown.residual is None else 3
    tall = float(np.clip(h / w, 0.35, 1.6)) * 15 / columns
    with_xz = shown.before_xz is not None
    heights = [tall + 0.5, 15 / columns + 0.3, 4.0] + ([_reslice_height(shown)] if with_xz else [])
    figure = Figure(figsize=(15, sum(heights) + 0.6), dpi=100, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{_plain(title)}\n{shown.caption}", fontsize=13)
    rows: Any = figure.subfigures(len(heights), 1, height_ratios=heights)
    window = detail_window(shown.after)
    _draw_images(rows[0], shown, columns, window)
    _draw_details(rows[1], shown, columns, window)
    _draw_curves(rows[2], shown)
    if with_xz:
        _draw_reslices(rows[3], shown)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _plain(text: str) -> str:
    """Keep matplotlib from reading a file name as a formula, and the title from outgrowing the page."""
    text = text if len(text) <= 110 else f"{text[:60]}…{text[-45:]}"
    return text.replace("$", r"\$")


def _grey_window(plane: Plane) -> tuple[float, float]:
    low, high = np.percentile(plane, (0.3, 99.7))
    return float(low), float(high) if high > low else float(low) + 1.0


def _show(axes: Axes, plane: Plane, window: tuple[float, float], title: str, aspect: float = 1.0) -> None:
    axes.imshow(plane, cmap="gray", vmin=window[0], vmax=window[1], aspect=aspect)
    axes.set_title(title, fontsize=12)
    axes.set_xticks([])
    axes.set_yticks([])


def _draw_images(row: Any, shown: Shown, columns: int, window: tuple[slice, slice]) -> None:
    panels = row.subplots(1, columns)
    grey = _grey_window(shown.after)
    _show(panels[0], shown.before, grey, "Before")
    _show(panels[1], shown.after, grey, "After (same grey window)")
    for axes, plane, nm in zip(panels, (shown.before, shown.after), shown.pixel_nm, strict=False):
        _scale_bar(axes, plane.shape[1], plane.shape[0], nm)
        _outline(axes, _scaled(window, shown.after, plane))
    if shown.residual is not None:
        _residual_panel(row, panels[2], shown.residual, shown.residual, "Residual (before − after)", bar=True)


def _draw_details(row: Any, shown: Shown, columns: int, window: tuple[slice, slice]) -> None:
    panels = row.subplots(1, columns)
    grey = _grey_window(shown.after)
    there = _scaled(window, shown.after, shown.before)
    for axes, plane, nm, title in (
        (panels[0], shown.before[there], shown.pixel_nm[0], "Detail before"),
        (panels[1], shown.after[window], shown.pixel_nm[1], "Detail after"),
    ):
        _show(axes, plane, grey, f"{title} ({plane.shape[1]} x {plane.shape[0]} px)")
        _scale_bar(axes, plane.shape[1], plane.shape[0], nm)
    if shown.residual is not None:
        _residual_panel(row, panels[2], shown.residual[window], shown.residual, "Detail of the residual", bar=False)


def _residual_panel(row: Any, axes: Axes, part: Plane, whole: Plane, title: str, bar: bool) -> None:
    reach = float(np.percentile(np.abs(whole), 99.5)) or 1.0
    drawn = axes.imshow(part, cmap="RdBu_r", vmin=-reach, vmax=reach)
    axes.set_title(title, fontsize=12)
    axes.set_xticks([])
    axes.set_yticks([])
    if bar:
        row.colorbar(drawn, ax=axes, shrink=0.7, location="right", label="grey levels", pad=0.02)


def _draw_curves(row: Any, shown: Shown) -> None:
    spectra, histogram = row.subplots(1, 2)
    curves = [("before", shown.before, _BEFORE, "-"), ("after", shown.after, _AFTER, "-")]
    if shown.residual is not None:
        curves.append(("residual", shown.residual, _RESIDUAL, "--"))
    top = 0.0
    for name, plane, colour, style in curves:
        if min(plane.shape) >= 16 and plane.std() > 0:
            frequency, power = radial_spectrum(plane)
            top = max(top, float(power.max()))
            spectra.semilogy(frequency, np.maximum(power, 1e-300), style, color=colour, label=name, linewidth=1.8)
    if top > 0:
        low, high = spectra.get_ylim()
        spectra.set_ylim(max(low, top * 1e-9), high)
        spectra.legend(frameon=False)
    spectra.set(xlabel="spatial frequency (cycles per pixel; right = finest)", ylabel="power per pixel",
                title="How much there is of each size of detail", xlim=(0, 0.5))  # fmt: skip
    low, high = (
        float(v) for v in np.percentile(np.concatenate([shown.before.ravel(), shown.after.ravel()]), (0.1, 99.9))
    )
    edges = _bin_edges(low, high, shown)
    for name, plane, colour, style in curves[:2]:
        count, _ = np.histogram(plane, edges)
        histogram.stairs(count / plane.size, edges, color=colour, label=name, linewidth=1.8, linestyle=style)
    histogram.legend(frameon=False)
    histogram.set(xlabel="grey level", ylabel="share of pixels", title="Histogram")
    for axes in (spectra, histogram):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)


_MANY_LEVELS = 30  # grey levels over which a result in fractions of them is shown in whole ones too


def _bin_edges(low: float, high: float, shown: Shown) -> NDArray[np.float64]:
    """About 150 bins; whole grey levels for integers, so that the bins do not beat with them."""
    if not high > low:
        return np.linspace(low - 0.5, low + 0.5, 11)
    step = (high - low) / 150
    whole = [np.array_equal(p, np.rint(p)) for p in (shown.before, shown.after)]
    if all(whole) or (any(whole) and high - low > _MANY_LEVELS):
        step = max(1.0, float(np.ceil(step)))
        low, high = np.floor(low) - 0.5, np.ceil(high) + 0.5
    return np.arange(low, high + step, step)


def _draw_reslices(row: Any, shown: Shown) -> None:
    assert shown.before_xz is not None
    assert shown.after_xz is not None
    panels = row.subplots(1, 2)
    grey = _grey_window(shown.after)
    pairs = (("before", shown.before_xz), ("after", shown.after_xz))
    for axes, (name, plane), ratio in zip(panels, pairs, shown.depth_ratio, strict=True):
        _show(axes, plane, grey, f"XZ re-slice {name} (Z runs down)", aspect=ratio)


def _reslice_height(shown: Shown) -> float:
    assert shown.before_xz is not None
    z, x = shown.before_xz.shape
    return float(np.clip(7.3 * z * shown.depth_ratio[0] / x, 1.2, 7.3)) + 0.5


def _scaled(window: tuple[slice, slice], plane: Plane, other: Plane) -> tuple[slice, slice]:
    """The window of ``plane`` as it lies in ``other``, which shows the same field on another grid."""
    parts = []
    for part, n, m in zip(window, plane.shape, other.shape, strict=True):
        start = min(round(part.start * m / n), m - 1)
        parts.append(slice(start, max(start + 1, round(part.stop * m / n))))
    return parts[0], parts[1]


def _outline(axes: Axes, window: tuple[slice, slice]) -> None:
    from matplotlib.patches import Rectangle

    y, x = window
    for colour, width in (("black", 2.6), ("#ffd54a", 1.4)):
        box = Rectangle((x.start - 0.5, y.start - 0.5), x.stop - x.start, y.stop - y.start, fill=False)
        box.set(edgecolor=colour, linewidth=width)
        axes.add_patch(box)


def _scale_bar(axes: Axes, width: int, height: int, pixel_nm: float | None) -> None:
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
