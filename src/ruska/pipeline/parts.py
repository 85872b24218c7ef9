"""Parts of an image that are treated alike: each channel, split into groups of slices with about the same noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.engine import ArraySource, ChannelScales, Measured, NormalisedSource, OneChannel, SomePlanes
from ruska.engine.layout import in_stack_order
from ruska.engine.validity import mask_of
from ruska.methods.looking import typical_noise
from ruska.methods.per_plane import PerPlane
from ruska.methods.survey import EMPTY, Survey, survey

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ruska.engine import Budget, Normalisation, Progress, Source
    from ruska.image import Image
    from ruska.physics import NoiseEstimate

_LOOKED_AT_IN_ADVANCE = 5  # planes of all channels that a dry run examines


@dataclass(frozen=True)
class Channel:
    """One channel of an image, or all of an image without channels: read, scaled and measured on its own.

    source : normalised, in stack order. survey : of its planes; None where there is only one, or they are too small.
    """

    number: int
    name: str
    source: NormalisedSource
    normalisation: Normalisation
    survey: Survey | None


@dataclass(frozen=True)
class Part:
    """Planes of a channel with about the same noise. kind : as `Survey.kinds` has it, 0 for the usual ones."""

    channel: Channel
    kind: int
    source: NormalisedSource


@dataclass(frozen=True)
class Looked:
    """What was measured in an image before it is restored: grey scales, and the noise of each plane."""

    measured: Measured
    channels: tuple[Channel, ...]

    @property
    def scale(self) -> Normalisation | ChannelScales:
        """Of the whole image, or of each channel."""
        if len(self.channels) == 1:
            return self.measured.whole.normalisation()
        return ChannelScales(tuple(channel.normalisation for channel in self.channels))

    def fill(self, axes: str, some: slice = slice(None)) -> float | NDArray[np.float64]:
        """Grey level that replaces invalid voxels: a number, or one for each of ``some`` channels over ``axes``."""
        if len(self.channels) == 1:
            return self.measured.whole.mean
        means = [channel.mean for channel in self.measured.channels[some]]
        return np.reshape(means, [len(means) if a == "C" else 1 for a in axes])

    def surveys(self) -> list[dict[str, Any] | None]:
        """JSON-like; `look` reads them back."""
        return [asdict(channel.survey) if channel.survey else None for channel in self.channels]

    def parts(self, *, by_slice: bool) -> tuple[Part, ...]:
        """The channels, each split into kinds of slices if ``by_slice``, the usual kind first."""
        found = []
        for channel in self.channels:
            kinds = channel.survey.kinds() if channel.survey is not None and by_slice else np.zeros(1, np.int64)
            every = sorted(set(kinds.tolist()), key=abs)
            if len(every) == 1:
                found.append(Part(channel, every[0], channel.source))
                continue
            for kind in every:
                leading = channel.source.shape[:-2]
                places = [tuple(map(int, np.unravel_index(i, leading))) for i in np.flatnonzero(kinds == kind)]
                found.append(Part(channel, kind, _of_planes(channel.source, tuple(places))))
        return tuple(found)

    def noisiest(self) -> dict[str, int] | None:
        """Where the plane is whose noise exceeds that of its channel the most; None where planes do not differ."""
        found = [(own.spread(), own.worst(), channel) for channel in self.channels if (own := channel.survey)]
        differ = [(s[2] / s[1], worst, channel) for s, worst, channel in found if s is not None and worst is not None]
        if not differ:
            return None
        _, worst, channel = max(differ, key=lambda one: one[0])
        source = channel.source
        place = np.unravel_index(worst, source.shape[:-2])
        return {a: channel.number if a == "C" else int(i) for a, i in zip(source.axes, place, strict=False)}

    def table(self, parts: Sequence[Part], image: Image, canonical: str) -> NDArray[np.int64]:
        """The number of the part that each plane of ``image`` belongs to, along the axes of ``canonical``."""
        sizes = dict(zip(image.axes, image.shape, strict=True))
        out = np.zeros([sizes.get(a, 1) for a in canonical], np.int64)
        at = canonical.index("C")
        for channel in self.channels:
            own = [i for i, part in enumerate(parts) if part.channel is channel]
            place: tuple[Any, ...] = (*(slice(None),) * at, channel.number)
            if len(own) == 1:
                out[place] = own[0]
                continue
            assert channel.survey is not None
            numbers = {parts[i].kind: i for i in own}
            kinds = np.array([numbers[k] for k in channel.survey.kinds().tolist()])
            leading = channel.source.axes[:-2]
            stack = kinds.reshape([n for a, n in zip(leading, channel.source.shape, strict=False)])
            order = [leading.index(a) for a in canonical if a in leading and a != "C"]
            if "C" in leading:
                stack = stack.take(0, leading.index("C"))
                order = [i - (i > leading.index("C")) for i in order]
            out[place] = stack.transpose(order)
        return out


def _of_planes(of: NormalisedSource, places: tuple[tuple[int, ...], ...]) -> NormalisedSource:
    """Some planes of a source, on the same grey scale."""
    mask = None if of.mask is None else SomePlanes(of.mask, places)
    return NormalisedSource(SomePlanes(of.source, places), of.normalisation, of.fill, mask)


def look(
    image: Image, measured: Measured, known: Sequence[Mapping[str, Any] | None] | None = None,
    progress: Progress | None = None, *, in_advance: bool = False, slices: bool = True,
) -> Looked:  # fmt: skip
    """The channels of ``image``, and the noise of their slices.

    known : `Looked.surveys` of a run that is resumed. in_advance : examine only a few slices. slices : whether to
    examine slices at all.
    """
    source, mask = in_stack_order(ArraySource(image.data, image.axes)), mask_of(image)
    own = measured.channels or (measured.whole,)
    most = {"most": max(2, _LOOKED_AT_IN_ADVANCE // len(own))} if in_advance else {}
    channels = []
    for number, statistics in enumerate(own):
        raw: Source = OneChannel(source, number) if measured.channels else source
        valid = OneChannel(mask, number) if measured.channels and mask is not None else mask
        scale = statistics.normalisation()
        normalised = NormalisedSource(raw, scale, statistics.mean, valid)
        if known is not None:
            found = _survey_of(known[number])
        else:
            found = survey(normalised, progress=progress, **most) if slices else None
        name = image.channel_names[number] if len(image.channel_names) == len(own) > 1 else str(number + 1)
        channels.append(Channel(number, name, normalised, scale, found))
    return Looked(measured, tuple(channels))


def _survey_of(known: Mapping[str, Any] | None) -> Survey | None:
    if known is None:
        return None
    return Survey(tuple(known["planes"]), tuple(known["levels"]), float(known["error"]), int(known["count"]))


def make_ready(
    recipe: Any, looked: Looked, budget: Budget, *, by_slice: bool = True
) -> tuple[Sequence[Any], tuple[Part, ...]]:
    """The method for each part of an image, and the parts. by_slice : whether slices may be parts.

    A method that looks along the stack is prepared for whole channels.
    """
    from ruska.methods.prior import one_network

    parts = looked.parts(by_slice=by_slice)
    with one_network():
        if (together := getattr(recipe, "prepare_each", None)) is not None:
            ready = together([part.source for part in parts], budget)
        else:
            ready = [recipe.prepare(part.source, part.channel.normalisation, budget) for part in parts]
    if len(parts) > len(looked.channels) and len(ready[0].halo) == 3:
        return make_ready(recipe, looked, budget, by_slice=False)
    return ready, parts


def joined(ready: Sequence[Any], parts: Sequence[Part], table: NDArray[np.int64], several: bool) -> Any:
    """One method made of those of all parts. several : whether there are several channels."""
    if len(ready) == 1 or hasattr(ready[0], "sweeps"):  # iterations do not use the noise
        return ready[0]
    notes: dict[str, None] = {}
    for method, part in zip(ready, parts, strict=True):
        title = _title(part, several)
        notes |= dict.fromkeys(
            note if _said_by_all(note, ready) else f"{title}: {note}" for note in getattr(method, "notes", ())
        )
    return PerPlane(tuple(ready), table, tuple(notes))


def _said_by_all(note: str, ready: Sequence[Any]) -> bool:
    return all(note in getattr(method, "notes", ()) for method in ready)


def _title(part: Part, several: bool) -> str:
    words = [f"channel {part.channel.name}"] if several else []
    if part.kind or part.source is not part.channel.source:
        count, every = part.source.shape[0], math.prod(part.channel.source.shape[:-2])
        words.append(f"{count} of {every} slices" if part.kind else f"the other {count} slices")
    return ", ".join(words) or "all slices"


def uneven(looked: Looked, parts: Sequence[Part]) -> tuple[str, ...]:
    """A warning where slices differ in noise but are treated alike, as by methods that look along the stack."""
    if len(parts) != len(looked.channels):
        return ()
    said = []
    for channel in looked.channels:
        if channel.survey is None or channel.survey.worst() is None or (levels := channel.survey.spread()) is None:
            continue
        low, high = (f"{level * channel.normalisation.scale:.3g}" for level in (levels[0], levels[2]))
        which = f"of channel {channel.name} " if len(looked.channels) > 1 else ""
        said.append(f"the noise differs between slices {which}({low} to {high} grey levels), but this method treats "
                    "them all alike: compare a method that works slice by slice")  # fmt: skip
    return tuple(said)


def noise_of(channel: Channel) -> NoiseEstimate | None:
    """The noise of a typical plane, in the file's grey levels."""
    found = typical_noise(channel.source)
    return None if found is None else found.scaled(channel.normalisation.scale)


