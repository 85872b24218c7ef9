"""What it costs that the noise is estimated and not told: ``python -m benchmarks.estimate`` (``--split dev``: to tune).

Clean micrographs with known noise are restored by the embedded prior, once told what it estimates and once told the
truth. A truth has noise of its own, which a right estimator counts: what is told is the sum of both variances, and an
image passes at a dose where its own noise is below a quarter of what was added. It costs as many dB as the told result
is better. Rows are kept in a file beside the table, so that a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ruska
from benchmarks.cases import DATA, SCAN_LINE
from ruska.corpus.borders import trim
from ruska.corpus.planes import shrink
from ruska.metrics import psnr
from ruska.physics import STANDARD_DOSES, NoiseLevel, PoissonGaussian, estimate_noise

MOST_OWN = 0.25  # own noise of a truth over what is added, below which it passes
EDGE = 384
_QUIET = 0.05  # share of the patches of a truth that are quieter than its own noise is taken to be
KINDS: dict[str, tuple[float, ...]] = {"white": (1.0,), "scan line": SCAN_LINE}


@dataclass(frozen=True)
class Micrograph:
    """A file of the data folder; plane of a stack; area-downsampling that averages its own noise away."""

    name: str
    file: str
    plane: int | None = None
    binning: int = 2
    fluorescence: bool = False


def _em(name: str, file: str, plane: int | None = None, binning: int = 2) -> Micrograph:
    return Micrograph(name, file, plane, binning)


def _fluo(name: str, file: str, plane: int | None = None, binning: int = 2) -> Micrograph:
    return Micrograph(name, file, plane, binning, fluorescence=True)


_CEM = "val/emdiffuse_demo/"
VAL = (
    _em("isbi2012", "val/isbi2012/train_raw_30x512x512.tif", 7),
    _em("openfibsem 1", "val/openfibsem/fibsem__segmentation__test_image.tif", None, 4),
    _em("openfibsem 2", "val/openfibsem/fibsem__detection__test_image.tif", None, 4),
    _em("openfibsem 3", "val/openfibsem/fibsem__detection__test_image_2.tif", None, 4),
    _em("cdeep3m", "val/cdeep3m_sbem/train_raw_12x1024x1024.tif", 6),
    _em("fib25", "val/fib25_neuroproof/sample2_raw_250x250x250.tif", 125),
    _em("neubias_em", "val/neubias_em/xy_8bit__em_mitochondria_er.tif"),
    _em("fly eye", "val/neubias_em/xy_8bit__em_fly_eye.tif"),
    _em("microns 0", _CEM + "microns_demo_0.tif"),
    _em("microns 1", _CEM + "microns_demo_1.tif"),
    _em("mouse liver 0", _CEM + "mouse_liver_demo_0.tif"),
    _em("mouse liver 1", _CEM + "mouse_liver_demo_1.tif"),
    _em("empanada 1", "val/empanada/instance_dataset1_images_ins_seg.tiff"),
    _em("empanada 2", "val/empanada/panoptic_dataset1_images_pan_seg.tiff"),
    _em("nanocrystal", "val/nanocrystal_tem/1-0001.tif"),
    _em("cavities 0", "val/uwcmg_cavities/00000.png"),
    _em("cavities 136", "val/uwcmg_cavities/00136.png"),
    _em("spheroidite 24", "val/uhcs_spheroidite/train_800C-24H-Q-2_sizeRC_484_645.png"),
    _em("spheroidite 85", "val/uhcs_spheroidite/train_800C-85H-Q-3_sizeRC_482_645.png"),
    _em("ss316", "val/ss316_sem/800_020.png"),
    _em("metaldam 0", "val/metaldam/micrograph0.png"),
    _em("metaldam 10", "val/metaldam/micrograph10.png"),
    _em("bto_stem", "val/bto_stem/BTO_crystal_1.png"),
    _em("temul", "val/temul/Au_NP_Atom_Lattice.hdf5"),
    _em("graphene", "val/graphene_stem_ornl/G-GrainBoundary-4nm.npy"),
    _fluo("gnf 1", "val/coelho_nuclei/gnf_dna1.png"),
    _fluo("gnf 13", "val/coelho_nuclei/gnf_dna13.png"),
    _fluo("ic100 1", "val/coelho_nuclei/ic100_dna1.png"),
    _fluo("ic100 11", "val/coelho_nuclei/ic100_dna11.png"),
    _fluo("membrane", "val/gigadb_hagen_fluo/membrane-highsnr-sample.tif"),
    _fluo("nucleus", "val/gigadb_hagen_fluo/nucleus-highsnr-sample.tif"),
)
"""To report: never looked at to make an estimator."""
_CHM = "train/chm_neuropil/"
DEV = (
    _em("finfet", "train/qem_finfet/finfet_overview.png"),
    _em("fuel cell", "train/tldr_hrdv2/sofc_sem.png"),
    _em("t cell 1", "train/tldr_hrdv2/tcell_tem_6x478x518.tif", 1),
    _em("t cell 4", "train/tldr_hrdv2/tcell_tem_6x478x518.tif", 4),
    _em("axons", "train/axondeepseg_tem_test/mouse_axons_tem.png"),
    _fluo("bbbc039 D04", "train/bbbc039/IXMtest_D04_s2_w1E05.png"),
    _fluo("bbbc039 L03", "train/bbbc039/IXMtest_L03_s6_w1BE7.png"),
    _fluo("c elegans", "train/sdeconv/celegans.png"),
    _fluo("pollen", "train/sdeconv/pollen_8x256x256.tif", 4),
    _fluo("BPAE actin", "train/bia_notebooks/BPAE_actin.png"),
    _fluo("BPAE mito", "train/bia_notebooks/BPAE_mito.png"),
    _fluo("BBBC022 w2", "train/bia_notebooks/BBBC022_A02_s9_3ch.tif", 1),
    _fluo("maize", "train/bia_notebooks/maize_clsm.png"),
)
"""To develop on: held back from what the noise reader was trained on."""


@dataclass(frozen=True, eq=False)
class Truth:
    """values (Y, X), 0-1. own : standard deviation of the noise that is in them."""

    values: NDArray[np.float32]
    own: float


def truth_of(micrograph: Micrograph) -> Truth:
    """Area-downsampled, its 0.1 to 99.9 percentile brought to 0-1."""
    data = np.asarray(ruska.read(DATA / micrograph.file).data)
    plane = (data if data.ndim == 2 else data[micrograph.plane or 0]).astype(np.float32)
    plane = trim(plane).plane
    small = shrink(plane, micrograph.binning)[:EDGE, :EDGE]
    low, high = np.percentile(small, (0.1, 99.9))
    own = own_noise(plane, micrograph.binning) / float(high - low)
    return Truth(np.clip((small - low) / (high - low), 0, 1).astype(np.float32), own)


def own_noise(plane: NDArray[np.float32], binning: int) -> float:
    """Standard deviation of the noise that is left after downsampling; too much where all is texture.

    Averaging over n x n pixels divides noise by n: it is at most that share of what a finer scale shows, and at most
    what the quietest patches show.
    """
    found = [estimate_noise(shrink(plane, n)).white_equivalent_std * n / binning
             for n in range(1, binning + 1) if min(plane.shape) // n >= 64]  # fmt: skip
    return min([*found, _quietest(shrink(plane, binning))])


def _quietest(plane: NDArray[np.float32], side: int = 16) -> float:
    high = plane.astype(np.float64)
    for axis in (0, 1):
        high = np.diff(high, 4, axis) / np.sqrt(70)  # white noise keeps its strength
    rows, columns = (n // side for n in high.shape)
    patches = high[: rows * side, : columns * side].reshape(rows, side, columns, side)
    return float(np.sqrt(np.quantile((patches**2).mean((1, 3)), _QUIET)))


class Plain:
    """An array as the methods read one."""

    def __init__(self, values: NDArray[Any]) -> None:
        self.values, self.shape = values, values.shape

    def read(self, box: tuple[slice, ...]) -> NDArray[Any]:
        return self.values[box]


def told(noisy: NDArray[np.float32], truth: Truth, noise: PoissonGaussian) -> Any:
    """What the prior is told when all is known."""
    from ruska.methods.prior import Told, _signal

    least = noise.read_noise**2 + truth.own**2
    level = NoiseLevel(1 / noise.peak_counts, least, (0.0, 1.0), (least, least + 1 / noise.peak_counts))
    kernel = np.asarray(noise.scan_line_kernel) / np.linalg.norm(noise.scan_line_kernel)
    lags = [float((kernel[k:] * kernel[:-k]).sum()) if len(kernel) > k else 0.0 for k in (1, 2)]
    std = float(np.sqrt((noise.variance(truth.values) + truth.own**2).mean()))
    return Told(float(noisy.mean()), _signal(float(noisy.var()), std), std, level, (*lags, 0.0, 0.0))


def estimated(noisy: NDArray[np.float32]) -> Any:
    """What the prior estimates by itself."""
    from ruska.methods.prior import OnePassSettings, look

    return look(Plain(noisy), OnePassSettings())[0]


@dataclass(frozen=True)
class Row:
    """One image with one noise. PSNR in dB of the input, of the result told and estimated. level : estimated over true
    standard deviation, root mean square. passes : whether the truth's own noise is small enough."""

    name: str
    group: str
    dose: str
    kind: str
    own: float
    added: float
    input: float
    told: float
    estimated: float
    level: float
    passes: bool

    @property
    def cost(self) -> float:
        return self.told - self.estimated


