"""``python -m benchmarks.training``: how fast a prior is trained here, and how much of the machine that is.

Needs no data: the corpus is made up. Of each preset it says milliseconds a step, denoising patches a second, TFLOP/s of
the network's convolutions, these as a share of a large matrix product in the same precision, and the bytes that the
convolutions alone have to move (every input and output once, three times where gradients are found) as a share of what
a copy moves. Both rates are measured first. Steps that restore are counted in as the preset has them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from ruska.compute.devices import device_of_choice
from ruska.compute.precision import autocast, multiplies_bf16
from ruska.training.loop import Schedule, train
from ruska.training.packed import Packed
from ruska.training.prior import PRESETS, Lessons, PriorSettings, levels_of, trainee

_CYCLE = 10  # steps after which noise and restoring come in the same order again


@dataclass(frozen=True)
class Work:
    """Operations and bytes of a mean step."""

    operations: float
    moved: float


@dataclass(frozen=True)
class Ceilings:
    """Operations and bytes a second."""

    products: float
    copies: float


def main() -> None:
    """Measure and print."""
    options = _options()
    device = torch.device(options.device) if options.device else device_of_choice()
    found = ceilings(device)
    named = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{named}, torch {torch.__version__}: products {found.products / 1e12:.3g} TFLOP/s, "
          f"copies {found.copies / 1e12:.3g} TB/s")  # fmt: skip
    print("| preset | ms a step | denoising patches/s | TFLOP/s | of the matrix rate | of the copy rate | GB |")
    print("|---|---|---|---|---|---|---|")
    for name in options.presets or (("gpu-30min", "full") if device.type == "cuda" else ("cpu",)):
        own = replace(PRESETS[name], samples=0)
        if options.batch:
            own = replace(own, batch=options.batch, walks=max(1, own.walks * options.batch // own.batch))
        if options.plain:
            own = replace(own, minutes=1)  # what is too short to be compiled
        seconds, work = measured(own, device, options.steps)
        peak = torch.cuda.max_memory_allocated(device) / 1e9 if device.type == "cuda" else 0
        patches = (1 - own.restoring) * own.batch / seconds
        print(f"| {name} | {1e3 * seconds:.1f} | {patches:.0f} | {work.operations / seconds / 1e12:.3g} | "
              f"{work.operations / seconds / found.products:.1%} | {work.moved / seconds / found.copies:.1%} | "
              f"{peak:.1f} |")  # fmt: skip


def measured(own: PriorSettings, device: torch.device, steps: int) -> tuple[float, Work]:
    """Seconds of a mean step, after all forms of steps were met, and the work in it."""
    torch.manual_seed(own.seed)
    network, lessons = own.build().to(device), Lessons(made_up(device), own, levels_of(own))
    work = work_of(network, lessons, device)
    learner = trainee(network, lessons, device)

    def trained(count: int) -> float:
        train(learner, None, Schedule(count, precision="bf16"), device=device)
        return _now(device)

    begun = trained(4 * _CYCLE if device.type == "cuda" else _CYCLE)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    return (trained(steps) - begun) / steps, work


def made_up(device: torch.device, planes: int = 24, edge: int = 1024) -> Packed:
    """A corpus of smooth noise."""
    random = torch.Generator().manual_seed(0)
    x = functional.avg_pool2d(torch.randn(planes, 1, edge, edge, generator=random), 5, 1, 2)
    x = (x / x.std((1, 2, 3), keepdim=True)).half().reshape(-1)
    start, edges = (torch.arange(planes) * edge**2).to(device), torch.full((planes,), edge, device=device)
    noise, share = (torch.full((planes,), value, device=device) for value in (0.05, 1 / planes))
    return Packed(x.to(device), start, edges, edges, noise, share)


def work_of(network: nn.Module, lessons: Lessons, device: torch.device) -> Work:
    """Counted on a whole cycle of steps: convolutions alone, whose gradients are twice the work."""
    total = [0.0, 0.0]

    def count(layer: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        grid = out if isinstance(layer, nn.Conv2d) else given[0]
        products = grid.shape[0] * grid.shape[2] * grid.shape[3] * layer.weight.numel()
        times = 3 if torch.is_grad_enabled() else 1
        total[0] += 2.0 * products * times
        total[1] += float(given[0].numel() + out.numel()) * out.element_size() * times

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    with autocast(device, "bf16"):
        for step in range(_CYCLE):
            lessons.loss(network, step)
    for hook in hooks:
        hook.remove()
    return Work(total[0] / _CYCLE, total[1] / _CYCLE)


def ceilings(device: torch.device) -> Ceilings:
    """What products of large matrices and copies of large arrays reach, on random numbers."""
    on_gpu = device.type == "cuda"
    edge, size = (8192, 1 << 30) if on_gpu else (1536, 1 << 27)
    kind = torch.bfloat16 if multiplies_bf16(device.type) else torch.float32
    a, b = (torch.randn(edge, edge, device=device).to(kind) for _ in range(2))
    product = _typical(lambda: a @ b, device)
    source = torch.randint(255, (size,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return Ceilings(2 * edge**3 / product, 2 * size / _typical(lambda: target.copy_(source), device))


def _typical(run: Callable[[], object], device: torch.device, times: int = 9) -> float:
    """Median of the seconds, after two runs for nothing."""
    found = []
    for _ in range(times + 2):
        begun = _now(device)
        run()
        found.append(_now(device) - begun)
    return sorted(found[2:])[times // 2]


def _now(device: torch.device) -> float:
    """When all that was asked for is done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", metavar="PRESET", help=f"of {', '.join(PRESETS)}; default: by machine")
    parser.add_argument("--steps", type=int, default=100, help="that are timed")
    parser.add_argument("--batch", type=int, help="patches a step instead of the preset's")
    parser.add_argument("--plain", action="store_true", help="as in a short training, which is not compiled")
    parser.add_argument("--device", help="cuda or cpu; default: as Ruska chooses")
    options = parser.parse_args()
    if unknown := set(options.presets) - set(PRESETS):
        parser.error(f"no preset is called {', '.join(sorted(unknown))}")
    return options


if __name__ == "__main__":
    main()
