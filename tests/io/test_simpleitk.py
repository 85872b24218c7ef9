"""What ITK, the library behind many viewers, makes of the files we write."""

from __future__ import annotations

import numpy as np
import pytest

import ruska
from ruska.image import Image, Quantity

sitk = pytest.importorskip("SimpleITK", reason="needs the 'oracles' extra")


@pytest.mark.parametrize("suffix", [".mrc", ".tif"])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_itk_reads_the_same_pixels(tmp_path, suffix, dtype):
    values = np.random.default_rng(0).normal(0, 100, (3, 20, 30)).astype(dtype)
    spacing = {a: Quantity(v, "angstrom") for a, v in zip("ZYX", (20.0, 5.0, 5.0), strict=True)}
    ruska.write(tmp_path / f"a{suffix}", Image(values, "ZYX", spacing))
    opened = sitk.ReadImage(str(tmp_path / f"a{suffix}"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(opened), values)
    if suffix == ".mrc":
        assert opened.GetSpacing() == pytest.approx((5, 5, 20))
