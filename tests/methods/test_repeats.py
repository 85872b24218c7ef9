"""The noise of repeated frames: from their differences, whatever the specimen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import fourier_shift, gaussian_filter

import ruska
from ruska.engine import ArraySource
from ruska.errors import GeometryError
from ruska.image import Image
from ruska.methods.looking import told_level, typical_noise
from ruska.methods.repeats import noise_of_repeats, tell_repeats
from ruska.physics import STANDARD_DOSES, PoissonGaussian, estimate_noise

# texture as fine as a pixel, which one image cannot tell from noise
_RANDOM = np.random.default_rng(0)
SLOW = gaussian_filter(_RANDOM.normal(0, 1, (160, 160)), 12)
TEXTURE = np.clip(0.4 + 0.15 * SLOW / SLOW.std() + 0.08 * _RANDOM.normal(0, 1, SLOW.shape), 0, 1)


def movie(dose: PoissonGaussian, clean: np.ndarray = TEXTURE, count: int = 4) -> np.ndarray:
    return np.stack([dose.simulate(clean, seed=k) for k in range(count)]).astype(np.float64)


def source(frames: np.ndarray) -> ArraySource:
    return ArraySource(frames, "TYX")


@pytest.mark.parametrize("dose", STANDARD_DOSES)
def test_texture_is_not_taken_for_noise(dose: PoissonGaussian) -> None:
    frames = movie(dose)
    true = float((frames - TEXTURE).std())
    found = noise_of_repeats(source(frames))
    assert found is not None
    assert found.noise.std == pytest.approx(true, rel=0.02)
    assert found.level.gain == pytest.approx(1 / dose.peak_counts, rel=0.25)
    assert not found.noise.correlated
    assert found.pairs == 3
    assert found.drift_px < 0.1
    assert found.warning is None
    if dose is STANDARD_DOSES[0]:
        assert estimate_noise(frames[0]).std > 1.3 * true


def test_streaks_brightness_and_missing_pixels() -> None:
    dose = PoissonGaussian(50, 0.02, (0.15, 1.0, 0.6))
    frames = movie(dose)
    known = noise_of_repeats(source(frames))
    assert known is not None
    assert known.noise.correlated
    assert known.noise.lags_x[0] > 0.3 > abs(known.noise.lags_y[0])
    assert known.noise.white_equivalent_std > 1.2 * known.noise.std
    fading = frames * np.linspace(1, 0.9, 4)[:, None, None] + np.array([0, 0.1, -0.1, 0.2])[:, None, None]
    fading[:, :30] = np.nan
    found = noise_of_repeats(source(fading))
    assert found is not None
    assert found.noise.std == pytest.approx(0.95 * known.noise.std, rel=0.06)


@pytest.mark.parametrize("step", [(0.0, 0.3), (1.4, -2.0)])
def test_drift_is_taken_out_and_said(step: tuple[float, float]) -> None:
    wide = gaussian_filter(np.random.default_rng(3).normal(0, 1, (220, 220)), 2.5)
    wide = 0.5 + 0.15 * wide / wide.std()
    spectrum = np.fft.fft2(wide)
    frames = np.stack([np.fft.ifft2(fourier_shift(spectrum, np.multiply(step, k))).real for k in range(4)])[
        :, 20:-20, 20:-20
    ]
    noise = np.random.default_rng(4).normal(0, 0.05, frames.shape)
    found = noise_of_repeats(source(frames + noise))
    assert found is not None
    assert found.drift_px == pytest.approx(np.hypot(*step), abs=0.12)
    assert found.noise.std == pytest.approx(0.05, rel=0.08)
    assert found.warning is not None


def test_every_method_that_asks_is_told() -> None:
    own = source(movie(STANDARD_DOSES[0]))
    before = typical_noise(own)
    assert before is not None
    assert told_level(own) is None
    found = tell_repeats(own, "movie.tif")
    assert typical_noise(own) == found.noise
    assert told_level(own) == found.level
    assert found.noise.std < before.std


def test_what_is_no_movie_is_refused() -> None:
    for frames in (TEXTURE[None], np.stack([TEXTURE, TEXTURE]), movie(STANDARD_DOSES[0], TEXTURE[:50, :50])):
        with pytest.raises(GeometryError, match="no two frames"):
            tell_repeats(source(frames), "one.tif")


def test_a_movie_is_denoised_by_what_its_frames_say(tmp_path: Path) -> None:
    frames = movie(STANDARD_DOSES[0]).astype(np.float32)
    ruska.write(tmp_path / "movie.tif", Image(frames, "TYX"))
    usual, told = (
        ruska.denoise(tmp_path / "movie.tif", method="prior", repeated_frames=repeated) for repeated in (False, True)
    )
    assert "differences between 3 pairs" in told.record["method_reason"]
    assert "--repeated-frames" in told.record["command"]
    assert "--repeated-frames" not in usual.record["command"]
    errors = [float(((found.image.numpy() - TEXTURE) ** 2).mean()) for found in (usual, told)]
    assert errors[1] < 0.8 * errors[0]
