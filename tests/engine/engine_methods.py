"""Small methods with known answers, for the engine's tests."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch

from ruska.image import Output


@dataclass
class Identity:
    """Returns what it was handed."""

    halo: tuple[int, ...] = (0, 0)
    multiple: tuple[int, ...] = (1, 1)
    merge: str = "cut"
    domain: str = "raw"
    scale: tuple[Fraction, ...] = (Fraction(1), Fraction(1))
    locality: str = "exact"
    bytes_per_voxel: float = 0.0
    threads: str = "one"

    @property
    def outputs(self):
        return (Output(scale=self.scale, merge=self.merge),)

    def __call__(self, inputs, random):
        for size, multiple in zip(inputs["image"].shape[2:], self.multiple, strict=True):
            assert size % multiple == 0
        return {"mean": self.change(inputs["image"], random)}

    def change(self, y, random):
        return y


def box_filter(y: torch.Tensor, radius: int) -> torch.Tensor:
    """Mean over a (2 radius + 1) window on the last two axes, edges mirrored."""
    b, c, h, w = y.shape
    flat = torch.nn.functional.pad(y.reshape(b * c, 1, h, w), [radius] * 4, mode="replicate")
    size = 2 * radius + 1
    kernel = torch.full((1, 1, size, size), 1.0 / size**2, dtype=y.dtype)
    return torch.nn.functional.conv2d(flat, kernel).reshape(b, c, h, w)


@dataclass
class BoxFilter(Identity):
    """A local mean: exact with a halo of its radius."""

    radius: int = 2
    domain: str = "normalised"

    def __post_init__(self):
        self.halo = (self.radius, self.radius)

    def change(self, y, random):
        return box_filter(y, self.radius)


@dataclass
class Enlarge(Identity):
    """Every voxel twice: a method whose output grid is finer."""

    scale: tuple[Fraction, ...] = (Fraction(2), Fraction(2))

    def change(self, y, random):
        return y.repeat_interleave(2, -1).repeat_interleave(2, -2)


@dataclass
class Noise(Identity):
    """Adds the random field, to see that it belongs to places."""

    halo: tuple[int, ...] = (3, 3)

    def change(self, y, random):
        return y + torch.stack([random.normal(1, channel=c) for c in range(y.shape[1])], dim=1)


@dataclass
class Diffusion:
    """Repeated local means: context grows by one voxel with every sweep, so only exchanged halos are exact."""

    sweeps: int = 7
    halo: tuple[int, ...] = (1, 1)
    multiple: tuple[int, ...] = (1, 1)
    domain: str = "normalised"
    bytes_per_voxel: float = 8.0
    threads: str = "one"
    state_channels: int = 1
    outputs: tuple[Output, ...] = (Output(),)

    def init(self, inputs, random):
        return inputs["image"].clone()

    def sweep(self, state, inputs, k, random):
        return 0.9 * box_filter(state, 1) + 0.1 * inputs["image"]

    def finish(self, state, inputs):
        return {"mean": state}


def run_whole(method, values: np.ndarray, axes: str = "YX", **options):
    """Run through the engine in memory; ``edge`` is the block's edge."""
    from ruska.engine import ArraySource, Budget, Layout, MemoryStore, plan_blocks, run

    edge = options.pop("edge", None)
    budget = Budget(8 << 30, options.pop("workers", 1))
    out_dtype = options.pop("out_dtype", values.dtype)
    layout = Layout(axes, values.shape, len(method.halo))
    plan = plan_blocks(layout, method, budget, dtype=values.dtype, out_dtype=out_dtype, edge=edge, baseline=0)
    store = options.pop("store", None)
    sink = MemoryStore(plan.output_shape, out_dtype) if store is None else store(plan)
    outcome = run(ArraySource(values, axes), method, sink, plan, **options)
    return layout.from_canonical(sink.read(tuple(slice(0, n) for n in sink.shape))), outcome, plan
