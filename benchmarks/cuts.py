"""Do XZ and YZ of an isotropic result look like XY? Power along the axes, and pictures of the three cuts.

Power along an axis is the mean periodogram of all lines along it. What is compared is power along Z against power along
X, in dB, in three bands of frequency: what the slices had measured (below half a cycle per slice distance), the octave
beyond, and the rest. A specimen need not be the same along its axes, so the truth is measured in the same way. Rings of
whole planes would not tell: what noise a method leaves along X fills them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import Case
from benchmarks.judge import Memory
from benchmarks.peers import ENLARGE

SHOWN = ("Ruska prior", "cubic, back-projection")
TRUTH = "truth"
_AXES = {"XY": 0, "XZ": 1, "YZ": 2}  # and the axis across each cut
Array = NDArray[Any]


def power_along(volume: Array, axis: int) -> tuple[Array, Array]:
    """Frequency (cycles per voxel, above 0) and mean power of lines along ``axis``; Hann window, mean removed."""
    lines = np.moveaxis(np.asarray(volume, dtype=np.float64), axis, -1)
    window = np.hanning(lines.shape[-1] + 2)[1:-1]
    centred = (lines - lines.mean()) * window
    power = np.abs(np.fft.rfft(centred)) ** 2 / np.sum(window**2)
    return np.fft.rfftfreq(lines.shape[-1])[1:], power.reshape(-1, power.shape[-1]).mean(0)[1:]


def along_z_over_x(volume: Array, factor: float) -> tuple[float, ...]:
    """Power along Z over power along X in dB, mean over each band; 0 where both look alike.

    factor : voxels of the result to a slice of the measurement.
    """
    frequency, along_z = power_along(volume, 0)
    other, along_x = power_along(volume, 2)
    ratio = 10 * np.log10(along_z / np.interp(frequency, other, along_x))
    edge = 1 / (2 * factor)
    bands = ((0.0, edge), (edge, min(2 * edge, 0.45)), (min(2 * edge, 0.45), 0.51))
    return tuple(float(ratio[(frequency > low) & (frequency <= high)].mean()) for low, high in bands)


def volumes(case: Case, memory: Memory) -> dict[str, Array]:
    """What was restored, by name, and the truth."""
    assert case.truth is not None
    peers = {peer.name: peer for peer in ENLARGE}
    found = {name: memory.image(case, peers[name]) for name in SHOWN}
    return {**{name: image for name, image in found.items() if image is not None}, TRUTH: case.truth}


def measured(cases: Sequence[Case], memory: Memory) -> list[dict[str, Any]]:
    """A row for each isotropic case and volume."""
    rows = []
    for case in cases:
        factor = float(1 / case.operator.scale[0])
        for name, volume in volumes(case, memory).items():
            rows.append({"setting": case.setting, "name": name, "bands": along_z_over_x(volume, factor)})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown."""
    lines = ["| factor | volume | measured band | octave beyond | finer |", "|---" * 5 + "|"]
    for row in rows:
        bands = " | ".join(f"{value:+.1f}" for value in row["bands"])
        lines.append(f"| {row['setting']} | {row['name']} | {bands} |")
    return "\n".join(["## Isotropic: do XZ and YZ look like XY?", "", _ABOUT, "", *lines, ""])


_ABOUT = (
    "Power along Z over power along X in dB (0: alike; below: smoother along Z), in the band that the slices measured, "
    "the octave beyond it and the rest. To be read against the truth, which has noise of its own and need not be the "
    "same along its axes; a mean over what is possible is smoother than it. Pictures: "
    "`benchmarks/work/strips/cuts_*.png`."
)


def draw(case: Case, memory: Memory, file: Path) -> None:
    """PNG of the three cuts through the middle (rows) of each volume (columns)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = volumes(case, memory)
    figure = Figure(figsize=(3.3 * len(shown), 10), dpi=80, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    low, high = np.percentile(shown[TRUTH], (0.5, 99.5))
    panels = figure.subplots(len(_AXES), len(shown), squeeze=False)
    for column, (name, volume) in enumerate(shown.items()):
        for row, (cut, across) in enumerate(_AXES.items()):
            axes = panels[row][column]
            axes.imshow(volume.take(volume.shape[across] // 2, across), cmap="gray", vmin=low, vmax=high,
                        interpolation="nearest")  # fmt: skip
            axes.set_title(f"{name}, {cut}", fontsize=10)
            axes.set_axis_off()
    figure.suptitle(case.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, metadata={"Software": None})
