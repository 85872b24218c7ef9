"""Where does each denoiser break? ``python -m benchmarks.robustness`` prints what each change of the input costs.

Every change leaves the specimen and the noise as they were, and is undone before scoring: contrast inverted, grey
levels scaled, stored in 8 or 16 bits, noise level told wrongly; noise along the scan line is as strong as without.
Costs are means over datasets of the PSNR without the change minus that with it. Inverted means: the very same noisy
image is inverted, denoised and inverted back, against denoising it. Pixel sizes are in `benchmarks.pixel_size`.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import pixel_size
from benchmarks.cases import DATASETS, SCAN_LINE, Case, clean_image
from benchmarks.notes import Notes
from benchmarks.peers import DENOISE, ours
from ruska import methods
from ruska.metrics import psnr
from ruska.physics import PoissonGaussian, estimate_noise
from ruska.physics.operators import Identity

Array = NDArray[Any]
VERSION = 2
METHODS = ("Ruska prior", "Ruska tv", "Ruska nlm", "Ruska wavelet", "Gaussian 1.5 px", "skimage NLM", "Anscombe BM3D")
DATASETS_USED = ("cdeep3m", "fib25", "openfibsem", "neubias_em")
_DOSE = PoissonGaussian(50, 0.02)
_UNIFORM = PoissonGaussian(1e9, 0.1)  # as strong as that dose is on a grey of 0.5


@dataclass(frozen=True)
class Change:
    """``after`` is done to the noisy image, ``undo`` to the result, which meets the truth.

    against : the change whose PSNR is without this one.
    told : factor on the noise level that a method is told instead of estimating it; None: it estimates.
    """

    name: str
    after: Callable[[Array], Array] = lambda x: x
    undo: Callable[[Array], Array] = lambda x: x
    noise: PoissonGaussian = _DOSE
    told: float | None = None
    against: str = "none"


def stored(levels: int, dtype: type) -> Callable[[Array], Array]:
    """Grey levels as a file stores them, with room above and below for the noise."""
    return lambda x: np.clip(np.rint((x + 0.5) / 2 * levels), 0, levels).astype(dtype)


CHANGES = (
    Change("none"),
    Change("contrast inverted", after=lambda x: 1 - x, undo=lambda x: 1 - x),
    Change("noise the same everywhere", noise=_UNIFORM),
    Change(
        "noise the same everywhere, contrast inverted",
        after=lambda x: 1 - x,
        undo=lambda x: 1 - x,
        noise=_UNIFORM,
        against="noise the same everywhere",
    ),
    Change("grey levels x 3000 + 500", after=lambda x: 3000 * x + 500, undo=lambda x: (x - 500) / 3000),
    Change("stored in 8 bits", after=stored(255, np.uint8), undo=lambda x: x / 255 * 2 - 0.5),
    Change("stored in 16 bits", after=stored(65535, np.uint16), undo=lambda x: x / 65535 * 2 - 0.5),
    Change("noise along the scan line", noise=PoissonGaussian(50, 0.02, SCAN_LINE)),
    Change("told the noise level", told=1.0),
    Change("told half the noise", told=0.5),
    Change("told twice the noise", told=2.0),
)


def restored_psnr(truth: Array, change: Change, method: str) -> float | None:
    """PSNR in dB; None when the method cannot be told a noise level."""
    noisy = change.after(change.noise.simulate(truth, seed=11))
    restore = next(peer for peer in DENOISE if peer.name == method).restore
    if change.told is not None:
        name = method.removeprefix("Ruska ")
        if name in ("auto", method) or "noise_std" not in methods.describe(name)["settings"]:
            return None
        low, high = np.percentile(noisy, (0.1, 99.9))  # the range that Ruska's settings are fractions of
        told = change.told * estimate_noise(noisy).white_equivalent_std / (high - low)
        restore = ours(name, noise_std=told)
    case = Case("denoise", "robustness", change.name, noisy, Identity(), change.noise, truth)
    return psnr(change.undo(np.asarray(restore(case)).astype(np.float64)), truth, 1.0)


def measured(
    notes: Notes, names: Sequence[str] = METHODS, datasets: Sequence[str] = DATASETS_USED,
    say: Callable[[str], None] = print,
) -> dict[str, dict[str, list[float | None]]]:  # fmt: skip
    """PSNR by change and method, one for each dataset; methods that are not installed are left out and said."""
    chosen = [dataset for dataset in DATASETS if dataset.name in datasets]
    found: dict[str, dict[str, list[float | None]]] = {change.name: {} for change in CHANGES}
    for name in names:
        peer = next(p for p in DENOISE if p.name == name)
        if peer.missing:
            say(f"SKIPPED {name} in robustness: {peer.missing}")
            continue
        for change in CHANGES:
            values = []
            for dataset in chosen:
                about = f"robustness {VERSION} {dataset} {change.name} {peer.stamp}"
                values.append(
                    notes.recall(about, lambda d=dataset, c=change, n=name: restored_psnr(clean_image(d), c, n))
                )
            found[change.name][name] = values
        say(f"robustness: {name}")
    return found


def table(found: Mapping[str, Mapping[str, Sequence[float | None]]]) -> str:
    """Costs in dB; last, the squared error of Ruska's own over that of the best classical peer."""
    base = found["none"]
    against = {change.name: found[change.against] for change in CHANGES}
    peers = {p.name for p in DENOISE if p.classical}
    rival = max((n for n in base if n in peers), key=lambda n: statistics.mean(base[n]), default=None)
    own = next((n for n in base if n not in peers), None)
    last = f" | {own} / {rival}" if own and rival else ""
    lines = ["| cost in dB | " + " | ".join(base) + last + " |", "|---" * (len(base) + 1 + bool(last)) + "|"]
    for change, by_method in found.items():
        cells = [_cost(against[change][name], values, change) for name, values in by_method.items()]
        if last:
            pairs = zip(by_method[own], by_method[rival], strict=True)
            gains = [b - a for a, b in pairs if a is not None and b is not None]
            cells.append(f"{10 ** (statistics.mean(gains) / 10):.2f}" if gains else "")
        lines.append(f"| {change} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def section(
    changes: Mapping[str, Mapping[str, Sequence[float | None]]], sizes: dict[str, dict[str, list[float]]]
) -> str:
    """Markdown. changes : of `measured`. sizes : of `pixel_size.measured`."""
    about = (
        f"Mean PSNR over {len(DATASETS_USED)} datasets at 50 e, and what each change of the input costs it in dB (in "
        "brackets on the worst dataset); last the squared error of Ruska's prior over that of the best classical peer. "
        "Inverted: the same noisy image inverted, denoised and inverted back. 50 e is noise that grows with the grey "
        "level; inverted, it falls, as no detector's does. Where it is the same everywhere, that is left out."
    )
    sized = (
        f"Pixels of other sizes, on {len(pixel_size.DATASETS_USED)} datasets: the same content on another grid, noise "
        "of 50 e in every pixel. *cost* is what a detour by the native pixel size would win over denoising the image "
        f"as it is; *lead lost* how much less the prior is ahead of {pixel_size.RIVAL} than at the native size."
    )
    return "\n\n".join(["## Robustness", about, table(changes), sized, pixel_size.table(sizes), ""])


def _cost(base: Sequence[float | None], values: Sequence[float | None], change: str) -> str:
    if None in values:
        return ""
    if change == "none":
        return f"{statistics.mean(values):.2f} dB"
    cost = [b - v for b, v in zip(base, values, strict=True)]
    return f"{statistics.mean(cost):+.2f} (to {max(cost):+.2f})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--datasets", nargs="+", default=DATASETS_USED)
    options = parser.parse_args()
    notes = Notes(Path(__file__).parent / "work" / "results")
    print(table(measured(notes, options.methods, options.datasets)))
    print(pixel_size.table(pixel_size.measured(notes)))


if __name__ == "__main__":
    main()
