"""The verdict on whole results: of each channel, and of what cannot be judged."""

from __future__ import annotations

import json

import numpy as np
from scipy.ndimage import gaussian_filter

from ruska.image import Image
from ruska.physics import STANDARD_DOSES, cell_phantom
from ruska.report import json_text, judge_images

CLEAN = cell_phantom((160, 192), seed=0).astype(np.float64)
NOISY = STANDARD_DOSES[0].simulate(CLEAN, 3).astype(np.float64)
BLURRED = gaussian_filter(NOISY, 4)


def test_the_least_good_channel_decides_and_is_named() -> None:
    before = Image(np.stack([NOISY, NOISY]), "CYX", channel_names=("SE", "BSE"))
    after = Image(np.stack([CLEAN, BLURRED]), "CYX", channel_names=("SE", "BSE"))
    found = judge_images(before, after, {})
    assert found.planes["channel 1 (SE)"].level == "good"
    assert found.verdict.level == "warning"
    assert found.verdict.lines[0].startswith("channel 1 (SE): Noise was removed")
    assert "In more detail, for channel 2 (BSE):" in found.verdict.lines
    facts = json.loads(json_text(found.as_dict()))
    assert facts["objection"] is True
    assert facts["better_than_input"] is False
    assert facts["planes"]["channel 1 (SE)"]["better_than_input"] is True


def test_a_single_plane_has_no_channels_and_no_objection() -> None:
    facts = judge_images(Image(NOISY, "YX"), Image(CLEAN, "YX"), {"task": "denoise"}).as_dict()
    assert (facts["level"], facts["objection"], facts["planes"]) == ("good", False, {})
    assert facts["looked_at"] == "all 160 x 192 pixels"


def test_pixels_that_are_not_finite_do_not_matter() -> None:
    holes = np.zeros(CLEAN.shape, bool)
    holes[:, -60:] = True
    before, after = (Image(np.where(holes, np.nan, plane), "YX") for plane in (NOISY, CLEAN))
    found = judge_images(before, after, {}).verdict
    assert (found.level, found.better) == ("good", True)
    nothing = Image(np.full((64, 64), np.nan), "YX")
    assert judge_images(nothing, nothing, {}).verdict.level == "caution"


def test_empty_planes_are_not_judged_where_others_are() -> None:
    for nothing in (0.0, np.nan):
        empty = np.full_like(NOISY, nothing)
        before = Image(np.stack([NOISY, empty, empty]), "ZYX")
        after = Image(np.stack([CLEAN, empty + 1e-8, empty]), "ZYX")
        facts = judge_images(before, after, {}).as_dict()
        assert (facts["level"], facts["better_than_input"]) == ("good", True)
        assert "slice 1 of 3" in facts["looked_at"]
    both = judge_images(Image(np.stack([NOISY, 0 * NOISY]), "CYX"), Image(np.stack([CLEAN, 0 * CLEAN]), "CYX"), {})
    assert both.verdict.level == "good"


def test_only_a_denoised_plane_is_compared_with_its_input() -> None:
    before, after = Image(NOISY, "YX"), Image(BLURRED, "YX")
    assert judge_images(before, after, {"task": "denoise"}).verdict.better is False
    assert judge_images(before, after, {"task": "deblur"}).verdict.better is None
    finer = judge_images(before, Image(np.kron(CLEAN, np.ones((2, 2))), "YX"), {"task": "superres"}).verdict
    assert finer.headline == "This result was not judged: look at it yourself."
    assert finer.better is None


def test_the_noisiest_plane_is_judged_too() -> None:
    before = Image(np.stack([NOISY, NOISY, NOISY]), "ZYX")
    after = Image(np.stack([CLEAN, CLEAN, BLURRED]), "ZYX")
    assert judge_images(before, after, {}).verdict.level == "good"
    found = judge_images(before, after, {}, noisiest={"Z": 2})
    assert found.verdict.level == "warning"
    assert list(found.planes) == ["middle plane", "noisiest plane (slice 3 of 3)"]
