"""What the figure shows: which part of the data, which detail, and that it can be drawn for any image."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Picture

from ruska.image import Image, Quantity
from ruska.physics import cell_phantom
from ruska.report.panels import detail_window, round_length
from ruska.report.pictures import MOST_PIXELS, choose_shown, draw

NM = {"Z": Quantity(40, "nm"), "Y": Quantity(8, "nm"), "X": Quantity(8, "nm")}


class Recorded:
    """Lazy pixels that remember how much was read, and that take only explicit boxes."""

    def __init__(self, array: np.ndarray, shape: tuple[int, ...] | None = None) -> None:
        self.array, self.shape, self.dtype, self.read = array, shape or array.shape, array.dtype, 0

    def __getitem__(self, box: Any) -> np.ndarray:
        assert isinstance(box, tuple)
        assert all(isinstance(s, slice) and 0 <= s.start < s.stop <= n for s, n in zip(box, self.shape, strict=True))
        size = tuple(s.stop - s.start for s in box)
        self.read += int(np.prod(size))
        return np.broadcast_to(self.array, self.shape)[box]


def test_only_the_central_part_of_a_huge_plane_is_read() -> None:
    lazy = Recorded(np.zeros((1, 1, 1), np.uint8), (900, 30_000, 40_000))
    shown = choose_shown(Image(lazy, "ZYX"), Image(lazy, "ZYX"))
    assert shown.before.shape == (MOST_PIXELS, MOST_PIXELS)
    assert lazy.read == 2 * MOST_PIXELS**2  # no re-slice: it could mean reading a compressed file whole
    assert shown.before_xz is None
    assert shown.caption == "Shown: slice 450 of 900, central 1024 x 1024 of 30000 x 40000 pixels"


def test_middle_plane_first_channel_and_reslice_of_a_volume() -> None:
    values = np.arange(2 * 9 * 20 * 30, dtype=np.uint16).reshape(2, 9, 20, 30)
    image = Image(Recorded(values), "CZYX", NM)
    shown = choose_shown(image, Image(values + 1, "CZYX", NM))
    np.testing.assert_array_equal(shown.before, values[0, 4])
    np.testing.assert_array_equal(shown.residual, np.full((20, 30), -1.0))
    np.testing.assert_array_equal(shown.before_xz, values[0, :, 9])
    assert shown.pixel_nm == (8, 8)
    assert shown.depth_ratio == (5, 5)
    assert "channel 1 of 2, slice 5 of 9" in shown.caption


def test_no_residual_between_different_grids_and_no_nan() -> None:
    small = np.ones((20, 30), np.float32)
    small[3, 3] = np.nan
    shown = choose_shown(Image(small, "YX"), Image(np.ones((40, 60)), "YX"))
    assert shown.residual is None
    assert np.isfinite(shown.before).all()


def test_detail_is_where_the_structure_is() -> None:
    plane = np.zeros((600, 700))
    plane[330:470, 90:230] = cell_phantom((140, 140), 0)
    y, x = detail_window(plane)
    assert y.stop - y.start == x.stop - x.start == 192
    assert y.start <= 335 < 465 <= y.stop
    assert x.start <= 95 < 225 <= x.stop


@given(height=st.integers(1, 300), width=st.integers(1, 300))
def test_detail_fits_any_plane(height: int, width: int) -> None:
    y, x = detail_window(np.random.default_rng(0).normal(size=(height, width)))
    assert 0 <= y.start < y.stop <= height
    assert 0 <= x.start < x.stop <= width


@given(st.floats(1e-3, 1e7))
def test_scale_bar_lengths_are_round(about: float) -> None:
    length = round_length(about)
    assert 0.39 * about <= length <= about * (1 + 1e-8)
    assert round(length / 10 ** np.floor(np.log10(length * (1 + 1e-9)))) in (1, 2, 5)


def drawn(before: Image, after: Image, title: str = "a $b_ {c") -> np.ndarray:
    with Picture.open(io.BytesIO(draw(choose_shown(before, after), title))) as picture:
        return np.asarray(picture.convert("RGB"))


@pytest.mark.parametrize("shape", [(7, 9), (40, 400), (400, 40)])
@pytest.mark.parametrize("value", [None, 0])
def test_draws_odd_images(shape: tuple[int, int], value: int | None) -> None:
    values = np.random.default_rng(0).integers(0, 9, shape) if value is None else np.full(shape, value)
    image = Image(values.astype(np.uint8), "YX", {"X": Quantity(0.1, "angstrom")})
    assert drawn(image, image).shape[1] == 1500


def test_draws_volumes_and_other_grids() -> None:
    values = np.random.default_rng(0).normal(size=(9, 40, 50))
    volume = Image(values, "ZYX", NM)
    with_reslice = drawn(volume, volume)
    assert with_reslice.shape[0] > drawn(Image(values[4], "YX"), Image(values[4], "YX")).shape[0]
    assert drawn(Image(values[4], "YX"), Image(np.kron(values[4], np.ones((2, 2))), "YX")).std() > 0


def test_before_and_after_share_one_grey_window() -> None:
    ramp = np.tile(np.linspace(0, 100, 120), (120, 1))
    figure = drawn(Image(ramp + 100, "YX"), Image(ramp, "YX")).astype(int)
    before, after = figure[150:300, 100:400], figure[150:300, 620:900]
    assert before.min() > 250  # all of it is above the window of the result
    assert after.min() < 100 < 200 < after.max()
