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


def test_pixels_without_a_usable_gain_are_invalid() -> None:
    gain, dark = np.ones((6, 6)), np.zeros((6, 6))
    gain[0, 0], gain[1, 1], gain[2, 2], gain[3, 3], dark[4, 4] = 0, -1, np.nan, np.inf, np.nan
    known = np.ones((2, 6, 6), bool)
    known[1, 5, 5] = False
    fixed = corrected(Image(np.full((2, 6, 6), 10, np.uint8), "ZYX", mask=known), dark, gain)
    expected = known.copy()
    expected[:, range(5), range(5)] = False
    np.testing.assert_array_equal(fixed.mask, expected)
    np.testing.assert_array_equal(
        np.isnan(fixed.numpy()), np.broadcast_to(np.eye(6) * (np.arange(6) < 5) > 0, (2, 6, 6))
    )
    assert "5 pixels of a frame" in fixed.notes[-1]
    assert gain[0, 0] == 0  # the caller's reference is untouched


@pytest.mark.parametrize(("reference", "words"), [
    (np.ones((10, 8)), ["10 x 8", "8 x 10", "transpose", "gain.T", "flipped"]),
    (np.ones((16, 20)), ["16 x 20", "2 x 2", "bin"]), (np.ones((12, 11)), ["Crop the reference"]),
    (np.ones((4, 10)), ["Crop the image"]), (np.ones((20, 4)), ["--axes"]), (np.ones((3, 8, 10)), ["Average"]),
    (np.ones(10), ["one frame"]),
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
    with pytest.raises(GeometryError, match=r"dark\.mrc"):
        corrected(Image(np.zeros((9, 9)), "YX"), dark=dark)