Estimator = Callable[[NDArray[np.float32]], Any]


def measure(
    micrograph: Micrograph, estimators: dict[str, Estimator], device: str, known: dict[str, Any], doses: Sequence[float]
) -> Iterator[tuple[str, Row]]:
    """Rows by estimator, of every dose and kind. known : PSNR of told results, filled as they are found."""
    import torch

    from ruska.methods.prior import PriorMethod, load

    network = load(None)[0].eval().to(device)
    truth = truth_of(micrograph)
    for dose in STANDARD_DOSES:
        for kind, kernel in KINDS.items():
            if dose.peak_counts not in doses:
                continue
            noise = PoissonGaussian(dose.peak_counts, dose.read_noise, kernel)
            noisy = noise.simulate(truth.values, seed=11)
            image = torch.from_numpy(noisy)[None, None]

            def quality(say: Any, image: torch.Tensor = image) -> float:
                method = PriorMethod(network, say)
                return float(psnr(method({"image": image}, None)["mean"][0, 0].numpy(), truth.values, 1.0))

            added = float(np.sqrt(noise.variance(truth.values).mean()))
            key = f"{micrograph.name}/{dose.peak_counts:g}/{kind}"
            reference = told(noisy, truth, noise)
            if key not in known:
                known[key] = quality(reference)
            for name, estimator in estimators.items():
                said = estimator(noisy)
                yield name, Row(
                    micrograph.name, "fluorescence" if micrograph.fluorescence else "em", f"{dose.peak_counts:g} e",
                    kind, truth.own, added, psnr(noisy, truth.values, 1.0), known[key], quality(said),
                    said.std / reference.std, truth.own < MOST_OWN * added,
                )  # fmt: skip


