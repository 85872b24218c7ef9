"""Fluorescence whose zeros are cut off, and counting frames: what the estimate of the noise costs the prior.

``python -m benchmarks.clipped [-o table.json] [--against table.json]`` prints, for each image, dose and kind, the PSNR
of the prior told the truth and told what was measured, and the estimated noise over the true one.

Kinds: ``cut`` (negative values cut off, as cameras with an offset set too low do), ``patch`` (the same, a quarter of
the image empty), ``uint8`` (the same as cut, 150 grey levels for the range), ``whole`` (nothing cut off), and
``counts`` (Poisson only, the counts themselves, at most 0.5, 2 and 8 electrons a pixel).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ruska
from benchmarks.cases import DATA
from ruska.engine import ArraySource, NormalisedSource, measure_intensities
from ruska.methods.prior import PriorMethod, PriorSettings, Told, load, look
from ruska.physics import STANDARD_DOSES, NoiseLevel

IMAGES = {
    "bbbc039": "train/bbbc039/IXMtest_A16_s2_w15AF.png",
    "dsb 6b6d": "train/dsb2018_fluo/6b6d4e6ff5_img.tif",
    "dsb 29dd": "train/dsb2018_fluo/29dd28df98_img.tif",
    "plk1": "train/neubias_fluo/xy_8bit__nuclei_PLK1_control.tif",
    "hela": "train/neubias_fluo2/xyc_16bit__hela-cells.tif",
    "human d0": "train/cellprofiler_examples/human_d0.png",
    "speckles": "train/cellprofiler_examples/speckles_1-162hrh2ax2.tif",
    "actin 60x": "train/gigadb_hagen_fluo/actin-60x-noise1-highsnr-sample.tif",
    "mito conf": "train/gigadb_hagen_fluo/mito-confocal-highsnr-sample.tif",
    "coelho": "val/coelho_nuclei/gnf_dna1.png",
    "ic100": "val/coelho_nuclei/ic100_dna1.png",
}
KINDS = ("cut", "patch", "uint8", "whole", "counts")
_EDGE = 256
_COUNTS = (0.5, 2.0, 8.0)


def truth_of(file: str) -> NDArray[np.float64]:
    """The middle of the image, halved, 0 (its 1 percentile) to 1."""
    plane = np.asarray(ruska.read(DATA / file).data, dtype=np.float64)
    plane = plane.reshape(-1, *plane.shape[-2:])[0]
    height, width = (n // 2 * 2 for n in plane.shape)
    small = plane[:height, :width].reshape(height // 2, 2, width // 2, 2).mean((1, 3))
    top, left = (max(0, (n - _EDGE) // 2) for n in small.shape)
    small = small[top : top + _EDGE, left : left + _EDGE]
    low, high = np.percentile(small, (1, 99.9))
    return np.clip((small - low) / (high - low), 0, 1)


def measured(
    truth: NDArray[np.float64], kind: str, dose: int
) -> tuple[NDArray[Any], float, NDArray[np.float64], tuple[float, float]]:
    """What was recorded, grey levels for the range, the truth, and the true line (gain, intercept) on its scale."""
    rng = np.random.default_rng(7)
    if kind == "counts":
        peak = _COUNTS[dose]
        truth = 0.1 + 0.9 * truth
        return rng.poisson(peak * truth).astype(np.uint8), peak, truth, (1 / peak, 0.0)
    noise = STANDARD_DOSES[dose]
    if kind == "patch":
        truth = truth.copy()
        truth[: truth.shape[0] // 2, : truth.shape[1] // 2] = 0
    noisy = rng.poisson(noise.peak_counts * truth) / noise.peak_counts + rng.normal(0, noise.read_noise, truth.shape)
    line = (1 / noise.peak_counts, noise.read_noise**2)
    if kind == "whole":
        return noisy.astype(np.float32), 1.0, truth, line
    levels = 150 if kind == "uint8" else 1000
    dtype = np.dtype("uint8" if kind == "uint8" else "uint16")
    return np.clip(np.rint(noisy * levels), 0, np.iinfo(dtype).max).astype(dtype), levels, truth, line


def row(name: str, truth: NDArray[np.float64], kind: str, dose: int) -> dict[str, Any]:
    """PSNR (dB) with the noise told and estimated, and the estimate over the truth."""
    recorded, levels, truth, (gain, intercept) = measured(truth, kind, dose)
    whole = ArraySource(recorded, "YX")
    found = measure_intensities(whole)
    norm = found.normalisation()
    source = NormalisedSource(whole, norm, found.mean)
    told, _ = look(source, PriorSettings())
    scale, offset = levels / norm.scale, norm.offset / levels  # of brightness on the normalised scale
    level = NoiseLevel(
        gain * scale, (gain * offset + intercept) * scale**2, (0.0,), (max(intercept, 1e-3 * gain) * scale**2,)
    )
    clean = (truth - offset) * scale
    std = float(np.sqrt(np.mean(gain * truth + intercept)) * scale)
    right = Told(float(clean.mean()), float(clean.std()), std, level)
    network, _ = load(None)
    y = source.read((slice(0, recorded.shape[0]), slice(0, recorded.shape[1])))
    psnr = []
    for one in (right, told):
        restored = PriorMethod(network.eval(), one)({"image": _tensor(y)}, None)["mean"].numpy()[0, 0]
        brightness = restored / scale + offset
        psnr.append(-10 * np.log10(np.mean((brightness - truth) ** 2)))
    raw = -10 * np.log10(np.mean((recorded / levels - truth) ** 2))
    return {"image": name, "kind": kind, "dose": dose, "noisy": raw, "told": psnr[0], "estimated": psnr[1],
            "std": told.std / std, "line": told.level is not None}  # fmt: skip


def _tensor(plane: NDArray[Any]) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(plane))[None, None]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--against", type=Path, help="an earlier table")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    options = parser.parse_args()
    earlier = {}
    if options.against:
        earlier = {(r["image"], r["kind"], r["dose"]): r for r in json.loads(options.against.read_text())}
    rows = []
    print(f"{'image':10} {'kind':7} dose  noisy   told  estim.  cost  (before)  std/true")
    for kind in options.kinds:
        for name, file in IMAGES.items():
            truth = truth_of(file)
            for dose in range(3):
                found = row(name, truth, kind, dose)
                rows.append(found)
                old = earlier.get((name, kind, dose))
                before = "" if old is None else f"{old['told'] - old['estimated']:6.2f}"
                print(f"{name:10} {kind:7} {dose}    {found['noisy']:5.2f}  {found['told']:5.2f}  "
                      f"{found['estimated']:5.2f} {found['told'] - found['estimated']:6.2f}  {before:8}  "
                      f"{found['std']:5.2f} "
                      f"{'line' if found['line'] else ''}", flush=True)  # fmt: skip
        for dose in range(3):
            cost = np.array([r["told"] - r["estimated"] for r in rows if r["kind"] == kind and r["dose"] == dose])
            print(f"{kind}, dose {dose}: mean cost {cost.mean():.2f} dB, worst {cost.max():.2f} dB")
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
