"""Slices whose noise differs are told from those where the estimate is merely unsure."""

from __future__ import annotations

import numpy as np
import pytest

from ruska.engine import ArraySource
from ruska.methods.survey import EMPTY, Survey, survey


def stack(levels, edge=96, seed=0):
    random = np.random.default_rng(seed)
    return np.stack([random.normal(0.5, level, (edge, edge)) for level in levels]).astype(np.float32)


@pytest.mark.parametrize("edge", [48, 96, 256])
def test_slices_of_the_same_noise_are_one_kind(edge):
    found = survey(ArraySource(stack([0.1] * 12, edge), "ZYX"))
    assert set(found.kinds()) == {0}
    assert found.worst() is None


def test_slices_of_other_noise_are_kinds_of_their_own():
    levels = [0.1, 0.1, 0.1, 0.2, 0.2, 0.03]
    found = survey(ArraySource(stack(levels), "ZYX"))
    kinds = found.kinds()
    assert list(kinds[:3]) == [0, 0, 0]
    assert kinds[3] == kinds[4] > 0 > kinds[5]
    assert found.worst() in (3, 4)
    np.testing.assert_allclose(found.levels, levels, rtol=0.15)


def test_planes_are_numbered_over_all_axes_before_y():
    values = np.stack([stack([0.1, 0.1]), stack([0.3, 0.1], seed=1), stack([0.1, 0.1], seed=2)])
    found = survey(ArraySource(values, "TZYX"))
    assert found.count == 6
    assert np.flatnonzero(found.kinds()).tolist() == [2]


def test_planes_not_looked_at_are_as_the_nearest_that_was():
    found = Survey((1, 4, 7), (0.1, 0.1, 0.2), 0.01, 9)
    assert found.kinds().tolist() == [0] * 6 + [found.kinds()[7]] * 3
    assert found.kinds()[7] > 0


def test_no_more_kinds_than_are_worth_it_and_unknown_levels_are_usual():
    levels = tuple(np.geomspace(0.001, 10, 300))
    kinds = Survey(tuple(range(301)), (*levels, -1.0), 0.01, 301).kinds()
    assert 10 <= len(set(kinds.tolist())) <= 25
    assert kinds[-1] == 0


def test_what_is_too_small_or_alone_is_not_surveyed():
    assert survey(ArraySource(np.zeros((5, 16, 64), np.float32), "ZYX")) is None
    assert survey(ArraySource(np.zeros((64, 64), np.float32), "YX")) is None
    empty = survey(ArraySource(np.zeros((3, 64, 64), np.float32), "ZYX"))
    assert set(empty.kinds()) == {0}
    assert empty.spread() is None


def test_empty_slices_are_kinds_of_their_own_and_do_not_count_as_other_noise():
    values = stack([0.1] * 6)
    values[1:3] = 0
    found = survey(ArraySource(values, "ZYX"))
    assert found.kinds().tolist() == [0, EMPTY, EMPTY, 0, 0, 0]
    assert found.worst() is None


def test_frames_of_few_counts_are_alike_where_their_dose_is():
    y, x = np.mgrid[:128, :128] - 64
    disc = 0.6 * np.exp(-(y**2 + x**2) / 400) + 0.0004
    random = np.random.default_rng(0)
    frames = random.poisson(np.stack([disc] * 9 + [9 * disc])).astype(np.uint8)
    found = survey(ArraySource(frames, "TYX"))
    assert set(found.kinds()[:9]) == {0}
    assert found.kinds()[9] > 0
    assert found.levels[9] == pytest.approx(3 * found.levels[0], rel=0.1)


def test_slowly_rising_noise_is_never_told_a_tenth_too_low():
    levels = np.geomspace(0.1, 0.2, 30)
    kinds = Survey(tuple(range(30)), tuple(levels), 0.01, 30).kinds()
    for kind in set(kinds.tolist()):
        own = levels[kinds == kind]
        assert own.max() / np.median(own) < np.exp(0.101)


def test_neighbouring_planes_are_read_together():
    values = np.zeros((2, 40, 64, 64), np.float32)
    source, boxes = ArraySource(values, "TZYX"), []

    class Counted:
        shape = source.shape

        def read(self, box):
            boxes.append((box[0].start, box[1].start, box[1].stop))
            return source.read(box)

    found = survey(Counted())
    assert len(found.levels) == 80
    assert boxes == [(t, z, min(z + 16, 40)) for t in (0, 1) for z in (0, 16, 32)]
