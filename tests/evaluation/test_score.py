"""Scores agree with their definitions, sample stacks, and refuse what cannot be scored."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ruska.errors import GeometryError, InputError
from ruska.evaluation import score
from ruska.evaluation.score import structure_correlation
from ruska.evaluation.summary import MOST_PLANES
from ruska.image import Image
from ruska.metrics import psnr, ssim
from ruska.physics import STANDARD_DOSES, cell_phantom

CLEAN = cell_phantom((160, 192), 3).astype(np.float64)
NOISY = STANDARD_DOSES[1].simulate(CLEAN, 0).astype(np.float64)


def plane(values: np.ndarray, name: str = "image") -> Image:
    return Image(values, "YX", name=name)


def test_against_truth_as_it_is_and_fitted() -> None:
    truth = score(plane(0.5 * NOISY + 0.1), plane(CLEAN)).truth
    assert truth is not None
    span = np.ptp(CLEAN)
    assert truth.data_range == pytest.approx(span)
    assert truth.psnr_db.median == pytest.approx(psnr(0.5 * NOISY + 0.1, CLEAN, span))
    assert truth.ssim.median == pytest.approx(ssim(0.5 * NOISY + 0.1, CLEAN, span))
    assert truth.psnr_db_fitted.median > truth.psnr_db.median
    direct = score(plane(NOISY), plane(CLEAN)).truth
    assert direct is not None
    assert truth.psnr_db_fitted.median == pytest.approx(direct.psnr_db_fitted.median)
    assert truth.gain.median == pytest.approx(2 * direct.gain.median)


def test_residual_of_the_truth_is_pure_noise() -> None:
    found = score(plane(CLEAN), noisy=plane(NOISY))
    residual = found.residual
    assert residual is not None
    assert residual.residual_std.median == pytest.approx((NOISY - CLEAN).std())
    assert residual.removed_ratio.median == pytest.approx(1, abs=0.12)
    assert abs(residual.lag1_y.median) < 0.03
    assert abs(residual.lag1_x.median) < 0.03
    assert abs(residual.structure_correlation.median) < 0.03
    assert found.noise_before is not None
    assert found.noise_after.median < 0.2 * found.noise_before.median
    assert any("Without a clean truth" in note for note in found.notes)


def test_a_blur_leaves_structure_in_the_residual() -> None:
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(CLEAN, 2)
    assert structure_correlation(CLEAN - blurred, blurred) < -0.5
    assert structure_correlation(np.zeros_like(CLEAN), blurred) == 0


def test_stacks_are_sampled_evenly_and_it_is_said() -> None:
    offsets = np.arange(100)[:, None, None] / 1000
    truth = Image(np.broadcast_to(CLEAN[:32, :32], (100, 32, 32)), "ZYX")
    found = score(Image(truth.numpy() + offsets, "ZYX"), truth)
    assert (found.planes, found.of_planes) == (MOST_PLANES, 100)
    assert f"Scored {MOST_PLANES} of 100 planes, evenly spaced." in found.notes
    assert found.truth is not None
    assert found.truth.offset.low == pytest.approx(-0.099)  # both ends are among the planes
    assert found.truth.offset.high == pytest.approx(0)
    assert found.truth.offset.low < found.truth.offset.median < found.truth.offset.high


def test_alone_only_the_noise_is_estimated() -> None:
    found = score(plane(NOISY))
    assert found.truth is None
    assert found.residual is None
    assert found.noise_before is None
    assert set(found.as_dict()) == {"planes", "of_planes", "noise_after", "notes", "meaning"}


def test_dictionary_is_json() -> None:
    as_dict = score(plane(NOISY), plane(CLEAN), plane(NOISY)).as_dict()
    assert json.loads(json.dumps(as_dict))["truth"]["psnr_db"]["median"] == as_dict["truth"]["psnr_db"]["median"]


def test_other_shapes_are_refused_by_both_names() -> None:
    with pytest.raises(GeometryError, match=r"result\.tif.*truth\.tif"):
        score(plane(NOISY, "result.tif"), plane(CLEAN[1:], "truth.tif"))


def test_nan_is_refused_and_named() -> None:
    broken = np.stack([NOISY, NOISY])
    broken[1, 3, 3] = np.nan
    with pytest.raises(InputError, match=r"r\.tif.*NaN.*\(1,\)"):
        score(Image(broken, "ZYX", name="r.tif"))


def test_a_truth_without_contrast_is_refused() -> None:
    with pytest.raises(InputError, match="no range"):
        score(plane(NOISY), plane(np.ones_like(NOISY), "flat.tif"))


def test_resolution_visual_distance_and_faults_are_told() -> None:
    from scipy.ndimage import gaussian_filter

    blurred = score(plane(gaussian_filter(CLEAN, 2)), plane(CLEAN))
    sound = score(plane(CLEAN + np.random.default_rng(0).normal(0, 0.005, CLEAN.shape)), plane(CLEAN))
    assert blurred.truth is not None
    assert sound.truth is not None
    assert blurred.truth.gmsd.median > 3 * sound.truth.gmsd.median
    assert blurred.faults is not None
    assert any("blurred by" in fault for fault in blurred.faults)
    assert sound.faults == ()
    rough = score(plane(NOISY), plane(CLEAN)).truth
    assert rough is not None
    assert 2 <= sound.truth.resolution_px.median < rough.resolution_px.median
    assert score(plane(CLEAN[:40, :40]), plane(CLEAN[:40, :40] + 0.1)).faults is None