def table(rows: Sequence[Row]) -> Iterator[str]:
    """Cost by group, dose and kind; then those that cost most."""
    yield "| | dose | noise | n | mean cost, dB | median | worst | n that pass | mean | worst | worse than input |"
    yield "|---" * 11 + "|"
    groups = dict.fromkeys((r.group, r.dose, r.kind) for r in rows)
    for group in sorted(groups, key=lambda g: (g[0], -float(g[1].split()[0]), g[2])):
        found = [r for r in rows if (r.group, r.dose, r.kind) == group]
        cost, passing = [r.cost for r in found], [r.cost for r in found if r.passes]
        worse = sum(r.estimated < r.input for r in found)
        ends = f"{statistics.mean(passing):.2f} | {max(passing):.2f}" if passing else "- | -"
        yield (f"| {' | '.join(group)} | {len(found)} | {statistics.mean(cost):.2f} | {statistics.median(cost):.2f} | "
               f"{max(cost):.2f} | {len(passing)} | {ends} | {worse} |")  # fmt: skip
    yield ""
    for r in sorted(rows, key=lambda r: -r.cost)[:15]:
        yield (f"{r.name}, {r.dose}, {r.kind}: input {r.input:.2f}, told {r.told:.2f}, estimated {r.estimated:.2f} "
               f"({r.level:.2f} times the noise{'' if r.passes else '; own noise too strong'})")  # fmt: skip
    yield ""
    for dose in dict.fromkeys(r.dose for r in rows):
        names = sorted({r.name for r in rows if r.dose == dose and r.passes})
        yield f"Truths that pass at {dose}: {', '.join(names) or 'none'}."


def main() -> None:
    """Print the table of every estimator."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", choices=("val", "dev"), default="val")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--keep", type=Path, default=Path("benchmarks/work"), help="folder for what was measured")
    parser.add_argument("--doses", type=float, nargs="+", default=[d.peak_counts for d in STANDARD_DOSES])
    parser.add_argument("--name", default="present", help="under which the rows are kept")
    given = parser.parse_args()
    given.keep.mkdir(parents=True, exist_ok=True)
    known_file, rows_file = given.keep / "estimate-told.json", given.keep / f"estimate-{given.split}-{given.name}.json"
    known = json.loads(known_file.read_text()) if known_file.exists() else {}
    rows = [Row(**r) for r in json.loads(rows_file.read_text())] if rows_file.exists() else []
    for micrograph in VAL if given.split == "val" else DEV:
        if any(r.name == micrograph.name for r in rows):
            continue
        begun = time.monotonic()
        rows += [r for _, r in measure(micrograph, {given.name: estimated}, given.device, known, given.doses)]
        known_file.write_text(json.dumps(known))
        rows_file.write_text(json.dumps([asdict(r) for r in rows]))
        print(f"{micrograph.name}: {time.monotonic() - begun:.1f} s", flush=True)
    print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
