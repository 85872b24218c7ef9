"""Further images inside an OME-Zarr store: beside its main image, or as labels in NGFF's labels group."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruska.image import Image
from ruska.io.zarr_store import write
from ruska.scratch import remove

LABELS = "labels"


def write_inside(store: Path, name: str, image: Image) -> Path:
    """Write ``image`` as ``store/name``, labels as ``store/labels/name``; replaces what an interrupted run left.

    Source: OME-NGFF 0.5, "Labels": an image like any other, listed in its group's ``labels``, with ``image-label``.
    """
    import zarr

    is_labels = image.meaning == "labels"
    place = store / LABELS / name if is_labels else store / name
    remove(place)
    if is_labels:
        group = zarr.open_group(str(store / LABELS), mode="a", zarr_format=3)
        known = [n for n in _ome(group).get("labels", []) if n != name]
        group.attrs["ome"] = {"version": "0.5", "labels": [*known, name]}
    write(place, image)
    if is_labels:
        inner: Any = zarr.open_group(str(place), mode="r+")
        inner.attrs["ome"] = {**_ome(inner), "image-label": {"version": "0.5", "source": {"image": "../../"}}}
    return place


def _ome(group: Any) -> dict[str, Any]:
    return dict(group.attrs.get("ome", {}))
