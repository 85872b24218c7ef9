"""The loop every network of Ruska is trained by: steps, moving average of the weights, checkpoints, resume.

What is trained is a `Trainee`: a network, or several that belong together. Started by ``torchrun
--nproc-per-node=N``, N processes train together: each takes its own batches, all take the same steps, and the first
one judges, reports and writes.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from ruska.compute.precision import autocast
from ruska.errors import JobCancelledError, OutputError, SettingsError, did_you_mean
from ruska.training.guard import Guard, bounded
from ruska.training.log import Log
from ruska.training.prefetch import Prefetched
from ruska.training.ranks import Ranks, join, machine
from ruska.training.trainee import Objective, Single, Swift, Trainee
from ruska.weights.tensors import fill, load_weights, save_weights

Progress = Callable[[str, int, int], None]
Pair = tuple[list[Tensor], list[Tensor]]  # of the average, and of what it is the average of
Precision = Literal["fp32", "bf16", "fp16"]
Optimizer = Literal["adam", "adamw", "sgd"]
SMOOTHED = 50  # steps over which the reported loss is averaged
_FORM = 4  # of a saved state; counts up when what it holds changes
_READS = (2, 3, 4)  # forms that are gone on from; 2 knew one network and Adam, 3 no guard
_STUCK = 4  # judgements without a better one, after which it falls at once
_RISE = 50  # steps over which the learning rate rises unless given, or a tenth of a short training


@dataclass(frozen=True)
class Schedule:
    """How long and how hard to train.

    steps : optimiser steps; the learning rate rises over the first, stays, and falls along a cosine over the last 70 %,
        to ``lowest`` times what it was. Where judgements get worse before it falls, it goes back to the best weights
        and falls from there, and the training ends with the fall: more time is then no use.
    minutes : stop earlier when this much training time is spent; the fall of the learning rate is fitted to it.
    decay : ``flat`` keeps the learning rate where it is after its rise. flat : share of the training before it falls.
    warm_up : steps of the rise; None: 50, or a tenth of a short training.
    optimizer : ``adam``, ``adamw`` (weight decay apart from the gradient) or ``sgd``, whose momentum is the first of
        ``betas``. weight_decay : of all parameters whose group says nothing else.
    precision : of the forward pass; bf16 where the processor has it is faster and loses nothing that was measured.
        fp16 scales the loss so that small gradients survive.
    clip : largest norm of the gradient; see `Guard` for what else is bounded. accumulate : batches a step, in each
        process.
    average : decay of the moving average of the weights, which is what is used in the end.
    validate_every, patience : steps between judgements; stop when this share of all steps brought nothing better.
    """

    steps: int = 1000
    minutes: float | None = None
    learning_rate: float = 1e-3
    decay: Literal["cosine", "flat"] = "cosine"
    precision: Precision = "bf16"
    clip: float = 1.0
    accumulate: int = 1
    average: float = 0.999
    validate_every: int = 50
    patience: float = 0.4
    optimizer: Optimizer = "adam"
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.0
    warm_up: int | None = None
    flat: float = 0.3
    lowest: float = 0.01
    checkpoint_seconds: float = 60.0


@dataclass
class Trained:
    """The averaged network, in evaluation mode, and how it got there.

    losses : means over every 50 steps. scores : what ``validate`` said, and after which step.
    best : the step whose weights these are. notes : what the user may want to know. machine : what took the last step.
    guarded : examples bounded, gradients shortened and steps left out, as `Guard` counts them.
    """

    network: nn.Module
    steps: int
    seconds: float
    losses: list[float] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)
    best: int = 0
    notes: tuple[str, ...] = ()
    machine: Mapping[str, str] = field(default_factory=dict)
    guarded: Mapping[str, int] = field(default_factory=dict)


def train(
    network: nn.Module | Trainee,
    loss: Objective | None,
    schedule: Schedule,
    *,
    batches: Callable[[int], Any] | None = None,
    validate: Callable[[nn.Module], float] | None = None,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    identity: str = "",
    overwrite: bool = False,
    start: Mapping[str, Tensor] | Path | None = None,
    log: Path | None = None,
    progress: Progress | None = None,
    watch: Callable[[nn.Module, int], None] | None = None,
    stage: str = "training",
) -> Trained:
    """Minimise ``loss(network, batch)``, which must be the same whenever it is asked for the same batch.

    The loss is one number, or one an example, all at least 0: then those of examples that are far off are bounded.

    network, loss : or a `Trainee`, which has its own loss, and None.
    batches : makes a batch of its number, ahead of time where the network is not on the processor (`Prefetched`);
        without it the loss is handed the number.
    validate : judges the averaged network, lower is better; the weights it liked best are returned. Without it, the
        last ones. No truth is needed: an error on pixels that training did not aim at will do.
    checkpoint : file to go on from when it exists, and to leave the state in; also when the user interrupts, and when
        ``validate``, ``progress`` or ``watch`` raise anything. Several processes must all see it.
    identity : names everything that makes this training another one: network, data, settings. Not how long it is:
        with more steps or minutes than it was saved with a training goes on, with fewer it stops at once.
    overwrite : begin anew where ``checkpoint`` is that of another training.
    start : weights to begin with instead of the network's own, as a state dict or a file of `save_weights`.
    log : folder for ``log.csv`` and, where TensorBoard is installed, its files.
    progress : called as ``progress(stage, done, total)``.
    watch : shown the averaged network after every step, with the number of steps; it must leave it as it is.

    Raises ResourceError when the loss stays no number, InputError when ``start`` does not fit, OutputError when
    ``checkpoint`` is that of another training.
    """
    if schedule.precision not in get_args(Precision):
        raise SettingsError("training.precision", f"is {schedule.precision}",
                            did_you_mean(schedule.precision, get_args(Precision)))  # fmt: skip
    trainee = _trainee(network, loss)
    ranks = join(torch.device(device))
    state = _begin(trainee, schedule, ranks, start)
    if checkpoint is not None and checkpoint.exists():
        state.load(checkpoint, identity, overwrite=overwrite)
    ranks.must_agree(state.step)
    kept = checkpoint if ranks.first else None
    book = Log(log, state.step) if log is not None and ranks.first else None
    state.network.train()
    here = machine(ranks.device)
    saved = time.perf_counter()
    begun = saved - state.seconds
    between = True  # two steps: the state is that of a training that was not interrupted
    try:
        with _ahead(batches, ranks.device) as batch_of:
            while True:
                # The learning rate and the end may depend on the time: all processes go by the first one's clock.
                state.seconds = ranks.same(time.perf_counter() - begun)
                if validate is not None and _due(state, schedule):
                    state.judge(ranks.same(validate(state.average) if ranks.first else 0.0))
                    if _stuck(state, schedule):
                        state.return_to_best()
                rate = schedule.learning_rate * _rate(state, schedule)
                if book is not None and (state.judged or state.step % SMOOTHED == 0):
                    score = state.scores[-1][1] if state.judged else None
                    book.write(state.step, state.seconds, state.recent_loss, score, rate, state.guard.total())
                if _over(state, schedule):
                    state.guard.check()
                    break
                between = False
                value, left_out = _gradients(state, schedule, ranks, batch_of)
                state.torn = True
                _take(state, schedule, ranks, rate, value, left_out)
                state.torn, state.machine, between = False, here, True
                if progress is not None and ranks.first:
                    progress(stage, *_share(state, schedule))
                if watch is not None and ranks.first:
                    watch(state.average, state.step)
                if kept is not None and time.perf_counter() - saved > schedule.checkpoint_seconds:
                    state.save(kept, identity)
                    saved = time.perf_counter()
        if kept is not None:
            state.save(kept, identity)
    except BaseException as error:
        # Any end between two steps is as good as another. In one, only where nothing was wrong with the step.
        whole = between or (isinstance(error, KeyboardInterrupt | JobCancelledError) and not state.torn)
        if kept is not None and whole:
            state.undo_half_step()
            state.save(kept, identity)
        raise
    finally:
        if book is not None:
            book.close()
    if state.best:
        state.average.load_state_dict(state.best)
    return Trained(state.average, state.step, state.seconds, state.losses, state.scores, state.best_step,
                   book.notes if book is not None else (), state.machine, state.guard.total())  # fmt: skip


def _trainee(network: nn.Module | Trainee, loss: Objective | None) -> Trainee:
    if isinstance(network, nn.Module):
        assert loss is not None, "a network has no loss of its own"
        return Single(network, loss)
    assert loss is None, "a trainee has its own loss"
    return network


def _begin(trainee: Trainee, schedule: Schedule, ranks: Ranks, start: Mapping[str, Tensor] | Path | None) -> _State:
    """Everything on the device, the same in all processes, before the first step."""
    trainee.network.to(ranks.device)
    if start is not None:
        fill(trainee.network, start)
    shipped = trainee.ships().to(ranks.device)
    ranks.copy(trainee.network.state_dict().values())
    ranks.copy(trainee.state().values())
    scaler = torch.amp.GradScaler(ranks.device.type, enabled=schedule.precision == "fp16")
    average = copy.deepcopy(shipped).requires_grad_(False).eval()
    return _State(trainee, average, _optimizer(trainee, schedule, ranks.device), scaler, Guard.on(ranks.device),
                  schedule.optimizer)  # fmt: skip


def _optimizer(trainee: Trainee, schedule: Schedule, device: torch.device) -> torch.optim.Optimizer:
    """On CUDA all weights are changed at once, or none where the step is left out."""
    groups, own, decay = trainee.groups(), schedule.optimizer, schedule.weight_decay
    fused = True if device.type == "cuda" else None
    if own == "adam":
        return torch.optim.Adam(groups, betas=schedule.betas, weight_decay=decay, fused=fused)
    if own == "adamw":
        return torch.optim.AdamW(groups, betas=schedule.betas, weight_decay=decay, fused=fused)
    if own == "sgd":
        return torch.optim.SGD(groups, momentum=schedule.betas[0], weight_decay=decay, fused=fused)
    raise SettingsError("training.optimizer", f"is {own}", did_you_mean(own, get_args(Optimizer)))


@contextmanager
def _ahead(batches: Callable[[int], Any] | None, device: torch.device) -> Iterator[Callable[[int], Any]]:
    """What makes a batch of its number; while the network is busy, where it is not on the processor itself."""
    if batches is None:
        yield lambda number: number
    elif device.type == "cpu":
        yield batches
    else:
        with Prefetched(batches) as prefetched:
            yield prefetched


def _gradients(
    state: _State, schedule: Schedule, ranks: Ranks, batch_of: Callable[[int], Any]
) -> tuple[Tensor, Tensor]:
    """The loss of the next step, the mean over all processes, and whether to leave the step out; with its gradients.

    On a GPU, nothing here waits for it.
    """
    device, trainee, most = ranks.device, state.trainee, state.guard.most
    state.optimizer.zero_grad(set_to_none=True)
    total, far = torch.zeros((), device=device), torch.zeros((), device=device)
    swiftly = trainee if isinstance(trainee, Swift) else None
    if schedule.accumulate > 1 or state.scaler.is_enabled():
        swiftly = None
    for part in range(schedule.accumulate):
        batch = batch_of((state.step * schedule.accumulate + part) * ranks.world + ranks.rank)
        at_once = None if swiftly is None else swiftly.learn(batch, state.step, most, schedule.precision)
        if at_once is not None:
            total, far = at_once
            break
        with autocast(device, schedule.precision):
            losses = trainee.loss(batch, state.step).float()
        found, beyond = bounded(losses, most)
        state.scaler.scale(found / schedule.accumulate).backward()
        total += losses.detach().mean() / schedule.accumulate
        far += beyond
    value = ranks.mean_gradients(state.network, total)
    state.scaler.unscale_(state.optimizer)  # the limit is for true gradients
    return value, state.guard.shorten(state.weights, value, far, schedule.clip)


def _take(state: _State, schedule: Schedule, ranks: Ranks, rate: float, value: Tensor, left_out: Tensor) -> None:
    """The step itself, and all that follows it."""
    for group in state.optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
    if state.scaler.is_enabled():
        state.scaler.step(state.optimizer)  # which looks for itself
        state.scaler.update()
    elif ranks.device.type == "cuda":
        state.optimizer.found_inf = left_out.float()  # type: ignore[attr-defined]  # as a scaler has it
        state.optimizer.step()
    elif not bool(left_out):
        state.optimizer.step()
    state.trainee.after_step(state.step)
    ranks.copy(state.network.buffers())
    ranks.copy(state.trainee.state().values())
    state.advance(value, min(schedule.average, (1 + state.step) / (10 + state.step)))


def _share(state: _State, schedule: Schedule) -> tuple[int, int]:
    """Progress in steps, or in seconds where these run out first."""
    if schedule.minutes is not None and state.seconds / (60 * schedule.minutes) > state.step / schedule.steps:
        return int(state.seconds), int(60 * schedule.minutes)
    return state.step, schedule.steps


def _over(state: _State, schedule: Schedule) -> bool:
    spent = schedule.minutes is not None and state.seconds >= 60 * schedule.minutes
    stale = bool(state.scores) and state.step - state.best_step > schedule.patience * schedule.steps
    return state.step >= schedule.steps or spent or stale or _early_fall(state, schedule) >= 1


def _due(state: _State, schedule: Schedule) -> bool:
    """Whether to judge now: every so often, at the end, and not again where a resumed training had been judged."""
    return (state.step % schedule.validate_every == 0 or _over(state, schedule)) and state.step > 0 and not state.judged


def _stuck(state: _State, schedule: Schedule) -> bool:
    """Whether the learning rate has not begun to fall, and judgements get worse."""
    waiting = schedule.decay == "cosine" and not state.fell and _done(state, schedule) < schedule.flat
    return waiting and state.best_step > 0 and state.step - state.best_step >= _STUCK * schedule.validate_every


def _early_fall(state: _State, schedule: Schedule) -> float:
    """How far a fall that began early has come, 0 to 1: it is as long as if the training had been planned so."""
    if not state.fell:
        return 0.0
    begin, best = state.fell
    return (state.step - begin) * schedule.flat / ((1 - schedule.flat) * best)


def _done(state: _State, schedule: Schedule) -> float:
    done = state.step / schedule.steps
    return done if schedule.minutes is None else max(done, state.seconds / (60 * schedule.minutes))


def _rate(state: _State, schedule: Schedule) -> float:
    fall = max((_done(state, schedule) - schedule.flat) / (1 - schedule.flat), _early_fall(state, schedule))
    fall = min(1.0, max(0.0, fall)) if schedule.decay == "cosine" else 0.0
    rise = min(_RISE, max(1, schedule.steps // 10)) if schedule.warm_up is None else max(1, schedule.warm_up)
    low = schedule.lowest
    return min(1.0, (state.step + 1) / rise) * (low + (1 - low) * 0.5 * (1 + math.cos(math.pi * fall)))


@dataclass
class _State:
    """Everything a resumed training needs."""

    trainee: Trainee
    average: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    guard: Guard
    kind: str = "adam"  # of the optimiser
    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_step: int = 0
    fell: tuple[int, ...] = ()  # the step at which the learning rate began to fall early, and that of the best weights
    torn: bool = False  # in the middle of a change: some weights are of this step, some of the next
    machine: Mapping[str, str] = field(default_factory=dict)  # that took the last step
    _window: list[Tensor] = field(default_factory=list)  # losses since the last mean, where they were computed
    _sound: list[Tensor] = field(default_factory=list)  # buffers of the network after the last whole step

    def __post_init__(self) -> None:
        # found once: to look through a network takes as long as to start its kernels
        shipped = self.trainee.ships()
        self.weights: list[Tensor] = list(self.network.parameters())
        self._averaged: Pair = list(self.average.parameters()), list(shipped.parameters())
        self._buffers: Pair = list(self.average.buffers()), list(shipped.buffers())
        self._own_buffers: list[Tensor] = list(self.network.buffers())
        self._remember()

    @property
    def network(self) -> nn.Module:
        return self.trainee.network

    def _remember(self) -> None:
        """The average has the network's buffers already where it is the network's."""
        own = self.trainee.ships() is self.network
        self._sound = self._buffers[0] if own else [b.clone() for b in self._touched()]

    def _touched(self) -> list[Tensor]:
        """What a forward pass may change: running statistics of the network, and of another module that ships."""
        shipped = self.trainee.ships()
        return [*self._own_buffers, *(() if shipped is self.network else self._buffers[1])]

    @property
    def judged(self) -> bool:
        """Whether these very weights have a score."""
        return bool(self.scores) and self.scores[-1][0] == self.step

    @property
    def recent_loss(self) -> float:
        """Mean since the last multiple of 50 steps."""
        recent = self._read() or self.losses[-1:]
        return sum(recent) / len(recent) if recent else math.nan

    def _read(self) -> list[float]:
        """The losses since the last mean, those of steps that were left out apart. Waits for the device."""
        found: list[float] = torch.stack(self._window).tolist() if self._window else []
        return [loss for loss in found if math.isfinite(loss)]

    def judge(self, score: float) -> None:
        """Keep the averaged weights when ``score`` is the lowest so far."""
        if score < min((s for _, s in self.scores if math.isfinite(s)), default=math.inf):
            self.best = {name: value.clone() for name, value in self.average.state_dict().items()}
            self.best_step = self.step
        self.scores.append((self.step, score))

    def return_to_best(self) -> None:
        """Go on from the best weights, with a falling learning rate; with that alone where what is judged is another
        module than the one that learns."""
        if self.trainee.ships() is self.network:
            self.network.load_state_dict(self.best)
            self.average.load_state_dict(self.best)
        self.fell = (self.step, self.best_step)

    @torch.no_grad()
    def advance(self, loss: Tensor, decay: float) -> None:
        kept, new = self._averaged
        torch._foreach_lerp_(kept, new, 1 - decay)
        kept, new = self._buffers
        if kept:  # running statistics are averages already, counters cannot be averaged
            torch._foreach_copy_(kept, new)
        self._remember()
        self.step += 1
        self._window.append(loss.float())
        if len(self._window) == SMOOTHED:
            found = self._read()
            self.losses.append(sum(found) / len(found) if found else math.nan)
            self._window.clear()
            self.guard.check()

    @torch.no_grad()
    def undo_half_step(self) -> None:
        """Take back what a forward pass without its step did: running statistics."""
        for kept, touched in zip(self._sound, self._touched(), strict=True):
            touched.copy_(kept)

    def save(self, path: Path, identity: str) -> None:
        tensors: dict[str, Tensor] = {}
        for name, module in (("network", self.network), ("average", self.average)):
            tensors |= {f"{name}/{key}": value for key, value in module.state_dict().items()}
        tensors |= {f"best/{key}": value for key, value in self.best.items()}
        tensors |= {f"trainee/{key}": value for key, value in self.trainee.state().items()}
        tensors |= {"guard/usual": self.guard.usual, "guard/counts": self.guard.counts}
        for index, moments in self.optimizer.state_dict()["state"].items():
            known = {key: value for key, value in moments.items() if isinstance(value, Tensor)}
            tensors |= {f"optimizer/{index}/{key}": value for key, value in known.items()}
        facts = {"identity": identity, "step": self.step, "seconds": self.seconds, "losses": self.losses,
                 "window": [float(loss) for loss in self._window], "scores": self.scores,
                 "best_step": self.best_step, "fell": self.fell,
                 "scaler": self.scaler.state_dict(), "form": _FORM, "machine": self.machine,
                 "optimizer": self.kind}  # fmt: skip
        save_weights(path, tensors, facts)

    def load(self, path: Path, identity: str, *, overwrite: bool = False) -> None:
        """Go on from ``path``. OutputError where it is of another training, unless it may be begun anew."""
        tensors, facts = load_weights(path)
        if other := self._another(facts, identity):
            if overwrite:
                return
            raise OutputError(path, other, "Choose another folder, pass --overwrite, or delete the file to start over.")
        self.network.load_state_dict(_under(tensors, "network/"))
        self.average.load_state_dict(_under(tensors, "average/"))
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(tensors, "optimizer/").items():
            index, _, name = key.partition("/")
            moments.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({"state": moments, "param_groups": self.optimizer.state_dict()["param_groups"]})
        if facts.get("scaler") and self.scaler.is_enabled():  # not when the precision was changed
            self.scaler.load_state_dict(facts["scaler"])
        self.step, self.seconds = facts["step"], facts["seconds"]
        self.losses = facts["losses"]
        self._window = [torch.tensor(loss, device=self.guard.usual.device) for loss in facts["window"]]
        for name, value in _under(tensors, "guard/").items():
            getattr(self.guard, name).copy_(value)
        self.scores = [(step, score) for step, score in facts["scores"]]
        self.best, self.best_step = _under(tensors, "best/"), facts["best_step"]
        self.fell, self.machine = tuple(facts.get("fell", ())), facts.get("machine", {})
        self.trainee.load_state(_under(tensors, "trainee/"))
        self._remember()

    def _another(self, facts: Mapping[str, Any], identity: str) -> str:
        """Why a saved state is not one of this training; empty where it is."""
        if facts.get("form") not in _READS:
            return f"was left by another version of Ruska (form {facts.get('form')}, expected {_FORM})"
        if facts.get("identity") != identity:
            return "holds a training with another network, other settings or other data"
        if facts.get("optimizer", "adam") != self.kind:
            return f"holds a training with the optimiser {facts.get('optimizer', 'adam')}, not {self.kind}"
        return ""


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
