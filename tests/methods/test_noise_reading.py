"""The noise that the network reads: right on noise that is known, better than statistics where these fail, modest."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from ruska.engine import ArraySource
from ruska.methods import noise_reading
from ruska.methods.looking import statistical_noise, typical_level, typical_noise
from ruska.methods.noise_reading import PlaneNoise, joined, read_noise
from ruska.methods.prior import PriorSettings, look
from ruska.physics import PoissonGaussian, cell_phantom, estimate_noise
from ruska.weights.embedded import NOISE_READER
from ruska.weights.model import read_model, verify

LINES = (0.15, 1.0, 0.6)


def white(std, shape=(128, 128), seed=0):
    return np.random.default_rng(seed).normal(7, std, shape).astype(np.float32)


def source_of(values):
    return ArraySource(np.asarray(values, np.float32), "YX")


@pytest.fixture(scope="module")
def texture():
    """As fine as a pixel, and everywhere, as membranes at coarse pixels are."""
    field = gaussian_filter(np.random.default_rng(5).normal(size=(192, 192)), 1.2)
    sharp = np.tanh(4 * field / field.std())
    return (0.5 + 0.25 * sharp).astype(np.float32)


@pytest.mark.parametrize("std", [0.02, 5.0, 3000.0])
@pytest.mark.parametrize("shape", [(64, 64), (200, 120), (520, 96)])
def test_white_noise_is_read_to_five_percent(std, shape):
    read = read_noise(white(std, shape))
    assert read.std == pytest.approx(std, rel=0.05)
    assert read.error < 0.05
    assert max(map(abs, read.lags)) < 0.05
    assert read.level is None


def test_noise_that_is_the_same_everywhere_is_not_said_to_grow():
    told, note = look(source_of(cell_phantom((192, 192), seed=1) + white(0.1, (192, 192))), PriorSettings())
    assert told.level is None
    assert "growing" not in note
    assert "falling" not in note


@pytest.mark.parametrize(("inverted", "kernel"), [(False, (1.0,)), (True, (1.0,)), (False, LINES)])
def test_shot_noise_is_a_line_over_the_grey_level(inverted, kernel):
    truth = cell_phantom((256, 256), seed=2)
    noise = PoissonGaussian(20, 0.02, kernel)
    noisy = noise.simulate(truth, seed=0)
    read = read_noise(1 - noisy if inverted else noisy)
    assert read.std == pytest.approx(np.sqrt(noise.variance(truth).mean()), rel=0.1)
    levels = np.array([0.3, 0.7])
    of_levels = read.level.std(1 - levels if inverted else levels)
    np.testing.assert_allclose(of_levels, np.sqrt(noise.variance(levels)), rtol=0.1)
    assert (read.level.gain < 0) == inverted
    assert (read.lags[0] > 0.3) == (len(kernel) > 1)


def test_fine_texture_is_not_taken_for_noise(texture):
    noisy = texture + white(0.02, texture.shape) - 7
    by_statistics, found = estimate_noise(noisy), typical_noise(source_of(noisy))
    off = [abs(math.log(e.std / 0.02)) for e in (by_statistics, found)]
    assert off[1] < off[0]
    assert not found.correlated


def test_invalid_pixels_are_left_out():
    values = white(3.0, (160, 160))
    alone = read_noise(values).std
    values[:30] = np.nan
    values[100:104, 90:95] = np.nan
    values[np.random.default_rng(1).random(values.shape) < 0.002] = np.inf
    assert read_noise(values).std == pytest.approx(alone, rel=0.05)
    values[:90] = np.nan
    assert read_noise(values) is None


def drawing():
    y, x = np.mgrid[:128, :128]
    return ((x // 20 + y // 30) % 7).astype(np.float32)


@pytest.mark.parametrize(
    "values",
    [
        white(1.0, (60, 200)),
        np.full((128, 128), 3.0, np.float32),
        drawing(),
        np.random.default_rng(0).poisson(0.05, (128, 128)).astype(np.float32),
        np.full((128, 128), np.nan, np.float32),
    ],
    ids=["small", "constant", "labels", "counts", "nothing"],
)
def test_images_that_the_network_does_not_know_are_left_to_statistics(values):
    assert read_noise(values) is None
    if np.isfinite(values).all():
        source = source_of(values)
        assert typical_noise(source) == statistical_noise(source)
        assert typical_level(source) == (False, None)


def test_the_same_plane_gives_the_same_answer_with_any_number_of_threads():
    import torch

    values = PoissonGaussian(20, 0.02).simulate(cell_phantom((192, 192), seed=3), seed=0)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(read_noise(values))
    finally:
        torch.set_num_threads(before)
    assert found[0] == found[1] == found[2]


def test_its_scale_and_offset_do_not_matter():
    values = PoissonGaussian(20, 0.02).simulate(cell_phantom((192, 192), seed=3), seed=0).astype(np.float64)
    plain, scaled = read_noise(values), read_noise(5000 * values + 300)
    assert scaled.std == pytest.approx(5000 * plain.std, rel=0.01)
    assert scaled.level.gain == pytest.approx(5000 * plain.level.gain, rel=0.02)


def both(error, network, statistics=1.0):
    estimate = replace(estimate_noise(white(1.0)), std=statistics)
    return joined(estimate, PlaneNoise(network, error, (0.0,) * 4, (0.02,) * 4, None))[0]


def test_the_surer_one_counts_more_and_where_neither_is_sure_the_gentler():
    assert both(0.02, 1.2).std == pytest.approx(1.2, rel=0.01)
    assert 1.05 < both(0.15, 1.2).std < 1.15
    assert both(0.02, 0.2).std == pytest.approx(0.2)
    assert both(0.02, 5.0).std == pytest.approx(5.0)
    assert both(0.12, 5.0).std == pytest.approx(1.0)
    assert both(0.12, 0.2).std == pytest.approx(0.2)
    assert both(0.12, 5.0).error > 0.12


def test_how_sure_it_is_is_said_as_a_range():
    low, high = typical_noise(source_of(white(2.0))).within
    assert low < 2 < high
    assert high / low < 1.2
    assert estimate_noise(white(2.0)).within is None


def test_large_planes_are_read_in_windows_inside_them():
    for shape in ((64, 64), (511, 513), (1024, 1024), (600, 70)):
        boxes = noise_reading._windows(shape)
        assert 1 <= len(boxes) <= 4
        for box in boxes:
            sizes = [s.stop - s.start for s in box]
            assert all(s.start >= 0 and s.stop <= n for s, n in zip(box, shape, strict=True))
            assert all(size % 16 == 0 and 64 <= size <= 384 for size in sizes)


def test_the_network_is_what_its_card_speaks_of_small_and_says_whose_data_it_was():
    card = verify(NOISE_READER)
    assert card.method == "noise_reader"
    assert len(card.credits) >= 15
    assert sum(f.stat().st_size for f in NOISE_READER.iterdir()) < 1.1e6
    assert all(t.isfinite().all() for t in read_model(NOISE_READER).tensors.values())
    held_back = ("chm_neuropil", "bbbc039", "sdeconv", "bia_notebooks", "qem_finfet", "kriss")
    assert not any(name in d.name for d in card.data for name in held_back)
