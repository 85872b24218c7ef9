"""Reference frames of a detector, and how they are prepared: turned, binned, scaled."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError, SettingsError, did_you_mean
from ruska.image.image import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Frame = NDArray[np.float32]

_MOST = 64  # times finer or coarser that a reference may be
_WORDS = ("keep", "rot90", "rot180", "rot270", "flip-y", "flip-x", "bin2", "expand2", "invert", "times10")
_FACTOR = re.compile(r"(bin|expand)([0-9]{1,2})\Z|(times)([0-9.eE+-]+)\Z")
_MOTIONCOR = re.compile(r"\s*([0-3])\s*,\s*([0-2])\s*\Z")


@dataclass(frozen=True)
class Turn:
    """One of the eight orientations: ``quarters`` turned clockwise, as seen with the first row on top, then, with
    ``flip``, upside down."""

    quarters: int = 0
    flip: bool = False

    def __call__(self, frame: NDArray[Any]) -> NDArray[Any]:
        """A view of ``frame`` (Y, X), turned."""
        turned = np.rot90(frame, -self.quarters)
        return turned[::-1] if self.flip else turned

    def then(self, other: Turn) -> Turn:
        """This turn followed by another, as one turn."""
        probe = np.arange(6).reshape(2, 3)
        wanted = other(self(probe))
        return next(turn for turn in TURNS if np.array_equal(turn(probe), wanted))

    @property
    def name(self) -> str:
        """As `steps_of` reads it; "keep" for no turn."""
        return _NAMES[self]


_NAMES = {
    Turn(): "keep", Turn(1): "rot90", Turn(2): "rot180", Turn(3): "rot270", Turn(0, True): "flip-y",
    Turn(2, True): "flip-x", Turn(1, True): "rot90,flip-y", Turn(3, True): "rot90,flip-x",
}  # fmt: skip
TURNS = tuple(_NAMES)
"""All eight; the first leaves a frame unturned."""
_TURNED = {name: turn for turn, name in _NAMES.items()}


@dataclass(frozen=True)
class Steps:
    """How to prepare a reference, in this order.

    turn : None if not given. bin : pixels along Y and X that become one. expand : pixels along Y and X made of one.
    invert : it is a flat field; the gain is 1 / it, scaled to a mean of 1. times : factor to multiply it by; None: not
    given.
    """

    turn: Turn | None = None
    bin: int = 1
    expand: int = 1
    invert: bool = False
    times: float | None = None

    @property
    def words(self) -> str:
        """As `steps_of` reads them; empty for nothing."""
        said = [] if self.turn is None else [self.turn.name]
        said += [f"{name}{n}" for name, n in (("bin", self.bin), ("expand", self.expand)) if n > 1]
        said += ["invert"] if self.invert else []
        said += [] if self.times is None else [f"times{self.times:g}"]
        return ",".join(said)


def steps_of(text: str | None, option: str) -> Steps:
    """``"rot90,flip-y"``, ``"bin2"``, ``"times10"``, or MotionCor's -RotGain and -FlipGain, ``"1,2"``, as `Steps`.

    option : the option it comes from, for errors. MotionCor turns counter-clockwise with the first row at the bottom,
    which is clockwise with it on top. Raises SettingsError for other words, naming the nearest.
    """
    if text is None:
        return Steps()
    numbers = _MOTIONCOR.match(text)
    if numbers is not None:
        quarters, flip = map(int, numbers.groups())
        return Steps(Turn(quarters).then((Turn(), Turn(0, True), Turn(2, True))[flip]))
    steps = Steps()
    for word in (part.strip().lower() for part in text.split(",")):
        factor = _FACTOR.match(word)
        if word in _TURNED:
            steps = replace(steps, turn=(steps.turn or Turn()).then(_TURNED[word]))
        elif word == "invert":
            steps = replace(steps, invert=True)
        elif factor is not None:
            steps = _scaled(steps, *[part for part in factor.groups() if part is not None], option=option)
        else:
            raise SettingsError(option, f"'{word}' is not a way to prepare a reference",
                                did_you_mean(word, _WORDS))  # fmt: skip
    return steps


def _scaled(steps: Steps, name: str, number: str, *, option: str) -> Steps:
    try:
        value = float(number)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf") or (name != "times" and not 1 <= value <= _MOST):
        raise SettingsError(option, f"'{name}{number}' has no usable number", "Write e.g. bin2, expand2 or times10.")
    if name == "times":
        return replace(steps, times=value)
    return replace(steps, bin=int(value)) if name == "bin" else replace(steps, expand=int(value))


@dataclass(frozen=True, eq=False)
class Reference:
    """A reference as one frame.

    kind : dark, gain or defects. called : its file or another name, for messages. values : (Y, X), float32; not finite
    where it has no value. frames : how many it is the mean of. done : how it was prepared, as `Steps.words`.
    """

    kind: str
    called: str
    values: Frame
    frames: int = 1
    done: str = ""

    @classmethod
    def of(cls, kind: str, given: Image | NDArray[Any]) -> Reference:
        """The mean of all frames of ``given`` (.., Y, X), one in memory at a time; only finite values count.

        Raises GeometryError where there are no frames.
        """
        called = given.name if isinstance(given, Image) else f"an array, {kind}"
        pixels = given.data if isinstance(given, Image) else np.asarray(given)
        shape = tuple(map(int, pixels.shape))
        if len(shape) < 2:
            raise GeometryError(called, f"has the shape {size(shape)}, the {kind} reference must be one frame (Y, X)",
                                "Give an image.")  # fmt: skip
        leading = list(np.ndindex(shape[:-2]))
        if len(leading) == 1:
            whole = np.asarray(pixels[tuple(slice(0, n) for n in shape)])
            return cls(kind, called, whole.reshape(shape[-2:]).astype(np.float32))
        total, count = np.zeros(shape[-2:]), np.zeros(shape[-2:], np.uint32)
        for place in leading:
            box = (*(slice(i, i + 1) for i in place), *(slice(0, n) for n in shape[-2:]))
            frame = np.asarray(pixels[box]).reshape(shape[-2:])
            finite = np.isfinite(frame)
            total += np.where(finite, frame, 0)
            count += finite
        mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
        return cls(kind, called, mean.astype(np.float32), len(leading))

    @property
    def usable(self) -> NDArray[np.bool_]:
        """True where its value is usable."""
        finite = np.isfinite(self.values)
        return finite & (self.values > 0) if self.kind == "gain" else finite

    def prepared(self, steps: Steps) -> Reference:
        """With all steps done but the turn."""
        values = self.values
        if steps.bin > 1:
            values = _binned(values, steps.bin, self)
        if steps.expand > 1:
            values = np.repeat(np.repeat(values, steps.expand, 0), steps.expand, 1)
        if steps.invert:
            usable = replace(self, kind="gain", values=values).usable
            mean = float(values[usable].mean(dtype=np.float64)) if usable.any() else 1.0
            values = np.divide(mean, values, out=np.full_like(values, np.nan), where=usable)
        if steps.times is not None:
            values = values * np.float32(steps.times)
        return replace(self, values=values)


def _binned(values: Frame, n: int, reference: Reference) -> Frame:
    """Bin blocks of n x n pixels into one. A bad pixel makes its whole block a defect."""
    h, w = (length // n for length in values.shape)
    if not h or not w:
        raise GeometryError(reference.called, f"is {size(values.shape)}, too small for bin{n}")
    blocks = values[: h * n, : w * n].reshape(h, n, w, n)
    if reference.kind == "defects":
        return np.asarray(blocks.max((1, 3)))
    if reference.kind == "dark":
        return np.asarray(blocks.mean((1, 3), dtype=np.float64), np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):  # responses add, and they are 1 / gain
        response = np.where(np.isfinite(blocks) & (blocks > 0), 1 / blocks, 0)
        return np.asarray(1 / response.mean((1, 3), dtype=np.float64), np.float32)


def size(shape: tuple[int, ...]) -> str:
    """A shape in words: ``4092 x 5760``."""
    return " x ".join(map(str, shape))


def misfit(
    image: Image, reference: Reference, wanted: tuple[int, int], region: tuple[int, int] | None
) -> GeometryError:
    """The error about a reference whose size is not that of the frames, with the way out.

    wanted : (Y, X) of the frames. region : that of the region of interest, if there is one.
    """
    shape, kind = reference.values.shape, reference.kind
    other = "" if region is None else f", the region of interest is {size(region)}"
    problem = (f"the {kind} reference ({reference.called}) is {size(shape)}, the frames of the image are "
               f"{size(wanted)}{other}")  # fmt: skip
    return GeometryError(image.name, problem, _way_out(shape, wanted, kind) + ".")


def _way_out(shape: tuple[int, ...], wanted: tuple[int, int], kind: str) -> str:
    for quarter, (h, w) in (("", shape), (",rot90", shape[::-1])):
        if quarter and (h, w) == wanted:
            return f"It fits after a quarter turn: try --{kind}-as rot90 and --{kind}-as rot270"
        finer, coarser = _ratio((h, w), wanted), _ratio(wanted, (h, w))
        turned = " after a quarter turn" if quarter else ""
        if finer is not None:
            return (f"It has {finer} x {finer} as many pixels{turned}, as in super-resolution: "
                    f"bin it with --{kind}-as bin{finer}{quarter}")  # fmt: skip
        if coarser is not None:
            return (f"The frames have {coarser} x {coarser} as many pixels{turned}, as in super-resolution: "
                    f"expand it with --{kind}-as expand{coarser}{quarter}")  # fmt: skip
    if all(r >= w for r, w in zip(shape, wanted, strict=True)):
        return "Crop the reference to the part of the detector that the image shows, and bin it like the image"
    if all(r <= w for r, w in zip(shape, wanted, strict=True)):
        return ("Restore only the part of the image that it covers, with a region of its size, such as --roi "
                f"0:{shape[0]},0:{shape[1]}")  # fmt: skip
    return "Crop both to the part they share; check --axes if the image's last two axes are not Y and X"


def _ratio(large: tuple[int, ...], small: tuple[int, ...]) -> int | None:
    """How many times larger ``large`` is along Y and X, if that is one whole number above 1."""
    factor = large[0] // small[0]
    return factor if 1 < factor <= _MOST and tuple(n * factor for n in small) == tuple(large) else None
