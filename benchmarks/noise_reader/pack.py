"""Micrographs to train on, in one file: ``python -m benchmarks.noise_reader.pack FOLDER`` reads ``train/`` of the data.

Eight bits a pixel, of micrographs that can be clean targets: electron microscopy and fluorescence, without those born
as JPEG, those that are known to be noisy, and those whose licence does not let weights be made of them.
"""

from __future__ import annotations

import csv
import json
import lzma
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import ruska
from benchmarks.cases import DATA
from benchmarks.estimate import own_noise
from ruska.corpus.borders import trim
from ruska.corpus.planes import grey_planes, unfit
from ruska.errors import RuskaError

HELD_BACK = ("chm_neuropil", "qem_finfet", "tldr_hrdv2", "skan_rbc", "axondeepseg_tem_test", "bbbc039", "sdeconv",
             "bia_notebooks")  # fmt: skip
"""Folders of ``train/`` that the network never sees, to develop on."""
_LEFT_OUT = {"kriss_semdenoising", "muvis_crick", "malaria_nih", "pnnl_pychip_chips", "ardagen_stem_np",
             "nanocomposite_sem", "nrcan_shale", "hiv_vlp_tomogram", "kidney_gbm_tem", "aquami_np_gold"}  # fmt: skip
_NOISY = ("lowsnr", "eres_noisy", "sto_ge", "BSE", "mask", "partial_scan")
LEVELS = (1, 2, 3, 4)
_MOST_PLANES = 20  # of one file
_SMALLEST = 64
_MOST_PIXELS = 2_500_000  # of one folder: it is the number of specimens that counts
_ENDS = (0.02, 99.98)  # percentiles that become 0 and 255


def rows() -> Iterator[dict[str, str]]:
    """Lines of the manifest that are micrographs of ``train/`` which may be used."""
    with (DATA / "MANIFEST.csv").open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            _, folder, *_ = row["path"].split("/")
            masks = "[mask]" in row["notes"] or (
                row["role_suggestion"] == "labels" and "label" in Path(row["path"]).stem
            )
            known = folder in _LEFT_OUT or any(word in row["path"] for word in _NOISY)
            if row["split"] == "train" and not masks and not known:
                yield row


def planes(row: dict[str, str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """The fit planes of a file, borders cut off."""
    file = DATA / row["path"]
    try:
        found = list(grey_planes(ruska.read(file), _MOST_PLANES))
    except RuskaError as error:
        print(f"left out: {row['path']}: {error}", flush=True)
        return
    for name, whole in found:
        plane = trim(whole).plane if np.isfinite(whole).all() else whole
        reason = unfit(plane) if min(plane.shape) >= _SMALLEST else "is too small"
        if reason is None:
            yield name, plane
        else:
            print(f"left out: {row['path']} {name}: {reason}", flush=True)


def own_noises(plane: NDArray[np.float32]) -> list[float | None]:
    """Standard deviation of the noise of a plane at each of `LEVELS`, as far as it is large enough."""
    return [own_noise(plane, level) if min(plane.shape) // level >= _SMALLEST else None for level in LEVELS]


def main() -> None:
    """Write ``planes.bin`` (pixels, differences along rows, compressed) and ``planes.json`` (what they are)."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    facts, packer = list[dict[str, Any]](), lzma.LZMACompressor(preset=3)
    of_group = Counter[str]()
    pixels = 0
    with (folder / "planes.bin").open("wb") as out:
        for row in rows():
            group = row["path"].split("/")[1]
            for name, plane in planes(row) if of_group[group] < _MOST_PIXELS else ():
                of_group[group] += plane.size
                low, high = np.percentile(plane, _ENDS)
                if not high > low:
                    continue
                own = [None if o is None else round(o / float(high - low), 5) for o in own_noises(plane)]
                root = row["dtype"] != "uint8"  # finer steps where it is dark
                shares = np.clip((plane - low) / (high - low), 0, 1)
                values = np.rint((np.sqrt(shares) if root else shares) * 255).astype(np.uint8)
                facts.append({"source": row["path"], "plane": name, "group": group,
                              "kind": "fluorescence" if "fluo" in row["modality"] else "em",
                              "shape": values.shape, "at": pixels, "own": own, "root": root})  # fmt: skip
                pixels += values.size
                out.write(packer.compress(np.diff(values, axis=1, prepend=np.uint8(0)).tobytes()))
            print(row["path"], len(facts), pixels / 1e6, flush=True)
        out.write(packer.flush())
    described = {"pixels": pixels, "held_back": HELD_BACK, "planes": facts}
    (folder / "planes.json").write_text(json.dumps(described), encoding="utf-8")


if __name__ == "__main__":
    main()
