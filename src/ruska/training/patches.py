"""Random patches from sources of any size, read when they are needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from ruska.errors import GeometryError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_IN_MEMORY = 64 << 20  # voxels of all sources together below which they are read once and kept
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
    sources : each (..., frames, Y, X) or (Y, X), normalised. A source is drawn as often as it has pixels.
    edge : of a patch, in pixels; the batch is smaller where a source is smaller.
    frames : neighbours along the last leading axis that are taken together, odd; mirrored at the ends.
    multiple : the edges of a batch are multiples of this.
    seed : batch ``step`` is the same whenever it is asked for, so that a resumed run sees what it would have.

    held_out : share of the pixels, in squares of 16, that training must not aim at, to judge it by.

    Patches are flipped at random along Y and X; never turned, because scan-line noise is not the same both ways.
    """

    def __init__(
        self, sources: Sequence[Readable], edge: int, *, frames: int = 1, multiple: int = 1, seed: int = 0,
        held_out: float = 0.0,
    ) -> None:  # fmt: skip
        smallest = min(min(s.shape[-2:]) for s in sources)
        if smallest < multiple:
            raise GeometryError("training", f"the image is {smallest} pixels wide or high, training takes {multiple} "
                                "or more", "Use --method auto, or larger images.")  # fmt: skip
        self.edge = min(edge, smallest) // multiple * multiple
        self.frames, self.seed = frames, seed
        sizes = np.array([np.prod(s.shape, dtype=np.float64) for s in sources])
        self.share = sizes / sizes.sum()
        self._judged = np.random.default_rng((seed, 1)).random((_TILES, _TILES)) < held_out
        self.sources = [_Kept(s) for s in sources] if sizes.sum() <= _IN_MEMORY else list(sources)

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
        source = self.sources[int(random.choice(len(self.sources), p=self.share))]
        *leading, height, width = source.shape
        place = [int(random.integers(n)) for n in leading]
        top, left = (int(random.integers(n - self.edge + 1)) for n in (height, width))
        window = (slice(top, top + self.edge), slice(left, left + self.edge))
        half = self.frames // 2
        patch = np.empty((self.frames, self.edge, self.edge), np.float32)
        for k in range(self.frames):
            at = [*place[:-1], mirrored(place[-1] + k - half, leading[-1])] if leading else []
            plane = source.read((*(slice(i, i + 1) for i in at), *window))
            patch[k] = plane.reshape(plane.shape[-2:])
        flips = tuple(axis for axis in (1, 2) if random.random() < 0.5)
        aim = np.flip(~self.judged(top, left, self.edge, self.edge), tuple(axis - 1 for axis in flips))
        return np.flip(patch, flips).copy(), aim.copy()


def mirrored(index: int, size: int) -> int:
    """``index`` reflected into ``range(size)`` without repeating the edge."""
    if size == 1:
        return 0
    period = 2 * (size - 1)
    index %= period
    return min(index, period - index)


class _Kept:
    """A source read once."""

    def __init__(self, source: Readable) -> None:
        self.shape = tuple(source.shape)
        self.values = source.read(tuple(slice(0, n) for n in source.shape)).astype(np.float32, copy=False)

    def read(self, box: tuple[slice, ...]) -> NDArray[Any]:
        return self.values[box]
