"""The picture of repeated frames: two that were compared, their difference, and what they share at each frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.evaluation.repeats import FrameScores, compared_places, read_frame
from ruska.report.lettering import set_title
from ruska.report.panels import grey_window, residual_panel, scale_bar, show
from ruska.report.pictures import filled
from ruska.report.png import png

if TYPE_CHECKING:
    from ruska.image import Image

_MOST_PIXELS = 1024
_WIDTH = 4.4  # inches of a panel


def draw_frames(scores: FrameScores, image: Image) -> bytes:
    """PNG: the pair in the middle of the first channel as it is in the file, and the curves of all channels."""
    from matplotlib.figure import Figure

    places = compared_places(image, scores.apart)
    first, second = (filled(_central(read_frame(image, p))) for p in places[len(places) // 2])
    h, w = first.shape
    tall = float(np.clip(h / w, 0.35, 1.6)) * _WIDTH
    figure = Figure(figsize=(3 * _WIDTH, tall + 4.6), dpi=100, layout="constrained", facecolor="white")
    set_title(figure, image.name, headline(scores))
    rows: Any = figure.subfigures(2, 1, height_ratios=[tall + 0.4, 3.8])
    panels = rows[0].subplots(1, 3)
    grey = grey_window(first)
    for axes, plane, title in ((panels[0], first, "A frame"), (panels[1], second, f"{scores.apart} later")):
        show(axes, plane, grey, title)
        scale_bar(axes, w, h, image.voxel_size_nm.get("X"))
    residual_panel(rows[0], panels[2], first - second, first - second, "Difference, as they are", bar=True)
    _draw_curves(rows[1].subplots(1, 1), scores)
    return png(figure)


def headline(scores: FrameScores) -> str:
    """The figures that matter most, in one line."""
    several = len(scores.channels) > 1
    return "; ".join(
        (f"channel {name}: " if several else "")
        + f"SNR {of.snr_db:.2f} dB, resolution {of.resolution_px:.3g} px, {of.pairs} pairs"
        for name, of in list(scores.channels.items())[:4]
    )


def _draw_curves(axes: Any, scores: FrameScores) -> None:
    for name, of in scores.channels.items():
        label = f"channel {name}, down to {of.resolution_px:.3g} px"
        axes.plot(of.frequency, of.ring_correlation, linewidth=1.8, label=label)
    axes.axhline(1 / 7, color="#444444", linewidth=0.8, linestyle=":")
    axes.set(title="What frames share (Fourier ring correlation)", ylim=(-0.1, 1.05), ylabel="correlation",
             xlabel="spatial frequency (cycles per pixel; right = finest)", xlim=(0, 0.5))  # fmt: skip
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)


def _central(plane: Any) -> Any:
    parts = [slice((n - s) // 2, (n - s) // 2 + s) for n, s in ((n, min(n, _MOST_PIXELS)) for n in plane.shape)]
    return plane[tuple(parts)]
