"""The devices that methods' networks are on: which device, which others there are, whether its memory is full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from copy import copy, deepcopy
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ruska.engine.contracts import IterativeMethod, Method

_T = TypeVar("_T")


def out_of_memory(error: RuntimeError) -> bool:
    """Whether a device reported that its memory is full. Metal has no error type of its own for that."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "backend out of memory" in str(error)


def on_gpu(device: torch.device | None) -> bool:
    return device is not None and device.type != "cpu"


def empty_cache(device: torch.device | None) -> None:
    """Release the device memory that torch keeps for later."""
    import torch

    if device is not None and device.type in ("cuda", "mps"):
        getattr(torch, device.type).empty_cache()


def networks_of(method: object) -> Iterator[nn.Module]:
    """The networks in the fields of a method, and in its records and sequences of records."""
    from torch import nn

    for field in vars(method).values() if hasattr(method, "__dict__") else ():
        for value in field if isinstance(field, tuple) else (field,):
            if isinstance(value, nn.Module):
                yield value
            elif is_dataclass(value):
                yield from networks_of(value)


def device_of(method: object) -> torch.device | None:
    """The device that holds a method's weights; None if it has none."""
    return next((p.device for network in networks_of(method) for p in network.parameters()), None)


def other_devices(method: Method | IterativeMethod) -> list[torch.device]:
    """Further GPUs, besides the method's own, on which blocks of a run can be computed at the same time.

    Empty in processes started by torchrun, which have one GPU each. `CUDA_VISIBLE_DEVICES` excludes GPUs.
    """
    import torch

    home = device_of(method)
    if home is None or home.type != "cuda" or method.threads == "one" or "LOCAL_RANK" in os.environ:
        return []
    every = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    return [device for device in every if device.index != (home.index or 0)]


def twin(method: Any, copied: dict[int, Any] | None = None) -> Any:
    """A copy of a method with its own networks; a network shared by several of its parts is copied once.

    copied : deep copies made so far, by the id of the original.
    """
    copied = {} if copied is None else copied
    other = copy(method)
    for name, value in vars(method).items():
        changed = _twin_of(value, copied)
        if changed is not value:
            object.__setattr__(other, name, changed)  # fields of methods are frozen
    return other


def _twin_of(value: Any, copied: dict[int, Any]) -> Any:
    from torch import nn

    if isinstance(value, nn.Module):
        return deepcopy(value, copied)
    if isinstance(value, tuple) and any(is_dataclass(v) and any(networks_of(v)) for v in value):
        return tuple(_twin_of(v, copied) for v in value)
    return twin(value, copied) if is_dataclass(value) and any(networks_of(value)) else value


def moved(method: _T, device: torch.device | str) -> _T:
    """The method, its networks on ``device`` from now on."""
    for network in networks_of(method):
        network.to(device)
    return method
