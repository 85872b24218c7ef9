"""Offsets of rows and columns are recovered over noise and specimens, and not seen where there are none."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from ruska.errors import GeometryError
from ruska.physics import Curtains, PoissonGaussian, RowOffsets, Stripes, cell_phantom, measure_stripes

NONE = Stripes(0.0, 0.0, 0, 0)
CELL = cell_phantom((400, 400), 3)
KERNELS = [(1.0,), (0.3, 1.0, 0.5)]


@pytest.fixture(scope="module")
def real(micrographs) -> dict[str, np.ndarray]:
    """Area-downsampled x 2, 0-1."""
    found = {}
    for name in ("isbi2012/train_raw", "cdeep3m_sbem/train_raw", "fib25_neuroproof/sample2_raw"):
        data = tifffile.imread(next(iter((micrographs / "val").glob(name + "*.tif")))).astype(np.float64)
        plane = data[len(data) // 2]
        h, w = (n // 2 for n in plane.shape)
        plane = plane[: 2 * h, : 2 * w].reshape(h, 2, w, 2).mean((1, 3))
        found[name.split("_")[0].split("/")[0]] = (plane - plane.min()) / np.ptp(plane)
    return found


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("counts", [200, 12])
def test_none_where_there_are_none(real, counts: float, kernel: tuple[float, ...]) -> None:
    """Neither in noise correlated along the rows, nor in specimens."""
    for clean in (CELL, *real.values()):
        assert measure_stripes(PoissonGaussian(counts, 0.02, kernel).simulate(clean, 0)) == NONE
    assert measure_stripes(CELL) == NONE


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("counts", [200, 12])
def test_row_offsets_are_recovered(real, counts: float, kernel: tuple[float, ...]) -> None:
    """To 15 %: of a tenth of the noise where 400 rows are, of a third of it on isbi2012 with 256 rows of membranes."""
    for clean, shares in ((CELL, (0.1, 0.3, 1)), (real["cdeep3m"], (0.1, 0.3, 1)), (real["isbi2012"], (0.3, 1))):
        model = PoissonGaussian(counts, 0.02, kernel)
        noise = float(np.sqrt(model.variance(clean).mean()))
        for share in shares:
            offset = RowOffsets(share * noise).simulate(model.simulate(clean, 0), 1)
            found = measure_stripes(offset)
            assert found.rows == pytest.approx(share * noise, rel=0.15)
            assert found.rows_width == 1
            assert found.columns == 0
            assert found.significant
            turned = measure_stripes(offset.T)
            assert (turned.columns, turned.columns_width, turned.rows) == (found.rows, found.rows_width, 0)


@pytest.mark.parametrize(("width", "std"), [(2, 0.02), (6, 0.05), (6, 0.1)])
@pytest.mark.parametrize("length", [300, float("inf")])
def test_curtains_are_found_at_their_width(width: float, std: float, length: float) -> None:
    """A band of widths holds 40 to 85 % of their standard deviation (measured: 44 to 79), at 200 electrons."""
    noisy = PoissonGaussian(200, 0.02).simulate(cell_phantom((512, 512), 3), 0)
    for seed in range(3):
        found = measure_stripes(Curtains(std, width, length).simulate(noisy, seed))
        assert 0.4 * std < found.columns < 0.85 * std
        assert width <= found.columns_width <= 3 * width
        assert found.rows == 0


def test_holes_constants_and_shading() -> None:
    noisy = RowOffsets(0.05).simulate(PoissonGaussian(200, 0.02).simulate(CELL, 0), 1)
    noisy[:, :30] = np.nan
    noisy[100] = np.nan
    noisy[50, 50] = np.inf
    assert measure_stripes(noisy).rows == pytest.approx(0.05, rel=0.15)
    assert measure_stripes(np.full((64, 64), 9, np.uint8)) == NONE
    ramp = np.add.outer(np.linspace(0, 3, 256) ** 2, np.linspace(0, 5, 256))
    assert measure_stripes(ramp + np.random.default_rng(0).normal(0, 0.05, ramp.shape)) == NONE
    assert measure_stripes(np.full((64, 64), np.nan)) == NONE


@pytest.mark.parametrize("image", [np.zeros((31, 64)), np.zeros((2, 64, 64))])
def test_what_is_no_micrograph_is_refused(image: np.ndarray) -> None:
    with pytest.raises(GeometryError, match="stripes"):
        measure_stripes(image)
