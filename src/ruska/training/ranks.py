"""Several processes that train one network, started by torchrun: what they must agree on."""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ruska.compute.devices import local_gpu
from ruska.errors import ResourceError

_PATIENCE = timedelta(hours=1)  # how long the others wait while the first process judges


@dataclass(frozen=True)
class Ranks:
    """This process among ``world`` of them. Alone, nothing is sent."""

    device: torch.device
    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Whether this process judges, reports and writes for all."""
        return self.rank == 0

    def same(self, number: float) -> float:
        """The first process's ``number``, in all of them."""
        if self.world == 1:
            return number
        shared = torch.tensor([number], dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return float(shared)

    def copy(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite ``tensors`` by those of the first process."""
        if self.world == 1:
            return
        for tensor in tensors:
            shared = tensor.detach().contiguous()  # channels-last weights cannot be sent as they are
            dist.broadcast(shared, 0)
            tensor.detach().copy_(shared)

    def mean_gradients(self, network: nn.Module, loss: Tensor) -> Tensor:
        """Replace every gradient by its mean over the processes; returns the mean of the losses."""
        if self.world == 1:
            return loss
        weights = [p for p in network.parameters() if p.requires_grad]
        for p in weights:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        grads = [p.grad for p in weights if p.grad is not None]
        flat = torch.cat([*(g.reshape(-1) for g in grads), loss.reshape(1)]) / self.world
        dist.all_reduce(flat)
        for grad, mean in zip(grads, flat[:-1].split([g.numel() for g in grads]), strict=True):
            grad.copy_(mean.view(grad.shape))
        return flat[-1]

    def must_agree(self, step: int) -> None:
        """Raises ResourceError when the processes would go on from different steps."""
        if self.world == 1:
            return
        ends = torch.tensor([step, -step], device=self.device)
        dist.all_reduce(ends, dist.ReduceOp.MAX)
        if int(ends[0]) != -int(ends[1]):
            raise ResourceError("training", f"this process resumes at step {step}, another one at a different step",
                                "Put the checkpoint in a folder that all processes see.")  # fmt: skip


def join(device: torch.device) -> Ranks:
    """Meet the other processes when torchrun started this one (RANK, WORLD_SIZE, LOCAL_RANK), else be alone."""
    if not {"RANK", "WORLD_SIZE", "LOCAL_RANK"} <= os.environ.keys() or int(os.environ["WORLD_SIZE"]) == 1:
        return Ranks(device)
    if device.type == "cuda":
        device = local_gpu() if device.index is None else device
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        # Windows has CUDA but not NCCL.
        backend = "nccl" if device.type == "cuda" and dist.is_nccl_available() else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE)
        atexit.register(_leave)  # not after each training: a group cannot be left and met again
    return Ranks(device, dist.get_rank(), dist.get_world_size())


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def machine(device: torch.device) -> dict[str, str]:
    """What a training runs on."""
    on_gpu = device.type == "cuda"
    named = torch.cuda.get_device_name(device) if on_gpu else f"{torch.get_num_threads()} threads"
    return {"device": device.type, "machine": named, "torch": torch.__version__}
