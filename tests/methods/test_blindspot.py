"""Blind-spot denoising end to end, small: it denoises, keeps grey levels, resumes, and says when it cannot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import ruska
from ruska.engine import MemoryStore, run
from ruska.engine.memory import resident_memory
from ruska.errors import ResourceError, SettingsError
from ruska.image import Image
from ruska.methods.blindspot import parse_spot, spot_for
from ruska.methods.blindspot_learning import LEFT_BY_TRAINING, Hidden
from ruska.methods.blindspot_method import BlindSpotMethod, calibrate
from ruska.networks.blindspot import BlindSpotNet
from ruska.physics import PoissonGaussian, cell_phantom, estimate_noise
from ruska.pipeline import RunOptions
from ruska.pipeline.prepare import prepare

QUICK = {"steps": 80, "batch": 4, "patch": 64, "precision": "fp32", "learning_rate": 3e-3, "flips": False}


@pytest.fixture
def narrow(monkeypatch):
    """A network that is trained in seconds: two scales instead of four."""
    monkeypatch.setattr(Hidden.__init__, "__defaults__", (1, 1, (8, 16)))


def phantom(shape=(128, 128)):
    return np.asarray(cell_phantom(shape, seed=1), dtype=np.float32)


@pytest.mark.slow
def test_it_denoises_and_keeps_the_grey_scale():
    """The network as it comes. How far a training gets in so many steps differs by the processor's rounding."""
    truth = phantom()
    noisy = 500 + 1000 * PoissonGaussian(12, 0.04).simulate(truth, seed=0)
    settings = {**QUICK, "steps": 250, "batch": 2}  # fewer leave an image that is little more than its mean
    result = ruska.denoise(Image(noisy, "YX"), method="blindspot", settings=settings)
    restored = (result.image.numpy() - 500) / 1000
    wrong = np.mean((restored - truth) ** 2)
    assert wrong < 0.2 * np.mean(((noisy - 500) / 1000 - truth) ** 2)  # most of the noise is gone
    assert wrong < 0.5 * truth.var()  # and more is seen than the mean
    assert np.mean(restored) == pytest.approx(truth.mean(), abs=0.005)
    # Against the truth: the noisy image shares its noise with what was folded back in.
    slope = np.polyfit(restored.ravel(), truth.ravel(), 1)[0]
    assert slope == pytest.approx(1, abs=0.1)
    assert result.record["settings"]["spot"] == "1x1"


def test_calibration_finds_gain_and_offset_of_a_prediction():
    random = np.random.default_rng(0)
    truth = random.random((200, 200))
    noisy = truth + random.normal(0, 0.1, truth.shape)
    slope, offset = calibrate([((truth - 0.1) / 1.3, noisy)])
    assert slope == pytest.approx(1.3, rel=0.01)
    assert offset == pytest.approx(0.1, abs=0.01)
    flat = np.full_like(truth, 0.4)
    assert calibrate([(flat, noisy)]) == (1.0, pytest.approx(noisy.mean() - 0.4))


def test_a_prediction_is_scaled_by_its_calibration():
    torch.manual_seed(0)
    plain = BlindSpotMethod(BlindSpotNet(widths=(4, 4)), flips=False)
    stack = np.random.default_rng(0).random((1, 20, 30))
    calibrated, variance = replace(plain, slope=1.5, offset=0.25).predict(stack)
    assert variance is None
    np.testing.assert_allclose(calibrated, 1.5 * plain.predict(stack)[0] + 0.25, rtol=1e-5)


@pytest.mark.parametrize("outputs", [1, 2])
def test_a_prediction_in_parts_is_that_of_the_whole(outputs, monkeypatch):
    torch.manual_seed(0)
    network = BlindSpotNet(outputs=outputs, widths=(4, 4))
    torch.nn.init.normal_(network.head[-1].weight, std=0.3)
    method = BlindSpotMethod(network, flips=True)
    stack = np.random.default_rng(0).random((1, 400, 300)).astype(np.float32)
    whole, seen, predict = method.predict(stack), [], BlindSpotMethod.predict
    monkeypatch.setattr(BlindSpotMethod, "predict", lambda m, part: seen.append(part.shape) or predict(m, part))
    for room, parts in ((1e12, 1), (0, 12), (0.6 * method.working_bytes((400, 300), True), 4)):
        seen.clear()
        tidied = []
        found = method.predict_within(stack, room, lambda tidied=tidied: tidied.append(len(seen)))
        assert len(seen) == parts
        assert tidied == list(range(parts + 1))  # before each part and after the last
        np.testing.assert_allclose(found[0], whole[0], atol=1e-5)
        if outputs == 2:
            np.testing.assert_allclose(found[1], whole[1], rtol=1e-4)
        else:
            assert found[1] is None
        if parts > 1 and room:
            assert all(method.working_bytes(shape, True) <= room for shape in seen)


