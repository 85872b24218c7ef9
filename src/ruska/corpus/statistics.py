"""What is in a corpus, in numbers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from statistics import median
from typing import Any

from ruska.corpus.pixel_sizes import plane_size


def statistics(planes: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Numbers of ``planes``, as the manifest lists them.

    planes, pixels : of all targets. levels : of each scale, planes, pixels and the noise that is left (median and
    largest, of the signal's standard deviation). groups : planes and pixels of each folder. pixel_size : how many
    planes know theirs, and the range in nm at the scale they are kept at. cut : planes that lost a frame, a data bar
    or a scale bar.
    """
    found = list(planes)
    levels, groups = defaultdict(list), defaultdict(list)
    for plane in found:
        levels[int(plane["level"])].append(plane)
        groups[str(plane["group"])].append(plane)
    sizes = [size for plane in found if (size := plane_size(plane, {})) is not None]
    return {
        "planes": len(found),
        "pixels": _pixels(found),
        "levels": {level: _of_level(members) for level, members in sorted(levels.items())},
        "groups": {name: {"planes": len(g), "pixels": _pixels(g)} for name, g in sorted(groups.items())},
        "pixel_size": {"known": len(sizes), "unknown": len(found) - len(sizes),
                       "nm": [round(min(sizes), 4), round(max(sizes), 4)] if sizes else None},
        "cut": dict(Counter(kind for plane in found for kind in plane.get("cut", {}))),
    }  # fmt: skip


def _of_level(planes: list[Mapping[str, Any]]) -> dict[str, Any]:
    noise = [plane["noise"] for plane in planes]
    return {"planes": len(planes), "pixels": _pixels(planes),
            "noise": {"median": round(median(noise), 4), "largest": max(noise)}}  # fmt: skip


def _pixels(planes: Iterable[Mapping[str, Any]]) -> int:
    return sum(plane["shape"][0] * plane["shape"][1] for plane in planes)
