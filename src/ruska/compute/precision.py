"""Mixed precision on devices that benefit from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def autocast(device: torch.device | str, precision: str) -> torch.autocast:
    """Mixed precision for the forward pass: ``bf16`` only where it can be multiplied, fp32 elsewhere."""
    import torch

    kind = torch.device(device).type
    half = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(kind, half, enabled=precision == "fp16" or (precision == "bf16" and multiplies_bf16(kind)))


def multiplies_bf16(kind: str) -> bool:
    """Whether bf16 convolutions on a device are not slower than fp32.

    Processors without AVX-512 have none: there, PyTorch falls back on plain loops, and a training took five times as
    long as in fp32. Neither have PyTorch's builds without oneDNN.
    """
    import torch

    if kind != "cpu":
        return True
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    except (AttributeError, RuntimeError):  # no oneDNN in this build, or another name in a later one
        return False
