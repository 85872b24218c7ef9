"""Nearly empty files, which declare far more pixels than they store: how they are reported, and refused as a whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from ruska.engine import ArraySource
from ruska.engine.statistics import sparse
from ruska.errors import InputError
from ruska.image import Image, crop
from ruska.image.held import Held

_LARGEST_REGION = 1 << 32  # voxels


def claim(image: Image) -> str | None:
    """What ``image`` declares and stores, in a sentence; None unless it is nearly empty."""
    found = _found(image)
    return None if found is None else _sentence(image, found)


def _found(image: Image) -> Held | None:
    return sparse(ArraySource(image.data, image.axes))


def _sentence(image: Image, found: Held) -> str:
    shape = " x ".join(map(str, image.shape))
    return f"the file declares {shape} {image.dtype} pixels but stores {_count(found)}"


def _count(found: Held) -> str:
    if found.chunks == 1:
        return "none of them"
    return f"{found.count or 'none'} of their {found.chunks} chunks"


def worked_on(image: Image, roi: Mapping[str, slice] | None) -> tuple[Image, Mapping[str, slice] | None]:
    """``image`` and ``roi`` unchanged; of a nearly empty file, the region cropped to an image of its own.

    So is a region of a frame whose detector references cover that region only.

    Raises InputError where a nearly empty file would have to be read as a whole.
    """
    found = _found(image)
    if found is None and roi and getattr(image.data, "covers", None) is not None:
        return crop(image, roi), None
    if found is None:
        return image, roi
    part = crop(replace(image, mask=None), roi) if roi else image
    if math.prod(part.shape) > _LARGEST_REGION:
        box = found.boxes[0] if found.boxes else tuple(slice(0, min(n, 64)) for n in image.shape)
        region = ",".join(f"{a}={part.start}:{part.stop}" for a, part in zip(image.axes, box, strict=True))
        raise InputError(image.name, f"is nearly empty: {_sentence(image, found)}",
                         f"Choose the region that you want, e.g. --roi {region}.")  # fmt: skip
    return (crop(image, roi) if roi else image), None


def refuse_claim(image: Image) -> None:
    """Raise InputError for a file that is nearly empty."""
    said = claim(image)
    if said is not None:
        raise InputError(image.name, f"is nearly empty: {said}", "Copy the stored part to a file of its own.")
