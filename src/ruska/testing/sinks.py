"""`check_sink`: whole grains in any order, from any thread, and any box read back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ruska.engine import Box, Sink


def check_sink(
    make_sink: Callable[[tuple[int, ...], np.dtype[Any]], Sink],
    shapes: Sequence[tuple[int, ...]] = ((1, 70, 45), (5, 2, 33, 40)),
    dtypes: Sequence[str] = ("float32", "uint16"),
) -> None:
    """Raise AssertionError unless ``make_sink(shape, dtype)`` gives a sink that the engine can write to.

    Checked: it has that shape and dtype; ``grain`` is one for each axis; grains written by several threads in any order
    come back as they were, in any box; writing a grain again replaces it.
    """
    for shape in shapes:
        for name in dtypes:
            _check(make_sink, shape, np.dtype(name))


def _check(make_sink: Callable[..., Sink], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    sink, random = make_sink(shape, dtype), np.random.default_rng(0)
    what = f"a sink of shape {shape} and dtype {dtype}"
    assert tuple(sink.shape) == shape, f"{what} says shape {tuple(sink.shape)}"
    assert np.dtype(sink.dtype) == dtype, f"{what} says dtype {sink.dtype}"
    assert len(sink.grain) == len(shape), f"{what} has grain {sink.grain}, expected a number for each axis"
    assert min(sink.grain) >= 1, f"{what} has grain {sink.grain}, expected numbers of at least 1"
    values = random.integers(1, 2000, shape).astype(dtype)
    boxes = grains(shape, sink.grain)
    random.shuffle(boxes)
    with ThreadPoolExecutor(4) as pool:
        for written in [pool.submit(sink.write, box, values[box]) for box in boxes]:
            written.result()
    for box in (tuple(slice(0, n) for n in shape), *(_any_box(shape, random) for _ in range(8))):
        read = np.asarray(sink.read(box))
        where = ", ".join(f"{part.start}:{part.stop}" for part in box)
        assert read.dtype == dtype, f"{what} gave {read.dtype} for box {where}"
        assert read.shape == values[box].shape, f"{what} gave shape {read.shape} for box {where}"
        assert np.array_equal(read, values[box]), f"{what} gave other values for box {where} than were written"
    sink.write(boxes[0], values[boxes[0]] + 1)
    assert np.array_equal(sink.read(boxes[0]), values[boxes[0]] + 1), f"{what}: a grain written again was not replaced"


def grains(shape: tuple[int, ...], grain: tuple[int, ...], most: int = 400) -> list[Box]:
    """Boxes of whole grains that cover ``shape``: one each, or of several where there would be more than ``most``."""
    sizes = list(grain)
    while np.prod([-(-n // g) for n, g in zip(shape, sizes, strict=True)]) > most:
        axis = max(range(len(shape)), key=lambda k: shape[k] / sizes[k])
        sizes[axis] += grain[axis]
    starts = (range(0, n, g) for n, g in zip(shape, sizes, strict=True))
    return [tuple(slice(s, min(s + g, n)) for s, g, n in zip(at, sizes, shape, strict=True)) for at in product(*starts)]


def _any_box(shape: tuple[int, ...], random: np.random.Generator) -> Box:
    ends = [sorted(int(k) for k in random.choice(n + 1, 2, replace=False)) for n in shape]
    return tuple(slice(start, stop) for start, stop in ends)
