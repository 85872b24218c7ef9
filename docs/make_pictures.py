"""Draw docs/images/demo.png from what ``ruska demo`` wrote: ``python docs/make_pictures.py ruska-demo``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

import ruska


def main(folder: Path) -> None:
    """Noisy, denoised, truth side by side: the same 320 x 320 pixels, one grey window, 8 bit."""
    window = (slice(60, 380), slice(430, 750))
    pictures = [ruska.read(folder / f"{name}.tif").numpy()[window] for name in ("noisy", "denoised", "truth")]
    low, high = np.percentile(pictures[2], (0.3, 99.7))
    gap = np.full((window[0].stop - window[0].start, 8), high)
    row = np.concatenate([pictures[0], gap, pictures[1], gap, pictures[2]], axis=1)
    grey = (np.clip((row - low) / (high - low), 0, 1) * 255).round().astype(np.uint8)
    target = Path(__file__).parent / "images" / "demo.png"
    target.parent.mkdir(exist_ok=True)
    ruska.write(target, ruska.Image(grey, "YX"), overwrite=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
