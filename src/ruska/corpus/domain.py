"""What a packed corpus makes a model fit for, as its card says it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ruska.corpus.pixel_sizes import plane_size
from ruska.weights import Domain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.training.packed import Packed
    from ruska.weights.domain import Range

_TAIL = 0.025  # of the training, left out at each end of a range
_EDGE = 768  # pixels of a plane that are looked at, each way
_DRAWN = 2000  # patches whose noise is drawn


def domain_of(folder: str | os.PathLike[str], pixel_sizes: Mapping[str, float] | None = None) -> Domain:
    """The `Domain` of models trained on the corpus in ``folder``, each plane counted as often as training draws it.

    pixel_sizes : nm of files that do not state theirs, by pattern (see `corpus.build`), for a corpus that was packed
        without.
    Raises InputError when ``folder`` holds no corpus, or not all of it.
    """
    from ruska.physics.appearance import appearance
    from ruska.training.packed import MANIFEST, Packed

    packed = Packed.load(Path(folder))
    planes = json.loads((Path(folder) / MANIFEST).read_text(encoding="utf-8"))["planes"]
    share = packed.share.numpy().astype(np.float64)
    found = [appearance(_plane(packed, number)) for number in range(len(planes))]
    sizes = np.array([plane_size(plane, pixel_sizes or {}) or np.nan for plane in planes])
    known = np.isfinite(sizes)
    return Domain(
        noise=_noise_of_training(),
        skewness=_range([f.skewness for f in found], share),
        equal=_range([f.equal for f in found], share),
        detail=_range([f.detail for f in found], share),
        pixel_size_nm=(float(np.nanmin(sizes)), float(np.nanmax(sizes))) if known.any() else None,
        pixel_size_known=round(float(share[known].sum()), 3),
    )


def _plane(packed: Packed, number: int) -> NDArray[np.float32]:
    start, height, width = (int(part[number]) for part in (packed.start, packed.height, packed.width))
    plane = packed.pixels[start : start + height * width].view(height, width)
    return np.asarray(plane[:_EDGE, :_EDGE].float())


def _range(values: list[float], share: NDArray[np.float64]) -> Range:
    """What holds all but the ends of ``values``, each counting ``share``."""
    order = np.argsort(values)
    reached = np.cumsum(share[order]) / share.sum()
    ends = np.searchsorted(reached, (_TAIL, 1 - _TAIL)).clip(max=len(values) - 1)
    low, high = (round(float(values[order[end]]), 3) for end in ends)
    return low, high


def _noise_of_training() -> Range:
    """Of noise over signal, as `training.noising` adds it to targets that are clean."""
    import torch

    from ruska.training.noising import add_noise

    blank = torch.zeros(_DRAWN, 1, 4, 4)
    sigma = add_noise(blank, torch.zeros(_DRAWN), torch.Generator().manual_seed(0)).sigma.mean((1, 2, 3))
    low, high = (round(float(q), 3) for q in np.quantile(sigma.numpy(), (_TAIL, 1 - _TAIL)))
    return low, high
