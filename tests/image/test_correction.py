"""(raw - dark) x gain, lazily, for any axes; what does not fit says so and how to mend it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ruska.errors import GeometryError
from ruska.image import CorrectedArray, Image, LazyArray, Quantity, corrected, crop


class Recorded:
    """Lazy pixels that remember which boxes were read."""

    def __init__(self, array: np.ndarray) -> None:
        self.array, self.shape, self.dtype, self.chunks = array, array.shape, array.dtype, (1, 4, 4)
        self.read: list[Any] = []

    def __getitem__(self, box: Any) -> np.ndarray:
        self.read.append(box)
        return self.array[box]


@given(data=st.data())
def test_equals_the_formula_in_any_box(data: st.DataObject) -> None:
    shape = data.draw(arrays.array_shapes(min_dims=2, max_dims=4, max_side=7))
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16, np.int16, np.uint32, np.float32, np.float64]))
    random = np.random.default_rng(0)
    raw = random.integers(0, 100, shape).astype(dtype)
    dark, gain = random.uniform(0, 20, shape[-2:]), random.uniform(0.5, 2, shape[-2:])
    fixed = corrected(Image(raw, "TZYX"[-len(shape) :]), dark, gain)
    assert fixed.dtype == np.float32
    expected = (raw.astype(np.float64) - dark) * gain
    np.testing.assert_allclose(fixed.numpy(), expected, rtol=1e-5, atol=1e-4)
    box = tuple(slice(*sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n))))) for n in shape)
    np.testing.assert_array_equal(fixed.data[box], fixed.numpy()[box])


def test_only_what_is_asked_for_is_read_and_the_rest_is_kept() -> None:
    raw = Recorded(np.arange(2 * 8 * 8, dtype=np.uint16).reshape(2, 8, 8))
    image = Image(raw, "TYX", {"Y": Quantity(2, "nm")}, header={"mrc": {"nx": 8}}, name="movie.mrc", notes=("odd",))
    fixed = corrected(image, gain=np.full((1, 8, 8), 2.0))
    assert raw.read == []
    assert isinstance(fixed.data, LazyArray)
    assert isinstance(fixed.data, CorrectedArray)
    assert fixed.data.chunks == (1, 4, 4)
    part = crop(fixed, {"T": slice(1, 2), "Y": slice(2, 4)})
    np.testing.assert_array_equal(part.numpy(), 2.0 * raw.array[1:2, 2:4])
    assert raw.read == [(slice(1, 2), slice(2, 4), slice(0, 8))]
    assert (fixed.spacing, fixed.header, fixed.name) == (image.spacing, image.header, image.name)
    assert fixed.mask is None
    assert fixed.notes[0] == "odd"
    assert "gain reference multiplied" in fixed.notes[1]
    assert "dark" not in fixed.notes[1]
    assert corrected(image) is image


def test_large_counts_keep_their_digits() -> None:
    raw = np.full((4, 4), 2**24 + 1, np.uint32)
    fixed = corrected(Image(raw, "YX"), dark=np.full((4, 4), 2.0**24))
    np.testing.assert_array_equal(fixed.numpy(), 1.0)


def test_pixels_without_a_usable_reference_are_the_median_of_those_around() -> None:
    gain, dark = np.ones((40, 40)), np.zeros((40, 40))
    gain[0, 0], gain[1, 1], gain[2, 2], gain[3, 3], dark[4, 4] = 0, -1, np.nan, np.inf, np.nan
    raw = np.random.default_rng(0).integers(0, 250, (2, 40, 40)).astype(np.uint8)
    known = np.ones((2, 40, 40), bool)
    known[1, 5, 5] = False
    defects = np.zeros((40, 40), np.uint8)
    defects[10:14, :] = 1
    fixed = corrected(Image(raw, "ZYX", mask=known), dark, gain, defects)
    assert fixed.mask is known  # all could be mended
    values = fixed.numpy()
    bad = defects > 0
    bad[range(5), range(5)] = True
    np.testing.assert_array_equal(values[:, ~bad], raw[:, ~bad])
    for z, y, x in ((0, 0, 0), (1, 2, 2), (1, 10, 20), (0, 12, 39)):
        rows, columns = (slice(max(0, i - r), i + r + 1) for i, r in ((y, 1 + (y == 12)), (x, 1 + (y == 12))))
        near = raw[z, rows, columns][~bad[rows, columns]]
        assert values[z, y, x] == np.median(near)
    assert "165 pixels of a frame" in fixed.notes[-1]
    assert gain[0, 0] == 0  # the caller's reference is untouched
    for box in ((slice(0, 1), slice(9, 13), slice(3, 30)), (slice(1, 2), slice(12, 13), slice(39, 40))):
        np.testing.assert_array_equal(fixed.data[box], values[box])


def test_what_is_far_from_any_good_pixel_is_invalid() -> None:
    gain = np.ones((50, 60))
    gain[10:40, 10:40] = 0
    fixed = corrected(Image(np.full((50, 60), 9, np.uint8), "YX"), gain=gain)
    lost = np.zeros((50, 60), bool)
    lost[16:34, 16:34] = True
    np.testing.assert_array_equal(fixed.mask, ~lost)
    np.testing.assert_array_equal(np.isnan(fixed.numpy()), lost)
    assert "324 of them" in fixed.notes[-1]


def test_references_of_several_frames_are_averaged_and_those_of_a_region_hold_there() -> None:
    dark = np.arange(3 * 8 * 10, dtype=np.float64).reshape(3, 8, 10)
    dark[0, 1, 1] = np.nan
    image = Image(np.full((2, 8, 10), 500, np.uint16), "TYX")
    fixed = corrected(image, Image(dark, "TYX", name="dark.mrc"))
    np.testing.assert_allclose(fixed.numpy(), np.broadcast_to(500 - np.nanmean(dark, 0), (2, 8, 10)))
    assert "the mean of its 3 frames" in fixed.notes[-1]
    part = corrected(image, gain=np.full((4, 5), 2.0), covers=(slice(2, 6), slice(5, 10))).numpy()
    assert (part[:, 2:6, 5:] == 1000).all()
    assert np.isnan(part).sum() == 2 * (80 - 20)


@pytest.mark.parametrize(("reference", "words"), [
    (np.ones((10, 8)), ["10 x 8", "8 x 10", "quarter", "--gain-as rot90", "rot270"]),
    (np.ones((16, 20)), ["16 x 20", "2 x 2", "--gain-as bin2"]), (np.ones((12, 11)), ["Crop the reference"]),
    (np.ones((20, 16)), ["2 x 2", "--gain-as bin2,rot90"]), (np.ones((4, 5)), ["2 x 2", "--gain-as expand2"]),
    (np.ones((4, 10)), ["--roi 0:4,0:10"]), (np.ones((20, 4)), ["--axes"]),
])  # fmt: skip
def test_a_reference_that_does_not_fit_says_what_would(reference: np.ndarray, words: list[str]) -> None:
    with pytest.raises(GeometryError, match="gain reference") as caught:
        corrected(Image(np.zeros((2, 8, 10), np.uint8), "TYX", name="movie.mrc"), gain=reference)
    for word in ("movie.mrc", *words):
        assert word in str(caught.value)


def test_images_serve_as_references_and_are_named() -> None:
    image = Image(np.full((8, 10), 7, np.uint8), "YX")
    dark = Image(np.full((1, 8, 10), 2, np.int16), "ZYX", name="dark.mrc")
    fixed = corrected(image, dark=dark)
    np.testing.assert_array_equal(fixed.numpy(), 5.0)
    assert "dark.mrc" in fixed.notes[-1]
    with pytest.raises(GeometryError, match="one frame"):
        corrected(image, dark=np.ones(10))
    with pytest.raises(GeometryError, match=r"dark\.mrc"):
        corrected(Image(np.zeros((9, 9)), "YX"), dark=dark)
