"""``ruska.write`` of plain arrays: what it takes, what it refuses in a plain sentence; nothing is destroyed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import ruska
from ruska.errors import GeometryError, OutputError, RuskaError, SettingsError
from ruska.image import Image, Quantity

PIXELS = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)


def test_axes_and_voxel_size_are_written_and_lists_and_masks_taken(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    ruska.write(path, PIXELS, axes="TYX", voxel_size="4nm")
    with tifffile.TiffFile(path) as file:
        assert file.series[0].axes == "TYX"
    found = ruska.read(path)
    assert (found.axes, found.spacing["X"].to("nm")) == ("TYX", pytest.approx(4))
    ruska.write(path, PIXELS, voxel_size="50nm,4nm,4nm", overwrite=True)
    assert ruska.read(path).spacing["Z"].to("nm") == pytest.approx(50)  # a size along Z makes slices
    ruska.write(path, Image(PIXELS, "ZYX", {"Z": Quantity(1, "nm")}), voxel_size="7nm", overwrite=True)
    assert ruska.read(path).spacing["Z"].to("nm") == pytest.approx(7)
    ruska.write(path, [[1, 2], [3, 4]], overwrite=True)
    np.testing.assert_array_equal(tifffile.imread(path), [[1, 2], [3, 4]])
    for values in (PIXELS > 20, PIXELS.astype(np.int64)):
        ruska.write(tmp_path / "b.npy", values, overwrite=True)
        assert np.load(tmp_path / "b.npy").dtype == values.dtype
    hidden = np.ma.MaskedArray(PIXELS, PIXELS > 50)
    ruska.write(tmp_path / "c.h5", hidden)
    np.testing.assert_array_equal(np.asarray(ruska.read(tmp_path / "c.h5").mask), PIXELS <= 50)
    assert any("mask" in lost for lost in ruska.write(tmp_path / "c.npy", hidden))


@pytest.mark.parametrize(("values", "told", "kind", "says"), [
    (np.ones((4, 4), complex), {}, OutputError, "complex128"), (np.array([["a", "b"]]), {}, OutputError, "<U1"),
    ([[1, 2], [3]], {}, OutputError, "not given an array"), (5, {}, OutputError, "0 dimensions"),
    (None, {}, OutputError, "object"), (PIXELS, {"axes": "YX"}, GeometryError, "2 dimensions"),
    (PIXELS, {"axis": "ZYX"}, SettingsError, "Did you mean 'axes'"),
    (PIXELS, {"voxel_size": "4s"}, SettingsError, "not a voxel size"),
])  # fmt: skip
def test_what_cannot_be_written_is_said_and_leaves_what_was_there(
    tmp_path: Path, values: Any, told: dict[str, Any], kind: type[RuskaError], says: str
) -> None:
    path = tmp_path / "a.tif"
    ruska.write(path, PIXELS)
    before = path.read_bytes()
    with pytest.raises(kind, match=says):
        ruska.write(path, values, overwrite=True, **told)
    with pytest.raises(OutputError, match="overwrite=True"):
        ruska.write(path, PIXELS)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.tif"]


def test_swapped_arguments_are_named() -> None:
    with pytest.raises(SettingsError, match="The name comes first"):
        ruska.write(PIXELS, "a.tif")  # type: ignore[arg-type]


def test_extended_precision_is_written_as_what_files_hold(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 16, dtype=np.longdouble).reshape(4, 4)
    for suffix in ("tif", "h5"):
        ruska.write(tmp_path / f"a.{suffix}", values)
        found = ruska.read(tmp_path / f"a.{suffix}")
        assert found.dtype == np.float64
        assert not any("record" in note for note in found.notes)
        np.testing.assert_array_equal(found.numpy(), values.astype(np.float64))
