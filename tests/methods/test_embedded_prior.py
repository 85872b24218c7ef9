"""The prior that comes with Ruska: better than what it replaces, sane on what it was never shown, seamless."""

from __future__ import annotations

import numpy as np
import pytest

import ruska
from ruska.engine import ArraySource, Budget, MemoryStore, NormalisedSource, measure_intensities, run
from ruska.engine.layout import Layout
from ruska.engine.plan import plan_blocks
from ruska.image import Image
from ruska.methods import create
from ruska.methods.prior import PriorSettings, look
from ruska.metrics import psnr
from ruska.physics import PoissonGaussian, cell_phantom
from ruska.weights import load_model
from ruska.weights.embedded import EMBEDDED

LINES = (0.15, 1.0, 0.6)


def restored(values, method="prior", **settings):
    return ruska.denoise(Image(values.astype(np.float32), "YX"), method=method, settings=settings).image.numpy()


def test_its_card_says_whose_data_it_was_and_it_is_small():
    model = load_model(EMBEDDED)
    assert model.card.method == "prior"
    assert len(model.card.credits) >= 8
    assert sum(f.stat().st_size for f in EMBEDDED.iterdir()) < 14e6
    assert not any("dwell" in d.name for d in model.card.data)  # zero-shot on KRISS is said of it


@pytest.mark.parametrize("kernel", [(1.0,), LINES])
def test_real_micrographs_are_denoised_better_than_by_wavelets(micrographs, kernel):
    raw = ruska.read(micrographs / "val/cdeep3m_sbem/train_raw_12x1024x1024.tif").numpy()[3, :768, :768]
    truth = raw.astype(np.float32).reshape(384, 2, 384, 2).mean((1, 3))
    low, high = np.percentile(truth, (0.1, 99.9))
    truth = (truth - low) / (high - low)
    noisy = PoissonGaussian(30, 0.03, kernel).simulate(truth, seed=0)
    prior, wavelet = (psnr(restored(noisy, method), truth, 1.0) for method in ("prior", "wavelet"))
    assert prior > wavelet + 0.2


@pytest.mark.parametrize("std", [0.02, 1.0, 300.0])
def test_pure_noise_becomes_flat(std):
    noise = np.random.default_rng(0).normal(1000, std, (256, 256))
    out = restored(noise)
    assert out.std() < 0.12 * std
    assert out.mean() == pytest.approx(noise.mean(), abs=0.02 * std)


@pytest.mark.parametrize("kind", ["constant", "step", "checkerboard", "ramp", "hot pixels", "one bright spot"])
def test_what_it_was_never_shown_comes_back_sane(kind):
    y, x = np.mgrid[:160, :192].astype(float)
    image = {
        "constant": 0 * x,
        "step": (x > 96) * 1.0,
        "checkerboard": (x + y) % 2,
        "ramp": x / 192,
        "hot pixels": ((x * 7 + y * 13) % 997 == 0) * 1000.0,
        "one bright spot": np.exp(-((x - 90) ** 2 + (y - 70) ** 2) / 20),
    }[kind]
    noisy = image + np.random.default_rng(1).normal(0, 0.02, image.shape)
    out = restored(noisy)
    assert np.isfinite(out).all()
    assert noisy.min() - 0.1 * np.ptp(noisy) <= out.min()
    assert out.max() <= noisy.max() + 0.1 * np.ptp(noisy)


def test_grey_scale_and_inversion_hardly_matter():
    truth = cell_phantom((192, 192), seed=3)
    noisy = PoissonGaussian(40, 0.05).simulate(truth, seed=0)
    plain = restored(noisy)
    scaled = restored(5000 * noisy + 300)
    assert np.abs((scaled - 300) / 5000 - plain).max() < 1e-3
    assert psnr(1 - restored(1 - noisy), truth, 1.0) > psnr(plain, truth, 1.0) - 0.1


