"""Channels and slices that differ come out as if each had been alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage

import ruska
from ruska import io, methods
from ruska.errors import RuskaError
from ruska.image import Image
from ruska.pipeline import Request, run
from ruska.pipeline.parts import ranges


def scene(seed, edge=96):
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((edge, edge)), 5, mode="wrap")
    return np.tanh(2 * field / field.std()) / 2 + 0.5


def two_channels():
    random = np.random.default_rng(1)
    dim = 100 + 200 * scene(7) + random.normal(0, 25, (96, 96))
    bright = 500 + 20000 * scene(8) + random.normal(0, 800, (96, 96))
    return np.stack([dim, bright]).clip(0, 65535).astype(np.uint16)


def uneven_stack(axes="ZYX"):
    random = np.random.default_rng(2)
    values = np.stack([120 + 60 * scene(3) + random.normal(0, s, (96, 96)) for s in (6, 6, 6, 18, 18)])
    return Image(values.astype(np.float32), axes)


@pytest.mark.parametrize("method", ["wavelet", "tv", "prior"])
def test_a_dim_channel_comes_out_as_alone(method):
    values = two_channels()
    both = ruska.denoise(Image(values, "CYX"), method=method)
    for channel in (0, 1):
        alone = ruska.denoise(Image(values[channel], "YX"), method=method)
        np.testing.assert_allclose(both.image.numpy()[channel], alone.image.numpy(), atol=1)
    parts = both.record["parts"]
    assert [part["channel"] for part in parts] == ["1", "2"]
    assert parts[1]["normalisation"]["scale"] > 20 * parts[0]["normalisation"]["scale"]


@pytest.mark.parametrize("method", ["wavelet", "prior"])
def test_noisy_slices_come_out_as_alone(method):
    image = uneven_stack()
    whole = ruska.denoise(image, method=method)
    noisy = ruska.denoise(Image(image.data[3:], "ZYX"), method=method).image.numpy()
    quiet = ruska.denoise(Image(image.data[:3], "ZYX"), method=method).image.numpy()
    found = whole.image.numpy()
    tolerance = 0.02 * np.ptp(found)  # the grey scales of the parts are not quite that of the whole
    assert np.sqrt(np.mean((found[3:] - noisy) ** 2)) < tolerance
    assert np.sqrt(np.mean((found[:3] - quiet) ** 2)) < tolerance
    slices = whole.record["noise_spread"][0]["slices"]
    assert slices["differ"]
    assert slices["noisiest"] in (3, 4)
    assert slices["unlike_the_median"] == 2
    assert [part["slices"] for part in whole.record["parts"]] == ["1-3", "4-5"]


def test_a_region_is_treated_as_in_the_whole(tmp_path):
    image = uneven_stack()
    whole = ruska.denoise(image, method="wavelet").image.numpy()
    part = ruska.denoise(image, method="wavelet", roi={"Z": (2, 4)}).image.numpy()
    np.testing.assert_array_equal(part, whole[2:4])


@pytest.mark.parametrize("method", ["wavelet", "prior"])
def test_a_region_of_one_channel_has_the_grey_scale_of_that_channel(method):
    values = two_channels().astype(np.float32)
    values[:, :, :70] = np.nan  # more than is filled from what is beside it
    image = Image(values, "CYX")
    whole = ruska.denoise(image, method=method).image.numpy()
    for channel in (0, 1):
        part = ruska.denoise(image, method=method, roi={"C": (channel, channel + 1)}).image.numpy()
        np.testing.assert_allclose(part[0], whole[channel], rtol=1e-5)


def test_slices_and_channels_in_any_order_of_axes():
    values = np.stack([two_channels(), two_channels() + 7]).transpose(1, 0, 2, 3)  # CZYX
    here = ruska.denoise(Image(values, "CZYX"), method="wavelet").image.numpy()
    there = ruska.denoise(Image(values.transpose(1, 0, 2, 3), "ZCYX"), method="wavelet").image.numpy()
    np.testing.assert_array_equal(there.transpose(1, 0, 2, 3), here)


def test_a_resumed_run_does_not_look_again_and_gives_the_same_bytes(tmp_path, monkeypatch):
    from ruska.pipeline import parts

    file, out, again = tmp_path / "a.tif", tmp_path / "o.tif", tmp_path / "p.tif"
    io.write(file, uneven_stack())
    request = Request(task="denoise", method="wavelet", inputs={"image": {"path": str(file)}}, output=str(out))

    class StoppedError(Exception):
        pass

    class Context:
        folder, memory_bytes, workers, own_process = None, None, 1, False

        def event(self, stage, done, total, note=""):
            if stage == "restoring" and done >= 1:
                raise StoppedError

        def cancelled(self):
            return False

    with pytest.raises(StoppedError):
        run(request, Context())
    surveyed = []
    measure = parts.survey
    monkeypatch.setattr(parts, "survey", lambda *a, **k: surveyed.append(1) or measure(*a, **k))
    run(request)
    assert not surveyed
    run(request.model_copy(update={"output": str(again)}))
    assert surveyed
    np.testing.assert_array_equal(io.read(out).numpy(), io.read(again).numpy())


def test_the_report_shows_the_noisiest_slice_and_the_spread(tmp_path):
    done = ruska.denoise(uneven_stack(), tmp_path / "o.tif", method="wavelet")
    page = done.report.read_text()
    assert "Noise by channel and slice" in page
    assert "2 of 5" in page
    record = json.loads((tmp_path / "o.record.json").read_text())
    assert record["noise_spread"][0]["slices"]["differ"]


def test_info_and_noise_say_how_channels_and_slices_differ(tmp_path):
    from ruska.pipeline import describe
    from ruska.pipeline.inspect import noise_report

    spread = describe(Image(two_channels(), "CYX"))["noise_spread"]
    assert spread[1]["std"] > 20 * spread[0]["std"]
    found = noise_report(uneven_stack(), tmp_path)["spread"][0]["slices"]
    assert found["highest"] == pytest.approx(18, rel=0.15)
    assert found["lowest"] == pytest.approx(6, rel=0.15)


def test_samples_of_channels_are_those_of_each_alone():
    values = two_channels()[:, :64, :64]
    both = ruska.denoise(Image(values, "CYX"), method="prior", samples=2)
    alone = ruska.denoise(Image(values[0], "YX"), method="prior", samples=2)
    np.testing.assert_allclose(both.samples[0].numpy()[0], alone.samples[0].numpy(), atol=0.5)


def test_one_training_serves_all_channels_each_on_its_own_grey_scale():
    values = two_channels()
    settings = {"steps": 3, "batch": 1, "patch": 32, "spot": "1x1"}
    done = ruska.denoise(Image(values, "CYX"), method="blindspot", settings=settings)
    found = done.image.numpy().astype(float)
    assert abs(found[0].mean() - values[0].mean()) < 10
    assert abs(found[1].mean() - values[1].mean()) < 600
    assert len(done.record["parts"]) == 2


def test_methods_that_do_not_say_so_are_prepared_once_on_one_grey_scale():
    seen = []

    class Together(methods.Settings):
        """None."""

    class Recipe:
        def __init__(self, own):
            self.settings = own

        def prepare(self, source, normalisation, budget):
            from ruska.methods.slices import SliceMethod, as_it_is

            seen.append((source.shape, normalisation.scale))
            return SliceMethod(as_it_is, (0, 0), 8.0)

    methods.register(methods.About("together", "denoise", "As it is.", Together, Recipe))
    try:
        values = two_channels()
        done = ruska.denoise(Image(values, "CYX"), method="together")
    finally:
        methods.unregister("together")
    assert [shape for shape, _ in seen] == [(2, 96, 96)]
    np.testing.assert_array_equal(done.image.numpy(), values)
    assert done.record["parts"] == []


def test_a_method_along_the_stack_says_that_slices_differ():
    told = ruska.denoise(uneven_stack(), method="tv", settings={"dimensions": 3}).record["warnings"]
    assert any("treats them all alike" in said for said in told)
    assert ruska.denoise(uneven_stack(), method="tv").record["warnings"] == []


def test_richardson_lucy_restores_each_channel_on_its_own_grey_scale():
    values, settings = two_channels(), {"sigma": 1.0, "iterations": 5}
    both = ruska.deblur(Image(values, "CYX"), method="richardson-lucy", settings=settings).image.numpy()
    alone = ruska.deblur(Image(values[0], "YX"), method="richardson-lucy", settings=settings).image.numpy()
    np.testing.assert_array_equal(both[0], alone)


def test_ranges_are_counted_from_one():
    assert ranges([0, 1, 2, 6, 8, 9]) == "1-3, 7, 9-10"


def test_of_an_image_without_valid_pixels_that_is_said_not_its_size() -> None:
    from ruska.pipeline.inspect import noise_report

    for shape, says in (((40, 40), "valid and finite"), ((8, 40), "8 x 40 pixels, at least 16 x 16")):
        with pytest.raises(RuskaError, match=says):
            noise_report(Image(np.full(shape, np.nan, np.float32), "YX"))
