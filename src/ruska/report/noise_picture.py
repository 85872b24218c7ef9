"""The picture of a micrograph's noise: where it was looked at, how it grows with the signal, how far it reaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.report.lettering import set_title
from ruska.report.png import png

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.physics import NoiseLevel

_SIGNAL, _NOISE, _DEFECT = "#7a7a7a", "#0b6fa4", "#c8102e"


def draw_noise(
    plane: NDArray[Any],
    facts: Mapping[str, Any],
    level: NoiseLevel | None,
    title: str,
    defects: NDArray[np.bool_] | None = None,
) -> bytes:
    """PNG: the plane, the noise's variance over the grey level, and its correlation beside that of the raw image.

    defects : of the shape of the plane, True where a pixel is to be ringed; or None.
    facts : as `pipeline.noise_facts` gives them. The raw image's autocorrelation is that of the specimen with the
    noise on top: read as noise it asks for a blind spot far too large, which is why the two are shown together.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    spaced = ConstrainedLayoutEngine(h_pad=0.12)  # inches: keeps the figure's title off those of the panels
    figure = Figure(figsize=(15, 5.4), dpi=100, layout=spaced, facecolor="white")
    image, line, lags = figure.subplots(1, 3)
    finite = plane[np.isfinite(plane)]
    low, high = np.percentile(finite, (0.3, 99.7))
    image.imshow(plane, cmap="gray", vmin=low, vmax=max(high, low + 1e-30))
    image.set(title="What was looked at", xticks=[], yticks=[])
    if defects is not None and defects.any():
        y, x = np.nonzero(defects)
        image.scatter(x, y, s=60, facecolors="none", edgecolors=_DEFECT, linewidths=1.2)
        image.set_xlabel(f"{len(y)} hot or dead pixel{'s' * (len(y) > 1)}, ringed", color=_DEFECT)
    if level is not None:
        x = np.array(level.levels)
        line.plot(x, level.variances, "o", color=_NOISE, label="quiet places, by brightness")
        span = np.linspace(x.min(), x.max(), 100)
        line.plot(
            span, level.std(span) ** 2, "-", color=_NOISE, label=f"gain {level.gain:.3g} grey levels per electron"
        )
        line.set_ylim(bottom=0)
        line.legend(frameon=False)
    line.set(title="How the noise grows with the signal", xlabel="grey level", ylabel="variance (grey levels squared)")
    for axis, marker in ((1, "o"), (0, "s")):
        noise = [1.0, *facts["correlation_x" if axis else "correlation_y"]]
        name = "along X" if axis else "along Y"
        lags.plot(range(len(noise)), noise, "-" + marker, color=_NOISE, label=f"noise, {name}",
                  fillstyle="full" if axis else "none")  # fmt: skip
        raw = _autocorrelation(plane, axis, len(noise))
        lags.plot(range(len(raw)), raw, "--" + marker, color=_SIGNAL, label=f"raw image, {name}",
                  fillstyle="full" if axis else "none")  # fmt: skip
    rows, columns = facts["blind_spot"]
    lags.axhline(0, color="black", linewidth=0.6)
    lags.set(title=f"How far it reaches: blind spot {rows} x {columns}", xlabel="distance (pixels)",
             ylabel="correlation", xticks=range(len(facts["correlation_x"]) + 1))  # fmt: skip
    lags.legend(frameon=False)
    for axes in (line, lags):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    hum = f", interference of {waves[0]['amplitude']:.3g}" if (waves := facts.get("interference")) else ""
    set_title(figure, title, f"noise of {facts['std']:.3g} grey levels{hum}")
    return png(figure)


def _autocorrelation(plane: NDArray[Any], axis: int, count: int) -> list[float]:
    centred = np.nan_to_num(np.asarray(plane, dtype=np.float64), posinf=np.nan, neginf=np.nan)
    centred = np.moveaxis(np.nan_to_num(centred - np.nanmean(centred)), axis, 0)
    power = max(float((centred**2).mean()), 1e-30)
    return [float((centred[k:] * centred[: len(centred) - k]).mean()) / power for k in range(count)]
