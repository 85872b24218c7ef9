"""Training a blind-spot network: what is hidden, what is aimed at, when it is good enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np

from ruska.compute.devices import device_of_choice
from ruska.methods.looking import (
    LOOKED_AT,
    Readable,
    Workplace,
    middles_to_look_at,
    planes_to_look_at,
    stacks_to_look_at,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from ruska.methods.blindspot import BlindSpotSettings
    from ruska.physics import NoiseLevel
    from ruska.training import PatchSampler
    from ruska.weights import Model

_WIDTHS = (16, 32, 64, 64)
_PIXELS = 1 << 16  # of a batch
_TRAINING = {"halfplane": 7200.0, "noise2void": 3000.0, "udvd": 32000.0, "shine": 12600.0}
"""Bytes a pixel of a batch, on the processor; measured 4700 to 7000, 2700 to 2900, 30700 to 31100, 9800 to 12300."""
_FIRST_STEP = 115 << 20  # code and kernels, taken by the first step; measured 105 to 115: torch's compiler is 75
LEFT_BY_TRAINING = 180 << 20
"""Bytes that are not free again after a step: code, kernels, weights and their averages; measured 120 to 155."""
_SMALLER = "train on fewer and smaller patches (--set batch=1 --set patch=64)"
_HELD_OUT = 0.1  # of the pixels, to see when the network begins to learn the noise by heart
_JUDGED_EDGE, _MOST_JUDGED, _FEWEST_JUDGED = 512, 2, 500
_MASKED_EVERY = 8  # rows and columns to one masked pixel of Noise2Void: its 1.6 %
_MASK_REACH = 5  # pixels away that the value of a masked pixel is taken from
_BETA = 0.5


class Network(Protocol):
    """What the four networks have in common."""

    spot: tuple[int, int]
    frames: int
    outputs: int
    multiple: int

    @property
    def reach(self) -> int: ...
    def parameters(self) -> Iterator[Any]: ...
    def __call__(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Hidden:
    """Which network, what it does not see, and how many numbers it says about each pixel."""

    kind: str
    spot: tuple[int, int]
    frames: int = 1
    outputs: int = 1
    widths: tuple[int, ...] = _WIDTHS

    def build(self, seed: int) -> Any:
        """The untrained network, the same for the same ``seed``."""
        import torch

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = self._build()
        return network.to(memory_format=torch.channels_last)

    def _build(self) -> Any:
        from ruska.networks.hidden import hidden_network

        return hidden_network(self.kind, self.spot, self.frames, self.outputs, self.widths)

    def facts(self) -> dict[str, Any]:
        """JSON-like; `of` reads it back."""
        return asdict(self)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Hidden:
        rows, columns = facts["spot"]
        return cls(str(facts["kind"]), (int(rows), int(columns)), int(facts["frames"]), int(facts["outputs"]),
                   tuple(int(w) for w in facts["widths"]))  # fmt: skip


@dataclass(frozen=True)
class Learned:
    """A trained network and how it got there."""

    network: Any
    hidden: Hidden
    batch: int
    steps: int
    seconds: float
    device: str
    scores: list[tuple[int, float]]
    notes: tuple[str, ...] = ()


def learn(
    sources: Sequence[Readable],
    hidden: Hidden,
    own: BlindSpotSettings,
    budget: Workplace,
    *,
    start: Model | None = None,
    log: Path | None = None,
    overwrite: bool = True,
) -> Learned:
    """Train ``hidden`` on normalised ``sources``; interrupted, it goes on from ``budget.folder``.

    overwrite : begin anew where that folder holds another training; OutputError otherwise.
    With ``budget.rehearsal`` only as long as it takes to tell how long it would take.
    """
    from ruska.training import PatchSampler, Schedule, train
    from ruska.training.need import check_room

    device = device_of_choice()
    network = hidden.build(own.seed)
    if start is not None:
        start.fill(network)
    masked = hidden.kind == "noise2void"
    sampler = PatchSampler(sources, own.patch, frames=own.frames, multiple=network.multiple, seed=own.seed,
                           held_out=0.0 if masked else _HELD_OUT)  # fmt: skip
    batch = own.batch or max(1, round(_PIXELS / sampler.edge**2))
    level = level_of(sources) if own.loss == "poisson-gaussian" else None
    batches, loss = _Batches(sampler, batch, hidden, own.seed), _Objective(own.loss, device, level)
    room = budget.room
    if device.type == "cpu":
        from ruska.methods.blindspot_method import BlindSpotMethod

        after = LEFT_BY_TRAINING + BlindSpotMethod(network, flips=False).least_bytes(sources[0].shape)
        check_room(room, max(after, _FIRST_STEP + _TRAINING[hidden.kind] * batch * sampler.edge**2), _SMALLER)
    schedule = Schedule(own.steps, own.minutes, own.learning_rate, own.decay, own.precision)
    if budget.rehearsal:
        one, two = (replace(schedule, steps=n, minutes=None) for n in (1, 2))
        train(network, loss, one, batches=batches, device=device)  # the first step is slower
        trained = train(network, loss, two, batches=batches, device=device)
        seconds = trained.seconds / 2 * own.steps
        seconds = min(seconds, 60 * own.minutes) if own.minutes else seconds
        return Learned(trained.network, hidden, batch, 0, seconds, str(device), [])
    places = [] if masked else _judged(sources[0], own.frames, sampler)
    identity = repr((sorted(own.model_dump(exclude={"steps", "minutes"}).items()), hidden,
                     [s.shape for s in sources], start.card.sha256 if start else None))  # fmt: skip
    judge = _Judge(places, own.frames, room - LEFT_BY_TRAINING, budget.tidy) if places else None
    trained = train(
        network, loss, schedule, batches=batches, device=device, validate=judge, overwrite=overwrite,
        checkpoint=budget.folder / "training.safetensors" if budget.folder else None, identity=identity,
        progress=budget.progress, log=log,
    )  # fmt: skip
    note = f"Trained {trained.steps} steps in {trained.seconds:.0f} s on {device}"
    if trained.best:
        note += f"; the weights after step {trained.best} predicted held-out pixels best"
    return Learned(trained.network, hidden, batch, trained.steps, trained.seconds, str(device), trained.scores,
                   (note + ".", *trained.notes))  # fmt: skip


Batch = tuple["Tensor", "Tensor", "Tensor"]
"""What the network sees (b, frames, Y, X), what it should say (b, 1, Y, X), and where to aim at: the same, bool."""


@dataclass(frozen=True)
class _Batches:
    """The batch of a step, where the files are read: on the processor."""

    sampler: PatchSampler
    size: int
    hidden: Hidden
    seed: int

    def __call__(self, step: int) -> Batch:
        noisy, aim = self.sampler.batch(step, self.size)
        middle = self.hidden.frames // 2
        target, seen = noisy[:, middle : middle + 1], noisy
        if self.hidden.kind == "noise2void":
            seen, aim = masked(noisy, self.hidden.spot, (self.seed, step))
        return seen, target, aim


@dataclass(frozen=True)
class _Objective:
    """The loss of a batch: how far the network is from noisy pixels it has not seen."""

    loss: str
    device: torch.device
    level: NoiseLevel | None

    def __call__(self, network: nn.Module, batch: Batch) -> Tensor:
        import torch

        seen, target, aim = batch
        seen = seen.to(self.device, memory_format=torch.channels_last)
        found, target, aim = network(seen).float(), target.to(self.device), aim.to(self.device)
        if self.level is not None:
            return _likelihood(found, target, self.level)[aim].mean()
        return _LOSSES[self.loss]((found - target)[aim])


def _square(error: Tensor) -> Tensor:
    return (error**2).mean()


def _absolute(error: Tensor) -> Tensor:
    return error.abs().mean()


def _charbonnier(error: Tensor) -> Tensor:
    return (error**2 + 1e-6).sqrt().mean()


_LOSSES: dict[str, Callable[[Tensor], Tensor]] = {"l2": _square, "l1": _absolute, "charbonnier": _charbonnier}


def _likelihood(found: Tensor, target: Tensor, level: NoiseLevel) -> Tensor:
    """Negative log likelihood of each pixel when the truth is normal around the prediction and the noise known.

    ``found`` : (b, 2, Y, X): mean and logarithm of the variance of the prediction's error.
    Source: Laine et al. (2019), eq. 3. Differs: weighted by the variance to the power 0.5 (Seitzer et al. 2022,
    "On the pitfalls of heteroscedastic uncertainty estimation", ICLR, eq. 5), or the mean is learned late.
    """
    mean, spread = found[:, :1], found[:, 1:].clamp(-20, 5).exp()
    noise = (level.gain * mean.detach() + level.intercept).clamp(min=min(level.variances))
    variance = spread + noise
    return variance.detach() ** _BETA * ((target - mean) ** 2 / variance + variance.log()) / 2


def masked(noisy: Tensor, spot: tuple[int, int], seed: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Noise2Void's input: about one pixel in 64 replaced by a neighbour, and which ones, (b, 1, Y, X), bool.

    ``noisy`` : (b, frames, Y, X). The spot around a chosen pixel is replaced too, in the middle frame.
    Source: Krull et al. (2019), section 4 (uniform pixel selection); Broaddus et al. (2020) for the wider spot.
    """
    import torch

    random = np.random.default_rng(seed)
    count, frames, height, width = noisy.shape
    steps = [max(_MASKED_EVERY, n + 2) for n in spot]
    rows, columns = (np.arange(0, n - s + 1, s) for n, s in zip((height, width), steps, strict=True))
    shape = (count, len(rows), len(columns))
    y = rows[None, :, None] + random.integers(steps[0], size=shape)
    x = columns[None, None, :] + random.integers(steps[1], size=shape)
    image = np.broadcast_to(np.arange(count)[:, None, None], shape)
    middle = noisy[:, frames // 2].numpy()
    changed = middle.copy()
    for dy in range(-(spot[0] // 2), spot[0] // 2 + 1):
        for dx in range(-(spot[1] // 2), spot[1] // 2 + 1):
            there = np.clip(y + dy, 0, height - 1), np.clip(x + dx, 0, width - 1)
            # past the spot on both axes, so that the value is none of those that share the noise
            source = [_elsewhere(at, n // 2, size, random) for at, n, size in
                      zip((y, x), spot, (height, width), strict=True)]  # fmt: skip
            changed[image, there[0], there[1]] = middle[image, source[0], source[1]]
    seen = noisy.clone()
    seen[:, frames // 2] = torch.from_numpy(changed)
    aim = np.zeros((count, 1, height, width), dtype=bool)
    aim[image, 0, y, x] = True
    return seen, torch.from_numpy(aim)


def _elsewhere(at: NDArray[np.int64], half: int, size: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Places more than ``half`` pixels to either side of ``at``, inside ``range(size)``."""
    away = half + random.integers(1, _MASK_REACH + 1, at.shape)
    there = at + away * random.choice((-1, 1), at.shape)
    return np.where(there < 0, at + away, np.where(there >= size, at - away, there))


@dataclass(frozen=True)
class _Judge:
    """Mean squared error at pixels that training never aims at: it rises when noise is learned by heart."""

    places: Sequence[tuple[NDArray[Any], NDArray[np.bool_]]]
    frames: int
    room: float  # bytes
    tidy: Callable[[], None]

    def __call__(self, network: nn.Module) -> float:
        from ruska.methods.blindspot_method import BlindSpotMethod

        shown = BlindSpotMethod(cast("Network", network), flips=False)
        found = [shown.predict_within(stack, self.room, self.tidy)[0] for stack, _ in self.places]
        errors = [mean - stack[self.frames // 2] for mean, (stack, _) in zip(found, self.places, strict=True)]
        return float(np.mean([np.mean(e[held] ** 2) for e, (_, held) in zip(errors, self.places, strict=True)]))


def _judged(source: Readable, frames: int, sampler: PatchSampler) -> list[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Places (frames, Y, X) and which pixels of them training does not aim at; few, because it is done often."""
    height, width = source.shape[-2:]
    top, left = (max(0, (n - LOOKED_AT) // 2) for n in (height, width))
    chosen = []
    places = zip(stacks_to_look_at(source, frames), middles_to_look_at(source, frames), strict=True)
    for stack, seen in islice(places, _MOST_JUDGED):
        held = sampler.judged(top, left, *stack.shape[-2:]) & np.isfinite(seen)
        near = [slice(0, min(n, _JUDGED_EDGE)) for n in held.shape]
        chosen.append((stack[:, near[0], near[1]], held[near[0], near[1]]))
    return [(stack, held) for stack, held in chosen if held.sum() >= _FEWEST_JUDGED]


def level_of(sources: Sequence[Readable]) -> NoiseLevel:
    """How the noise of a typical plane of the first source grows with the signal."""
    from ruska.physics import noise_level

    return noise_level(planes_to_look_at(sources[0], count=1)[0])