@pytest.mark.parametrize("method", ["blindspot", "udvd"])
def test_training_that_would_not_fit_is_refused_with_what_it_needs(method, monkeypatch):
    monkeypatch.setattr("ruska.methods.blindspot_learning.device_of_choice", lambda: torch.device("cpu"))
    image = Image(np.random.default_rng(0).normal(100, 10, (3, 256, 256)).astype(np.float32), "TYX")
    limit = f"{resident_memory() + 100_000_000}"
    with pytest.raises(ResourceError, match=r"GB for training, which needs (0\.59|4\.3) GB.*GB more"):
        prepare(image, method, {"steps": 1}, RunOptions(memory=limit), rehearsal=True)


def test_what_follows_a_small_training_must_fit_too(monkeypatch):
    """A prediction of the smallest part that is made, beside what training left."""
    monkeypatch.setattr("ruska.methods.blindspot_learning.device_of_choice", lambda: torch.device("cpu"))
    image = Image(np.random.default_rng(0).normal(100, 10, (512, 512)).astype(np.float32), "YX")
    least = BlindSpotMethod(BlindSpotNet(), flips=False).least_bytes((512, 512)) + LEFT_BY_TRAINING
    own = {"steps": 1, "batch": 1, "patch": 64, "spot": "1x1"}  # whose training takes 150 MB
    with pytest.raises(ResourceError, match="GB for training"):
        prepare(image, "blindspot", own, RunOptions(memory=f"{resident_memory() + 0.8 * least:.0f}"), rehearsal=True)


@pytest.mark.usefixtures("narrow")
def test_the_grey_scale_is_found_within_the_memory_that_is_allowed(monkeypatch):
    image = Image(np.random.default_rng(0).normal(100, 10, (512, 512)).astype(np.float32), "YX")
    seen, predict = [], BlindSpotMethod.predict
    monkeypatch.setattr(BlindSpotMethod, "predict", lambda m, part: seen.append(part.shape) or predict(m, part))
    allowed = 650e6
    limit = f"{resident_memory() + allowed + LEFT_BY_TRAINING:.0f}"  # what training leaves is taken still
    ready = prepare(
        image, "blindspot", {**QUICK, "steps": 1, "batch": 1}, RunOptions(memory=limit), report=False
    ).method
    assert ready.offset != 0
    assert len(seen) > 1
    assert all(ready.working_bytes(shape, True) < allowed < ready.working_bytes((512, 512), True) for shape in seen)


@pytest.mark.usefixtures("narrow")
def test_pure_noise_becomes_flat():
    noise = np.random.default_rng(0).normal(1000, 100, (96, 96)).astype(np.float32)
    restored = ruska.denoise(Image(noise, "YX"), method="blindspot", settings=QUICK).image.numpy()
    assert restored.std() < 25
    assert restored.mean() == pytest.approx(1000, abs=15)


@pytest.mark.parametrize(("axes", "shape", "frames", "extent"), [
    ("YX", (200, 240), 1, (1, 96, 64)),
    ("ZYX", (4, 40, 48), 3, (1, 2, 24, 48)),
])  # fmt: skip
@pytest.mark.usefixtures("narrow")
def test_blocks_equal_the_whole(axes, shape, frames, extent):
    noisy = np.random.default_rng(0).random(shape, dtype=np.float32)
    settings = {**QUICK, "steps": 2, "patch": 32, "frames": frames, "fold": False}
    results = []
    for remembered in ({}, {"extent": extent}):
        job = prepare(Image(noisy, axes), "blindspot", settings, remembered=remembered)
        store = MemoryStore(job.plan.output_shape, job.out_dtype)
        run(job.source, job.method, store, job.plan, normalisation=job.normalisation, fill=0.5)
        results.append(store.values)
    assert job.plan.size > 3
    np.testing.assert_allclose(*results, atol=1e-5)


