"""A trained blind-spot network as a method of the engine, on the grey scale of the image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from ruska.compute.mirroring import mirrored
from ruska.compute.padding import cropped, padded
from ruska.image import Output
from ruska.methods.folding import REACH

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ruska.methods.blindspot_learning import Network


# Bytes a pixel, and where freed memory is kept; measured 1700 to 2200, 2690 to 2760; 835 to 885, 1040 to 1330
_BYTES = {"BlindSpotNet": (1850.0, 2800.0), "Noise2VoidNet": (900.0, 1350.0), "ShineNet": (9000.0, 9000.0),
          "UdvdNet": (1650.0, 1650.0)}  # fmt: skip
_SMALLEST = 128  # pixels each way of a part: with its surroundings it has ten times as many


class FoldIn(Protocol):
    """Corrects a prediction (Y, X) and the variance of its error, if known, by what the noisy plane says."""

    def apply(
        self, predicted: NDArray[Any], noisy: NDArray[Any], variance: NDArray[Any] | None = None
    ) -> NDArray[Any]: ...


@dataclass(frozen=True)
class BlindSpotMethod:
    """A trained blind-spot network as a method of the engine."""

    network: Network
    flips: bool
    folding: FoldIn | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    training_seconds: float = 0.0
    outputs: tuple[Output, ...] = (Output(),)
    locality: Literal["exact", "approximate"] = "exact"
    domain: Literal["normalised", "raw"] = "normalised"
    threads: Literal["one", "many"] = "many"
    stays: float = 0.0  # it was called before, to fit its grey scale
    slope: float = 1.0
    offset: float = 0.0

    @property
    def bytes_per_voxel(self) -> float:
        return _BYTES[type(self.network).__name__][0]

    def working_bytes(self, shape: Sequence[int], kept: bool) -> float:
        """Of a call on (b, c, Y, X) or (b, c, frames, Y, X): of one plane at a time."""
        return _BYTES[type(self.network).__name__][kept] * float(np.prod(shape[-2:]))

    @property
    def halo(self) -> tuple[int, ...]:
        step = self.network.multiple
        around = -(-(self.network.reach + REACH) // step) * step
        frames = self.network.frames
        return (around, around) if frames == 1 else (frames // 2, around, around)

    @property
    def multiple(self) -> tuple[int, ...]:
        return (*(1,) * (len(self.halo) - 2), self.network.multiple, self.network.multiple)

    def __call__(self, inputs: Mapping[str, Tensor], random: object) -> dict[str, Tensor]:
        """The image: (b, c, Y, X), or (b, c, frames, Y, X) for a network of several frames."""
        import torch

        y = inputs["image"]
        frames = self.network.frames
        noisy, out = y.cpu().numpy(), np.empty(y.shape, np.float32)
        for place in np.ndindex(*y.shape[:2]):
            stack = noisy[place] if frames > 1 else noisy[place][None]
            for k in range(stack.shape[0]):
                near = [mirrored(k + d, stack.shape[0]) for d in range(-(frames // 2), frames // 2 + 1)]
                restored, variance = self.predict(stack[near])
                if self.folding is not None:
                    restored = self.folding.apply(restored, stack[k], variance)
                out[(*place, k) if frames > 1 else place] = restored
        return {"mean": torch.from_numpy(out).to(y.dtype)}

    def predict(self, stack: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """What the network makes of the middle one of (frames, Y, X), of any size; the noisy pixel not folded in.

        The second is the variance of the prediction's error, where the network says it.
        """
        import torch

        size = stack.shape[-2:]
        x = torch.from_numpy(np.ascontiguousarray(stack, dtype=np.float32))[None]
        x = padded(x, (self.network.multiple,) * 2)
        with torch.inference_mode():
            restored = cropped(self._restore(x.to(next(self.network.parameters()).device)), size).cpu().numpy()
        mean = np.float32(self.slope) * restored[0] + np.float32(self.offset)
        return mean, np.float32(self.slope**2) * np.exp(restored[1]) if len(restored) > 1 else None

    def least_bytes(self, shape: Sequence[int]) -> float:
        """Of the smallest part that `predict_within` makes of (.., Y, X)."""
        return self.working_bytes([min(n, _SMALLEST + 2 * self.halo[-1]) for n in shape[-2:]], True)

    def predict_within(
        self, stack: NDArray[Any], room: float, tidy: Callable[[], None]
    ) -> tuple[NDArray[np.float32], NDArray[np.float32] | None]:
        """`predict`, in parts that see what the whole would where it takes more than ``room`` bytes.

        tidy : gives freed memory back, which is called between parts: they differ in size, and do not fit into what the
        one before left.
        """
        edge, step, halo = max(stack.shape[-2:]), self.network.multiple, self.halo[-1]
        while edge > _SMALLEST and self.working_bytes([min(n, edge + 2 * halo) for n in stack.shape[-2:]], True) > room:
            edge = -(-edge // (2 * step)) * step
        height, width = stack.shape[-2:]
        mean: NDArray[np.float32] = np.empty((height, width), np.float32)
        variance: NDArray[np.float32] | None = None
        for corner in product(range(0, height, edge), range(0, width, edge)):
            core = tuple(slice(c, min(c + edge, n)) for c, n in zip(corner, mean.shape, strict=True))
            seen = tuple(slice(max(0, c.start - halo), c.stop + halo) for c in core)
            tidy()
            found, spread = self.predict(stack[:, *seen])
            inner = tuple(slice(c.start - s.start, c.stop - s.start) for c, s in zip(core, seen, strict=True))
            mean[core] = found[inner]
            if spread is not None:
                variance = np.empty_like(mean) if variance is None else variance
                variance[core] = spread[inner]
        tidy()
        return mean, variance

    def _restore(self, x: Tensor) -> Tensor:
        import torch

        turns: list[list[int]] = [[], [2], [3], [2, 3]] if self.flips else [[]]
        results = [
            self.network(x.flip(turn).contiguous(memory_format=torch.channels_last)).flip(turn) for turn in turns
        ]
        return torch.stack(results).mean(0)[0]


def calibrate(pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> tuple[float, float]:
    """Slope and offset that make (prediction, noisy) planes agree on average, so that grey levels are kept.

    The noise of a pixel is independent of its prediction, so the regression of one on the other has no bias. The
    slope stays 1 where the prediction varies too little to tell it to 1 %. Where ``noisy`` is NaN, nothing is told.
    """
    there = [np.isfinite(noisy) for _, noisy in pairs]
    predicted, noisy = (np.concatenate([pair[i][valid] for pair, valid in zip(pairs, there, strict=True)])
                        .astype(np.float64) for i in (0, 1))  # fmt: skip
    if not noisy.size:
        return 1.0, 0.0
    variance = predicted.var()
    slope = ((predicted - predicted.mean()) * (noisy - noisy.mean())).mean() / max(variance, 1e-30)
    uncertain = np.sqrt(((noisy - predicted) ** 2).mean() / max(variance * predicted.size, 1e-30))
    if uncertain > 0.01:
        slope = 1.0
    slope = max(slope, 0.0)  # a prediction that has nothing to do with the image, as of pure noise, is left out
    return float(slope), float(noisy.mean() - slope * predicted.mean())
