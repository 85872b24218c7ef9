"""The noise of a source is estimated once while the source lives, and belongs to that source alone."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from weakref import ref

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ruska.engine import ArraySource, NormalisedSource, measure_intensities
from ruska.engine.validity import mask_of
from ruska.image import Image
from ruska.methods import looking
from ruska.methods.looking import (
    middles_to_look_at,
    planes_to_look_at,
    stacks_to_look_at,
    statistical_noise,
    typical_noise,
    typical_plane,
)
from ruska.methods.prior import PriorSettings, look
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
    assert noise_statistics.estimate_noise(plane) == statistical_noise(source)


def test_a_single_plane_is_read_without_an_estimate(estimates):
    source = ArraySource(stack((1,))[0], "YX")
    np.testing.assert_array_equal(typical_plane(source), source.array)
    assert not estimates
    assert typical_plane(ArraySource(np.zeros((8, 64), np.float32), "YX")) is None


def test_what_was_found_leaves_with_its_source(estimates):
    gc.collect()  # of what tests before this one left
    before = len(looking._found), len(looking._was_read)
    array = stack((1, 2, 3))
    source, gone = ArraySource(array, "ZYX"), ref(array)
    typical_noise(source)
    assert (len(looking._found), len(looking._was_read)) == (before[0] + 1, before[1] + 1)
    estimates.clear()
    del source, array
    gc.collect()
    assert gone() is None
    assert (len(looking._found), len(looking._was_read)) == before


def test_sources_that_follow_at_the_same_place_in_memory_have_their_own_noise():
    planes = stack((1, 10))
    for _ in range(20):
        levels = [typical_noise(ArraySource(plane, "YX")).std for plane in planes]
        assert levels[1] > 5 * levels[0]


def test_an_answer_kept_for_another_source_is_not_given():
    quiet, loud = (ArraySource(plane, "YX") for plane in stack((1, 10)))
    level = typical_noise(quiet).std
    for kept in (looking._found, looking._was_read):
        kept[id(loud)] = kept[id(quiet)]
    assert typical_noise(loud).std > 5 * level


def test_threads_find_the_same():
    source = ArraySource(stack((3, 1, 2)), "ZYX")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: typical_noise(source), range(16)))
    assert all(noise == found[0] for noise in found)
    expected = sorted(noise_statistics.estimate_noise(p).white_equivalent_std for p in planes_to_look_at(source))[1]
    assert statistical_noise(source).white_equivalent_std == expected


def bordered(values, rows):
    values = np.array(values)
    values[..., :rows, :] = np.nan
    return values


def normalised(values, axes, mask=None):
    image = Image(values, axes, mask=mask)
    whole = ArraySource(image.data, axes)
    found = measure_intensities(whole, mask=mask_of(image))
    return NormalisedSource(whole, found.normalisation(), found.mean, mask_of(image)), found.normalisation().scale


@pytest.mark.parametrize("share", [0.1, 0.45, 0.55, 0.8])
def test_an_empty_border_does_not_change_the_noise(share):
    values = np.random.default_rng(2).normal(0, 3, (160, 160)).astype(np.float32)
    source, scale = normalised(bordered(values, round(160 * share)), "YX")
    assert typical_noise(source).std * scale == pytest.approx(3, rel=0.15)
    told, _ = look(source, PriorSettings())
    assert told.std * scale == pytest.approx(3, rel=0.15)


def test_a_masked_border_of_integers_is_not_looked_at():
    rng = np.random.default_rng(0)
    values = rng.normal(100, 6, (160, 160)).round().astype(np.uint8)
    values[:60] = 100
    mask = np.ones((160, 160), bool)
    mask[:60] = False
    source, scale = normalised(values, "YX", mask)
    alone = noise_statistics.estimate_noise(values[60:]).std
    assert typical_noise(source).std * scale == pytest.approx(alone, rel=0.1)
    assert alone > 5
    assert np.isnan(planes_to_look_at(source)[0][:60]).all()


def test_an_empty_plane_gives_way_to_one_beside_it():
    values = stack([2] * 10)
    values[1] = np.nan
    planes = planes_to_look_at(normalised(values, "ZYX")[0])
    assert len(planes) == 5
    assert all(np.isfinite(plane).all() for plane in planes)


def test_where_hardly_anything_is_valid_the_image_counts_as_too_small():
    values = np.full((3, 64, 64), np.nan, np.float32)
    values[:, 5:12, 5:12] = np.arange(49).reshape(7, 7)
    source, _ = normalised(values, "ZYX")
    assert typical_noise(source) is None
    assert typical_plane(source) is None
    planes = planes_to_look_at(source)
    assert np.isfinite(planes[0]).all()
    told, note = look(source, PriorSettings())
    assert "assumed" in note
    assert np.isfinite([told.mean, told.signal, told.std]).all()


def test_a_network_sees_filled_planes_and_is_judged_where_they_are_valid():
    values = bordered(stack((1, 2, 3)), 20)
    source, _ = normalised(values, "ZYX")
    for frames in (1, 3):
        stacks, middles = stacks_to_look_at(source, frames), middles_to_look_at(source, frames)
        assert all(np.isfinite(s).all() for s in stacks)
        for one, middle in zip(stacks, middles, strict=True):
            assert np.isnan(middle[:20]).all()
            np.testing.assert_array_equal(one[frames // 2][20:], middle[20:])


def nuclei(size=192):
    """Mostly black."""
    smooth = gaussian_filter(np.random.default_rng(0).standard_normal((size, size)), 8, mode="wrap")
    return np.clip(1.6 * smooth / smooth.max() - 0.6, 0, 1)


def test_the_prior_is_told_of_single_counts():
    source, scale = normalised(np.random.default_rng(1).poisson(0.05 + nuclei()).astype(np.uint8), "YX")
    told, note = look(source, PriorSettings())
    assert told.level.counted
    assert told.level.gain == pytest.approx(1 / scale, rel=1e-4)
    assert told.std * scale == pytest.approx(np.sqrt(np.mean(0.05 + nuclei())), rel=0.1)
    assert "of single counts" in note


@pytest.mark.parametrize("cut", [True, False])
def test_few_bright_structures_on_black_do_not_hide_how_the_noise_grows(cut):
    truth, rng = nuclei(), np.random.default_rng(3)
    noisy = 1000 * (rng.poisson(12 * truth) / 12 + rng.normal(0, 0.04, truth.shape))
    source, scale = normalised((np.clip(noisy, 0, None) if cut else noisy).astype(np.float32), "YX")
    told, _ = look(source, PriorSettings())
    assert told.level is not None
    assert told.level.gain * scale / 1000 == pytest.approx(1 / 12, rel=0.3)
    assert told.std * scale / 1000 == pytest.approx(np.sqrt(np.mean(truth / 12 + 0.04**2)), rel=0.3)


def test_slices_of_one_grey_level_are_passed_over():
    values = np.zeros((200, 64, 64), np.float32)
    values[131:133] = np.random.default_rng(0).normal(0, 0.1, (2, 64, 64))
    source = ArraySource(values, "ZYX")
    assert all(plane.std() > 0.05 for plane in planes_to_look_at(source))
    assert typical_noise(source).std == pytest.approx(0.1, rel=0.2)
    assert typical_plane(ArraySource(np.ones((9, 64, 64), np.float32), "ZYX")).std() == 0
