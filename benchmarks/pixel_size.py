"""What do pixels of another size cost the prior? The same content on other grids, each with noise of the same dose.

A network could be at home at one pixel size only; then an image of another would better be resampled to that size,
denoised there and resampled back. *cost* is what that detour would win, in dB: the image denoised as it is, against the
detour, on the same noisy pixels and the same truth. *lead* is the mean difference to BM3D, which knows no pixel size,
on the same noisy pixels: where content gets harder for every method, a lead does not shrink by itself.

Coarser images are means over cells, finer ones have no more detail than the native one. The detour resamples by cosine
transforms, which lose nothing of what is band-limited.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import DATASETS, Case, Dataset, clean_image
from benchmarks.notes import Notes
from benchmarks.peers import DENOISE, Peer
from ruska.metrics import psnr
from ruska.physics import PoissonGaussian
from ruska.physics.operators import Decimation, Identity

Array = NDArray[Any]
VERSION = 1
SIZES = (Fraction(1, 2), Fraction(5, 7), Fraction(1), Fraction(7, 5), Fraction(2))
"""Pixel size over the native one; 5/7 and 7/5 stand for the roots of a half and of two."""
DIRECT, RIVAL = "Ruska prior", "Anscombe BM3D"
_DETOUR = "resampled to the native size, denoised, resampled back"
_DOSE = PoissonGaussian(50, 0.02)
DATASETS_USED = ("isbi2012", "cdeep3m", "openfibsem", "neubias_em")  # large enough to be coarsened
_GRID = 70  # image sizes are multiples of it, so that every size has whole pixels


def resampled(image: Array, shape: tuple[int, ...]) -> Array:
    """(Y, X) on ``shape`` cells of the same field, by cutting or extending its cosine transform; borders mirrored."""
    from scipy.fft import dctn, idctn

    spectrum, found = dctn(image.astype(np.float64), norm="ortho"), np.zeros(shape)
    kept = tuple(slice(0, min(a, b)) for a, b in zip(image.shape, shape, strict=True))
    found[kept] = spectrum[kept]
    return idctn(found, norm="ortho") * np.sqrt(np.prod(shape) / image.size)


def at_size(native: Array, size: Fraction) -> Array:
    """The truth with pixels ``size`` times as large: means over cells, or finer cells of the inner part."""
    import torch

    if size > 1:
        return Decimation((size, size)).forward(torch.from_numpy(native)[None, None].double())[0, 0].numpy()
    inner = tuple(int(n * size) for n in native.shape)
    begin = [(n - m) // 2 for n, m in zip(native.shape, inner, strict=True)]
    part = native[tuple(slice(b, b + m) for b, m in zip(begin, inner, strict=True))]
    return np.clip(resampled(part, tuple(int(n / size) for n in part.shape)), 0, 1)


def scores(native: Array, size: Fraction, peer: Peer, *, detour: bool = False) -> float:
    """PSNR in dB of ``peer`` on a noisy image of that pixel size; with ``detour`` by way of the native one."""
    truth = at_size(native, size)
    noisy = _DOSE.simulate(truth, seed=11)
    there = tuple(int(n * size) for n in truth.shape) if detour else truth.shape
    given = resampled(noisy, there).astype(np.float32) if detour else noisy
    case = Case("denoise", "pixel size", str(size), given, Identity(), _DOSE, None)
    found = np.asarray(peer.restore(case), dtype=np.float64)
    return psnr(resampled(found, truth.shape) if detour else found, truth, 1.0)


def measured(
    notes: Notes, datasets: Sequence[str] = DATASETS_USED, say: Callable[[str], None] = print
) -> dict[str, dict[str, list[float]]]:
    """PSNR by pixel size and way, one for each dataset."""
    chosen = [dataset for dataset in DATASETS if dataset.name in datasets]
    found: dict[str, dict[str, list[float]]] = {}
    for size in SIZES:
        ways = {DIRECT: (DIRECT, False), _DETOUR: (DIRECT, True), RIVAL: (RIVAL, False)}
        found[str(size)] = {
            way: [_remembered(notes, dataset, size, name, detour) for dataset in chosen]
            for way, (name, detour) in ways.items()
            if _peer(name).missing is None and not (detour and size == 1)
        }
    say("robustness: pixel size")
    return found


def _peer(name: str) -> Peer:
    return next(peer for peer in DENOISE if peer.name == name)


def _remembered(notes: Notes, dataset: Dataset, size: Fraction, name: str, detour: bool) -> float:
    def compute() -> float:
        image = clean_image(dataset)
        whole = image[tuple(slice(0, n // _GRID * _GRID) for n in image.shape)]
        return scores(whole, size, _peer(name), detour=detour)

    about = f"pixel size {VERSION} {dataset.name} {size} {detour} {_peer(name).stamp}"
    return float(notes.recall(about, compute))


def costs(found: dict[str, dict[str, list[float]]]) -> dict[str, tuple[float | None, float | None]]:
    """By pixel size what the detour would win, and how much of the lead at the native size is lost; dB, means."""

    def lead(size: str) -> float | None:
        ways = found[size]
        return statistics.mean(ways[DIRECT]) - statistics.mean(ways[RIVAL]) if RIVAL in ways else None

    native = lead("1")
    made: dict[str, tuple[float | None, float | None]] = {}
    for size, ways in found.items():
        here = lead(size)
        cost = statistics.mean(ways[_DETOUR]) - statistics.mean(ways[DIRECT]) if _DETOUR in ways else None
        made[size] = (cost, None if native is None or here is None or size == "1" else native - here)
    return made


def table(found: dict[str, dict[str, list[float]]]) -> str:
    """Markdown, a row for each pixel size."""
    lines = [f"| pixel size | {DIRECT} | {_DETOUR} | cost dB | {RIVAL} | lead dB | lead lost dB |", "|---" * 7 + "|"]
    for size, (cost, lost) in costs(found).items():
        means = {way: statistics.mean(values) for way, values in found[size].items()}
        lead = means[DIRECT] - means[RIVAL] if RIVAL in means else None
        cells = [means[DIRECT], means.get(_DETOUR), cost, means.get(RIVAL), lead, lost]
        signs = ("", "", "+", "", "+", "+")
        shown = ["" if c is None else f"{c:{sign}.2f}" for c, sign in zip(cells, signs, strict=True)]
        lines.append(f"| x {float(Fraction(size)):.2f} | " + " | ".join(shown) + " |")
    return "\n".join(lines)
