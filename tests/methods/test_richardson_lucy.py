"""Richardson-Lucy: sharper than what it was given, and exact in blocks, as halos are exchanged."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import ruska
import ruska.engine.plan
from ruska.errors import SettingsError
from ruska.methods import create
from ruska.metrics import psnr
from ruska.physics import cell_phantom
from ruska.physics.operators import Blur, gaussian_psf


@pytest.fixture(scope="module")
def truth():
    return np.asarray(cell_phantom((96, 128), seed=3, pixel_size_nm=8), np.float32) * 200 + 20


@pytest.fixture(scope="module")
def blurred(truth):
    seen = Blur(gaussian_psf(2.0)).forward(torch.from_numpy(truth)[None, None])[0, 0].numpy()
    return seen + np.random.default_rng(0).normal(0, 0.3, seen.shape).astype(np.float32)


def restored(image, **options):
    return ruska.deblur(image, settings={"iterations": 12}, method="richardson-lucy", sigma=2.0, **options)


def test_it_sharpens_and_keeps_the_brightness(truth, blurred):
    found = restored(blurred).image.numpy()
    assert psnr(found, truth, 200) > psnr(blurred, truth, 200) + 1
    assert found.mean() == pytest.approx(blurred.mean(), rel=0.01)


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_blocks_equal_the_whole(blurred, monkeypatch, tmp_path, executor):
    whole = restored(blurred).image.numpy()
    np.save(tmp_path / "a.npy", blurred)
    monkeypatch.setitem(ruska.engine.plan._PREFERRED_EDGE, 2, 48)
    monkeypatch.setitem(ruska.engine.plan._SMALLEST_EDGE, 2, 32)
    found = restored(tmp_path / "a.npy", output=tmp_path / "b.npy", executor=executor, workers=2, report=False)
    assert found.record["plan"]["blocks"] > 1
    np.testing.assert_allclose(found.image.numpy(), whole, rtol=1e-4, atol=1e-2)


def test_one_blur_is_given():
    for settings in ({}, {"sigma": 2, "psf": "a.tif"}):
        with pytest.raises(SettingsError, match="either sigma or psf"):
            create("richardson-lucy", settings)
