"""The part of a plane that is looked at: as large as can be, and whole."""

from __future__ import annotations

import numpy as np
import pytest

from ruska.physics.valid_part import largest_rectangle, valid_part


def largest_by_trying(there):
    best = 0
    for top, left in np.ndindex(there.shape):
        for bottom in range(top + 1, there.shape[0] + 1):
            for right in range(left + 1, there.shape[1] + 1):
                if there[top:bottom, left:right].all():
                    best = max(best, (bottom - top) * (right - left))
    return best


@pytest.mark.parametrize("seed", range(8))
def test_no_rectangle_is_larger(seed):
    there = np.random.default_rng(seed).random((7, 9)) > 0.25
    y, x = largest_rectangle(there)
    assert there[y, x].all()
    assert there[y, x].size == largest_by_trying(there) > 0


def test_nothing_is_found_where_nothing_is():
    assert largest_rectangle(np.zeros((5, 5), bool)) == (slice(0, 0), slice(0, 0))


def test_large_planes_lose_no_more_than_a_cell():
    there = np.ones((1000, 700), bool)
    there[:101] = there[:, 650:] = False
    y, x = largest_rectangle(there)
    assert there[y, x].all()
    assert there[y, x].size > 0.98 * there.sum()
    assert largest_rectangle(np.ones((1000, 700), bool)) == (slice(0, 1000), slice(0, 700))


def test_borders_are_cut_and_single_pixels_mended():
    plane = np.random.default_rng(0).normal(size=(60, 80)).astype(np.float32)
    whole = plane.copy()
    plane[:20], plane[40, 30] = np.nan, np.nan
    part = valid_part(plane)
    assert part.shape == (40, 80)
    assert np.isfinite(part).all()
    assert part[20, 30] in (whole[39, 30], whole[41, 30], whole[40, 29], whole[40, 31])
    assert valid_part(whole) is whole


def test_of_nothing_nothing_is_left():
    assert valid_part(np.full((30, 30), np.nan)).size == 0
