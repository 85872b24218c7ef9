"""PSNR, SSIM and the gain/offset fit agree with scikit-image and with closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from ruska.errors import GeometryError, SettingsError
from ruska.metrics import fit_gain_offset, gmsd, psnr, ssim

RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.uniform(0, 255, (40, 50))
RESULT = TRUTH + RANDOM.normal(0, 20, TRUTH.shape)


def test_agree_with_scikit_image() -> None:
    assert psnr(RESULT, TRUTH, 255) == pytest.approx(peak_signal_noise_ratio(TRUTH, RESULT, data_range=255))
    assert ssim(RESULT, TRUTH, 255) == pytest.approx(structural_similarity(TRUTH, RESULT, data_range=255))


def test_psnr_of_a_constant_error_and_of_none() -> None:
    assert psnr(TRUTH + 2.55, TRUTH, 255) == pytest.approx(40)
    assert psnr(TRUTH, TRUTH, 255) == float("inf")


def test_unsigned_integers_do_not_wrap() -> None:
    assert psnr(np.uint8([[10]]), np.uint8([[20]]), 255) == pytest.approx(10 * np.log10(255**2 / 100))


@given(gain=st.floats(0.05, 20), offset=st.floats(-500, 500))
@settings(max_examples=30, deadline=None)
def test_fit_undoes_gain_and_offset(gain: float, offset: float) -> None:
    found = fit_gain_offset((TRUTH - offset) / gain, TRUTH)
    np.testing.assert_allclose(found, (gain, offset), rtol=1e-6, atol=1e-6)


def test_fit_is_the_least_squares_one() -> None:
    terms = np.stack([RESULT.ravel(), np.ones(RESULT.size)], 1)
    np.testing.assert_allclose(
        fit_gain_offset(RESULT, TRUTH), np.linalg.lstsq(terms, TRUTH.ravel(), rcond=None)[0], rtol=1e-9
    )
    assert fit_gain_offset(np.ones_like(TRUTH), TRUTH) == (0.0, pytest.approx(TRUTH.mean()))


def test_refusals() -> None:
    with pytest.raises(GeometryError, match=r"\(40, 49\)"):
        psnr(RESULT[:, 1:], TRUTH, 255)
    with pytest.raises(GeometryError, match="SSIM"):
        ssim(TRUTH[:6], TRUTH[:6], 255)
    with pytest.raises(SettingsError, match="data_range"):
        psnr(RESULT, TRUTH, 0)


def test_gmsd_grows_with_what_is_seen():
    from scipy.ndimage import gaussian_filter

    from ruska.physics import cell_phantom

    truth = cell_phantom((96, 96), seed=0)
    assert gmsd(truth, truth, 1.0) == 0
    blurred = [gmsd(gaussian_filter(truth, s), truth, 1.0) for s in (0.5, 1.0, 2.0)]
    assert blurred == sorted(blurred)
    assert blurred[0] > 0.003
    assert gmsd(truth + 0.2, truth, 1.0) == pytest.approx(0, abs=1e-6)
    assert gmsd(500 * truth, 500 * gaussian_filter(truth, 1.0), 500.0) == pytest.approx(blurred[1])
    with pytest.raises(GeometryError):
        gmsd(truth[0], truth[0], 1.0)
