"""Steps of a training recorded once as CUDA graphs and replayed: the processor starts thousands of kernels no more.

What a step computes is a function of tensors whose shapes come back again and again. Each form of it (which function,
which shapes) runs a few times as it is, is recorded with its gradients, and from then on is one launch. In a long
training its kernels are compiled first, 20 s each form, so that what is done to each number is done in one pass over
memory. Source: Nguyen et al. (2021), "Accelerating PyTorch with CUDA graphs".
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ruska.compute.precision import autocast
from ruska.training.guard import bounded
from ruska.training.trainee import Objective, Single

Asked = Callable[[nn.Module, Any], tuple[str, tuple[Tensor, ...]]]
"""(network, batch) to the name of a function and what it takes besides the network."""

_WARM = 3  # runs before a recording: memory is found, convolutions are chosen
_MOST_FORMS = 12  # recorded; further ones run as they are

Form = tuple[Any, ...]


@dataclass(frozen=True)
class _Recording:
    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    grads: tuple[Tensor | None, ...]
    loss: Tensor
    far: Tensor


class Recorded(Single):
    """One network on CUDA, whose loss is one of several functions of tensors.

    asked : what a batch asks, quickly and without waiting for the device. functions : of the network and these tensors
    to losses, one an example; nothing in them may depend on what a tensor holds. compiled : the part of the network
    that is compiled, None for nothing.
    """

    def __init__(
        self, network: nn.Module, objective: Objective, asked: Asked, functions: Mapping[str, Callable[..., Tensor]],
        compiled: nn.Module | None = None,
    ) -> None:  # fmt: skip
        super().__init__(network, objective)
        self.asked, self.functions, self._compiled = asked, functions, compiled
        if compiled is not None:
            compiled.compile(dynamic=False)
        self._weights = list(network.parameters())
        self._known: dict[Form, _Recording | None] = {}
        self._stream: torch.cuda.Stream | None = None
        self._pool: Any = None

    def learn(self, batch: Any, step: int, most: Tensor, precision: str) -> tuple[Tensor, Tensor] | None:
        """See `Swift`."""
        name, tensors = self.asked(self.network, batch)
        inputs = (most, *tensors)
        form = (name, precision, *((t.shape, t.dtype) for t in inputs))
        if form not in self._known:
            self._known[form] = self._record(name, inputs, precision)
        recording = self._known[form]
        if recording is None:
            with self._aside():
                return self._plainly(name, inputs, precision)
        torch._foreach_copy_(list(recording.inputs), list(inputs))
        recording.graph.replay()
        for weight, grad in zip(self._weights, recording.grads, strict=True):
            weight.grad = grad
        return recording.loss.clone(), recording.far.clone()  # the next replay writes over them

    def _record(self, name: str, inputs: tuple[Tensor, ...], precision: str) -> _Recording | None:
        """None where it cannot be recorded: then it runs as it is."""
        if len(self._known) >= _MOST_FORMS:
            return None
        own = tuple(t.clone() for t in inputs)
        try:
            with self._aside() as stream:
                for _ in range(_WARM):
                    self._forget()
                    self._plainly(name, own, precision)
            self._forget()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, stream=stream):
                loss, far = self._plainly(name, own, precision)
        except RuntimeError as error:
            self._forget()
            how = "recorded" if self._compiled is None else "compiled"
            warnings.warn(f"steps are slower than they could be, as they could not be {how}: "
                          f"{str(error).partition(chr(10))[0]}", stacklevel=2)  # fmt: skip
            if self._compiled is None:
                return None
            self._compiled._compiled_call_impl = None  # there is no other way back
            self._compiled = None
            return self._record(name, inputs, precision)
        self._pool = graph.pool()
        grads = tuple(weight.grad for weight in self._weights)
        self._forget()
        return _Recording(graph, own, grads, loss, far)

    @contextmanager
    def _aside(self) -> Iterator[torch.cuda.Stream]:
        """On the stream on which is recorded: what takes up gradients stays where it was made."""
        stream = self._stream = self._stream or torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            yield stream
        torch.cuda.current_stream().wait_stream(stream)

    def _forget(self) -> None:
        for weight in self._weights:
            weight.grad = None

    def _plainly(self, name: str, inputs: tuple[Tensor, ...], precision: str) -> tuple[Tensor, Tensor]:
        most, *tensors = inputs
        with autocast(most.device, precision):
            losses = self.functions[name](self.network, *tensors).float()
        found, far = bounded(losses, most)
        found.backward()
        return losses.detach().mean(), far
