"""A detector's reference files, turned to fit the frames of an image, with warnings where they do not seem to fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska import io
from ruska.engine.validity import ValidSource
from ruska.errors import GeometryError, InputError, SettingsError
from ruska.image import Image, corrected
from ruska.image.grid import place_of
from ruska.image.reference import TURNS, Reference, Steps, Turn, misfit, steps_of
from ruska.io.defect_list import is_defect_list, read_defect_list, scaled_map
from ruska.io.digest import digest_image, digest_path
from ruska.io.stamps import check_unchanged
from ruska.physics.fixed_pattern import Strength, strengths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.pipeline.request import Input

    Box = tuple[slice, slice]

KINDS = ("dark", "gain", "defects")
_FRAMES, _SIDE = 8, 1024  # frames, and pixels each way of their middle, that are looked at
_CLEARLY = 6.0  # standard errors by which another orientation must be better
_FAINT = 0.1  # share of its strength from which a pattern shows its orientation
_SHOWN = 0.3  # share of its strength from which a pattern is in the frames; how far off 1 it may be, too
_SURE = 0.1  # standard error of a strength up to which it can be relied on
_STANDS_OUT = 0.5  # standard deviations by which defects must stand out to tell how their map lies
_USUAL_MEAN = (0.5, 2.0)  # of a gain reference
_MOST_BAD = 0.5  # share of the pixels that can be defects


def correct_detector(
    image: Image,
    dark: str | None = None,
    gain: str | None = None,
    *,
    defects: str | None = None,
    dark_as: str | None = None,
    gain_as: str | None = None,
    defects_as: str | None = None,
    region: Mapping[str, slice] | None = None,
) -> Image:
    """The image corrected with reference files (see `image.corrected`), which its provenance then names.

    dark, gain, defects : images of one frame, or of several, whose mean is taken; of defects also SerialEM's list, or
        lines of x, y, width and height.
    dark_as, gain_as, defects_as : how to prepare them (see `image.reference.steps_of`). Without an orientation, Ruska
        takes the one whose pattern the frames show, if it fits clearly better than the unturned reference.
    region : the region of interest; references of its size rather than the frames' cover this part only.

    Raises GeometryError for references that fit in no orientation, and when it is unclear how many times to subtract a
    dark reference.
    """
    files = {"dark": dark, "gain": gain, "defects": defects}
    told = {"dark": dark_as, "gain": gain_as, "defects": defects_as}
    _refuse_idle(files, told)
    given = {kind: _File(kind, path, steps_of(told[kind], f"--{kind}-as")) for kind, path in files.items() if path}
    if not given:
        return image
    opened = {kind: one.open(image) for kind, one in given.items()}
    covers = _covered(image, opened.values(), region)
    seen = _Seen.of(image, covers)
    laid = {}
    for kind in (kind for kind in KINDS if kind in opened):
        laid[kind] = _lay(image, opened[kind], seen)
        if kind == "dark":
            seen = replace(seen, mean=seen.mean - laid[kind].reference.values[seen.box])
    result = corrected(image, **{kind: one.reference for kind, one in laid.items()}, covers=covers)
    notes = [*result.notes, *(note for one in laid.values() for note in one.notes)]
    return replace(result, notes=tuple(notes),
                   provenance={**image.provenance, "detector": {k: one.facts for k, one in laid.items()}})  # fmt: skip


def _refuse_idle(files: Mapping[str, str | None], told: Mapping[str, str | None]) -> None:
    for kind in KINDS:
        if told[kind] is not None and not files[kind]:
            raise SettingsError(f"--{kind}-as", f"has no effect without --{kind}", f"Add --{kind} FILE.")


def check_references(one: Input) -> None:
    """Raise now what is wrong with the references of ``one`` for every image: words, and files that cannot be read."""
    files = {kind: getattr(one, kind) for kind in KINDS}
    told = {kind: getattr(one, f"{kind}_as") for kind in KINDS}
    _refuse_idle(files, told)
    for kind, path in files.items():
        steps_of(told[kind], f"--{kind}-as")
        if path and kind == "defects" and is_defect_list(Path(path)):
            read_defect_list(Path(path))
        elif path:
            io.read(path)


def with_steps(one: Input, image: Image) -> Input:
    """``one`` with the orientations that were found when it was opened, so that they need not be found again."""
    used = image.provenance.get("detector") if any(getattr(one, kind) for kind in KINDS) else None
    if not used:
        return one
    told = {f"{kind}_as": facts.get("as") or "keep" for kind, facts in used.items()}
    return one.model_copy(update=told)


@dataclass(frozen=True, eq=False)
class _Opened:
    """A reference with all steps done but the turn. facts : for the record."""

    reference: Reference
    steps: Steps
    facts: dict[str, Any]


@dataclass(frozen=True)
class _File:
    kind: str
    path: str
    steps: Steps

    def open(self, image: Image) -> _Opened:
        steps = self.steps
        if self.kind == "defects" and is_defect_list(Path(self.path)):
            reference, digest = self._list(image), digest_path(Path(self.path))
        else:
            found = io.read(self.path)
            digest, reference = digest_image(found), Reference.of(self.kind, found)
            check_unchanged(found)
            if self.kind == "gain" and "eer_gain" in found.header:  # frames are divided by those of EER
                steps = replace(steps, invert=True)
        reference = reference.prepared(steps)
        if self.kind != "defects" and not reference.usable.any():
            wanted = "greater than 0" if self.kind == "gain" else "finite"
            raise InputError(self.path, f"holds no usable value: none is {wanted}", f"Give the {self.kind} reference "
                             "of this camera, or leave it out.")  # fmt: skip
        if self.kind == "defects":
            share = float(np.mean((reference.values != 0) | ~reference.usable))
            if share > _MOST_BAD:
                raise InputError(self.path, f"marks {share:.0%} of all pixels as defects",
                                 "Defects are 1 (or anything but 0), good pixels 0.")  # fmt: skip
        return _Opened(reference, steps, {"path": self.path, "hash": digest, "frames": reference.frames})

    def _list(self, image: Image) -> Reference:
        found = read_defect_list(Path(self.path))
        size = (image.shape[-2], image.shape[-1])
        turned = found.camera is not None and found.camera != size and found.camera[::-1] == size
        bad = found.map(found.camera) if turned and found.camera else scaled_map(found, size, Path(self.path).name)
        if found.from_the_top and "mrc" in image.header:  # whose first row is the lowest
            bad = bad[::-1]
        return Reference(self.kind, Path(self.path).name, bad.astype(np.float32))


def _covered(image: Image, opened: Any, region: Mapping[str, slice] | None) -> Box | None:
    """The rows and columns that the references cover, when they have the size of a region rather than of the frames."""
    if region is None:
        return None
    rows, columns = (region.get(axis, slice(0, n)) for axis, n in zip("YX", image.shape[-2:], strict=True))
    sizes = {tuple(sorted(one.reference.values.shape)) for one in opened}
    wanted = tuple(sorted((rows.stop - rows.start, columns.stop - columns.start)))
    inside = 0 <= rows.start < rows.stop <= image.shape[-2] and 0 <= columns.start < columns.stop <= image.shape[-1]
    return (rows, columns) if sizes == {wanted} and wanted != tuple(sorted(image.shape[-2:])) and inside else None


@dataclass(frozen=True, eq=False)
class _Seen:
    """The mean of some frames in the middle of ``part``, which the references cover. box : its rows and columns."""

    mean: NDArray[np.float64]
    part: Box
    box: Box

    @classmethod
    def of(cls, image: Image, covers: Box | None) -> _Seen:
        part = covers or (slice(0, image.shape[-2]), slice(0, image.shape[-1]))
        box = tuple(_middle(one.stop - one.start) for one in part)
        here = tuple(slice(p.start + b.start, p.start + b.stop) for p, b in zip(part, box, strict=True))
        leading = image.shape[:-2]
        count = int(np.prod(leading))
        source = ValidSource.of(image)
        total, number = np.zeros([b.stop - b.start for b in box]), np.zeros([b.stop - b.start for b in box])
        for k in np.unique(np.linspace(0, count - 1, min(count, _FRAMES)).round().astype(int)):
            place = tuple(slice(i, i + 1) for i in place_of(int(k), leading))
            frame = np.asarray(source.read((*place, *here)), np.float64).reshape(total.shape)
            valid = np.isfinite(frame)
            total += np.where(valid, frame, 0)
            number += valid
        mean = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
        return cls(mean, part, (box[0], box[1]))

    @property
    def size(self) -> tuple[int, int]:
        """(Y, X) that a reference must have."""
        return self.part[0].stop - self.part[0].start, self.part[1].stop - self.part[1].start


def _middle(n: int) -> slice:
    side = min(n, _SIDE)
    return slice((n - side) // 2, (n - side) // 2 + side)


@dataclass(frozen=True, eq=False)
class _Laid:
    """The reference ready for use, notes about it, and its entry in the record."""

    reference: Reference
    notes: tuple[str, ...]
    facts: dict[str, Any]


def _lay(image: Image, opened: _Opened, seen: _Seen) -> _Laid:
    """The reference turned to fit. Raises GeometryError when it does not fit."""
    reference, kind, told = opened.reference, opened.reference.kind, opened.steps.turn
    fitting = [turn for turn in TURNS if turn(reference.values).shape == seen.size]
    if not fitting or (told is not None and told not in fitting):
        turned = reference if told is None else replace(reference, values=told(reference.values))
        region = None if seen.size == image.shape[-2:] else seen.size
        raise misfit(image, turned, (image.shape[-2], image.shape[-1]), region)
    usable = reference.usable
    parts = {turn: np.where(turn(usable)[seen.box], turn(reference.values)[seen.box], np.nan) for turn in fitting}
    found = strengths(kind, seen.mean, parts)
    best = _best(found, kind, fitting)
    if told is None and best is None and Turn() not in fitting:
        raise misfit(image, reference, seen.size, None)
    chosen = told or best or Turn()
    steps = replace(opened.steps, turn=chosen if chosen != Turn() or told is not None else None)
    laid = replace(reference, values=np.ascontiguousarray(chosen(reference.values)), done=steps.words)
    notes = [*_of_turn(kind, found, chosen, best, told), *_LOOK[kind](image, laid, opened.steps, found, chosen, seen)]
    facts = {**opened.facts, "as": steps.words or None}
    return _Laid(laid, tuple(notes), {name: value for name, value in facts.items() if value is not None})


def _best(found: Mapping[Turn, Strength], kind: str, fitting: list[Turn]) -> Turn | None:
    """The orientation that is clearly better than all others; None when the pattern does not show one."""
    least = _STANDS_OUT if kind == "defects" else _FAINT
    order = sorted(found, key=lambda turn: -found[turn].value)
    if not order or found[order[0]].value < least or not found[order[0]].exceeds(None, _CLEARLY):
        return None
    rivals = [found[turn] for turn in order[1:]]
    return order[0] if all(found[order[0]].exceeds(rival, _CLEARLY) for rival in rivals) else None


def _of_turn(
    kind: str, found: Mapping[Turn, Strength], chosen: Turn, best: Turn | None, told: Turn | None
) -> list[str]:
    if best is None:
        return _of_several(kind, found, chosen)
    if best == (told or Turn()):
        return []
    now = found[chosen if told is not None else Turn()] if (told or Turn()) in found else None
    as_given = "as you gave it" if told is not None else "unturned"
    against = f", {as_given} {_figure(kind, now)}" if now is not None else ""
    fits = f"the frames show its pattern with {_figure(kind, found[best])}" + against
    if kind == "defects":
        fits = f"the pixels it marks stand out by {_figure(kind, found[best])}" + against
    name = _called(kind)
    if told is None:
        return [f"the {name} was turned ({best.name}): {fits}; pass --{kind}-as keep to leave it unturned"]
    return [f"the {name} seems to be turned the wrong way: with --{kind}-as {best.name}, {fits}"]


def _of_several(kind: str, found: Mapping[Turn, Strength], chosen: Turn) -> list[str]:
    """A note when several orientations are clearly better than the one used, but none is best, as with columns."""
    if kind == "defects" or chosen not in found:
        return []
    better = {turn: one for turn, one in found.items() if one.exceeds(found[chosen], _CLEARLY) and one.value > _FAINT}
    if not better:
        return []
    each = ", ".join(f"{turn.name}: {one.value:.2f} ± {max(one.error, 0.01):.2f}" for turn, one in better.items())
    return [f"the {_called(kind)} seems to be turned the wrong way: the frames show its pattern with "
            f"{_figure(kind, found[chosen])}, more of it in other orientations ({each}); choose "
            f"one with --{kind}-as"]  # fmt: skip


def _figure(kind: str, found: Strength) -> str:
    if kind == "defects":
        return f"{found.value:.1f} ± {found.error:.1f} standard deviations"
    return f"{round(found.value, 2) + 0.0:.2f} ± {max(found.error, 0.01):.2f} of its strength"


def _called(kind: str) -> str:
    return "defect map" if kind == "defects" else f"{kind} reference"


def _look_at_gain(
    image: Image, laid: Reference, steps: Steps, found: Mapping[Turn, Strength], chosen: Turn, seen: _Seen
) -> list[str]:
    notes = []
    mean = float(laid.values[laid.usable].mean(dtype=np.float64)) if laid.usable.any() else 1.0
    if not _USUAL_MEAN[0] <= mean <= _USUAL_MEAN[1]:
        notes.append(
            f"the mean of the gain reference is {mean:.4g}, but usually is 1: grey levels are multiplied by it"
        )
    strength = found.get(chosen)
    if strength is None or strength.error > _SURE:
        return notes
    figure = _figure("gain", strength)
    if strength.value < -_CLEARLY * strength.error and strength.value < -_FAINT:
        notes.append(f"the frames are brighter where the gain reference is larger ({figure}): if it is a flat field, "
                     "pass --gain-as invert; if they are already corrected with it, leave it out")  # fmt: skip
    elif strength.value >= 1 - _SHOWN or any(one.value > max(_FAINT, strength.value) for one in found.values()):
        return notes
    elif strength.value > max(_FAINT, _CLEARLY * strength.error):
        notes.append(f"the frames show the pattern of the gain reference weakly ({figure}): if they have a dark level, "
                     "subtract it first (--dark)")  # fmt: skip
    else:
        notes.append(f"the frames do not show the pattern of the gain reference ({figure}, no more in any other "
                     "orientation): if they are already corrected with it, leave it out")  # fmt: skip
    return notes


def _look_at_dark(
    image: Image, laid: Reference, steps: Steps, found: Mapping[Turn, Strength], chosen: Turn, seen: _Seen
) -> list[str]:
    """Raises GeometryError when it is unclear how many times to subtract it and the user did not say."""
    level, own = (float(np.nanmedian(one)) for one in (seen.mean, laid.values[seen.box]))
    told = steps.times is not None
    if own > level and own > 0 and not told:
        problem = (f"the dark reference ({laid.called}) is brighter than the frames: its median is {own:.4g}, theirs "
                   f"{level:.4g}")  # fmt: skip
        raise GeometryError(image.name, problem, "If it is already subtracted, leave it out; if it is the sum of 10 "
                            "frames, pass --dark-as times0.1; to subtract it as it is, times1.")  # fmt: skip
    strength = found.get(chosen)
    if strength is None or strength.error > _SURE * max(1.0, abs(strength.value)):
        return []
    times = strength.value
    if times < _SHOWN:
        return [f"the frames do not show the pattern of the dark reference ({_figure('dark', strength)}): if it is "
                "already subtracted, leave it out"]  # fmt: skip
    if abs(times - 1) <= _SHOWN:
        return []
    problem = f"the frames show the dark reference ({laid.called}) {times:.3g} ± {strength.error:.2g} times as strongly"
    if told:
        return [f"{problem}; it is subtracted once, as you asked"]
    likely = f"{round(times)}" if times > 1 else f"{times:.2g}"
    raise GeometryError(image.name, problem, f"If they are sums of frames, or of another exposure, pass --dark-as "
                        f"times{likely}; to subtract it as it is, times1.")  # fmt: skip


def _look_at_defects(
    image: Image, laid: Reference, steps: Steps, found: Mapping[Turn, Strength], chosen: Turn, seen: _Seen
) -> list[str]:
    if (laid.usable & (laid.values != 0)).any():
        return []
    return [f"the map of defects ({laid.called}) marks no pixel of the frames: check that it is of this camera"]


_LOOK = {"dark": _look_at_dark, "gain": _look_at_gain, "defects": _look_at_defects}
