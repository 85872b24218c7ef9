"""The noise of a source is estimated once while the source lives, and belongs to that source alone."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from weakref import ref

import numpy as np
import pytest

from ruska.engine import ArraySource
from ruska.methods import looking
from ruska.methods.looking import planes_to_look_at, typical_noise, typical_plane
from ruska.physics import noise_statistics


@pytest.fixture
def estimates(monkeypatch):
    """The planes whose noise was estimated."""
    seen, estimate = [], noise_statistics.estimate_noise

    def counted(plane):
        seen.append(plane)
        return estimate(plane)

    monkeypatch.setattr(noise_statistics, "estimate_noise", counted)
    return seen


def stack(stds, seed=0):
    rng = np.random.default_rng(seed)
    return np.stack([rng.normal(0, std, (64, 64)) for std in stds]).astype(np.float32)


def test_every_plane_is_estimated_once(estimates):
    source = ArraySource(stack((3, 1, 4, 2, 5)), "ZYX")
    noise, plane = typical_noise(source), typical_plane(source)
    assert typical_noise(source) is noise
    assert len(estimates) == 5
    np.testing.assert_array_equal(plane, source.array[0])  # of level 3, the median
    assert noise_statistics.estimate_noise(plane) == noise


def test_a_single_plane_is_read_without_an_estimate(estimates):
    source = ArraySource(stack((1,))[0], "YX")
    np.testing.assert_array_equal(typical_plane(source), source.array)
    assert not estimates
    assert typical_plane(ArraySource(np.zeros((8, 64), np.float32), "YX")) is None


def test_what_was_found_leaves_with_its_source(estimates):
    before = len(looking._found)
    array = stack((1, 2, 3))
    source, gone = ArraySource(array, "ZYX"), ref(array)
    typical_noise(source)
    assert len(looking._found) == before + 1
    estimates.clear()
    del source, array
    gc.collect()
    assert gone() is None
    assert len(looking._found) == before


def test_sources_that_follow_at_the_same_place_in_memory_have_their_own_noise():
    planes = stack((1, 10))
    for _ in range(20):
        levels = [typical_noise(ArraySource(plane, "YX")).std for plane in planes]
        assert levels[1] > 5 * levels[0]


def test_an_answer_kept_for_another_source_is_not_given():
    quiet, loud = (ArraySource(plane, "YX") for plane in stack((1, 10)))
    level = typical_noise(quiet).std
    looking._found[id(loud)] = looking._found[id(quiet)]
    assert typical_noise(loud).std > 5 * level


def test_threads_find_the_same():
    source = ArraySource(stack((3, 1, 2)), "ZYX")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: typical_noise(source), range(16)))
    assert all(noise == found[0] for noise in found)
    expected = sorted(noise_statistics.estimate_noise(p).white_equivalent_std for p in planes_to_look_at(source))[1]
    assert found[0].white_equivalent_std == expected