def test_frames_are_used_and_every_frame_comes_back(monkeypatch):
    """A grain that no pixel shares with its neighbours is seen in other frames only: one frame tells its mean."""
    monkeypatch.setattr(Hidden.__init__, "__defaults__", (1, 1, (8,)))  # one scale: learned within a second
    random = np.random.default_rng(0)
    truth = random.normal(0.5, 0.2, (48, 48)).astype(np.float32)
    movie = truth + random.normal(0, 0.2, (6, *truth.shape)).astype(np.float32)
    wrong = {}
    for frames in (1, 5):
        settings = {**QUICK, "patch": 32, "batch": 2, "steps": 120, "learning_rate": 0.01, "spot": "1x1"}
        settings |= {"frames": frames, "fold": False}
        restored = ruska.denoise(Image(movie, "TYX"), method="blindspot", settings=settings, report=False).image.numpy()
        assert restored.shape == movie.shape
        wrong[frames] = np.mean((restored - truth) ** 2, axis=(1, 2)) / truth.var()
    assert wrong[1].min() > 0.9
    assert wrong[5].max() < 0.7  # the mean of four other frames would leave 0.25, of two at either end 0.5


def test_the_spot_is_as_wide_as_the_noise():
    truth = phantom((512, 512))
    white = estimate_noise(PoissonGaussian(25, 0.02).simulate(truth, seed=0))
    lines = estimate_noise(PoissonGaussian(25, 0.02, (0.3, 1.0, 0.5)).simulate(truth, seed=0))
    assert spot_for(white) == (1, 1)
    assert spot_for(lines) == (1, 5)
    turned = estimate_noise(PoissonGaussian(25, 0.02, (0.3, 1.0, 0.5)).simulate(truth, seed=0).T)
    assert spot_for(turned) == (5, 1)


def test_fine_membranes_do_not_widen_the_spot_across_the_scan_line(micrographs):
    from scipy.ndimage import gaussian_filter

    raw = ruska.read(next((micrographs / "val" / "isbi2012").glob("train_raw*"))).numpy()[7].astype(float)
    truth = raw.reshape(256, 2, 256, 2).mean((1, 3)) / 255
    noisy = PoissonGaussian(50, 0.02, (0.15, 1.0, 0.6)).simulate(truth, seed=7)
    assert spot_for(estimate_noise(noisy)) in ((1, 3), (1, 5))
    smeared = truth + gaussian_filter(np.random.default_rng(0).normal(0, 0.5, truth.shape), (0.6, 1.0))
    rows, columns = spot_for(estimate_noise(smeared))
    assert rows >= 3
    assert columns >= 5


@pytest.mark.parametrize("text", ["2x3", "1x13", "x", "3", "ax1", "-1x1"])
def test_a_spot_is_two_odd_numbers(text):
    with pytest.raises(ValueError, match="odd"):
        parse_spot(text)
    with pytest.raises(SettingsError, match="spot"):
        ruska.denoise(np.zeros((32, 32)), method="blindspot", settings={"spot": text})


def test_a_single_image_has_no_neighbouring_frames():
    with pytest.raises(SettingsError, match="single frame"):
        ruska.denoise(np.random.default_rng(0).random((64, 64)), method="blindspot", settings={"frames": 3})


@pytest.mark.usefixtures("narrow")
def test_info_predicts_without_training():
    from ruska.pipeline import describe

    noisy = PoissonGaussian(12, 0.04).simulate(phantom((64, 64)), seed=0)
    facts = describe(Image(noisy, "YX"), "blindspot", {**QUICK, "steps": 100_000})
    assert facts["job"]["seconds"] > 100


@pytest.mark.usefixtures("narrow")
def test_an_interrupted_training_is_not_begun_again(tmp_path, monkeypatch):
    from ruska.training import loop

    noisy = tmp_path / "noisy.npy"
    np.save(noisy, PoissonGaussian(12, 0.04).simulate(phantom((64, 64)), seed=0))
    settings = {**QUICK, "steps": 12}
    whole = ruska.denoise(noisy, tmp_path / "whole.npy", method="blindspot", settings=settings, report=False)

    steps = []
    advance, schedule = loop._State.advance, loop.Schedule.__init__.__defaults__

    def interrupted(self, value, decay):
        advance(self, value, decay)
        steps.append(self.step)
        if len(steps) == 7:
            raise KeyboardInterrupt

    monkeypatch.setattr(loop._State, "advance", interrupted)
    monkeypatch.setattr(loop.Schedule.__init__, "__defaults__", (*schedule[:-1], 0.0))  # a checkpoint every step
    with pytest.raises(KeyboardInterrupt):
        ruska.denoise(noisy, tmp_path / "again.npy", method="blindspot", settings=settings, report=False)
    assert not (tmp_path / "again.npy").exists()
    again = ruska.denoise(noisy, tmp_path / "again.npy", method="blindspot", settings=settings, report=False)
    assert steps[7] == 7  # the step after the last checkpoint
    np.testing.assert_array_equal(again.image.numpy(), whole.image.numpy())
