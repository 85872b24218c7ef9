"""Few grey levels become float32, and it is said; ordinary images stay what they are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import ruska
from ruska.image import Image
from ruska.pipeline import describe
from ruska.pipeline.dtypes import few_levels, rounding_costs


def scene(size=96):
    smooth = gaussian_filter(np.random.default_rng(0).standard_normal((size, size)), 6, mode="wrap")
    return 0.5 + 0.4 * np.tanh(2 * smooth / smooth.std())


def counts(mean=0.7):
    return np.random.default_rng(1).poisson(2 * mean * scene())


def restored(values, **options):
    return ruska.denoise(values, method="gaussian", settings={"sigma": 2}, **options)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16"])
def test_counts_are_not_rounded_away(dtype):
    found = restored(counts().astype(dtype))
    assert found.image.dtype == np.float32
    error = np.asarray(found.image) - 1.4 * scene()
    rounded = np.rint(np.asarray(found.image)) - 1.4 * scene()
    assert np.mean(error**2) < 0.5 * np.mean(rounded**2)
    said = [w for w in found.record["warnings"] if "float32" in w]
    assert len(said) == 1
    assert dtype in said[0]
    assert found.record["output"]["dtype"] == "float32"


def test_more_counts_are_not_rounded_away_where_the_noise_is_much_of_the_range():
    assert restored(counts(3).astype(np.uint8)).image.dtype == np.float32
    assert rounding_costs(1.8, 12)
    assert not rounding_costs(1.8, 40)
    assert not rounding_costs(3.0, 20)


def test_who_insists_gets_what_was_there():
    found = restored(counts().astype(np.uint8), dtype="same")
    assert found.image.dtype == np.uint8
    assert not any("float32" in w for w in found.record["warnings"])


@pytest.mark.parametrize(
    "values",
    [
        (40 + 150 * scene() + np.random.default_rng(2).normal(0, 5, (96, 96))).astype(np.uint8),
        (40 + 150 * scene() + np.random.default_rng(2).normal(0, 0.8, (96, 96))).astype(np.uint8),  # hardly any noise
        np.random.default_rng(3).poisson(30 * scene()).astype(np.uint8),  # few levels, the noise is several
        (scene() > 0.5).astype(np.uint8)[:12],  # too small to tell
        (scene() > 0.5),
    ],
    ids=["ordinary", "clean", "bright counts", "small", "bool"],
)
def test_ordinary_images_keep_their_dtype(values):
    found = restored(values)
    assert found.image.dtype == values.dtype
    assert not any("float32" in w for w in found.record["warnings"])


def test_labels_keep_their_dtype():
    image = Image(counts().astype(np.uint8), "YX", meaning="labels")
    assert restored(image).image.dtype == np.uint8


def test_it_is_said_before_the_work():
    facts = describe(Image(counts().astype(np.uint8), "YX"), "gaussian")
    assert facts["job"]["output_dtype"] == "float32"
    assert "written as float32, not uint8" in facts["reason"]


def test_a_picture_cannot_hold_it_and_that_is_said(tmp_path):
    found = ruska.denoise(counts().astype(np.uint8), tmp_path / "seen.png", method="gaussian", settings={"sigma": 2},
                          report=False)  # fmt: skip
    assert found.record["output"]["dtype"] == "uint8"
    assert any("write .tif" in w for w in found.record["warnings"])


def test_the_rule():
    assert [rounding_costs(std) for std in (0.2, 1.0, 1.4, 1.5, 5.0)] == [True, True, True, False, False]
    assert [few_levels(n) for n in (3, 63, 64, 255)] == [True, True, False, False]
