"""What the loop trains: one network, or several that belong together, such as student and teacher."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

Objective = Callable[[nn.Module, Any], Tensor]
"""(network, batch) to the loss, one number or one an example; the same whenever it is asked for the same batch."""


class Trainee(Protocol):
    """Everything that a training changes, and how. The loop has steps, optimiser, average, files; this does the rest.

    ``loss`` may change nothing that outlasts the step but running statistics (buffers) of ``network`` and of what
    ships, which the loop takes back where a step is given up: whatever it finds and a later step needs, such as the
    mean that a centre follows, is put into the state by ``after_step``. Then a training may end anywhere and go on with
    the same bytes.
    """

    @property
    def network(self) -> nn.Module:
        """What gradients flow through."""
        ...

    def groups(self) -> list[dict[str, Any]]:
        """Parameter groups of the optimiser: ``params``, and where it differs ``weight_decay`` and ``lr_scale``, a
        factor on the learning rate. Always in the same order: the saved moments are numbered by it."""
        ...

    def loss(self, batch: Any, step: int) -> Tensor:
        """What to minimise: one number, or one an example, at least 0.

        batch : its number, or what the training's source of batches made of it.
        """
        ...

    def after_step(self, step: int) -> None:
        """Called when the optimiser has taken ``step``, counted from 0: teachers follow, centres move."""
        ...

    def ships(self) -> nn.Module:
        """The module whose moving average is judged and kept: the network, a part of it, or a teacher."""
        ...

    def state(self) -> Mapping[str, Tensor]:
        """Everything that must be saved besides ``network`` and its optimiser: the tensors themselves, no copies.

        With several processes the first one's are copied over those of the others after each step.
        """
        ...

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Take what ``state`` gave before."""
        ...


@runtime_checkable
class Swift(Protocol):
    """A trainee that can compute loss and gradients in one go."""

    def learn(self, batch: Any, step: int, most: Tensor, precision: str) -> tuple[Tensor, Tensor] | None:
        """Leave the gradients of `guard.bounded` in the weights; the mean loss, and how many examples are far off.

        None where it cannot, before anything was changed: then ``loss`` is asked.
        """
        ...


class Single:
    """One network and its objective."""

    def __init__(self, network: nn.Module, objective: Objective) -> None:
        self.network, self.objective = network, objective

    def groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.network.parameters())}]

    def loss(self, batch: Any, step: int) -> Tensor:
        return self.objective(self.network, batch)

    def after_step(self, step: int) -> None:
        """Nothing follows it."""

    def ships(self) -> nn.Module:
        return self.network

    def state(self) -> Mapping[str, Tensor]:
        return {}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """It has none."""
