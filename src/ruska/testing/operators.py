"""`check_operator`: is it linear, is its adjoint the transpose, does it reach only as far as it states?"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from ruska.physics.operators import Operator


def check_operator(
    operator: Operator, shape: tuple[int, ...] | None = None, *, reach: float | None = None, tolerance: float = 1e-6
) -> None:
    """Raise AssertionError unless ``operator`` is one that Ruska can undo.

    Checked: scale; shapes of ``forward`` and ``adjoint`` on both grids; float32 in, float32 out; linear; the same
    twice; inputs left as they are; the adjoint is the transpose, by norm; and where it has ``reach`` (pixels of the
    specimen that it looks away from a place), that it looks no further, and the same at every place: blocks rely on it.

    shape : spatial shape of the specimen; a small one that fits the scale when None. reach : instead of the operator's.
    """
    import torch

    from ruska.physics.operators.custom import adjoint_error, scale_of, whole_shape

    assert len(operator.scale) in (2, 3), f"scale has {len(operator.scale)} numbers, expected 2 or 3"
    scale = scale_of(operator)
    assert all(s > 0 for s in scale), f"scale is {scale}, expected numbers above 0"
    shape = shape or whole_shape(scale)
    x = _random(2, 1, *shape)
    kept = x.clone()
    seen = operator.forward(x)
    assert torch.equal(x, kept), "forward changed its input; it must work on a copy"
    expected = (2, 1, *(int(n * s) for n, s in zip(shape, scale, strict=True)))
    assert tuple(seen.shape) == expected, f"forward gave shape {tuple(seen.shape)}, expected {expected} by its scale"
    assert seen.dtype == x.dtype, f"forward gave {seen.dtype} for {x.dtype}"
    assert torch.equal(seen, operator.forward(x)), "forward gave two results for the same input"
    y = _random(*expected)
    kept = y.clone()
    back = operator.adjoint(y, shape)
    assert torch.equal(y, kept), "adjoint changed its input; it must work on a copy"
    assert tuple(back.shape) == tuple(x.shape), f"adjoint gave shape {tuple(back.shape)}, expected {tuple(x.shape)}"
    assert back.dtype == y.dtype, f"adjoint gave {back.dtype} for {y.dtype}"
    other = _random(2, 1, *shape, seed=1)
    off = operator.forward(2 * x - 3 * other) - (2 * seen - 3 * operator.forward(other))
    wrong = float(off.norm() / seen.norm().clamp(min=1e-30))
    assert wrong < 1e-4, f"forward is not linear: A(2x - 3z) differs from 2Ax - 3Az by {wrong:.2g}, relative"
    error = adjoint_error(operator, shape=shape)
    assert error < tolerance, f"adjoint is not the transpose of forward: relative error {error:.2g} over {tolerance:g}"
    reach = getattr(operator, "reach", None) if reach is None else reach
    if reach is not None:
        _check_reach(operator, shape, scale, ceil(reach))


def _check_reach(operator: Operator, shape: tuple[int, ...], scale: tuple[Fraction, ...], reach: int) -> None:
    """A part of the specimen gives a part of the image, but within ``reach`` of where it was cut."""
    # from a place that is whole pixels on both grids, with room for reach on either side
    starts = tuple(-(-(reach + 4) // s.denominator) * s.denominator for s in scale)
    large = tuple(-(-(n + 2 * reach + 8) // s.denominator) * s.denominator + 2 * start
                  for n, s, start in zip(shape, scale, starts, strict=True))  # fmt: skip
    x = _random(1, 1, *large).double()
    part = _from(x, starts)
    whole, seen = operator.forward(x), operator.forward(part)
    moved = tuple(int(start * s) for start, s in zip(starts, scale, strict=True))
    rim = tuple(ceil((reach + 1) * s) for s in scale)
    inside = _from(whole, [m + r for m, r in zip(moved, rim, strict=True)])
    same = _from(seen, rim)
    assert inside.shape == same.shape, f"forward gave {tuple(seen.shape)} for a specimen {tuple(part.shape)}"
    wrong = float((inside - same).abs().max() / whole.abs().max().clamp(min=1e-30))
    assert wrong < 1e-6, (
        f"what forward gives further than reach = {reach} pixels from a cut changed by {wrong:.2g}, relative: it looks "
        "further than it says, or differently from place to place"
    )


def _from(x: Tensor, starts: Sequence[int]) -> Tensor:
    """``x`` from a place on, along its spatial axes."""
    for axis, start in enumerate(starts, 2):
        x = x.narrow(axis, start, x.shape[axis] - start)
    return x


def _random(*shape: int, seed: int = 0) -> Tensor:
    import torch

    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))
