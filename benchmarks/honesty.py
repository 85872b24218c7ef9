"""Whether the denoiser keeps to what is there: ``python -m benchmarks.honesty`` prints two tables, in under a minute.

Noise alone must come out flat, at every level and of every kind: what is left of it is what the prior drew into it.
And what is taken off a micrograph must be noise: divided by the noise's true standard deviation, it has variance 1 and
as much power at every spatial frequency as the noise has. Less power means that noise was left in, as it must be where
it cannot be told from structure; more means that structure was taken out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ruska
from benchmarks.cases import SCAN_LINE, Case
from benchmarks.coverage import cases
from ruska.image import Image
from ruska.metrics import radial_spectrum
from ruska.physics import PoissonGaussian

LEVELS = (0.02, 0.05, 0.1, 0.2, 0.5)
KINDS = ("white", "counts", "scan line")
BANDS = {"coarse": (0, 1 / 16), "middle": (1 / 16, 1 / 4), "fine": (1 / 4, 1 / 2)}  # cycles per pixel
_EDGE, _MARKS, _AWAY = 192, 64, 48
_GREY = 0.5


def noise_alone(kind: str, level: float, seed: int = 0) -> NDArray[np.float32]:
    """(192, 192): grey 0.5 with noise of standard deviation ``level``; pixels of 0 and 1 at two edges set the range."""
    random, shape = np.random.default_rng(seed), (_EDGE, _EDGE)
    if kind == "counts":
        counts = _GREY / level**2
        plane = random.poisson(_GREY * counts, shape) / counts
    else:
        kernel = SCAN_LINE if kind == "scan line" else (1.0,)
        grey = np.zeros(shape)  # without counts there is read noise only
        plane = _GREY + PoissonGaussian(1, level, kernel).simulate(grey, seed)
    plane[0, :_MARKS], plane[-1, -_MARKS:] = 0, 1
    return plane.astype(np.float32)


def left_of_noise(plane: NDArray[np.float32], settings: Mapping[str, Any] | None = None) -> float:
    """Standard deviation of what ``ruska denoise`` makes of it, over that of the noise, in the middle."""
    middle = (slice(_AWAY, -_AWAY),) * 2
    restored = ruska.denoise(Image(plane, "YX"), method="prior", settings=settings).image.numpy()
    return float(restored[middle].std() / plane[middle].std())


def residual_of(case: Case) -> dict[str, float]:
    """Variance of what was removed over the noise's true standard deviation, and its power over the noise's by band."""
    assert case.truth is not None
    assert isinstance(case.noise, PoissonGaussian)
    restored = ruska.denoise(Image(case.measurement, "YX"), method="prior").image.numpy()
    std = np.sqrt(case.noise.variance(case.truth))
    return standardised((case.measurement - restored) / std, (case.measurement - case.truth) / std)


def standardised(removed: NDArray[Any], noise: NDArray[Any]) -> dict[str, float]:
    """Both (Y, X), divided by the noise's standard deviation."""
    frequency, power = radial_spectrum(removed)
    of_noise = radial_spectrum(noise)[1]
    bands = {name: (frequency > low) & (frequency <= high) for name, (low, high) in BANDS.items()}
    return {"variance": float(removed.var()),
            **{name: float(power[band].sum() / of_noise[band].sum()) for name, band in bands.items()}}  # fmt: skip


def _noise_rows() -> Iterator[str]:
    yield "| noise alone: level, of the range | " + " | ".join(KINDS) + " |"
    yield "|---" * (len(KINDS) + 1) + "|"
    for level in LEVELS:
        cells = [f"{left_of_noise(noise_alone(kind, level)):.3f}" for kind in KINDS]
        yield f"| {level:g} | " + " | ".join(cells) + " |"


def _residual_rows() -> Iterator[str]:
    names = ("variance", *BANDS)
    yield "| removed from | noise | " + " | ".join(names) + " |"
    yield "|---" * (len(names) + 2) + "|"
    for case, _ in cases("denoise", "val"):
        found = residual_of(case)
        yield f"| {case.dataset} | {case.setting} | " + " | ".join(f"{found[name]:.2f}" for name in names) + " |"


def main() -> None:
    """Print both tables."""
    for rows in (_noise_rows(), _residual_rows()):
        for row in rows:
            print(row, flush=True)
        print()


if __name__ == "__main__":
    main()
