"""Gain references of EER movies are the inverse of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from ruska.image import Image
from ruska.pipeline.detector import correct_detector

XML = b"<?xml version='1.0'?><metadata><item name='cameraName'>Falcon</item></metadata>"


def test_frames_are_divided_by_an_eer_gain_and_zero_is_a_defect(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    gain = rng.uniform(0.8, 1.2, (40, 48)).astype(np.float32)
    gain[7, 9] = 0
    frames = rng.poisson(1000 * gain, (4, 40, 48)).astype(np.float32)
    tifffile.imwrite(tmp_path / "a.gain", gain, extratags=[(65001, 7, len(XML), XML, True)])
    tifffile.imwrite(tmp_path / "a.tif", gain)
    image = Image(frames, "TYX")
    found = correct_detector(image, gain=str(tmp_path / "a.gain"), gain_as="keep")
    usable = gain > 0
    ratio = found.numpy()[:, usable] / (frames[:, usable] / gain[usable])
    assert np.ptp(ratio) < 1e-5 * ratio.mean()  # one factor for all: the mean of the reference
    assert abs(ratio.mean() - 1) < 0.05
    assert any("no usable reference" in note for note in found.notes)
    np.testing.assert_allclose(found.numpy()[:, 7, 9], 1000, rtol=0.1)  # from the pixels around
    plain = correct_detector(image, gain=str(tmp_path / "a.tif"), gain_as="keep")
    np.testing.assert_allclose(plain.numpy()[:, usable], frames[:, usable] * gain[usable], rtol=1e-5)
