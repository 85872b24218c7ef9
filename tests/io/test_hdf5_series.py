"""Imaris and BigDataViewer: one image of many datasets, with the voxel size that stands elsewhere."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from ruska.errors import InputError
from ruska.image import Quantity
from ruska.io import read, write

RNG = np.random.default_rng(0)


def letters(text: str) -> np.ndarray:
    return np.array([c.encode() for c in text], "S1")


def imaris(
    path: Path, times: int = 2, channels: int = 2, unit: str = "um", size: tuple[int, ...] = (5, 40, 50)
) -> np.ndarray:
    """As Imaris writes it: padded datasets, two levels, texts as arrays of letters. Returns (t, c, z, y, x)."""
    values = RNG.integers(1, 255, (times, channels, *size)).astype(np.uint8)
    with h5py.File(path, "w") as file:
        for t, c in np.ndindex(times, channels):
            for level in (0, 1):
                part = values[t, c, :: level + 1, :: level + 1, :: level + 1]
                group = file.create_group(f"DataSet/ResolutionLevel {level}/TimePoint {t}/Channel {c}")
                stored = np.pad(part, [(0, -n % 16) for n in part.shape])
                group.create_dataset("Data", data=stored, chunks=(8, 16, 16), compression="gzip")
                for axis, n in zip("ZYX", part.shape, strict=True):
                    group.attrs[f"ImageSize{axis}"] = letters(str(n))
        info = file.create_group("DataSetInfo/Image")
        for i, (axis, n, step) in enumerate(zip("XYZ", size[::-1], (0.1, 0.1, 0.5), strict=True)):
            info.attrs[axis] = letters(str(n))
            info.attrs[f"ExtMin{i}"], info.attrs[f"ExtMax{i}"] = letters("10"), letters(f"{10 + n * step:.3f}")
        info.attrs["Unit"] = letters(unit)
        for c in range(channels):
            file.create_group(f"DataSetInfo/Channel {c}").attrs["Name"] = letters(f"dye {c}")
        times_ = file.create_group("DataSetInfo/TimeInfo")
        for t in range(times):
            times_.attrs[f"TimePoint{t + 1}"] = letters(f"2024-05-01 10:00:{2 * t:02}.000")
        file.create_group("Thumbnail")["Data"] = np.zeros((256, 1024), np.uint8)
    return values


def test_imaris_is_one_image_without_its_padding(tmp_path: Path) -> None:
    values = imaris(tmp_path / "cell.ims")
    image = read(tmp_path / "cell.ims")
    assert (image.axes, image.shape, image.channel_names) == ("TCZYX", values.shape, ("dye 0", "dye 1"))
    np.testing.assert_array_equal(image.numpy(), values)
    np.testing.assert_array_equal(image.data[1:, :, 2:4, 7:30, 40:], values[1:, :, 2:4, 7:30, 40:])
    expected = {"T": (2.0, "s"), "Z": (0.5, "um"), "Y": (0.1, "um"), "X": (0.1, "um")}
    assert {a: tuple(q) for a, q in image.spacing.items()} == expected
    assert image.origin["X"].to("um") == pytest.approx(10.05)  # the centre of the first voxel
    write(tmp_path / "b.h5", image)
    with h5py.File(tmp_path / "b.h5") as file:
        np.testing.assert_array_equal(file["data"], values)
        np.testing.assert_allclose(file["data"].attrs["element_size_um"], [0.5, 0.1, 0.1])
    coarse = read(f"{tmp_path}/cell.ims:/DataSet/ResolutionLevel 1/TimePoint 1/Channel 0/Data")
    assert (coarse.axes, coarse.shape) == ("ZYX", (3, 20, 25))
    assert coarse.spacing["X"].to("um") == pytest.approx(0.2)
    np.testing.assert_array_equal(coarse.numpy(), values[1, 0, ::2, ::2, ::2])


def test_one_plane_unknown_units_and_what_is_missing(tmp_path: Path) -> None:
    values = imaris(tmp_path / "a.ims", times=1, channels=1, unit="unknown", size=(1, 40, 50))
    image = read(tmp_path / "a.ims")
    assert (image.axes, image.shape) == ("YX", (40, 50))
    assert tuple(image.spacing["X"]) == (0.1, "")
    np.testing.assert_array_equal(image.numpy(), values[0, 0, 0])
    imaris(tmp_path / "b.ims")
    with h5py.File(tmp_path / "b.ims", "a") as file:
        del file["DataSet/ResolutionLevel 0/TimePoint 1/Channel 1"]
    with pytest.raises(InputError, match="holds 8 images") as caught:
        read(tmp_path / "b.ims")
    name = str(caught.value.fix).removeprefix("Name one: ").rstrip(".")
    assert "ResolutionLevel 0" in name
    assert read(tmp_path / name).shape == (5, 40, 50)


XML = """<?xml version="1.0"?><SpimData version="0.2"><SequenceDescription><ImageLoader format="bdv.hdf5">
<hdf5 type="relative">b.h5</hdf5></ImageLoader><ViewSetups>{setups}<Attributes name="channel"><Channel><id>0</id>
<name>SE</name></Channel><Channel><id>1</id><name>BSE</name></Channel></Attributes></ViewSetups>
</SequenceDescription></SpimData>"""
SETUP = """<ViewSetup><id>{i}</id><size>50 40 6</size>
<voxelSize><unit>{unit}</unit><size>4.0 5.0 40.0</size></voxelSize>
<attributes><illumination>0</illumination><channel>{i}</channel><tile>{tile}</tile><angle>0</angle></attributes>
</ViewSetup>"""


def bdv(path: Path, *, times: int, tiles: tuple[int, int] = (0, 0), unit: str = "nm") -> np.ndarray:
    values = RNG.integers(0, 1 << 16, (times, 2, 6, 40, 50)).astype(np.uint16)
    with h5py.File(path, "w") as file:
        for c in range(2):
            file[f"s{c:02}/resolutions"] = np.array([[1.0, 1, 1], [2, 2, 1]])
            file[f"s{c:02}/subdivisions"] = np.array([[16, 16, 4], [16, 16, 4]])
            for t in range(times):
                for level, part in ((0, values[t, c]), (1, values[t, c][:, ::2, ::2])):
                    file.create_dataset(f"t{t:05}/s{c:02}/{level}/cells", data=part.view(np.int16), chunks=(4, 16, 16))
    setups = "".join(SETUP.format(i=i, tile=tiles[i], unit=unit) for i in range(2))
    path.with_suffix(".xml").write_text(XML.format(setups=setups))
    return values


def test_bigdataviewer_is_one_image_with_the_voxel_size_of_its_xml(tmp_path: Path) -> None:
    values = bdv(tmp_path / "b.h5", times=2)
    image = read(tmp_path / "b.h5")
    assert (image.axes, image.dtype, image.channel_names) == ("TCZYX", np.uint16, ("SE", "BSE"))
    np.testing.assert_array_equal(image.numpy(), values)
    assert image.voxel_size_nm == {"X": 4.0, "Y": 5.0, "Z": 40.0}
    coarse = read(f"{tmp_path}/b.h5:/t00000/s01/1/cells")
    assert (coarse.axes, coarse.voxel_size_nm) == ("ZYX", {"X": 8.0, "Y": 10.0, "Z": 40.0})
    assert coarse.origin["Y"] == Quantity(2.5, "nm")
    np.testing.assert_array_equal(coarse.numpy(), values[0, 1][:, ::2, ::2])


def test_tiles_and_files_without_an_xml_are_listed(tmp_path: Path) -> None:
    values = bdv(tmp_path / "b.h5", times=1, tiles=(0, 1), unit="pixel")
    with pytest.raises(InputError, match="/t00000/s00/0/cells") as caught:
        read(tmp_path / "b.h5")
    name = str(caught.value.fix).removeprefix("Name one: ").rstrip(".")
    image = read(tmp_path / name)
    assert {a: tuple(q) for a, q in image.spacing.items()} == {"X": (4.0, ""), "Y": (5.0, ""), "Z": (40.0, "")}
    np.testing.assert_array_equal(image.numpy(), values[0, 0])
    for text in ("", "<SpimData><ViewSetup>", "<SpimData><ViewSetup><id>one</id></ViewSetup></SpimData>"):
        (tmp_path / "b.xml").write_text(text)
        image = read(tmp_path / name)
        assert (image.axes, image.spacing, image.dtype) == ("ZYX", {}, np.uint16)
