"""A fixed pattern that both images have at one place (pixel gains, columns, lines): it pulls shifts towards zero."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ruska.registration.filters import TILE, kernel_of, tiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RINGS = 10
_LEAST_TILES = 4
_SIGNIFICANT = 3.0  # standard errors
_LEAK = (0.0, 0.25, 1.0, 0.25)  # of a line through the middle of the spectrum, by a Hann window, at bins -2 .. 1


def pattern_kernel(
    fixed: NDArray[np.float32], moving: NDArray[np.float32], warped: NDArray[np.float32], valid: NDArray[np.bool_]
) -> NDArray[np.float32] | None:
    """The kernel that makes of ``moving`` (not displaced) what ``fixed`` shares with it at no displacement.

    fixed, moving, warped : (Y, X) on one grid, unfiltered; ``warped`` is ``moving`` displaced as well as is known.
    valid : where all are.

    The cross-spectrum of the fixed and the undisplaced moving image is that of the displaced one, with a gain that
    depends on the frequency's size, plus that of a pattern: white, or constant along columns, or along rows. The
    strengths of the three come from least squares over all frequencies. What a scene has at the finest scale, a
    probe has blurred, so that this can be told from 1 pixel or so of displacement on. None when nothing significant
    is found: then nothing should be taken away.
    """
    cross, displaced = (np.zeros((TILE, TILE), dtype=complex) for _ in range(2))
    power_f, power_m = np.zeros((TILE, TILE)), np.zeros((TILE, TILE))
    count = 0
    for f, m, w in tiles((fixed, moving, warped), valid):
        cross += f * m.conj()
        displaced += w * m.conj()
        power_f += np.abs(f) ** 2
        power_m += np.abs(m) ** 2
        count += 1
    if count < _LEAST_TILES:
        return None
    frequency = np.fft.fftfreq(TILE)
    size = np.hypot(frequency[:, None], frequency[None, :])
    ring = np.minimum((size / 0.5 * _RINGS).astype(int), _RINGS - 1)
    line = np.zeros(TILE)
    line[[-2, -1, 0, 1]] = _LEAK
    ones = np.ones((TILE, TILE))
    shapes = [ones, line[:, None] * ones, line[None, :] * ones]
    weight = 1 / np.sqrt(power_f * power_m + 1e-12 * float((power_f * power_m).max()))
    weight[0, 0] = 0
    design = [np.where(ring == k, displaced, 0) for k in range(_RINGS)] + [s.astype(complex) for s in shapes]
    table = np.stack([(weight * column).ravel() for column in design], 1)
    table = np.concatenate([table.real, table.imag])
    target = (weight * cross).ravel()
    target = np.concatenate([target.real, target.imag])
    normal = table.T @ table
    inverse = np.linalg.inv(normal + 1e-9 * np.diag(np.diag(normal)) + 1e-30 * np.eye(len(normal)))
    found = inverse @ (table.T @ target)
    # neighbouring bins share what a Hann window spreads: about four hold one independent value
    left = float(np.mean((target - table @ found) ** 2)) * 4
    errors = np.sqrt(left * np.diag(inverse))
    pattern = np.zeros((TILE, TILE))
    for value, error, shape in zip(found[_RINGS:], errors[_RINGS:], shapes, strict=True):
        if value > _SIGNIFICANT * error:
            pattern += value * shape
    if not pattern.any():
        return None
    return kernel_of(np.clip(pattern / np.maximum(power_m, 1e-30), 0, 1))