def told_of(values, by_statistics=False, **settings):
    source = ArraySource(np.asarray(values, np.float32), "YX")
    found = measure_intensities(source)
    normalised = NormalisedSource(source, found.normalisation(), found.mean)
    return look(normalised, PriorSettings(**settings), by_statistics=by_statistics)


@pytest.mark.parametrize(("by_statistics", "alike"), [(True, 0.01), (False, 0.1)])
def test_noise_of_inverted_contrast_is_told_to_fall(by_statistics, alike):
    noisy = PoissonGaussian(20, 0.02).simulate(cell_phantom((192, 192), seed=3), seed=0)
    (plain, _), (inverted, note) = (told_of(values, by_statistics) for values in (noisy, 1 - noisy))
    assert plain.level.gain > 0
    assert inverted.level.gain == pytest.approx(-plain.level.gain, rel=alike)  # the network is no mirror
    assert "falling" in note


def test_noise_that_is_given_keeps_its_growth_and_correlation():
    noisy = PoissonGaussian(20, 0.02).simulate(cell_phantom((192, 192), seed=3), seed=0)
    told, _ = told_of(noisy)
    again, note = told_of(noisy, noise_std=told.std)
    assert again == told
    assert "given" in note
    twice, _ = told_of(noisy, noise_std=2 * told.std)
    assert twice.std == pytest.approx(2 * told.std)
    assert twice.level.gain == pytest.approx(4 * told.level.gain)


def test_blocks_equal_the_whole():
    values = np.tile(PoissonGaussian(40, 0.05).simulate(cell_phantom((280, 320), seed=3), seed=0), (3, 3))
    source = ArraySource(values, "YX")
    statistics = measure_intensities(source)
    normalised = NormalisedSource(source, statistics.normalisation(), statistics.mean)
    method = create("prior", {}).prepare(normalised, None, Budget())
    whole, parts = (blocks(source, method, statistics, edge) for edge in (1024, 512))
    assert np.abs(whole - parts).max() < 1e-4 * np.ptp(whole)


def blocks(source, method, statistics, edge):
    plan = plan_blocks(Layout("YX", source.shape, 2), method, Budget(memory_bytes=16 << 30), dtype="f4",
                       out_dtype="f4", edge=edge)  # fmt: skip
    sink = MemoryStore(plan.output_shape, np.dtype("f4"))
    run(source, method, sink, plan, normalisation=statistics.normalisation())
    return sink.values[0]


def test_an_image_that_hardly_speaks_is_said_to():
    truth = cell_phantom((192, 192), seed=3)
    said = [
        " ".join(ruska.denoise(Image(truth + np.random.default_rng(0).normal(0, noise, truth.shape), "YX"),
                               method="prior").record["noise"])
        for noise in (0.05, 1.0)
    ]  # fmt: skip
    assert "as strong as the signal" not in said[0]
    assert "as strong as the signal" in said[1]


@pytest.mark.parametrize("method", ["auto", "prior"])
def test_the_record_names_the_weights(method):
    record = ruska.denoise(np.random.default_rng(0).random((64, 64)), method=method).record
    assert record["weights"] == load_model(EMBEDDED).card.sha256


@pytest.mark.parametrize("counts", [0.1, 0.3])
def test_of_single_counts_as_many_are_left_as_were_recorded(counts):
    field = np.clip(cell_phantom((128, 160), seed=3), 0, None)
    recorded = np.random.default_rng(0).poisson(field / field.mean() * counts).astype(np.uint8)
    result = ruska.denoise(Image(recorded, "YX"), method="prior").image.numpy()
    assert result.sum(dtype=np.float64) == pytest.approx(recorded.sum(), rel=2e-3)


def test_where_hardly_a_count_was_recorded_none_are_made_up():
    recorded = (np.random.default_rng(0).random((128, 128)) < 0.02).astype(np.uint8)
    result = ruska.denoise(Image(recorded, "YX"), method="prior").image.numpy()
    assert result.sum(dtype=np.float64) < 1.5 * recorded.sum()
