"""Picture strips: measurement, peers and truth side by side, at the place where the truth has most detail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import Case
from benchmarks.judge import Memory
from benchmarks.peers import PEERS

_EDGE, _COLUMNS, _ONE_ROW = 128, 5, 6


def draw(case: Case, rows: Sequence[dict[str, Any]], memory: Memory, file: Path) -> None:
    """PNG with every peer of the case that was computed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    scores = {
        r["peer"]: r for r in rows if (r["task"], r["dataset"], r["setting"]) == (case.task, case.dataset, case.setting)
    }
    panels = []
    for peer in PEERS[case.task]:
        image = memory.image(case, peer) if peer.name in scores else None
        if image is not None:
            panels.append((f"{peer.name}\n{scores[peer.name]['psnr']:.2f} dB / {scores[peer.name]['ssim']:.3f}", image))
    panels.append(("truth", case.truth) if case.truth is not None else ("other side (not aligned)", case.clean))
    place = _busiest(_plane(panels[-1][1]))
    columns = len(panels) if len(panels) <= _ONE_ROW else _COLUMNS
    count = -(-len(panels) // columns)
    figure = Figure(figsize=(3 * columns, 3.35 * count), dpi=80, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    low, high = np.percentile(_plane(panels[-1][1]), (0.5, 99.5))
    for axes, panel in zip(
        figure.subplots(count, columns, squeeze=False).ravel(), [*panels, *[None] * columns], strict=False
    ):
        axes.set_axis_off()
        if panel is None:
            continue
        title, image = panel
        plane = _plane(image)
        if plane.shape == _plane(panels[-1][1]).shape:
            plane = plane[place]
        axes.imshow(plane, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
        axes.set_title(title, fontsize=9)
    figure.suptitle(case.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Software": None})


def _plane(image: NDArray[Any]) -> NDArray[Any]:
    """Of a volume the section along Z and Y, where interpolated slices show."""
    return image[:, :, image.shape[2] // 2] if image.ndim == 3 else image


def _busiest(truth: NDArray[Any]) -> tuple[slice, slice]:
    from scipy.ndimage import gaussian_gradient_magnitude, uniform_filter

    edge = [min(_EDGE, n) for n in truth.shape]
    activity = uniform_filter(gaussian_gradient_magnitude(truth.astype(float), 1.0), edge)
    inner = tuple(slice(e // 2, n - e // 2 + 1) for e, n in zip(edge, truth.shape, strict=True))
    at = np.unravel_index(activity[inner].argmax(), activity[inner].shape)
    return slice(int(at[0]), int(at[0]) + edge[0]), slice(int(at[1]), int(at[1]) + edge[1])
