"""Where blocks are computed: on the CPU, on one GPU or on several, and what happens when memory runs out there.

A block that does not fit a device is computed in halves, these again in halves, and on the CPU if not even the smallest
part fits. The block plan, and with it the ledger, stays the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar, cast

from ruska.engine.allocator import give_back_freed_memory
from ruska.engine.contracts import IMAGE
from ruska.engine.devices import device_of, empty_cache, moved, on_gpu, other_devices, out_of_memory, twin
from ruska.engine.parts import Inputs, halves, in_parts
from ruska.errors import ResourceError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from ruska.engine.contracts import IterativeMethod, Method, RandomField

_T = TypeVar("_T")


@dataclass
class Place:
    """A device with the method on it. most : block size in voxels above which memory ran out; None if it never did."""

    method: Method | IterativeMethod
    device: torch.device | None
    most: int | None = None


class Workshop:
    """The devices that the blocks of one run share.

    A method that keeps one core busy runs several calls in parallel; any other has its device to itself.
    tidy : give freed memory back after every block, as its pieces would not fit the next; costs a tenth of the time.
    """

    def __init__(self, method: Method | IterativeMethod, *, tidy: bool = False) -> None:
        home = device_of(method)
        self._tidy = tidy
        self._notes: list[str] = []
        self._shared = Place(method, home) if method.threads == "one" else None
        self._free: SimpleQueue[Place] = SimpleQueue()
        self._free.put(Place(method, home))
        for device in other_devices(method):
            self._free.put(Place(moved(twin(method), device), device))

    def take_notes(self) -> list[str]:
        """Sentences for the record about what did not go as planned since the last call."""
        taken, self._notes = self._notes, []
        return taken

    def estimate(self, inputs: Inputs, random: RandomField) -> tuple[dict[str, Tensor], float]:
        """The method's result on a block, and the seconds it took; without recording gradients."""
        import torch

        with self._place() as place, torch.inference_mode():
            started = time.perf_counter()
            found = self._whole_or_in_parts(place, inputs, random)
            return dict(found), time.perf_counter() - started

    def sweep(self, work: Callable[[IterativeMethod], _T]) -> tuple[_T, float]:
        """The result of ``work`` with an iterative method, and seconds; on the CPU if memory runs out."""
        import torch

        with self._place() as place, torch.inference_mode():
            started = time.perf_counter()
            try:
                return work(cast("IterativeMethod", place.method)), time.perf_counter() - started
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                said = str(error).partition("\n")[0]
            self._leave(place, said)
            return work(cast("IterativeMethod", place.method)), time.perf_counter() - started

    @contextmanager
    def _place(self) -> Iterator[Place]:
        if self._shared is not None:
            yield self._shared
            return
        place = self._free.get()
        try:
            yield place
        finally:
            if self._tidy and not on_gpu(place.device):
                give_back_freed_memory()
            self._free.put(place)

    def _whole_or_in_parts(self, place: Place, inputs: Inputs, random: RandomField) -> Mapping[str, Tensor]:
        method, shape = cast("Method", place.method), inputs[IMAGE].shape
        extent = halves(method, shape)
        if place.most is None or shape.numel() <= place.most or extent is None:
            try:
                return method(inputs, random)
            except RuntimeError as error:
                if not out_of_memory(error):
                    raise
                said = str(error).partition("\n")[0]
            # Outside the handler, as its error keeps alive what did not fit.
            empty_cache(place.device)
            if extent is None:
                self._leave(place, said)
                return cast("Method", place.method)(inputs, random)
            if place.most is None:
                self._notes.append(
                    f"{_name(place.device)} ran out of memory, so blocks were computed in parts ({said})"
                )
            place.most = shape.numel() - 1
        return in_parts(method, inputs, random, extent, lambda part, field: self._whole_or_in_parts(place, part, field))

    def _leave(self, place: Place, said: str) -> None:
        """Continue on the CPU."""
        left = place.device
        if not on_gpu(left):
            raise ResourceError(_name(left), f"ran out of memory ({said})", "Close other programs; the run resumes.")
        self._notes.append(f"{left} has too little memory even for a small block, so the CPU was used ({said})")
        place.method, place.device, place.most = moved(place.method, "cpu"), None, None
        empty_cache(left)


def _name(device: torch.device | None) -> str:
    return "the CPU" if device is None else str(device)
