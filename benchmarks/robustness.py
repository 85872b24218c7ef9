"""Where does each denoiser break? ``python -m benchmarks.robustness`` prints what each change of the input costs.

Every change leaves the specimen and, as far as it can, the signal-to-noise ratio as they were, and is undone before
scoring: contrast inverted, grey levels scaled, stored in 8 or 16 bits, pixels twice as coarse or fine, noise along the
scan line, noise level told wrongly. Costs are means over datasets of the PSNR without the change minus that with it.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ruska
from benchmarks.cases import DATASETS, SCAN_LINE, clean_image
from ruska import methods
from ruska.image import Image
from ruska.metrics import psnr
from ruska.physics import PoissonGaussian, estimate_noise

Array = NDArray[Any]
_DOSE = PoissonGaussian(50, 0.02)


@dataclass(frozen=True)
class Change:
    """``before`` is done to the truth, ``after`` to the noisy image; ``undo`` to the result, which meets the truth.

    told : factor on the noise level that a method is told instead of estimating it; None: it estimates.
    """

    name: str
    before: Callable[[Array], Array] = lambda x: x
    after: Callable[[Array], Array] = lambda x: x
    undo: Callable[[Array], Array] = lambda x: x
    noise: PoissonGaussian = _DOSE
    told: float | None = None


def coarser(x: Array) -> Array:
    """Means of 2 x 2 pixels."""
    h, w = (n // 2 * 2 for n in x.shape)
    return x[:h, :w].reshape(h // 2, 2, w // 2, 2).mean((1, 3))


def finer(x: Array) -> Array:
    """Twice as many pixels each way, of the inner quarter so that the size stays."""
    from scipy.ndimage import zoom

    h, w = (n // 4 for n in x.shape)
    return np.clip(zoom(x[h:-h, w:-w], 2, order=3, mode="grid-mirror", grid_mode=True), 0, 1)


def stored(levels: int, dtype: type) -> Callable[[Array], Array]:
    """Grey levels as a file stores them, with room above and below for the noise."""
    return lambda x: np.clip(np.rint((x + 0.5) / 2 * levels), 0, levels).astype(dtype)


CHANGES = (
    Change("none"),
    Change("contrast inverted", after=lambda x: 1 - x, undo=lambda x: 1 - x),
    Change("grey levels x 3000 + 500", after=lambda x: 3000 * x + 500, undo=lambda x: (x - 500) / 3000),
    Change("stored in 8 bits", after=stored(255, np.uint8), undo=lambda x: x / 255 * 2 - 0.5),
    Change("stored in 16 bits", after=stored(65535, np.uint16), undo=lambda x: x / 65535 * 2 - 0.5),
    Change("pixels twice as coarse", before=coarser),
    Change("pixels twice as fine", before=finer),
    Change("noise along the scan line", noise=PoissonGaussian(50, 0.02, SCAN_LINE)),
    Change("told the noise level", told=1.0),
    Change("told half the noise", told=0.5),
    Change("told twice the noise", told=2.0),
)


def restored_psnr(truth: Array, change: Change, method: str) -> float | None:
    """PSNR in dB; None when the method cannot be told a noise level."""
    truth = change.before(truth)
    noisy = change.after(change.noise.simulate(truth, seed=11))
    settings: dict[str, Any] = {}
    if change.told is not None:
        if method == "auto" or "noise_std" not in methods.describe(method)["settings"]:
            return None
        low, high = np.percentile(noisy, (0.1, 99.9))  # the range that Ruska's settings are fractions of
        settings["noise_std"] = change.told * estimate_noise(noisy).white_equivalent_std / (high - low)
    found = ruska.denoise(Image(noisy, "YX"), method=method, settings=settings, dtype="float32").image.numpy()
    return psnr(change.undo(found.astype(np.float64)), truth, 1.0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["auto", "tv", "nlm", "wavelet", "gaussian"])
    parser.add_argument("--datasets", nargs="+", default=["cdeep3m", "fib25", "openfibsem", "neubias_em"])
    options = parser.parse_args()
    truths = [clean_image(d) for d in DATASETS if d.name in options.datasets]
    print("| cost in dB | " + " | ".join(options.methods) + " |\n" + "|---" * (len(options.methods) + 1) + "|")
    base: dict[str, list[float]] = {}
    for change in CHANGES:
        cells = []
        for method in options.methods:
            found = [restored_psnr(truth, change, method) for truth in truths]
            if change.name == "none":
                base[method] = [f for f in found if f is not None]
                cells.append(f"{statistics.mean(base[method]):.2f} dB")
            elif None in found:
                cells.append("")
            else:
                cost = [b - f for b, f in zip(base[method], found, strict=True) if f is not None]
                cells.append(f"{statistics.mean(cost):+.2f} (to {max(cost):+.2f})")
        print(f"| {change.name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
