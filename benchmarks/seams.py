"""Do blocks show? ``python -m benchmarks.seams``: steps across block borders against steps anywhere else.

A 2048 x 2048 micrograph (deblurring) and a volume (isotropic), restored whole from blocks. A step is the squared
difference of neighbouring voxels; were there seams, steps across borders would be larger than those a few voxels away.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import DATASETS, cases, clean_image
from ruska import methods
from ruska.engine import ArraySource, Budget, MemoryStore, NormalisedSource, measure_intensities, run
from ruska.engine.layout import Layout
from ruska.engine.plan import Plan, plan_blocks
from ruska.physics.operators import GaussianBlur

_NEAR = (3, 12)  # voxels from a border, between which steps are compared with those across it
_SAMPLES = 400  # of the bootstrap


def restored(values: NDArray[Any], name: str, settings: dict[str, Any], edge: int) -> tuple[NDArray[Any], Plan]:
    """The result of a method on blocks of ``edge`` voxels, and how they lay."""
    axes = "ZYX"[-values.ndim :]
    source = ArraySource(values, axes)
    statistics = measure_intensities(source)
    normalised = NormalisedSource(source, statistics.normalisation(), statistics.mean)
    method = methods.create(name, settings).prepare(normalised, statistics.normalisation(), Budget())
    layout = Layout(axes, source.shape, values.ndim)
    plan = plan_blocks(layout, method, Budget(memory_bytes=8 << 30), dtype="f4", out_dtype="f4", edge=edge)
    sink = MemoryStore(plan.output_shape, np.dtype("f4"))
    run(source, method, sink, plan, normalisation=statistics.normalisation())
    return sink.values.reshape(sink.values.shape[-values.ndim :]), plan


def steps(image: NDArray[Any], plan: Plan) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean squared step across each line of block borders, and near each of them."""
    across, near = [], []
    dimensions = image.ndim
    for axis in range(dimensions):
        extent = plan.extent_of(plan.outputs[0])[-dimensions + axis]
        lines = np.diff(image.astype(np.float64), axis=axis) ** 2
        profile = lines.mean(tuple(a for a in range(dimensions) if a != axis))
        for border in range(extent, image.shape[axis] - _NEAR[1], extent):
            across.append(profile[border - 1])
            low, high = _NEAR
            near.append(
                np.concatenate([profile[border - 1 - high : border - low], profile[border + low : border + high]])
            )
    return np.array(across), np.array(near)


def report(name: str, image: NDArray[Any], plan: Plan) -> str:
    """One line: the ratio, with its 95 % bootstrap interval over borders, and that of steps taken at random nearby."""
    across, near = steps(image, plan)
    random = np.random.default_rng(0)
    ratio = across / near.mean(1)
    draws = [np.mean(random.choice(ratio, len(ratio))) for _ in range(_SAMPLES)]
    chance = [np.mean([random.choice(row) / row.mean() for row in near]) for _ in range(_SAMPLES)]
    return (
        f"{name}: {len(across)} borders, step across over steps nearby {ratio.mean():.3f} "
        f"({np.quantile(draws, 0.025):.3f} to {np.quantile(draws, 0.975):.3f}); of steps that are no border "
        f"{np.quantile(chance, 0.025):.3f} to {np.quantile(chance, 0.975):.3f}"
    )


def main() -> None:
    """Both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edge", type=int, default=512)
    parser.add_argument("--depth", type=int, default=48)
    options = parser.parse_args()
    import torch

    noise = np.random.default_rng(0)
    tile = clean_image(next(d for d in DATASETS if d.name == "openfibsem"))
    truth = np.roll(np.tile(tile, (9, 9)), (100, 100), (0, 1))[:2048, :2048]  # tiles do not end where blocks do
    for name, settings, operator in (
        ("prior", {}, None),
        ("deblur", {"sigma": 2}, GaussianBlur((2.0, 2.0))),
    ):
        seen = truth if operator is None else operator.forward(torch.from_numpy(truth)[None, None])[0, 0].numpy()
        noisy = (seen + noise.normal(0, 0.05 if operator is None else 0.02, truth.shape)).astype(np.float32)
        print(report(f"{name} 2048", *restored(noisy, name, settings, options.edge)), flush=True)
    case = next(c for c in cases(("isotropic",)) if c.setting == "x4")
    found = restored(np.asarray(case.measurement, dtype=np.float32), "isotropic", {"factor": "4"}, options.depth)
    print(report("isotropic x4", *found), flush=True)


if __name__ == "__main__":
    main()
