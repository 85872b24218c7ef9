"""A truth that lies elsewhere is put in place, and only what both sides show is scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import fourier_shift

import ruska
from ruska.errors import GeometryError
from ruska.evaluation import place_truth, score
from ruska.evaluation.placing import covered
from ruska.image import Image, Quantity
from ruska.physics import STANDARD_DOSES, cell_phantom


def through_fourier(field: np.ndarray, shift: tuple[float, float], margin: int = 16) -> np.ndarray:
    """The middle of ``field``, displaced by ``shift``; what comes in over the border is of the same scene."""
    moved = np.fft.ifft2(fourier_shift(np.fft.fft2(field), shift)).real
    return moved[margin:-margin, margin:-margin]


def plane(values: np.ndarray, name: str) -> Image:
    return Image(values, "YX", name=name)


SCENE = cell_phantom((224, 240), seed=3, pixel_size_nm=8).astype(np.float64)
HERE = through_fourier(SCENE, (0, 0))
RESULT = HERE + np.random.default_rng(0).normal(0, 0.03, HERE.shape)


def test_a_real_micrograph_moved_scores_as_the_unmoved_one(micrographs: Path) -> None:
    volume = ruska.read(micrographs / "val" / "cdeep3m_sbem" / "train_raw_12x1024x1024.tif").data
    whole = np.asarray(volume[0:1, 0:1024, 0:1024], dtype=np.float64)[0]
    field = whole.reshape(512, 2, 512, 2).mean((1, 3)) / 255  # averaging removes its own noise
    truth = through_fourier(field, (0, 0))
    noisy = STANDARD_DOSES[1].simulate(truth, seed=5)
    result = ruska.denoise(noisy, method="tv", dtype="float32").image.numpy().astype(np.float64)
    moved = plane(through_fourier(field, (0.4, -1.3)), "moved")
    direct, shifted = score(plane(result, "r"), plane(truth, "t")).truth, score(plane(result, "r"), moved).truth
    assert direct is not None
    assert shifted is not None
    for given_noisy in (None, plane(noisy, "noisy")):
        r, t, n, facts = place_truth(plane(result, "r"), moved, given_noisy)
        found = score(r, t, n).truth
        assert found is not None
        assert facts.shift_y_px.median == pytest.approx(-0.4, abs=0.05)
        assert facts.shift_x_px.median == pytest.approx(1.3, abs=0.05)
        assert facts.confidence.low > 0.9
        # as it should be on the very pixels that are left, which the shift alone has spoilt by more
        rows, columns = slice(*facts.rows), slice(*facts.columns)
        same = score(plane(result[rows, columns], "r"), plane(truth[rows, columns], "t")).truth
        assert same is not None
        assert found.psnr_db.median == pytest.approx(same.psnr_db.median, abs=0.2)
        assert found.psnr_db.median == pytest.approx(direct.psnr_db.median, abs=0.2)
        assert found.ssim.median == pytest.approx(same.ssim.median, abs=0.01)
        assert shifted.psnr_db.median < direct.psnr_db.median - 0.5


def test_only_common_pixels_are_left_and_the_noisy_side_is_as_it_was() -> None:
    truth = plane(through_fourier(SCENE, (-6.0, 4.0)), "truth")
    spacing = {"Y": Quantity(4.0, "nm"), "X": Quantity(4.0, "nm")}
    noisy = Image(RESULT, "YX", spacing, name="noisy")
    r, t, n, facts = place_truth(Image(HERE, "YX", spacing, name="result"), truth, noisy)
    assert n is not None
    assert facts.rows == (6, 192)
    assert facts.columns == (0, 204)
    assert r.shape == t.shape == n.shape == (186, 204)
    assert np.array_equal(n.numpy(), RESULT[6:, :204])
    assert np.isfinite(t.numpy()).all()
    assert t.origin["Y"].to("nm") == 24
    assert facts.fixed == "noisy"
    inside = np.s_[3:-3, 3:-3]
    assert np.abs(t.numpy()[inside] - HERE[6:, :204][inside]).mean() < 0.01


def test_every_scored_plane_of_a_stack_is_put_in_place() -> None:
    shifts = [(0.0, 0.0), (1.5, 2.5), (-2.5, 0.5)]
    truth = Image(np.stack([through_fourier(SCENE, s) for s in shifts])[:, :-4], "ZYX", name="truth")
    result = Image(np.stack([RESULT] * 3), "ZYX", name="result")
    r, t, _, facts = place_truth(result, truth)
    assert r.shape == t.shape
    assert (facts.shift_y_px.low, facts.shift_y_px.high) == pytest.approx((-1.5, 2.5), abs=0.05)
    assert facts.largest_px == pytest.approx(np.hypot(1.5, 2.5), abs=0.1)
    found = score(r, t).truth
    assert found is not None
    assert found.psnr_db.high - found.psnr_db.low < 0.5
    with pytest.raises(GeometryError, match=r"truth: has shape \(2, .*planes do not correspond"):
        place_truth(result, Image(truth.data[:2], "ZYX", name="truth"))


def test_what_cannot_be_placed_is_refused_by_name() -> None:
    noise = plane(np.random.default_rng(1).normal(0, 1, HERE.shape), "elsewhere.tif")
    with pytest.raises(GeometryError, match=r"elsewhere\.tif and result\.tif: cannot be aligned.*confidence"):
        place_truth(plane(RESULT, "result.tif"), noise)
    with pytest.raises(GeometryError, match=r"result: has shape .* noisy has"):
        place_truth(plane(RESULT, "result"), plane(HERE, "truth"), plane(RESULT[1:], "noisy"))
    fine = Image(HERE, "YX", {"Y": Quantity(2.0, "nm"), "X": Quantity(2.0, "nm")}, name="fine")
    coarse = Image(RESULT, "YX", {"Y": Quantity(4.0, "nm"), "X": Quantity(4.0, "nm")}, name="coarse")
    with pytest.raises(GeometryError, match="fine: has pixels of 2 nm along Y"):
        place_truth(coarse, fine)


@given(st.data())
def test_the_covered_part_is_whole_and_holds_a_rectangle_that_was_framed(data: st.DataObject) -> None:
    h, w = (data.draw(st.integers(4, 30)) for _ in range(2))
    top, bottom = (data.draw(st.integers(0, h // 2 - 1)) for _ in range(2))
    left, right = (data.draw(st.integers(0, w // 2 - 1)) for _ in range(2))
    valid = np.zeros((h, w), bool)
    valid[top : h - bottom, left : w - right] = True
    rows, columns = covered(valid)
    assert (rows, columns) == (slice(top, h - bottom), slice(left, w - right))
    assert covered(np.zeros((h, w), bool))[0] == slice(h, h)
