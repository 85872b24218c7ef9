"""The verdict on a whole result: one plane of each channel is judged, and the least good one decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError
from ruska.evaluation.placing import covered
from ruska.report.pictures import Explained, filled, on_grid_of, place_title, plane_at, where_shown
from ruska.report.verdict import LEVELS, Verdict, judge

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.image import Image

    Plane = NDArray[np.float64]

_MOST_CHANNELS = 8
_MOST_PLANES = 32  # of a channel among which one is looked for that is not empty
_SMALLEST = 32  # px each way of a plane that can be judged


@dataclass(frozen=True)
class Judged:
    """The verdict on a result and, where several planes were examined, on each of them by its title.

    shown : which part of the data was examined.
    """

    verdict: Verdict
    planes: Mapping[str, Verdict]
    shown: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-like, for a record; ``objection`` : whether anything speaks against the result."""
        verdict = self.verdict
        return {
            "level": verdict.level,
            "objection": verdict.level != "good",
            "headline": verdict.headline,
            "better_than_input": verdict.better,
            "sentences": list(verdict.lines),
            "looked_at": self.shown,
            "numbers": dict(verdict.numbers),
            "planes": {title: {"level": of.level, "headline": of.headline, "better_than_input": of.better,
                               "numbers": dict(of.numbers)} for title, of in self.planes.items()},
        }  # fmt: skip


def judge_images(
    before: Image, after: Image, record: Mapping[str, Any], explained: Explained | None = None,
    noisiest: Mapping[str, int] | None = None,
) -> Judged:  # fmt: skip
    """Judge the middle plane of each channel (its central part when it is large), at most eight, and the noisiest.

    before, after : the input and the result. record : of the run; its task, warnings and clipped voxels are used.
    explained : what the instrument would make of a plane of the result, which is then compared with the input.
    noisiest : where the plane with the strongest noise is, where planes differ.
    """
    found = {}
    for title, asked in _places(before, noisiest).items():
        if (place := _telling(before, asked)) is not None:
            elsewhere = place_title(before, {a: i for a, i in place.items() if a not in asked})
            shown = f"{title}, taken at {elsewhere}" if elsewhere else title
            found[shown] = _judge_plane(before, after, place, record, explained)
    if not found:
        why = (
            "The part of the input that was examined has only one grey level, or none, so there is nothing to restore."
        )
        return Judged(_not_judged(why, [str(w) for w in listed(record.get("warnings"))]), {}, where_shown(before))
    worst = max(found.values(), key=lambda v: (LEVELS.index(v.level), v.better is False))
    if len(found) == 1:
        (title,) = found
        return Judged(worst, {}, where_shown(before) + (f"; {title}" if ", taken at " in title else ""))
    each = tuple(f"{title}: {verdict.headline}" for title, verdict in found.items())
    title = next(title for title, verdict in found.items() if verdict is worst)
    return Judged(
        replace(worst, lines=(*each, f"In more detail, for {title}:", *worst.lines)), found, where_shown(before)
    )


def _places(image: Image, noisiest: Mapping[str, int] | None) -> dict[str, Mapping[str, int]]:
    """The planes to examine, by title."""
    count = image.size("C") if "C" in image.axes else 1
    chosen = sorted({round(k) for k in np.linspace(0, count - 1, min(count, _MOST_CHANNELS))})
    places: dict[str, Mapping[str, int]] = {_title(image, c): {"C": c} for c in chosen}
    if noisiest is not None:
        places[f"noisiest plane ({place_title(image, noisiest)})"] = noisiest
    return places


def _telling(image: Image, place: Mapping[str, int]) -> Mapping[str, int] | None:
    """``place``; where that plane is empty, one that is not, of some along the longest other axis; None where all are.

    Empty is a plane of one grey level, or one half of which is not valid.
    """
    if not _empty(plane_at(image, place)):
        return place
    free = {axis: n for axis, n in zip(image.axes, image.shape, strict=True) if axis not in "YX" and axis not in place}
    axis = max(free, key=lambda a: free[a], default="")
    count = free.get(axis, 1)
    every = {round(k) for k in np.linspace(0, count - 1, min(count, _MOST_PLANES))}
    near = sorted(every, key=lambda k: abs(k - count // 2))
    for k in near if count > 1 else ():
        if not _empty(plane_at(image, {**place, axis: k})):
            return {**place, axis: k}
    plane = plane_at(image, place)
    valid = plane[np.isfinite(plane)]
    return place if valid.size and valid.min() < valid.max() else None


def _empty(plane: Plane) -> bool:
    finite = np.isfinite(plane)
    return finite.mean() < 0.5 or bool(plane[finite].min() == plane[finite].max())


def _title(image: Image, channel: int) -> str:
    if "C" not in image.axes or image.size("C") == 1:
        return "middle plane"
    names = image.channel_names
    name = f" ({names[channel]})" if channel < len(names) and names[channel] else ""
    return f"channel {channel + 1}{name}"


def _judge_plane(
    before: Image, after: Image, place: Mapping[str, int], record: Mapping[str, Any], explained: Explained | None
) -> Verdict:
    warnings = [str(w) for w in listed(record.get("warnings"))]
    same = before.axes == after.axes and before.shape == after.shape
    if not same and (explained is None or _channels(before) != _channels(after)):
        return _not_judged(
            "The output has a different grid from the input, so the two cannot be compared pixel by pixel.", warnings
        )
    zoom = max(1.0, after.shape[-1] / before.shape[-1])
    b, a = plane_at(before, place), plane_at(after, on_grid_of(after, before, _known(before, place)), zoom=zoom)
    seen = a if explained is None else explained(filled(a))
    if seen is None or seen.shape != b.shape:
        return _not_judged(
            "The output has a different grid from the input, so the two cannot be compared pixel by pixel.", warnings
        )
    b, seen = _finite(b, seen)
    if min(b.shape) < _SMALLEST:
        return _not_judged("The image is smaller than 32 pixels, too small to tell structure from noise.", warnings)
    clipped = record.get("clipped")
    count = int(clipped) if isinstance(clipped, int | np.integer) else 0
    if count:  # said in our own words
        warnings = [w for w in warnings if "clipped" not in w]
    denoised = explained is None and record.get("task", "denoise") == "denoise"
    try:
        return judge(b, seen, clipped=count, warnings=warnings, denoised=denoised)
    except GeometryError as error:
        return _not_judged(f"{error}.", warnings)


def _known(image: Image, place: Mapping[str, int]) -> dict[str, int]:
    return {axis: i for axis, i in place.items() if axis in image.axes}


def _finite(before: Plane, after: Plane) -> tuple[Plane, Plane]:
    """The part that both have, cut free of empty edges; single pixels inside that one lacks are alike in both."""
    valid = np.isfinite(before) & np.isfinite(after)
    if valid.all():
        return before, after
    part = covered(valid)
    level = np.median(after[valid]) if valid.any() else 0.0
    return np.where(valid, before, level)[part], np.where(valid, after, level)[part]


def _channels(image: Image) -> int:
    return image.size("C") if "C" in image.axes else 1


def _not_judged(why: str, warnings: list[str]) -> Verdict:
    return Verdict("This result was not judged: look at it yourself.", (why, *warnings), "caution")


def listed(value: Any) -> list[Any]:
    """A value of a record as a list; empty where there is none."""
    return list(value) if isinstance(value, list | tuple) else [] if value in (None, "") else [value]
