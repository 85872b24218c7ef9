"""Random patches from sources of any size, read when they are needed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from ruska.compute.mirroring import mirrored
from ruska.errors import GeometryError, InputError, SettingsError
from ruska.image.grid import place_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

_IN_MEMORY = 64 << 20  # voxels of all sources together below which they are read once and kept
_ATTEMPTS = 20  # to find a patch with something in it
_GOLDEN = (math.sqrt(5) - 1) / 2
_TILE, _TILES = 16, 64  # pixels of a square that is held out or not; squares after which the pattern repeats


class Readable(Protocol):
    """The part of the engine's ``Source`` that is needed: normalised intensities, (..., Y, X)."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def read(self, box: tuple[slice, ...]) -> NDArray[Any]: ...


class PatchSampler:
    """Batches of square patches with the frames around them.

    Parameters
    ----------
    sources : each (..., frames, Y, X) or (Y, X), normalised, of any shapes and numbers of axes together. A source is
        drawn as often as it has pixels.
    edge : of a patch, in pixels; the batch is smaller where a source is smaller.
    frames : neighbours along the last leading axis that are taken together, odd; mirrored at the ends.
    multiple : the edges of a batch are multiples of this.
    seed : batch ``step`` is the same whenever it is asked for, so that a resumed run sees what it would have.
    held_out : share of the pixels, in squares of 16, that training must not aim at, to judge it by.
    ratio : share of the places for a patch that are used at all, above 0 to 1; which ones depends on the seed.
    stride : patches begin at multiples of this many pixels along Y and X; None: anywhere.
    subset : ``start:stop:step`` of the frames along the last leading axis that are aimed at; None: all. Their
        neighbours are those in the file, but none before the first frame or after the last one aimed at.

    Patches are flipped at random along Y and X; never turned, because scan-line noise is not the same both ways.
    Places where nothing is to be seen, or with invalid pixels (NaN), are drawn again a few times. What is left of
    invalid pixels is filled with the mean of the patch, and not aimed at.

    Raises GeometryError when a source is too small or ``subset`` leaves nothing of it, SettingsError for options out
    of range, and InputError from `batch` when no valid pixel is found.
    """

    def __init__(
        self, sources: Sequence[Readable], edge: int, *, frames: int = 1, multiple: int = 1, seed: int = 0,
        held_out: float = 0.0, ratio: float = 1.0, stride: int | None = None, subset: str | None = None,
    ) -> None:  # fmt: skip
        smallest = min(min(s.shape[-2:]) for s in sources)
        if smallest < multiple:
            raise GeometryError("training", f"the image is {smallest} pixels wide or high, training needs {multiple} "
                                "or more", "Use --method auto, or larger images.")  # fmt: skip
        if not 0 < ratio <= 1 or (stride is not None and stride < 1):
            raise SettingsError("training", f"ratio is {ratio} and stride {stride}",
                                "The ratio is above 0, up to 1; the stride 1 pixel or more.")  # fmt: skip
        self.edge = min(edge, smallest) // multiple * multiple
        self.frames, self.seed = frames, seed
        self.places = [
            _Places.of(s.shape, self.edge, stride or 1, subset or ":", ratio, (seed, 2, n))
            for n, s in enumerate(sources)
        ]
        sizes = np.array([p.pixels for p in self.places])
        self.share = sizes / sizes.sum()
        self._judged = np.random.default_rng((seed, 1)).random((_TILES, _TILES)) < held_out
        self.sources = in_memory(sources)

    def batch(self, step: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Patches (size, frames, edge, edge), float32, and where to aim at them: (size, 1, edge, edge), bool."""
        random = np.random.default_rng((self.seed, step))
        patches, aims = zip(*(self._patch(random) for _ in range(size)), strict=True)
        return torch.from_numpy(np.stack(patches)), torch.from_numpy(np.stack(aims)[:, None])

    def judged(self, top: int, left: int, height: int, width: int) -> NDArray[np.bool_]:
        """Which pixels of a window of any plane are held out."""
        rows, columns = (np.arange(at, at + n) // _TILE % _TILES for at, n in ((top, height), (left, width)))
        return self._judged[np.ix_(rows, columns)]

    def _patch(self, random: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        best = 0.0
        for _ in range(_ATTEMPTS):
            which = int(random.choice(len(self.sources), p=self.share))
            place = self.places[which].draw(random)
            found = self._read(which, place)
            worth, sound = _worth(found)
            if worth > best:
                best, patch, valid, (top, left) = worth, found, sound, place[-2:]
            if best == 1:
                break
        if best == 0:
            raise InputError("training", f"{_ATTEMPTS} places in a row had no valid pixel",
                             "Crop the images to the part that was recorded.")  # fmt: skip
        if not valid.all():
            patch[:, ~valid] = patch[:, valid].mean()
        aim = valid & ~self.judged(top, left, self.edge, self.edge)
        flips = tuple(axis for axis in (1, 2) if random.random() < 0.5)
        return np.flip(patch, flips).copy(), np.flip(aim, tuple(axis - 1 for axis in flips)).copy()

    def _read(self, which: int, place: Sequence[int]) -> NDArray[np.float32]:
        """The patch (frames, edge, edge) around ``place``: leading indices, top, left."""
        source, (*leading, top, left) = self.sources[which], place
        window = (slice(top, top + self.edge), slice(left, left + self.edge))
        patch = np.empty((self.frames, self.edge, self.edge), np.float32)
        for k in range(self.frames):
            at = [*leading[:-1], self.places[which].frame(leading[-1] + k - self.frames // 2)] if leading else []
            plane = source.read((*(slice(i, i + 1) for i in at), *window))
            patch[k] = plane.reshape(plane.shape[-2:])
        return patch


@dataclass(frozen=True)
class _Places:
    """Where patches of one source may be.

    frames : indices along the last leading axis. counts : choices along every leading axis, Y and X.
    used : how many of all combinations are taken, in the order start, start + step, ... modulo their number, which
        spreads them evenly because step is near the golden section of that number and shares no factor with it.
    """

    frames: range
    counts: tuple[int, ...]
    stride: int
    pixels: float
    used: int
    start: int
    step: int

    @classmethod
    def of(
        cls, shape: tuple[int, ...], edge: int, stride: int, subset: str, ratio: float, seed: tuple[int, ...]
    ) -> _Places:
        *leading, height, width = shape
        frames = range(*parse_subset(subset).indices(leading[-1])) if leading else range(1)
        if not frames:
            raise GeometryError("training", f"subset {subset} selects none of the {leading[-1]} frames", "Take more.")
        taken = [*leading[:-1], len(frames)] if leading else []
        counts = (*taken, *((n - edge) // stride + 1 for n in (height, width)))
        total = math.prod(counts)
        step = int(total * _GOLDEN) + 1
        while math.gcd(step, total) > 1:
            step += 1
        start = int(np.random.default_rng(seed).integers(total))
        pixels = float(math.prod((*taken, height, width)))
        return cls(frames, counts, stride, pixels, max(1, round(ratio * total)), start, step)

    def draw(self, random: np.random.Generator) -> list[int]:
        """A place: leading indices, top, left."""
        total = math.prod(self.counts)
        if self.used == total:
            *leading, row, column = (int(random.integers(n)) for n in self.counts)
        else:
            flat = (self.start + int(random.integers(self.used)) * self.step) % total
            *leading, row, column = place_of(flat, self.counts)
        if leading:
            leading[-1] = self.frames[leading[-1]]
        return [*leading, row * self.stride, column * self.stride]

    def frame(self, index: int) -> int:
        """``index`` mirrored between the first and the last frame."""
        first, last = self.frames[0], self.frames[-1]
        return first + mirrored(index - first, last - first + 1)


def parse_subset(text: str) -> slice:
    """``"0:100:2"`` as a slice; SettingsError unless it is one that goes forward."""
    parts = text.split(":")
    try:
        numbers = [int(part) if part.strip() else None for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 3) or (len(numbers) == 3 and numbers[2] is not None and numbers[2] < 1):
        raise SettingsError("training.subset", f"is {text!r}", "Write start:stop or start:stop:step, like 0:100:2.")
    return slice(*numbers)


def _worth(patch: NDArray[np.float32]) -> tuple[float, NDArray[np.bool_]]:
    """How much there is to learn from (frames, Y, X), 0 to 1, and the pixels that are valid in all frames."""
    valid = np.logical_and.reduce(np.isfinite(patch), axis=0)
    target = patch[patch.shape[0] // 2][valid]
    flat = target.size == 0 or target.min() == target.max()
    return float(valid.mean()) * (0.5 if flat else 1.0), valid


def in_memory(sources: Sequence[Readable]) -> list[Readable]:
    """The sources, read once where all of them together are small."""
    whole = sum(np.prod(s.shape, dtype=np.float64) for s in sources)
    return [_Kept(s) for s in sources] if whole <= _IN_MEMORY else list(sources)


class _Kept:
    """A source read once."""

    def __init__(self, source: Readable) -> None:
        self.shape = tuple(source.shape)
        self.values = source.read(tuple(slice(0, n) for n in source.shape)).astype(np.float32, copy=False)

    def read(self, box: tuple[slice, ...]) -> NDArray[Any]:
        return self.values[box]
