"""Choosing the device for a network."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_LITTLE = 64 << 20  # bytes that a GPU must have left: the weights and the images of a small batch


def device_of_choice() -> torch.device:
    """CUDA if there is a GPU, else Apple's Metal, else the processor; also the processor if the GPU is full."""
    import torch

    if torch.cuda.is_available():
        return if_usable(local_gpu())
    if torch.backends.mps.is_available():
        return if_usable(torch.device("mps"))
    return torch.device("cpu")


def local_gpu() -> torch.device:
    """This process's own GPU; the first one when torchrun did not start it."""
    import torch

    # Some launchers show each process one GPU only.
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def if_usable(device: torch.device) -> torch.device:
    """``device``, or the processor if the device is full or its driver too old.

    With several processes, it keeps its GPU and raises the error: the others would wait for it.
    """
    import torch

    if "LOCAL_RANK" in os.environ:
        return device
    try:
        torch.empty(_LITTLE, dtype=torch.uint8, device=device)
    except RuntimeError as error:
        warnings.warn(f"the processor is used, because {device} is not usable: {str(error).partition(chr(10))[0]}",
                      stacklevel=3)  # fmt: skip
        return torch.device("cpu")
    return device
