"""Objects of a watershed in blocks, against the whole: united by the most they share, and by any voxel they share.

``python -m benchmarks.objects`` segments nuclei and axons of ``../shared/data``, or of ``RUSKA_DATA``. A watershed
depends on more than any halo, so no way of uniting can be exact. Reported are the adapted Rand error against the whole
(0: the same; Arganda-Carreras et al. 2015, Front. Neuroanat. 9, 142) and how many objects are found.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal
from unittest.mock import patch

import numpy as np
import torch
from numpy.typing import NDArray

from ruska.engine import ArraySource, Budget, Layout, MemoryStore, labels, plan_blocks, run
from ruska.image import Output

DATA = Path(os.environ.get("RUSKA_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))
FILES = ("val/coelho_nuclei/*dna*.png", "train/axondeepseg_tem_test/mouse_axons_tem.png")
EDGES = (128, 192)


@dataclass
class Watershed:
    """Bright (or dark) bodies, parted where they narrow."""

    level: float
    dark: bool
    halo: tuple[int, ...] = (24, 24)
    multiple: tuple[int, ...] = (1, 1)
    locality: Literal["exact", "approximate"] = "approximate"
    domain: Literal["normalised", "raw"] = "raw"
    bytes_per_voxel: float = 100.0
    threads: Literal["one", "many"] = "one"
    outputs: tuple[Output, ...] = (Output("labels", dtype="uint32", values="raw", merge="labels"),)

    def __call__(self, inputs: Mapping[str, torch.Tensor], random: Any) -> Mapping[str, torch.Tensor]:
        from scipy.ndimage import distance_transform_edt, gaussian_filter
        from skimage.feature import peak_local_max
        from skimage.segmentation import watershed

        smooth = gaussian_filter(inputs["image"][0, 0].numpy(), 2)
        body = smooth < self.level if self.dark else smooth > self.level
        depth = gaussian_filter(distance_transform_edt(body), 1)
        seeds = np.zeros(body.shape, np.int32)
        peaks = peak_local_max(depth, min_distance=6, labels=body.astype(np.int32))
        seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
        found = watershed(-depth, seeds, mask=body)
        return {"labels": torch.from_numpy(found.astype(np.int64))[None, None]}


def segment(method: Watershed, image: NDArray[Any], edge: int) -> NDArray[Any]:
    """Labels of the image, from blocks of ``edge``."""
    plan = plan_blocks(Layout("YX", image.shape, 2), method, Budget(4 << 30, 1), dtype=image.dtype,
                       out_dtype=np.uint32, edge=edge, baseline=0)  # fmt: skip
    sink = MemoryStore(plan.shape_of(method.outputs[0]), "uint32")
    run(ArraySource(image, "YX"), method, {"labels": sink}, plan)
    return sink.read(tuple(slice(0, n) for n in sink.shape))[0]


def main() -> None:
    from skimage.filters import gaussian, threshold_otsu
    from skimage.io import imread
    from skimage.metrics import adapted_rand_error

    any_overlap = labels.same
    print("| image | edge | objects, whole | by most | error | by any | error |\n|---|---|---|---|---|---|---|")
    errors: dict[str, list[float]] = {"most": [], "any": []}
    for path in sorted(p for pattern in FILES for p in DATA.glob(pattern) if "labels" not in p.name):
        image = imread(path)
        method = Watershed(threshold_otsu(gaussian(image, 2, preserve_range=True)), dark="axons" in path.name)
        whole = segment(method, image, max(image.shape))
        for edge in EDGES:
            row = [path.name, edge, whole.max()]
            for way in errors:
                chosen = any_overlap if way == "most" else lambda a, b, exact: any_overlap(a, b, exact=True)
                with patch.object(labels, "same", chosen):
                    found = segment(method, image, edge)
                errors[way].append(adapted_rand_error(whole, found)[0])
                row += [found.max(), f"{errors[way][-1]:.4f}"]
            print("| " + " | ".join(map(str, row)) + " |", flush=True)
    for way, found in errors.items():
        print(f"united by {way}: median adapted Rand error {median(found):.4f}, largest {max(found):.4f}")


if __name__ == "__main__":
    main()
