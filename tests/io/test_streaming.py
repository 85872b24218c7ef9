"""Writers take a plane in parts, because it may be larger than memory, and what they write is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from ruska.errors import OutputError
from ruska.image import Image, Quantity
from ruska.io import read, write
from ruska.io.lazy import plane_parts
from ruska.io.pyramid import halve

RANDOM = np.random.default_rng(3)


class Watched:
    """A lazy array that remembers how many voxels it was asked for at once."""

    def __init__(self, values: np.ndarray[Any, Any]) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.asked: list[int] = []

    def __getitem__(self, box: Any) -> np.ndarray[Any, Any]:
        part = self.values[box]
        self.asked.append(part.size)
        return part


def stack(dtype: str, shape: tuple[int, ...] = (2, 3, 70, 130)) -> Watched:
    values = RANDOM.integers(0, 200, shape)
    return Watched(values > 100 if dtype == "bool" else values.astype(dtype))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Limits at which 70 x 130 pixels are a large plane; the most voxels that may be asked for at once."""
    for owner in ("lazy", "tiff_write"):
        monkeypatch.setattr(f"ruska.io.{owner}.BAND", 2048)
    monkeypatch.setattr("ruska.io.tiff_write._TILE", 32)
    monkeypatch.setattr("ruska.io.tiff_write.TILED_BYTES", 70 * 130 - 1)
    return 2048


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.mrc", "a.tif", "a.ome.tif"])
def test_no_writer_holds_a_plane(name: str, small: int, tmp_path: Path) -> None:
    data = stack("uint16", (3, 70, 130))
    write(tmp_path / name, Image(data, "ZYX"))
    assert max(data.asked) <= small
    assert sum(data.asked) == data.values.size
    np.testing.assert_array_equal(read(tmp_path / name).numpy(), data.values)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_a_preview_of_a_large_plane_shows_some_of_its_pixels(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ruska.io.picture.BAND", 2048)
    monkeypatch.setattr("ruska.io.picture.MOST_PIXELS", 70 * 130 // 7)
    data = stack(dtype, (3, 70, 130))
    lost = write(tmp_path / "a.png", Image(data, "ZYX"))
    assert any("one pixel in 3 along Y and X" in line for line in lost)
    assert max(data.asked) <= 2048
    shown, expected = read(tmp_path / "a.png").numpy(), data.values[1, ::3, ::3]
    assert shown.shape == expected.shape
    if dtype == "uint8":
        np.testing.assert_array_equal(shown, expected)
    else:
        assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.999


@pytest.mark.parametrize("codec", [None, "zlib", "zstd", "lzw"])
@pytest.mark.parametrize(
    ("dtype", "axes"), [("uint16", "CZYX"), ("int64", "TZYX"), ("bool", "TCYX"), ("uint8", "QCYX")]
)
def test_large_planes_become_tiles(codec: str | None, dtype: str, axes: str, small: int, tmp_path: Path) -> None:
    data = stack(dtype)
    write(tmp_path / "a.ome.tif", Image(data, axes), compression=codec)
    assert max(data.asked) <= small
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        assert len(file.pages) == 6
        for page, plane in zip(file.pages, data.values.reshape(6, 70, 130), strict=True):
            assert page.keyframe.tile == (32, 32)
            np.testing.assert_array_equal(page.asarray(), plane)
    back = read(tmp_path / "a.ome.tif")
    assert (back.axes, back.dtype) == (axes, data.dtype)
    np.testing.assert_array_equal(back.numpy(), data.values)
    np.testing.assert_array_equal(back.data[1:, :2, 20:69, 31:100], data.values[1:, :2, 20:69, 31:100])


def test_imagej_reads_strips_only_so_its_files_have_no_tiles(small: int, tmp_path: Path) -> None:
    data = stack("uint8")
    write(tmp_path / "a.tif", Image(data, "ZCYX"))
    assert max(data.asked) <= small
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_imagej
        assert not file.pages[0].is_tiled
        np.testing.assert_array_equal(file.asarray(), data.values)


def test_what_imagej_cannot_open_is_no_imagej_file(small: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = Image(stack("uint8"), "ZCYX")
    with pytest.raises(OutputError, match="64 MB where they are compressed"):
        write(tmp_path / "a.tif", image, compression="zlib", flavour="imagej")
    write(tmp_path / "compressed.tif", image, compression="zlib")
    monkeypatch.setattr("ruska.io.tiff_write._IMAGEJ_PIXELS", 70 * 130)
    write(tmp_path / "wide.tif", image)
    for name in ("compressed.tif", "wide.tif"):
        with tifffile.TiffFile(tmp_path / name) as file:
            assert file.is_ome, name
        np.testing.assert_array_equal(read(tmp_path / name).numpy(), image.numpy())


def test_parts_cover_a_plane_once() -> None:
    values = np.arange(2 * 7 * 11).reshape(2, 7, 11)
    parts = list(plane_parts(values, (1,), 3, 4))
    assert [part.shape for part in parts] == [(3, 4), (3, 4), (3, 3)] * 2 + [(1, 4), (1, 4), (1, 3)]
    rows = [np.hstack(parts[i : i + 3]) for i in (0, 3, 6)]
    np.testing.assert_array_equal(np.vstack(rows), values[1])


@pytest.mark.parametrize("codec", [None, "zlib"])
@pytest.mark.parametrize(
    ("dtype", "meaning"), [("uint16", "grey"), ("float32", "grey"), ("uint16", "labels"), ("bool", "labels")]
)
def test_large_planes_of_ome_files_have_coarser_levels(codec, dtype, meaning, small: int, tmp_path: Path) -> None:
    data = stack(dtype, (2, 3, 71, 130))
    sizes = {"Y": Quantity(4, "nm"), "X": Quantity(2, "nm")}
    write(tmp_path / "a.ome.tif", Image(data, "CZYX", spacing=sizes, meaning=meaning), compression=codec)
    assert max(data.asked) <= small
    assert sum(data.asked) == data.values.size  # levels are made while the one before is written
    expected = data.values.astype("uint8") if dtype == "bool" else data.values
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        (series,) = file.series
        assert [level.shape[-2:] for level in series.levels] == [(71, 130), (36, 65), (18, 33), (9, 17)]
        for k, level in enumerate(series.levels):
            np.testing.assert_array_equal(level.asarray(), expected)
            page = level.keyframe
            assert page.tile == (32, 32)
            assert page.subfiletype == (1 if k else 0)
            per_cm = [tag.value[0] / tag.value[1] for tag in (page.tags["XResolution"], page.tags["YResolution"])]
            np.testing.assert_allclose(per_cm, [5e6 / 2**k, 2.5e6 / 2**k], rtol=1e-6)
            expected = halve(expected, (1, 1, 2, 2)) if meaning == "grey" else expected[..., ::2, ::2]
    back = read(tmp_path / "a.ome.tif")
    assert (back.axes, back.spacing["X"].value, back.meaning) == ("CZYX", 2, meaning)
    np.testing.assert_array_equal(back.numpy(), data.values)
    assert [file.name for file in tmp_path.iterdir()] == ["a.ome.tif"]


def test_a_lost_disk_leaves_no_levels_behind(small: int, tmp_path: Path) -> None:
    class Lost(Watched):
        def __getitem__(self, box: Any) -> np.ndarray[Any, Any]:
            if len(self.asked) > 3:
                raise OSError(5, "Input/output error")
            return super().__getitem__(box)

    with pytest.raises(OutputError, match="could not be written"):
        write(tmp_path / "a.ome.tif", Image(Lost(stack("uint8", (90, 130)).values), "YX"))
    assert not list(tmp_path.iterdir())


def test_small_planes_and_plain_files_have_one_level(small: int, tmp_path: Path) -> None:
    write(tmp_path / "a.ome.tif", Image(RANDOM.integers(0, 9, (60, 70)).astype(np.uint8), "YX"))
    write(tmp_path / "b.tif", Image(stack("int64", (80, 130)), "YX"))
    for name in ("a.ome.tif", "b.tif"):
        with tifffile.TiffFile(tmp_path / name) as file:
            assert len(file.series[0].levels) == 1