def spread_facts(looked: Looked) -> list[dict[str, Any]]:
    """For every channel, JSON-like: its noise in the file's grey levels, and how it differs between slices."""
    found = []
    for channel in looked.channels:
        noise, scale = noise_of(channel), channel.normalisation.scale
        facts: dict[str, Any] = {
            "channel": channel.name,
            "std": noise.std if noise else None,
            "std_within": list(noise.within) if noise and noise.within else None,
            "white_equivalent_std": noise.white_equivalent_std if noise else None,
        }
        own = channel.survey
        if own is not None and (levels := own.spread()) is not None:
            kinds = own.kinds()
            facts["slices"] = {
                "of": own.count, "looked_at": len(own.planes), "lowest": levels[0] * scale, "median": levels[1] * scale,
                "highest": levels[2] * scale, "own_error": own.error, "differ": own.worst() is not None,
                "unlike_the_median": int(np.count_nonzero((kinds != 0) & (kinds != EMPTY))), "noisiest": own.worst(),
            }  # fmt: skip
        found.append(facts)
    return found


def level_facts(looked: Looked) -> list[dict[str, Any]]:
    """For every channel of a stack, JSON-like: the noise of each slice that was looked at (from 1); None if unknown."""
    found = []
    for channel in looked.channels:
        if channel.survey is not None:
            levels = [level * channel.normalisation.scale if level >= 0 else None for level in channel.survey.levels]
            slices = [number + 1 for number in channel.survey.planes]
            found.append({"channel": channel.name, "slices": slices, "std": levels})
    return found


def part_facts(parts: Sequence[Part], ready: Sequence[Any]) -> list[dict[str, Any]]:
    """For the record, JSON-like: which planes were treated alike, on which grey scale, with which settings."""
    found = []
    for part, method in zip(parts, ready, strict=True):
        channel, slices = part.channel, None
        if part.source is not part.channel.source:
            assert channel.survey is not None
            slices = ranges(np.flatnonzero(channel.survey.kinds() == part.kind).tolist())
        found.append({
            "channel": channel.name, "slices": slices, "normalisation": asdict(channel.normalisation),
            "settings": dict(getattr(method, "settings", {})), "noise": list(getattr(method, "notes", ())),
        })  # fmt: skip
    return found


def ranges(numbers: Sequence[int]) -> str:
    """``"1-4, 7"`` for 0, 1, 2, 3, 6: slices are counted from 1."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ", ".join(f"{a + 1}-{b + 1}" if b > a else str(a + 1) for a, b in found)
