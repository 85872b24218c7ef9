"""Boxes lie at one place in all sources of a group, whatever their dimension and scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ruska.errors import GeometryError, InputError
from ruska.training.boxes import BoxSampler


class Source:
    """Every voxel has its own number; nothing outside may be asked for."""

    def __init__(self, values):
        self.values = np.asarray(values, np.float32)
        self.shape = self.values.shape

    def read(self, box):
        assert len(box) == len(self.shape)
        assert all(0 <= s.start < s.stop <= n for s, n in zip(box, self.shape, strict=True))
        return self.values[box]


def numbered(*shape):
    return Source(np.arange(1, np.prod(shape) + 1).reshape(shape))


def finer(source, scale):
    """The same picture with more voxels: each holds the number of the one it lies in, plus its place within it."""
    values = source.values
    for axis, factor in zip(range(values.ndim - len(scale), values.ndim), scale, strict=True):
        values = values.repeat(factor, axis)
    return Source(values)


EDGES = st.sampled_from([(4, 6), (3, 4, 5)])


@given(edge=EDGES, data=st.data(), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_a_pair_has_one_place_and_the_same_mirrors_and_stays_inside(edge, data, seed):
    scale = tuple(data.draw(st.integers(1, 3)) for _ in edge)
    leading = data.draw(st.sampled_from([(), (2,), (2, 3)]))
    coarse = numbered(*leading, *(e + data.draw(st.integers(0, 3)) for e in edge))
    sampler = BoxSampler([[coarse, finer(coarse, scale)]], edge, scales=[(1,) * len(edge), scale], seed=seed)
    one, other = sampler.batch(0, 3)
    assert one.values.shape == (3, 1, *edge)
    assert other.values.shape == (3, 1, *(e * s for e, s in zip(edge, scale, strict=True)))
    assert one.aim.all()
    assert other.aim.all()
    raised = one.values
    for axis, factor in enumerate(scale):
        raised = raised.repeat_interleave(factor, axis + 2)
    assert torch.equal(raised, other.values)
    again = sampler.batch(0, 3)
    assert torch.equal(again[0].values, one.values)
    assert not torch.equal(sampler.batch(1, 3)[0].values, one.values)


def test_places_and_mirrors_of_a_volume_are_all_there():
    volume = numbered(4, 5, 6)
    (boxes,) = (b.values[:, 0] for b in BoxSampler([[volume]], (3, 4, 5)).batch(0, 400))
    assert len({int(v) for v in boxes.amin((1, 2, 3))}) == 2 * 2 * 2
    signs = {tuple(int(torch.sign(b[tuple(1 if a == k else 0 for a in range(3))] - b[0, 0, 0])) for k in range(3))
             for b in boxes}  # fmt: skip
    assert len(signs) == 8


@pytest.mark.parametrize(("frames", "found"), [(1, {(0,), (1,), (2,)}), (3, {(1, 0, 1), (0, 1, 2), (1, 2, 1)})])
def test_neighbours_are_channels_of_the_first_source_only(frames, found):
    stack = np.arange(3)[:, None, None] + np.linspace(0, 0.4, 64).reshape(8, 8)
    pair = [Source(stack), Source(10 + stack)]
    one, other = BoxSampler([pair], (8, 8), frames=frames).batch(0, 60)
    assert {tuple(b[:, 0, 0].int().tolist()) for b in one.values} <= {tuple(f) for f in found}
    assert {tuple(b[:, 3, 3].int().tolist()) for b in one.values} == found
    torch.testing.assert_close(other.values, 10 + one.values[:, frames // 2 : frames // 2 + 1])
    (single,) = BoxSampler([[numbered(8, 8)]], (4, 4), frames=3).batch(0, 2)
    assert single.values.shape == (2, 3, 4, 4)


@pytest.mark.parametrize("hole", ["input", "target"])
def test_what_is_missing_in_either_is_filled_and_not_aimed_at_in_both(hole):
    coarse = numbered(4, 4)
    fine = finer(coarse, (2, 2))
    if hole == "input":
        coarse.values[1, 2] = np.nan
    else:
        fine.values[3, 5] = np.nan  # one of the four within that voxel
    one, other = BoxSampler([[coarse, fine]], (4, 4), scales=[(1, 1), (2, 2)]).batch(0, 4)
    assert all(boxes.values.isfinite().all() for boxes in (one, other))
    assert (~one.aim).flatten(1).sum(1).tolist() == [1] * 4
    assert (~other.aim).flatten(1).sum(1).tolist() == [4] * 4
    number = 1 * 4 + 2 + 1
    assert not (one.values[one.aim] == number).any()
    assert not (other.values[other.aim] == number).any()


def test_places_where_nothing_is_missing_are_preferred():
    values = np.arange(400, dtype=np.float32).reshape(20, 20)
    values[:10] = np.nan
    (boxes,) = BoxSampler([[Source(values)]], (5, 5)).batch(0, 40)
    assert boxes.aim.flatten(1).all(1).float().mean() > 0.9
    with pytest.raises(InputError, match="no valid voxel"):
        BoxSampler([[Source(np.full((9, 9), np.nan))]], (5, 5)).batch(0, 1)


@pytest.mark.parametrize(("group", "scales", "said"), [
    ([numbered(8, 8), numbered(8, 9)], None, "partner"),
    ([numbered(8, 8), numbered(8, 8)], [(1, 1), (2, 2)], "16 x 16"),
    ([numbered(2, 8, 8), numbered(3, 8, 8)], None, "partner"),
    ([numbered(3, 8), numbered(3, 8)], None, "a patch 4 x 4"),
    ([numbered(8, 8)], [(1, 1), (2, 2)], "1 sources"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(group, scales, said):
    with pytest.raises(GeometryError, match=said):
        BoxSampler([group], (4, 4), scales=scales)


def test_groups_are_drawn_by_their_voxels():
    groups = [[Source(np.linspace(0, 0.5, 64).reshape(8, 8))], [Source(1 + np.linspace(0, 0.5, 192).reshape(3, 8, 8))]]
    (boxes,) = BoxSampler(groups, (4, 4)).batch(0, 400)
    assert boxes.values.floor()[:, 0, 0, 0].mean().item() == pytest.approx(0.75, abs=0.07)
