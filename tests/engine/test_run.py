"""The engine as a whole: what it promises whatever the method, shape, block and halo."""

from __future__ import annotations

import numpy as np
import pytest
from engine_methods import BoxFilter, Diffusion, Enlarge, Identity, Noise, run_whole
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ruska.engine import Normalisation

AXES = ["YX", "ZYX", "CYX", "TCZYX", "ZCYX", "QYX", "CZTYX"]
DTYPES = ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float16", "float32", "float64"]


@st.composite
def stacks(draw):
    axes = draw(st.sampled_from(AXES))
    shape = [draw(st.integers(1, 3)) for _ in axes[:-2]] + [draw(st.integers(1, 40)) for _ in "YX"]
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    return axes, draw(hnp.arrays(dtype, shape, elements=hnp.from_dtype(dtype, allow_nan=True, allow_infinity=True)))


@settings(max_examples=80, deadline=None)
@given(
    stacks(),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
    st.tuples(st.sampled_from([1, 2, 3, 8]), st.sampled_from([1, 4])),
    st.integers(1, 41),
    st.sampled_from(["cut", "mean"]),
    st.integers(1, 3),
)
def test_identity_returns_its_input_bit_for_bit(stack, halo, multiple, edge, merge, workers):
    axes, values = stack
    out, outcome, plan = run_whole(
        Identity(halo=halo, multiple=multiple, merge=merge), values, axes, edge=edge, workers=workers
    )
    np.testing.assert_array_equal(out, values)
    assert out.dtype == values.dtype
    assert outcome.blocks == plan.size
    assert outcome.clipped == 0


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(5, 70), st.integers(5, 70), st.integers(4, 40), st.sampled_from([1, 4]))
def test_a_local_method_in_blocks_equals_the_whole(radius, height, width, edge, multiple):
    values = np.random.default_rng(radius * height).normal(100, 20, (height, width)).astype(np.float32)
    method = BoxFilter(radius=radius, multiple=(multiple, multiple))
    scale = Normalisation(50.0, 100.0)
    blocked, *_ = run_whole(method, values, edge=edge, normalisation=scale)
    whole, _, plan = run_whole(method, values, edge=200, normalisation=scale)
    assert plan.size == 1
    np.testing.assert_allclose(blocked, whole, rtol=1e-5)


def test_a_volume_is_cut_along_z_for_a_3d_method():
    values = np.arange(12 * 10 * 11, dtype=np.int32).reshape(12, 10, 11)
    out, _, plan = run_whole(
        Identity(halo=(2, 2, 2), multiple=(1, 1, 1), scale=Identity().scale * 1 + Identity().scale[:1]),
        values, "ZYX", edge=5,
    )  # fmt: skip
    assert plan.cells == (1, 3, 2, 3)
    np.testing.assert_array_equal(out, values)


def test_overlapping_tiles_that_disagree_are_blended_without_a_step():
    class Tilt(Identity):
        """Each tile is off by a constant of its own: the worst a method that lacks context can do."""

        count = 0

        def change(self, y, random):
            Tilt.count += 1
            return super().change(y + Tilt.count % 2, random)

    values = np.zeros((64, 256), np.float32)
    blended, *_ = run_whole(Tilt(halo=(32, 32), merge="mean"), values, edge=64)
    Tilt.count = 0
    cut, *_ = run_whole(Tilt(halo=(32, 32), merge="cut"), values, edge=64)
    assert np.abs(np.diff(cut, axis=1)).max() == 1.0
    assert np.abs(np.diff(blended, axis=1)).max() < 0.04
    assert blended.min() >= 0
    assert blended.max() <= 1


def test_the_output_grid_may_be_finer():
    values = np.arange(30 * 21, dtype=np.uint16).reshape(30, 21)
    for merge in ("cut", "mean"):
        out, *_ = run_whole(Enlarge(halo=(4, 4), merge=merge), values, edge=8)
        np.testing.assert_array_equal(out, values.repeat(2, 0).repeat(2, 1))


def test_random_numbers_belong_to_places_not_to_blocks():
    values = np.zeros((2, 3, 50, 60), np.float32)
    whole, *_ = run_whole(Noise(), values, "TCYX", edge=100, seed=5)
    blocked, *_ = run_whole(Noise(), values, "TCYX", edge=16, workers=3, seed=5)
    np.testing.assert_array_equal(whole, blocked)
    other, *_ = run_whole(Noise(), values, "TCYX", edge=100, seed=6)
    assert not np.array_equal(whole, other)
    assert len(np.unique(whole)) > 0.999 * whole.size


@pytest.mark.parametrize("edge", [9, 16, 33])
def test_sweeps_exchange_halos_so_blocks_equal_the_whole(edge):
    values = np.random.default_rng(1).normal(0.5, 0.2, (47, 61)).astype(np.float32)
    whole, *_ = run_whole(Diffusion(), values, edge=100)
    blocked, *_ = run_whole(Diffusion(), values, edge=edge, workers=2)
    np.testing.assert_allclose(blocked, whole, rtol=1e-5)
    assert np.abs(whole - values).max() > 0.05


def test_invalid_voxels_come_back_as_they_were_and_do_not_spread():
    values = np.random.default_rng(0).normal(100, 5, (40, 40)).astype(np.float32)
    values[10:14, 20:25] = np.nan
    values[30, 3] = np.inf
    for merge in ("cut", "mean"):
        out, *_ = run_whole(BoxFilter(merge=merge), values, edge=13, fill=100.0)
        np.testing.assert_array_equal(np.isnan(out), np.isnan(values))
        assert np.isinf(out[30, 3])
        assert np.isfinite(out[np.isfinite(values)]).all()


def test_masked_pixels_are_left_alone():
    values = np.full((30, 30), 7, np.uint8)
    values[5:9, 5:9] = 255
    mask = values != 255
    out, *_ = run_whole(BoxFilter(), values, edge=11, fill=7.0, mask=mask, normalisation=Normalisation(0, 255))
    np.testing.assert_array_equal(out, values)


def test_clipping_is_counted():
    class Brighter(Identity):
        def change(self, y, random):
            return super().change(y + 10, random)

    values = np.full((20, 20), 240, np.uint8)
    values[:2] = 250
    out, outcome, _ = run_whole(Brighter(), values, edge=7)
    assert outcome.clipped == 40
    assert out.max() == 255


def test_an_error_in_a_block_reaches_the_caller():
    class Broken(Identity):
        def change(self, y, random):
            raise ValueError("no")

    for workers in (1, 3):
        with pytest.raises(ValueError, match="no"):
            run_whole(Broken(), np.zeros((30, 30), np.uint8), edge=10, workers=workers)


def test_the_source_is_never_changed():
    class InPlace(Identity):
        def change(self, y, random):
            return super().change(y.add_(1), random)

    values = np.zeros((10, 10), np.float32)
    out, *_ = run_whole(InPlace(), values)
    assert values.max() == 0
    assert out.min() == 1


@pytest.mark.parametrize(("edge", "times"), [(40, 0), (20, 4)], ids=["one block", "four"])
def test_freed_memory_is_given_back_between_blocks_of_a_network_only(monkeypatch, edge, times):
    asked = []
    monkeypatch.setattr("ruska.engine.workshop.give_back_freed_memory", lambda: asked.append(1))
    run_whole(Identity(threads="many"), np.zeros((40, 40), np.float32), "YX", edge=edge)
    assert len(asked) == times
    run_whole(Identity(threads="one"), np.zeros((40, 40), np.float32), "YX", edge=edge)
    assert len(asked) == times
