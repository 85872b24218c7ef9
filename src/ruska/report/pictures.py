"""The report's figure: before, after, residual, a detail, spectra and histograms. Reads only what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.metrics import radial_spectrum
from ruska.report.lettering import set_title
from ruska.report.panels import detail_window, grey_window, outline, residual_panel, scale_bar, show, std_panel
from ruska.report.png import png

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.image import Image, LazyArray

    Plane = NDArray[np.float64]

MOST_PIXELS = 1024  # side of the central part of a large plane that is shown
_RESLICE_BYTES = 256 << 20  # a compressed file may have to be read whole for one XZ re-slice
_SAMPLES = 2  # that are shown
_RINGS = 200
_NAMES = {"T": "frame", "C": "channel", "Q": "slice", "Z": "slice"}
_BEFORE, _AFTER, _RESIDUAL = "#7a7a7a", "#0b6fa4", "#c2571a"  # distinct in grey as well


Explained = Callable[["Plane"], "Plane | None"]


@dataclass(frozen=True)
class Shown:
    """The planes a report shows.

    before, after : (Y, X), float64, NaN and infinite values replaced by the plane's median.
    residual : before minus after (or minus what the instrument would make of it), or None when grids differ.
    before_xz, after_xz : (Z, X) re-slices through the middle, or None.
    pixel_nm : pixel size of ``before`` and of ``after`` along X, None where unknown.
    depth_ratio : Z spacing over X spacing of ``before`` and ``after``, 1 where unknown.
    caption : which part of the data this is. residual_title : what the residual is.
    std : standard deviation of ``after``, or None. samples : the same plane of up to two samples.
    noisiest : the plane with the strongest noise, before, after and the residual (or None), where planes differ.
    noisiest_title : which one that is. mended : where pixels of ``before`` were mended, (n, 2) places (Y, X), or None.
    """

    before: Plane
    after: Plane
    residual: Plane | None
    before_xz: Plane | None
    after_xz: Plane | None
    pixel_nm: tuple[float | None, float | None]
    depth_ratio: tuple[float, float]
    caption: str
    residual_title: str = "Residual (before − after)"
    std: Plane | None = None
    samples: tuple[Plane, ...] = ()
    noisiest: tuple[Plane, Plane, Plane | None] | None = None
    noisiest_title: str = ""
    mended: NDArray[np.intp] | None = None


def choose_shown(
    before: Image, after: Image, explained: Explained | None = None, drawn: Sequence[Image] = (),
    noisiest: Mapping[str, int] | None = None, mended: LazyArray | None = None,
) -> Shown:  # fmt: skip
    """Read the middle plane (its central part when it is large) of both images, and a re-slice where it is cheap.

    explained, drawn, noisiest, mended : see `write_report`; the residual is what ``explained`` leaves unexplained.
    """
    same = before.axes == after.axes and before.shape == after.shape
    side = MOST_PIXELS
    zoom = max(1.0, after.shape[-1] / before.shape[-1])
    b, a = _show(before, side, "plane"), _show(after, round(side * zoom), "plane")
    doubt = [_show(image, round(side * zoom), "plane") for image in drawn[: 1 + _SAMPLES]]
    seen = a if explained is None else explained(a)
    comparable = (same or explained is not None) and (seen is None or seen.shape == b.shape)
    xz = all("Z" in i.axes and i.size("Z") >= 8 and i.nbytes <= _RESLICE_BYTES for i in (before, after))
    worst = None
    if noisiest is not None:
        wb = _show(before, side, "plane", noisiest)
        wa = _show(after, round(side * zoom), "plane", on_grid_of(after, before, noisiest))
        ws = wa if explained is None else explained(wa)
        worst = (wb, wa, wb - ws if ws is not None and comparable else None)
    ratio = tuple(
        i.voxel_size_nm["Z"] / i.voxel_size_nm["X"] if {"Z", "X"} <= set(i.voxel_size_nm) else 1.0
        for i in (before, after)
    )
    return Shown(
        b, a, b - seen if seen is not None and comparable else None,
        _show(before, side, "reslice") if xz else None, _show(after, round(side * zoom), "reslice") if xz else None,
        (before.voxel_size_nm.get("X"), after.voxel_size_nm.get("X")), (ratio[0], ratio[1]), _caption(before),
        "Residual (before − after)" if explained is None else "Unexplained (before − after as it would be recorded)",
        doubt[0] if doubt else None, tuple(doubt[1:]),
        worst, place_title(before, noisiest) if noisiest is not None else "",
        None if mended is None else np.argwhere(_read(replace(before, data=mended, mask=None), side, "plane")),
    )  # fmt: skip


def on_grid_of(after: Image, before: Image, place: Mapping[str, int]) -> dict[str, int]:
    """A place of ``before`` in a result that may have more slices."""
    return {a: i * after.size(a) // before.size(a) for a, i in place.items() if a in after.axes}


def place_title(image: Image, place: Mapping[str, int]) -> str:
    return ", ".join(f"{_NAMES[a]} {i + 1} of {image.size(a)}" for a, i in place.items() if image.size(a) > 1)


def plane_at(image: Image, place: Mapping[str, int], *, zoom: float = 1.0) -> Plane:
    """The plane (Y, X) at ``place``, in the middle of other axes; its central part when it is large; float64, as it is.

    zoom : how many times finer the grid is than that of the input, whose central part it is.
    """
    return _read(image, round(MOST_PIXELS * zoom), "plane", place)


def where_shown(image: Image) -> str:
    """Which part of the data is looked at."""
    return _caption(image).removeprefix("Shown: ")


def _read(image: Image, side: int, what: str, place: Mapping[str, int] | None = None) -> Plane:
    """The middle plane or XZ re-slice, or the plane at ``place``, as it is; ``side`` limits Y and X."""
    box, shape = [], []
    for axis, n in zip(image.axes, image.shape, strict=True):
        whole = axis == "X" or axis == ("Y" if what == "plane" else "Z")
        wanted = (min(n, side) if axis in "YX" else min(n, MOST_PIXELS)) if whole else 1
        start = 0 if axis == "C" else (n - wanted) // 2
        if not whole and place is not None:
            start = place.get(axis, start)
        box.append(slice(start, start + wanted))
        if whole:
            shape.append((axis, wanted))
    values = np.asarray(image.data[tuple(box)], dtype=np.float64).reshape([n for _, n in shape])
    return values.T if shape[0][0] == "X" else values


def _show(image: Image, side: int, what: str, place: Mapping[str, int] | None = None) -> Plane:
    return filled(_read(image, side, what, place))


def filled(values: Plane) -> Plane:
    """NaN and infinite values replaced by the median of the others."""
    finite = np.isfinite(values)
    if finite.all():
        return values
    return np.where(finite, values, np.median(values[finite]) if finite.any() else 0.0)


def _caption(image: Image) -> str:
    parts = []
    for axis, n in zip(image.axes, image.shape, strict=True):
        if axis in _NAMES and n > 1:
            parts.append(f"{_NAMES[axis]} {1 if axis == 'C' else (n - 1) // 2 + 1} of {n}")
    h, w = image.shape[-2:]
    if max(h, w) > MOST_PIXELS:
        shown = f"{min(h, MOST_PIXELS)} x {min(w, MOST_PIXELS)}"
        parts.append(f"central {shown} of {h} x {w} pixels")
    else:
        parts.append(f"all {h} x {w} pixels")
    return "Shown: " + ", ".join(parts)


def draw(shown: Shown, title: str) -> bytes:
    """Draw the figure and return it as PNG, about 1500 pixels wide."""
    from matplotlib.figure import Figure

    h, w = shown.before.shape
    columns = 2 if shown.residual is None else 3
    tall = float(np.clip(h / w, 0.35, 1.6)) * 15 / columns
    with_xz = shown.before_xz is not None
    heights = [tall + 0.5, 15 / columns + 0.3, 4.0] + ([_reslice_height(shown)] if with_xz else [])
    heights += [tall + 0.5] if shown.noisiest is not None else []
    heights += [15 / (1 + len(shown.samples)) + 0.3] if shown.std is not None else []
    figure = Figure(figsize=(15, sum(heights) + 0.6), dpi=100, layout="constrained", facecolor="white")
    set_title(figure, title, shown.caption)
    rows: Any = figure.subfigures(len(heights), 1, height_ratios=heights)
    window = detail_window(shown.after)
    _draw_images(rows[0], shown, columns, window)
    _draw_details(rows[1], shown, columns, window)
    _draw_curves(rows[2], shown)
    if with_xz:
        _draw_reslices(rows[3], shown)
    if shown.noisiest is not None:
        _draw_noisiest(rows[3 + with_xz], shown, shown.noisiest, columns)
    if shown.std is not None:
        _draw_samples(rows[-1], shown, window)
    return png(figure)


def _draw_images(row: Any, shown: Shown, columns: int, window: tuple[slice, slice]) -> None:
    panels = row.subplots(1, columns)
    grey = grey_window(shown.after)
    show(panels[0], shown.before, grey, "Before")
    if shown.mended is not None and len(shown.mended):
        _ring(panels[0], shown.mended)
    show(panels[1], shown.after, grey, "After (same grey window)")
    for axes, plane, nm in zip(panels, (shown.before, shown.after), shown.pixel_nm, strict=False):
        scale_bar(axes, plane.shape[1], plane.shape[0], nm)
        outline(axes, _scaled(window, shown.after, plane))
    if shown.residual is not None:
        residual_panel(row, panels[2], shown.residual, shown.residual, shown.residual_title, bar=True)


def _draw_noisiest(row: Any, shown: Shown, planes: tuple[Plane, Plane, Plane | None], columns: int) -> None:
    """The plane with the strongest noise, on a grey window of its own."""
    before, after, residual = planes
    panels = row.subplots(1, columns)
    grey = grey_window(after)
    show(panels[0], before, grey, f"Noisiest plane ({shown.noisiest_title}) before")
    show(panels[1], after, grey, "After (same grey window)")
    if residual is not None and columns == 3:
        residual_panel(row, panels[2], residual, residual, shown.residual_title, bar=True)


def _ring(axes: Any, mended: NDArray[np.intp]) -> None:
    """Rings around the first pixels that were mended, and how many of this plane they are."""
    y, x = mended[:_RINGS].T
    axes.scatter(x, y, s=60, facecolors="none", edgecolors=_RESIDUAL, linewidths=1.2)
    several = len(mended) > 1
    axes.set_xlabel(f"{len(mended)} mended pixel{'s' * several}, ringed", color=_RESIDUAL)


def _draw_details(row: Any, shown: Shown, columns: int, window: tuple[slice, slice]) -> None:
    panels = row.subplots(1, columns)
    grey = grey_window(shown.after)
    there = _scaled(window, shown.after, shown.before)
    for axes, plane, nm, title in (
        (panels[0], shown.before[there], shown.pixel_nm[0], "Detail before"),
        (panels[1], shown.after[window], shown.pixel_nm[1], "Detail after"),
    ):
        show(axes, plane, grey, f"{title} ({plane.shape[1]} x {plane.shape[0]} px)")
        scale_bar(axes, plane.shape[1], plane.shape[0], nm)
    if shown.residual is not None:
        residual_panel(row, panels[2], shown.residual[there], shown.residual, "Detail of the residual", bar=False)


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
                title="Power at each spatial frequency", xlim=(0, 0.5))  # fmt: skip
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


def _draw_samples(row: Any, shown: Shown, window: tuple[slice, slice]) -> None:
    assert shown.std is not None
    panels = np.atleast_1d(row.subplots(1, 1 + len(shown.samples)))
    std_panel(row, panels[0], shown.std, "Standard deviation")
    outline(panels[0], window)
    for axes, sample, name in zip(panels[1:], shown.samples, ("one sample", "another sample"), strict=False):
        show(axes, sample[window], grey_window(shown.after), f"Detail of {name}")


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
    grey = grey_window(shown.after)
    pairs = (("before", shown.before_xz), ("after", shown.after_xz))
    for axes, (name, plane), ratio in zip(panels, pairs, shown.depth_ratio, strict=True):
        show(axes, plane, grey, f"XZ re-slice {name} (Z runs down)", aspect=ratio)


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
