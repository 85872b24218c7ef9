"""Alignment of the slices of a stack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy.ndimage import fourier_shift

from ruska.errors import GeometryError, SettingsError
from ruska.physics import cell_phantom
from ruska.registration import AlignedStack, align_stack

SHIFTS = np.array([[0, 0], [1.3, -0.6], [0.4, 1.7], [-2.2, 2.5], [-1.1, 3.6], [0.7, 2.2]])


def drifting_stack(shifts: np.ndarray = SHIFTS, noise: float = 0.06, size: int = 112) -> np.ndarray:
    """Slices of one scene, displaced on a larger periodic field and cut out of its middle; (n, Y, X), 0 to 200."""
    random = np.random.default_rng(0)
    spectrum = np.fft.fft2(cell_phantom((size + 40, size + 40), seed=11, pixel_size_nm=8))
    slices = [np.fft.ifft2(fourier_shift(spectrum, shift)).real[20:-20, 20:-20] for shift in shifts]
    return 200 * np.clip(np.stack([s + random.normal(0, noise, s.shape) for s in slices]), 0, 1)


class Lazy:
    """A stack that counts which slices are read, and hands out only boxes."""

    def __init__(self, data: np.ndarray) -> None:
        self.data, self.read = data, []
        self.shape, self.dtype = data.shape, data.dtype

    def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
        self.read += range(box[0].start, box[0].stop)
        return self.data[box]


def test_shifts_are_found_and_undone() -> None:
    stack = drifting_stack().astype(np.uint8)
    found = align_stack(stack, neighbours=2)
    np.testing.assert_allclose(found.shifts, -SHIFTS, atol=0.08)
    assert found.skipped == ()
    assert found.misfit_px < 0.1
    aligned = AlignedStack(stack, found)
    assert aligned.dtype == np.uint8
    rows, columns = found.common_region()
    inside = aligned[slice(0, 6), rows, columns].astype(float)
    before = stack[:, rows, columns].astype(float)
    assert inside.std(0).mean() < 0.8 * before.std(0).mean()


def test_slices_are_read_once_and_few_are_kept() -> None:
    lazy = Lazy(drifting_stack(SHIFTS[:4]))
    align_stack(lazy, neighbours=1)
    assert lazy.read == [0, 1, 2, 3]


def test_a_bad_slice_is_skipped_and_bridged() -> None:
    stack = drifting_stack()
    stack[2] = np.random.default_rng(1).normal(100, 30, stack[2].shape)
    found = align_stack(stack, neighbours=2)
    assert found.skipped == (2,)
    good = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(found.shifts[good], -SHIFTS[good], atol=0.08)
    np.testing.assert_allclose(found.shifts[2], (found.shifts[1] + found.shifts[3]) / 2, atol=1e-9)
    assert np.isnan(found.errors[2])


def test_a_stack_that_falls_apart_is_refused() -> None:
    stack = drifting_stack()
    stack[3:] = stack[3:, ::-1, ::-1].transpose(0, 2, 1)
    with pytest.raises(GeometryError, match=r"pit.tif: falls apart between slices 2 and 3"):
        align_stack(stack, neighbours=1, name="pit.tif")
    with pytest.raises(GeometryError, match="only one slice"):
        align_stack(stack[:1])
    with pytest.raises(SettingsError, match="Did you mean 'keep'"):
        align_stack(stack, trend="kep")  # type: ignore[arg-type]


def test_a_steady_drift_can_be_kept() -> None:
    steady = np.arange(5)[:, None] * np.array([0.8, -0.5])
    jitter = np.array([[0, 0], [0.4, -0.3], [-0.4, 0.3], [0.4, -0.3], [0, 0]])
    stack = drifting_stack(steady + jitter)
    corrected = align_stack(stack, neighbours=2)
    kept = align_stack(stack, neighbours=2, trend="keep")
    np.testing.assert_allclose(corrected.shifts[-1], -(steady + jitter)[-1], atol=0.1)
    assert np.abs(np.polyfit(np.arange(5), kept.shifts, 1)[0]).max() < 1e-9


def test_whole_pixels_leave_the_values_alone() -> None:
    stack = drifting_stack(SHIFTS[:3]).astype(np.float32)
    found = align_stack(stack, neighbours=1)
    aligned = AlignedStack(stack, found, fill=np.nan, whole_pixels=True)
    dy, dx = np.rint(found.shifts[2]).astype(int)
    moved = aligned[slice(2, 3), slice(0, 112), slice(0, 112)][0]
    assert np.array_equal(moved[10:-10, 10:-10], stack[2, 10 - dy : 102 - dy, 10 - dx : 102 - dx])
    assert np.isnan(moved).sum() == 112 * 112 - (112 - abs(dy)) * (112 - abs(dx))


def test_real_slices_agree_with_each_other(micrographs: Path) -> None:
    stack = tifffile.imread(micrographs / "train/shale_fibsem/shale_fibsem_6x1104x1720.tif")[:3, 700:1000, 1150:1550]
    found = align_stack(stack, neighbours=2)
    assert found.skipped == ()
    assert found.misfit_px < 0.1
    assert np.abs(found.shifts).max() < 3
