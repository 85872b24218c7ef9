"""The loop every network of Ruska is trained by: steps, moving average of the weights, checkpoints, resume."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ruska.errors import ResourceError
from ruska.training.checkpoint import load_weights, save_weights

Progress = Callable[[str, int, int], None]
_SMOOTHED = 50  # steps over which the reported loss is averaged
_FORM = 2  # of a saved state; counts up when what it holds changes
_RISE = 50  # steps over which the learning rate rises, or a tenth of a short training


@dataclass(frozen=True)
class Schedule:
    """How long and how hard to train.

    steps : optimiser steps; the learning rate rises over the first, stays, and falls along a cosine over the last 70 %.
    minutes : stop earlier when this much training time is spent; the fall of the learning rate is fitted to it.
    decay : ``none`` keeps the learning rate where it is after its rise.
    precision : of the forward pass; bf16 where the processor has it is faster and loses nothing that was measured.
    clip : largest norm of the gradient. accumulate : batches a step.
    average : decay of the moving average of the weights, which is what is used in the end.
    validate_every, patience : steps between judgements; stop when this share of all steps brought nothing better.
    """

    steps: int = 1000
    minutes: float | None = None
    learning_rate: float = 1e-3
    decay: Literal["cosine", "none"] = "cosine"
    precision: Literal["fp32", "bf16"] = "bf16"
    clip: float = 1.0
    accumulate: int = 1
    average: float = 0.999
    validate_every: int = 50
    patience: float = 0.4
    checkpoint_seconds: float = 60.0


@dataclass
class Trained:
    """The averaged network, in evaluation mode, and how it got there.

    losses : means over every 50 steps. scores : what ``validate`` said, and after which step.
    best : the step whose weights these are.
    """

    network: nn.Module
    steps: int
    seconds: float
    losses: list[float] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)
    best: int = 0


def train(
    network: nn.Module,
    loss: Callable[[nn.Module, int], Tensor],
    schedule: Schedule,
    *,
    validate: Callable[[nn.Module], float] | None = None,
    device: torch.device | str = "cpu",
    checkpoint: Path | None = None,
    identity: str = "",
    progress: Progress | None = None,
    stage: str = "training",
) -> Trained:
    """Minimise ``loss(network, step)``.

    validate : judges the averaged network, lower is better; the weights it liked best are returned. Without it, the
        last ones.
    checkpoint : file to go on from when it exists and holds ``identity``, and to leave the state in.
    progress : called as ``progress(stage, done, total)``.

    Raises ResourceError when the loss is no longer a number.
    """
    network = network.to(device)
    average = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.Adam(network.parameters(), betas=(0.9, 0.99))
    state = _State(network, average, optimizer)
    if checkpoint is not None and checkpoint.exists():
        state.load(checkpoint, identity)
    saved = time.perf_counter()
    network.train()
    while state.step < schedule.steps and not _spent(state, schedule) and not _stale(state, schedule):
        started = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate * _rate(state, schedule)
        optimizer.zero_grad(set_to_none=True)
        value = 0.0
        for part in range(schedule.accumulate):
            with autocast(device, schedule.precision):
                found = loss(network, state.step * schedule.accumulate + part)
            (found / schedule.accumulate).backward()
            value += float(found.detach()) / schedule.accumulate
        if not math.isfinite(value):
            raise ResourceError("training", f"the loss became {value} at step {state.step}",
                                "Lower the learning rate, or use precision fp32.")  # fmt: skip
        nn.utils.clip_grad_norm_(network.parameters(), schedule.clip)
        optimizer.step()
        state.advance(value, min(schedule.average, (1 + state.step) / (10 + state.step)))
        if validate is not None and (state.step % schedule.validate_every == 0 or state.step == schedule.steps):
            state.judge(validate(average.eval()))
        state.seconds += time.perf_counter() - started
        if progress is not None:
            progress(stage, *_share(state, schedule))
        if checkpoint is not None and time.perf_counter() - saved > schedule.checkpoint_seconds:
            state.save(checkpoint, identity)
            saved = time.perf_counter()
    if checkpoint is not None:
        state.save(checkpoint, identity)
    if state.best:
        average.load_state_dict(state.best)
    return Trained(average.eval(), state.step, state.seconds, state.losses, state.scores, state.best_step)


def device_of_choice() -> torch.device:
    """CUDA where there is a GPU, else Apple's Metal, else the processor."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def autocast(device: torch.device | str, precision: str) -> torch.autocast:
    """Mixed precision for the forward pass."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16")


def _share(state: _State, schedule: Schedule) -> tuple[int, int]:
    """Progress in steps, or in seconds where these run out first."""
    if schedule.minutes is not None and state.seconds / (60 * schedule.minutes) > state.step / schedule.steps:
        return int(state.seconds), int(60 * schedule.minutes)
    return state.step, schedule.steps


def _spent(state: _State, schedule: Schedule) -> bool:
    return schedule.minutes is not None and state.seconds >= 60 * schedule.minutes


def _stale(state: _State, schedule: Schedule) -> bool:
    return bool(state.scores) and state.step - state.best_step > schedule.patience * schedule.steps


def _rate(state: _State, schedule: Schedule) -> float:
    done = state.step / schedule.steps
    if schedule.minutes is not None:
        done = max(done, state.seconds / (60 * schedule.minutes))
    fall = min(1.0, max(0.0, (done - 0.3) / 0.7)) if schedule.decay == "cosine" else 0.0
    rise = min(_RISE, max(1, schedule.steps // 10))
    return min(1.0, (state.step + 1) / rise) * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * fall)))


@dataclass
class _State:
    """Everything a resumed training needs."""

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Adam
    step: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_step: int = 0
    _window: list[float] = field(default_factory=list)

    def judge(self, score: float) -> None:
        """Keep the averaged weights when ``score`` is the lowest so far."""
        if score < min((s for _, s in self.scores), default=math.inf):
            self.best = {name: value.clone() for name, value in self.average.state_dict().items()}
            self.best_step = self.step
        self.scores.append((self.step, score))

    @torch.no_grad()
    def advance(self, loss: float, decay: float) -> None:
        for kept, new in zip(self.average.parameters(), self.network.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)
        self.step += 1
        self._window.append(loss)
        if len(self._window) == _SMOOTHED:
            self.losses.append(sum(self._window) / _SMOOTHED)
            self._window.clear()

    def save(self, path: Path, identity: str) -> None:
        tensors: dict[str, Tensor] = {}
        for name, module in (("network", self.network), ("average", self.average)):
            tensors |= {f"{name}/{key}": value for key, value in module.state_dict().items()}
        tensors |= {f"best/{key}": value for key, value in self.best.items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{index}/{key}": value for key, value in moments.items()}
        facts = {"identity": identity, "step": self.step, "seconds": self.seconds, "losses": self.losses,
                 "window": self._window, "scores": self.scores, "best_step": self.best_step, "form": _FORM}  # fmt: skip
        save_weights(path, tensors, facts)

    def load(self, path: Path, identity: str) -> None:
        tensors, facts = load_weights(path)
        if (facts.get("identity"), facts.get("form")) != (identity, _FORM):
            return  # another training, or one begun by another version of this file
        self.network.load_state_dict(_under(tensors, "network/"))
        self.average.load_state_dict(_under(tensors, "average/"))
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in _under(tensors, "optimizer/").items():
            index, _, name = key.partition("/")
            moments.setdefault(int(index), {})[name] = value
        self.optimizer.load_state_dict({"state": moments, "param_groups": self.optimizer.state_dict()["param_groups"]})
        self.step, self.seconds = facts["step"], facts["seconds"]
        self.losses, self._window = facts["losses"], facts["window"]
        self.scores = [(step, score) for step, score in facts["scores"]]
        self.best, self.best_step = _under(tensors, "best/"), facts["best_step"]


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
