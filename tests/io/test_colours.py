"""Three real channels in a colour picture, and slices that a file takes for colours: `--axes` decides."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from ruska.errors import GeometryError
from ruska.image import Quantity
from ruska.io import losses_sentence, read, write

PLANES = np.random.default_rng(5).integers(0, 255, (3, 20, 33)).astype(np.uint8)
PICTURE = np.ascontiguousarray(PLANES.transpose(1, 2, 0))


@pytest.mark.parametrize(("pixels", "options"), [
    (PICTURE, {"photometric": "rgb"}),
    (PICTURE, {"photometric": "rgb", "compression": "zlib", "tile": (16, 16)}),
    (PICTURE, {"imagej": True}),
    (PLANES, {"photometric": "rgb", "planarconfig": "separate", "metadata": None}),
    (np.concatenate([PICTURE, PICTURE[..., :1]], -1), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
])  # fmt: skip
def test_axes_win_over_the_colours_of_a_tiff(tmp_path: Path, pixels: Any, options: dict[str, Any]) -> None:
    tifffile.imwrite(tmp_path / "a.tif", pixels, **options)
    plain = read(tmp_path / "a.tif")
    assert plain.axes == "YX"
    assert any("--axes CYX keeps three channels" in note for note in plain.notes)  # proposed
    for axes, found in (("CYX", "CYX"), ("YXC", "CYX"), ("yxs", "CYX"), ("ZYX", "ZYX"), ("TYX", "TYX")):
        image = read(tmp_path / "a.tif", axes=axes)
        assert image.axes == found
        assert not any("grey" in note for note in image.notes)
        np.testing.assert_array_equal(image.numpy(), PLANES)
    np.testing.assert_array_equal(image.data[1:3, 2:9, 30:33], PLANES[1:3, 2:9, 30:33])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(image.data))[0:3, 0:20, 0:33], PLANES)
    assert image.stamp is not None
    for axes in ("YX", "TCYX", "CXY"):
        if axes == "YX":
            assert read(tmp_path / "a.tif", axes=axes).shape == (20, 33)
            continue
        with pytest.raises(GeometryError, match="axes"):
            read(tmp_path / "a.tif", axes=axes)


def test_frames_of_colours(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([PICTURE, PICTURE[::-1]]), photometric="rgb")
    assert any("--axes QCYX keeps" in note for note in read(tmp_path / "a.tif").notes)
    image = read(tmp_path / "a.tif", axes="TCYX")
    np.testing.assert_array_equal(image.numpy(), [PLANES, PLANES[:, ::-1]])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_three_or_four_slices_that_tifffile_calls_colours(tmp_path: Path, count: int, dtype: str) -> None:
    """As one saves a small stack with ``tifffile.imwrite(file, array)``."""
    stack = np.concatenate([PLANES, PLANES[:1]])[:count].astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", stack)
    image = read(tmp_path / "a.tif")
    assert image.axes == "QYX"
    assert any("planes colours" in note for note in image.notes)
    np.testing.assert_array_equal(image.numpy(), stack)
    assert not any("with --axes" in note for note in read(tmp_path / "a.tif", axes="ZYX").notes)
    tifffile.imwrite(tmp_path / "b.tif", stack, metadata=None)  # which is how a colour picture is written as well
    assert any(f"--axes CYX keeps {('three', 'four')[count - 3]} channels" in n for n in read(tmp_path / "b.tif").notes)
    for axes in ("ZYX", "CYX"):
        named = read(tmp_path / "b.tif", axes=axes)
        assert (named.axes, named.shape) == (axes, stack.shape)
        np.testing.assert_array_equal(named.numpy(), stack)


@pytest.mark.parametrize("suffix", ["png", "bmp", "jpg"])
def test_axes_win_over_the_colours_of_a_picture(tmp_path: Path, suffix: str) -> None:
    smooth = np.broadcast_to(np.array([10, 120, 240], np.uint8), (20, 33, 3))
    Pillow.fromarray(smooth).save(tmp_path / f"a.{suffix}", **({"quality": 95} if suffix == "jpg" else {}))
    assert any("--axes CYX" in note for note in read(tmp_path / f"a.{suffix}").notes)
    for axes in ("CYX", "YXC"):
        image = read(tmp_path / f"a.{suffix}", axes=axes)
        assert (image.axes, image.shape) == ("CYX", (3, 20, 33))
        assert abs(image.numpy().astype(int) - smooth.transpose(2, 0, 1)).max() <= (3 if suffix == "jpg" else 0)
    Pillow.fromarray(smooth).convert("RGBA").save(tmp_path / "b.png")
    assert read(tmp_path / "b.png", axes="CYX").shape == (3, 20, 33)
    Pillow.fromarray(smooth[..., 0]).convert("RGB").save(tmp_path / f"grey.{suffix}")  # a screenshot of a micrograph
    assert not any("--axes" in note for note in read(tmp_path / f"grey.{suffix}").notes)
    Pillow.fromarray(smooth[..., 0]).save(tmp_path / f"plain.{suffix}")
    with pytest.raises(GeometryError, match="name 3 dimensions, but the data have 2"):
        read(tmp_path / f"plain.{suffix}", axes="CYX")


def test_a_last_axis_of_channels(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", PICTURE[..., :2])
    image = read(tmp_path / "a.npy", axes="YXC")
    assert image.axes == "CYX"
    np.testing.assert_array_equal(image.numpy(), PLANES[:2])
    np.save(tmp_path / "b.npy", PICTURE)  # turned already
    np.testing.assert_array_equal(read(tmp_path / "b.npy", axes="YXC").numpy(), PLANES)


def test_mrc_with_axes(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(PLANES.astype(np.float32))
        file.set_image_stack()
        file.voxel_size = (2, 2, 7)
    assert read(tmp_path / "a.mrc").axes == "QYX"
    for axes in ("ZYX", "TYX", "CYX"):
        image = read(tmp_path / "a.mrc", axes=axes)
        assert image.axes == axes
        depth = {"Z": Quantity(7.0, "angstrom")} if axes == "ZYX" else {}
        assert dict(image.spacing) == {"Y": Quantity(2.0, "angstrom"), "X": Quantity(2.0, "angstrom")} | depth
        np.testing.assert_array_equal(image.numpy(), PLANES.astype(np.float32))
    with pytest.raises(GeometryError, match=r"name 4 dimensions, but the data have 3.*one letter per dimension"):
        read(tmp_path / "a.mrc", axes="TZYX")
    with pytest.raises(GeometryError, match="name 2 dimensions, but the data have 3"):
        read(tmp_path / "a.mrc", axes="YX")


RED = np.stack([np.arange(256), np.zeros(256), np.zeros(256)]).astype(np.uint16)
JET = np.stack([np.interp(np.arange(256), at, (0, 0, 255, 255)) for at in
                ((0, 96, 160, 255), (0, 32, 96, 255), (255, 160, 96, 0))]).astype(np.uint16)  # fmt: skip


@pytest.mark.parametrize("table", [RED, JET, 255 - RED[:1].repeat(3, 0)], ids=["red", "jet", "inverted"])
@pytest.mark.parametrize("imagej", [True, False])
def test_tables_for_display_are_no_values_and_go_along(tmp_path: Path, table: Any, imagej: bool) -> None:
    index = PLANES[0]
    kind = {"imagej": True} if imagej else {"photometric": "palette", "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", index, colormap=table * 257, **kind)
    image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.numpy(), index)
    for source, target in (("a.tif", "b.tif"), ("b.tif", "c.ome.tif"), ("c.ome.tif", "d.tif")):
        assert write(tmp_path / target, read(tmp_path / source)) == ()
        with tifffile.TiffFile(tmp_path / target) as file:
            np.testing.assert_array_equal(file.pages[0].colormap, table * 257)
            np.testing.assert_array_equal(file.asarray(), index)
        np.testing.assert_array_equal(read(tmp_path / target).numpy(), index)
    assert "colour table not kept" in write(tmp_path / "e.tif", image.with_data(index.astype(np.float32)))
    assert "TIFF's colour table" in str(losses_sentence(tmp_path / "a.mrc", image))


def test_palettes_of_pictures(tmp_path: Path) -> None:
    """What shows a measurement is told from the colours that a picture was reduced to."""
    shown = Pillow.fromarray(PLANES[0])
    shown.putpalette(JET.T.astype(np.uint8).tobytes())
    shown.save(tmp_path / "jet.png")
    image = read(tmp_path / "jet.png")
    np.testing.assert_array_equal(image.numpy(), PLANES[0])
    assert image.notes == ("its colours are only a display table: the values behind them are read",)
    y, x = np.mgrid[:64, :64]
    photo = np.stack([x * 4, y * 4, (x * y) % 256], -1).astype(np.uint8)
    for number, reduced in enumerate((Pillow.fromarray(photo).quantize(64), Pillow.fromarray(photo).convert("P"))):
        reduced.save(tmp_path / f"{number}.png")
        assert any("turned to grey" in note for note in read(tmp_path / f"{number}.png").notes)
        table = np.zeros((256, 3), np.uint16)
        colours = np.array(reduced.getpalette("RGB")).reshape(-1, 3)
        table[: len(colours)] = colours
        tifffile.imwrite(tmp_path / f"{number}.tif", np.array(reduced), photometric="palette", colormap=table.T * 257,
                         metadata=None)  # fmt: skip
        image = read(tmp_path / f"{number}.tif")
        assert image.notes == ("a palette without an order of brightness: colours turned to grey (Rec. 601 luminance)",)
        expected = np.array(reduced.convert("RGB")) @ np.array([0.299, 0.587, 0.114])
        np.testing.assert_allclose(image.numpy(), expected, atol=1)
