"""Blind-spot denoising: a network learns to predict each pixel from its surroundings, on the noisy file alone.

Noise that is not shared between a pixel and what the network sees cannot be predicted, so what it learns is the
signal. Pixels that share the noise of the one predicted are hidden too: the spot is as large as the noise is wide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np
from pydantic import Field, field_validator

from ruska.errors import SettingsError
from ruska.image import Estimate
from ruska.methods.folding import REACH, Folding
from ruska.methods.sampling import Readable, Workplace, sample_planes, typical_noise
from ruska.methods.settings import Settings, parse

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ruska.networks.blindspot import BlindSpotNet
    from ruska.physics.noise_statistics import NoiseEstimate
    from ruska.training import PatchSampler

_WIDTHS = (16, 32, 64, 64)
_PIXELS = 1 << 16  # of a batch
_HELD_OUT = 0.1  # of the pixels, to see when the network begins to learn the noise by heart
_SAMPLE_EDGE, _JUDGED_EDGE, _MOST_JUDGED, _FEWEST_JUDGED = 1024, 512, 2, 500
_SHARED = 0.2  # correlation of neighbours below which an axis counts as independent
_NEGLIGIBLE = 0.06  # correlation that may stay visible: hiding more costs detail


class BlindSpotSettings(Settings):
    """Settings of `BlindSpot`."""

    spot: str | None = Field(None, description="Hidden rectangle, rows x columns, odd, up to 11: 1x1, 1x5, 3x3; "
                             "none: as wide as the noise is correlated.")  # fmt: skip
    frames: int = Field(1, ge=1, le=9, description="Frames or slices looked at together, odd, 1 to 9.")
    steps: int = Field(1000, ge=1, le=1_000_000, description="Training steps.")
    minutes: float | None = Field(None, gt=0, description="Stop training after this long; none: after all steps.")
    batch: int | None = Field(None, ge=1, le=256, description="Patches per step, 1 to 256; none: about 65 000 pixels.")
    patch: int = Field(256, ge=32, le=1024, description="Edge of the patches in pixels, 32 to 1024.")
    learning_rate: float = Field(3e-3, gt=0, le=0.1, description="Of Adam, at its highest.")
    loss: Literal["l2", "l1", "charbonnier"] = Field("l2", description="l2 (mean), l1 (median) or charbonnier.")
    precision: Literal["bf16", "fp32"] = Field("bf16", description="Of the training: bf16 (faster) or fp32.")
    fold: bool = Field(True, description="Put back what the pixels inside the spot say.")
    flips: bool = Field(True, description="Average the result over the four flips of the image.")
    seed: int = Field(0, ge=0, description="Of the weights at the start and the choice of patches.")

    @field_validator("spot")
    @classmethod
    def _is_spot(cls, text: str | None) -> str | None:
        if text is not None:
            parse_spot(text)
        return text

    @field_validator("frames")
    @classmethod
    def _is_odd(cls, frames: int) -> int:
        if frames % 2 == 0:
            raise ValueError("must be odd")
        return frames


def parse_spot(text: str) -> tuple[int, int]:
    """``"1x5"`` as (1, 5); ValueError unless both are odd and 1 to 11."""
    rows, cross, columns = text.lower().partition("x")
    if not cross or not all(p.isdigit() and int(p) % 2 and int(p) <= 11 for p in (rows, columns)):
        raise ValueError("write rows x columns, both odd and 1 to 11, like 1x5")
    return int(rows), int(columns)


@dataclass(frozen=True)
class BlindSpot:
    """Self-supervised denoising of the file with nothing but the file.

    Sources: Laine et al. (2019), NeurIPS (the network); Broaddus et al. (2020), ISBI "Removing structured noise with
    self-supervised blind-spot networks" (a spot of the noise's shape).
    """

    settings: BlindSpotSettings
    summary: ClassVar[str] = (
        "Blind-spot network trained on the file itself for a few minutes: best without a clean example; slow."
    )
    record: ClassVar[type[Settings]] = BlindSpotSettings
    learns: ClassVar[bool] = True

    @classmethod
    def create(cls, values: Mapping[str, Any]) -> BlindSpot:
        return cls(parse(BlindSpotSettings, "blindspot", values))

    def prepare(self, source: Readable, normalisation: object, budget: Workplace) -> BlindSpotMethod:
        import torch

        from ruska.networks.blindspot import BlindSpotNet
        from ruska.training import PatchSampler, Schedule, train
        from ruska.training.loop import device_of_choice

        own = self.settings
        spot, notes = self._spot(source)
        if own.frames > 1 and len(source.shape) < 3:
            raise SettingsError(
                "blindspot.frames", f"is {own.frames}, but the image is a single frame", "Use frames=1."
            )
        device = device_of_choice()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(own.seed)
            network = BlindSpotNet(spot, own.frames, widths=_WIDTHS)
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        sampler = PatchSampler([source], own.patch, frames=own.frames, multiple=network.multiple, seed=own.seed,
                               held_out=_HELD_OUT)  # fmt: skip
        schedule = Schedule(own.steps, own.minutes, own.learning_rate, precision=own.precision)
        batch = own.batch or max(1, round(_PIXELS / sampler.edge**2))
        criterion, middle = _LOSSES[own.loss], own.frames // 2

        def loss(net: torch.nn.Module, step: int) -> Tensor:
            noisy, aim = sampler.batch(step, batch)
            noisy = noisy.to(device, memory_format=torch.channels_last)
            error = net(noisy).float() - noisy[:, middle : middle + 1]
            return criterion(error[aim.to(device)])

        judged = self._judged(source, sampler)

        def validate(net: torch.nn.Module) -> float:
            shown = BlindSpotMethod(cast("BlindSpotNet", net), flips=False)
            return float(np.mean([np.mean((shown.predict(s) - s[middle])[m] ** 2) for s, m in judged]))

        if budget.rehearsal:
            train(network, loss, replace(schedule, steps=1), device=device)  # the first step is slower
            trained = train(network, loss, replace(schedule, steps=2), device=device)
            seconds = trained.seconds / 2 * own.steps
            seconds = min(seconds, 60 * own.minutes) if own.minutes else seconds
        else:
            identity = repr((sorted(own.model_dump().items()), spot, source.shape))
            file = budget.folder / "training.safetensors" if budget.folder else None
            trained = train(network, loss, schedule, device=device, validate=validate if judged else None,
                            checkpoint=file, identity=identity, progress=budget.progress)  # fmt: skip
            seconds = trained.seconds
            notes = (*notes, f"Trained {trained.steps} steps in {trained.seconds:.0f} s on {device}; those up to "
                     f"{trained.best or trained.steps} predicted held-out pixels best.")  # fmt: skip
        settings = {**own.model_dump(), "spot": f"{spot[0]}x{spot[1]}", "batch": batch}
        learned = cast("BlindSpotNet", trained.network)
        method = BlindSpotMethod(learned, own.flips, None, settings, notes, seconds)
        if budget.rehearsal:
            return method
        pairs = [(method.predict(stack), stack[own.frames // 2]) for stack in self._samples(source)]
        slope, offset = calibrate(pairs)
        method = replace(method, slope=slope, offset=offset)
        if not own.fold:
            return method
        folding = Folding.fit([(slope * p + offset, noisy) for p, noisy in pairs], spot)
        if folding is None:
            return replace(method, notes=(*notes, "The prediction's error is too small to fold anything in."))
        return replace(method, folding=folding)

    def _judged(self, source: Readable, sampler: PatchSampler) -> list[tuple[NDArray[Any], NDArray[np.bool_]]]:
        """Places (frames, Y, X) and which pixels of them training does not aim at; few, because it is done often."""
        height, width = source.shape[-2:]
        top, left = (max(0, (n - _SAMPLE_EDGE) // 2) for n in (height, width))
        chosen = []
        for stack in self._samples(source)[:_MOST_JUDGED]:
            held = sampler.judged(top, left, *stack.shape[-2:])
            near = [slice(0, min(n, _JUDGED_EDGE)) for n in held.shape]
            chosen.append((stack[:, near[0], near[1]], held[near[0], near[1]]))
        return [(stack, held) for stack, held in chosen if held.sum() >= _FEWEST_JUDGED]

    def _samples(self, source: Readable) -> list[NDArray[Any]]:
        """A few places (frames, Y, X) to measure the prediction's error on."""
        frames = self.settings.frames
        if frames == 1:
            return [plane[None] for plane in sample_planes(source, _SAMPLE_EDGE)]
        from ruska.training.patches import mirrored

        *leading, count, height, width = source.shape
        starts = [max(0, (n - _SAMPLE_EDGE) // 2) for n in (height, width)]
        window = [slice(s, s + min(n, _SAMPLE_EDGE)) for s, n in zip(starts, (height, width), strict=True)]
        stacks = []
        for part in range(min(count, 5)):
            middle = int((part + 0.5) * count / min(count, 5))
            near = [mirrored(middle + d, count) for d in range(-(frames // 2), frames // 2 + 1)]
            boxes = [(*(slice(n // 2, n // 2 + 1) for n in leading), slice(i, i + 1), *window) for i in near]
            stacks.append(np.stack([source.read(box)[(0,) * (len(leading) + 1)] for box in boxes]))
        return stacks

    def _spot(self, source: Readable) -> tuple[tuple[int, int], tuple[str, ...]]:
        if self.settings.spot is not None:
            return parse_spot(self.settings.spot), ("The spot was given.",)
        noise = typical_noise(source)
        if noise is None:
            return (1, 1), ("The image is too small to measure its noise: the spot is one pixel.",)
        spot = spot_for(noise)
        return spot, (noise.reason, f"The blind spot is {spot[0]} x {spot[1]} (rows x columns).")


def spot_for(noise: NoiseEstimate) -> tuple[int, int]:
    """The rectangle (rows, columns) outside which a pixel's noise is not found again, up to 11 x 11."""
    return _extent(noise, noise.lags_y), _extent(noise, noise.lags_x)


def _extent(noise: NoiseEstimate, lags: tuple[float, ...]) -> int:
    if not noise.correlated or lags[0] < _SHARED:
        return 1
    reach = next((k for k, value in enumerate(lags) if abs(value) < _NEGLIGIBLE), len(lags))
    return min(2 * reach + 1, 11)


@dataclass(frozen=True)
class BlindSpotMethod:
    """A trained blind-spot network as a method of the engine."""

    network: BlindSpotNet
    flips: bool
    folding: Folding | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    training_seconds: float = 0.0
    merge: Literal["mean", "none"] = "none"
    locality: Literal["exact", "approximate"] = "exact"
    domain: Literal["normalised", "raw"] = "normalised"
    bytes_per_voxel: float = 3000.0
    threads: Literal["one", "many"] = "many"
    slope: float = 1.0
    offset: float = 0.0

    @property
    def halo(self) -> tuple[int, ...]:
        step = self.network.multiple
        around = -(-(self.network.reach + REACH) // step) * step
        frames = self.network.frames
        return (around, around) if frames == 1 else (frames // 2, around, around)

    @property
    def multiple(self) -> tuple[int, ...]:
        return (*(1,) * (len(self.halo) - 2), self.network.multiple, self.network.multiple)

    @property
    def scale(self) -> tuple[Fraction, ...]:
        return (Fraction(1),) * len(self.halo)

    def __call__(self, y: Tensor, random: object) -> Estimate:
        """``y`` : (b, c, Y, X), or (b, c, frames, Y, X) for a network of several frames."""
        import torch

        from ruska.training.patches import mirrored

        frames = self.network.frames
        noisy, out = y.cpu().numpy(), np.empty(y.shape, np.float32)
        for place in np.ndindex(*y.shape[:2]):
            stack = noisy[place] if frames > 1 else noisy[place][None]
            for k in range(stack.shape[0]):
                near = [mirrored(k + d, stack.shape[0]) for d in range(-(frames // 2), frames // 2 + 1)]
                restored = self.predict(stack[near])
                if self.folding is not None:
                    restored = self.folding.apply(restored, stack[k])
                out[(*place, k) if frames > 1 else place] = restored
        return Estimate(torch.from_numpy(out).to(y.dtype))

    def predict(self, stack: NDArray[Any]) -> NDArray[np.float32]:
        """What the network makes of the middle one of (frames, Y, X), of any size; the noisy pixel not folded in."""
        import torch
        from torch.nn import functional

        height, width = stack.shape[-2:]
        step = self.network.multiple
        x = torch.from_numpy(np.ascontiguousarray(stack, dtype=np.float32))[None]
        x = functional.pad(x, (0, -width % step, 0, -height % step), mode="replicate")
        with torch.inference_mode():
            restored = self._restore(x.to(next(self.network.parameters()).device))
        return np.float32(self.slope) * restored[:height, :width].cpu().numpy() + np.float32(self.offset)

    def _restore(self, x: Tensor) -> Tensor:
        import torch

        turns: list[list[int]] = [[], [2], [3], [2, 3]] if self.flips else [[]]
        results = [
            self.network(x.flip(turn).contiguous(memory_format=torch.channels_last)).flip(turn) for turn in turns
        ]
        return torch.stack(results).mean(0)[0, 0]


def calibrate(pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> tuple[float, float]:
    """Slope and offset that make (prediction, noisy) planes agree on average, so that grey levels are kept.

    The noise of a pixel is independent of its prediction, so the regression of one on the other has no bias. The
    slope stays 1 where the prediction varies too little to tell it to 1 %.
    """
    predicted, noisy = (np.concatenate([np.ravel(pair[i]) for pair in pairs]).astype(np.float64) for i in (0, 1))
    variance = predicted.var()
    slope = ((predicted - predicted.mean()) * (noisy - noisy.mean())).mean() / max(variance, 1e-30)
    uncertain = np.sqrt(((noisy - predicted) ** 2).mean() / max(variance * predicted.size, 1e-30))
    if uncertain > 0.01 or not 0.5 < slope < 2:
        slope = 1.0
    return float(slope), float(noisy.mean() - slope * predicted.mean())


def _square(error: Tensor) -> Tensor:
    return (error**2).mean()


def _absolute(error: Tensor) -> Tensor:
    return error.abs().mean()


def _charbonnier(error: Tensor) -> Tensor:
    return (error**2 + 1e-6).sqrt().mean()


_LOSSES = {"l2": _square, "l1": _absolute, "charbonnier": _charbonnier}
