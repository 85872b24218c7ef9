"""A figure as the bytes of a PNG file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PACKED = 3  # of 0 to 9; grey pictures with noise become no smaller with more, and take three times as long


def png(figure: Figure) -> bytes:
    """Draw ``figure`` without transparency. `savefig` would lay it out twice, for the same pixels."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    out = io.BytesIO()
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(out, "PNG", compress_level=_PACKED)
    return out.getvalue()
