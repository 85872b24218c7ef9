"""What test_ranks.py has torchrun run in two processes: ``together.py FOLDER first|again``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if "RANK" in os.environ:  # a rented machine with GPUs has torch, numpy and safetensors, and need not have these
    sys.modules |= {"pydantic": None, "tensorboard": None, "torch.utils.tensorboard": None}  # type: ignore[dict-item]

import torch

from ruska.training import Schedule, train
from ruska.weights.tensors import save_weights

INPUTS = torch.linspace(-1, 1, 64 * 8).sin().reshape(64, 8).roll(3, 1) + torch.eye(8).repeat(8, 1)
TARGETS = INPUTS @ torch.linspace(-1, 1, 8)[:, None]
SCHEDULE = Schedule(steps=24, precision="fp32", average=0.9, learning_rate=0.1, checkpoint_seconds=0)


def network(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Linear(8, 1)


def loss(net, batch):
    part = slice(batch % 8 * 8, batch % 8 * 8 + 8)
    return ((net(INPUTS[part]) - TARGETS[part]) ** 2).mean()


def main(folder: Path, when: str) -> None:
    torch.set_num_threads(1)
    rank = int(os.environ["RANK"])
    seen = []

    def leave(name, trained):
        facts = {"steps": trained.steps, "best": trained.best, "seen": seen, "notes": trained.notes}
        save_weights(folder / f"{name}-{rank}.safetensors", trained.network.state_dict(), facts)
        seen.clear()

    def watched(net, batch):
        seen.append(batch)
        return loss(net, batch)

    def dying(net, batch):
        if batch == 2 * 17 + 1:  # of the second process
            (folder / "died").touch()
            os._exit(3)
        return loss(net, batch)

    state = folder / "state.safetensors"
    if when == "again":
        leave("again", train(network(), watched, SCHEDULE, checkpoint=state, identity="a"))
        return

    def progress(stage, done, total):
        assert rank == 0

    # The second process begins with other weights, and must take those of the first.
    leave("whole", train(network(rank), watched, SCHEDULE, progress=progress, log=folder / "log"))

    def convolution(net, batch):
        images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(batch))
        return (net(images) - images.mean(1, keepdim=True)).square().mean()

    layers = (torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 1, 1))
    images = torch.nn.Sequential(*layers).to(memory_format=torch.channels_last)
    leave("images", train(images, convolution, Schedule(steps=5, precision="fp16")))

    judged = []

    def validate(net):
        assert rank == 0
        judged.append(abs(len(judged) - 2))
        return judged[-1]

    short = Schedule(steps=40, precision="fp32", validate_every=4)
    leave("judged", train(network(), loss, short, validate=validate))
    leave("timed", train(network(), loss, Schedule(steps=10**9, minutes=0.005, precision="fp32")))
    train(network(), dying, SCHEDULE, checkpoint=state, identity="a")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
