"""What a format cannot hold is said before anything is written, and is what is missing afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import tifffile

from ruska.image import Image, Quantity
from ruska.io import losses, losses_sentence, read, write

PLANE = np.arange(12, dtype=np.uint16).reshape(3, 4)


def imagej(path: Path) -> Image:
    tifffile.imwrite(path, np.stack([PLANE, PLANE]), imagej=True, metadata={
        "axes": "ZYX", "Labels": ["first", "second"], "ROI": b"Iout" + bytes(60), "finterval": 2.0, "unit": "nm",
        "spacing": 3.0, "LUTs": [np.zeros((3, 256), np.uint8)]}, resolution=(0.25, 0.25))  # fmt: skip
    return read(path)


def ome(path: Path) -> Image:
    tifffile.imwrite(path, PLANE, metadata={"axes": "YX", "Description": "heated to 300 K"}, ome=True)
    xml = tifffile.tiffcomment(path)
    tifffile.tiffcomment(path, xml.replace("<Image ", '<Instrument ID="Instrument:0"/><Image ', 1).encode())
    return read(path)


def mrc(path: Path) -> Image:
    with mrcfile.new(path) as file:
        file.set_data(PLANE.astype(np.float32))
        file.set_extended_header(np.frombuffer(b"tilt" * 64, dtype="V1"))
    return read(path)


def test_what_is_lost_is_named_with_the_way_out(tmp_path: Path) -> None:
    from_imagej, from_ome, from_mrc = imagej(tmp_path / "a.tif"), ome(tmp_path / "a.ome.tif"), mrc(tmp_path / "a.mrc")
    said = {
        (name, suffix): losses_sentence(tmp_path / f"b{suffix}", image)
        for name, image in (("imagej", from_imagej), ("ome", from_ome), ("mrc", from_mrc))
        for suffix in (".tif", ".ome.tif", ".mrc", ".npy", ".png", ".h5", ".ome.zarr", ".npz")
    }
    shown = "ImageJ's slice labels, colours, region of interest"
    assert said["imagej", ".ome.tif"] == f"The OME-TIFF cannot hold: {shown}. Write a TIFF (.tif) to keep everything."
    assert said["imagej", ".mrc"] == f"The MRC file cannot hold: {shown}. Write a TIFF (.tif) to keep everything."
    assert said["imagej", ".npy"].startswith(f"The NumPy file cannot hold: voxel size, axis names ZYX, {shown}. Write")
    assert said["imagej", ".png"].endswith("In the PNG preview, only the plane Z=1 of ZYX is shown.")
    beyond = "OME-XML's instrument, description"
    assert said["ome", ".tif"] == f"The TIFF cannot hold: {beyond}. Write an OME-TIFF (.ome.tif) to keep everything."
    assert (
        said["ome", ".mrc"] == f"The MRC file cannot hold: {beyond}. Write an OME-TIFF (.ome.tif) to keep everything."
    )
    extended = "MRC's extended header"
    for suffix in (".tif", ".ome.tif"):
        assert f"cannot hold: {extended}. Write an MRC file (.mrc) to keep everything." in said["mrc", suffix]
    write(tmp_path / "labels.tif", from_mrc)
    with tifffile.TiffFile(tmp_path / "labels.tif") as file:
        assert "Created by mrcfile" in file.imagej_metadata["Info"]
    silent = {("imagej", ".tif"), ("ome", ".ome.tif"), ("mrc", ".mrc")}
    silent |= {(name, suffix) for name in ("imagej", "ome", "mrc") for suffix in (".h5", ".ome.zarr", ".npz")}
    assert {key for key, sentence in said.items() if sentence is None} == silent


@pytest.mark.parametrize(("suffix", "image", "said"), [
    (".mrc", Image(PLANE.astype(np.uint8), "YX"),
     "In the MRC file, uint8 values are stored as 16-bit integers (MRC's bytes are signed)."),
    (".mrc", Image(np.stack([PLANE] * 2), "TYX", {"T": Quantity(2, "s"), "X": Quantity(1, "furlong")}),
     "The MRC file cannot hold: frame interval, voxel size along X. Write a TIFF (.tif) to keep everything. In the MRC "
     "file, axes TYX read back as QYX."),
    (".mrc", Image(np.stack([PLANE] * 2), "CYX", channel_names=("BSE", "SE")),
     "The MRC file cannot hold: channel names. Write a TIFF (.tif) to keep everything. In the MRC file, axes CYX read "
     "back as QYX."),
    (".png", Image(PLANE, "YX", {"X": Quantity(1, "nm")}, mask=PLANE > 3),
     "The PNG preview cannot hold: voxel size, mask of valid pixels. Write an HDF5 file (.h5) to keep everything."),
    (".ome.tif", Image(PLANE.astype(np.int64), "YX", {"X": Quantity(1, "nm")}),
     "In the OME-TIFF, OME has no data type int64: written as a plain TIFF, whose metadata only Ruska reads."),
    (".mrc", Image(PLANE, "YX", {"Y": Quantity(1, "nm"), "X": Quantity(1, "nm")}, provenance={"seed": 1}), None),
    (".npy", Image(PLANE, "YX"), None),
    (".png", Image(PLANE.astype(np.uint8), "YX"), None),
])  # fmt: skip
def test_sentences(tmp_path: Path, suffix: str, image: Image, said: str | None) -> None:
    """Nothing is said where nothing is lost; the record of a run stands beside its result."""
    assert losses_sentence(tmp_path / f"a{suffix}", image) == said


def test_what_is_said_before_is_what_writing_says(tmp_path: Path) -> None:
    image = imagej(tmp_path / "a.tif")
    part = image.with_data(image.numpy()[:, :2], provenance={"seed": 1})  # of which a region does not hold any more
    for suffix in (".tif", ".ome.tif", ".mrc", ".npy", ".h5"):
        before = losses(tmp_path / f"b{suffix}", part).lines
        assert write(tmp_path / f"b{suffix}", part) == before, suffix
    assert losses(tmp_path / "b.tif", part).lines == ("ImageJ's region of interest not kept",)
    asked: dict[str, Any] = {"flavour": "ome"}
    assert write(tmp_path / "c.tif", part, **asked) == losses(tmp_path / "c.tif", part, **asked).lines != ()


def test_texts_of_a_tiff_go_along(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", PLANE, description="kV = 20", datetime="2024:01:02 03:04:05", metadata=None,
                     extratags=[(315, "s", 0, "E. Ruska", True), (271, "s", 0, "JEOL", True)])  # fmt: skip
    image = read(tmp_path / "a.tif")
    for name, dtype in (("imagej.tif", "uint16"), ("ome.ome.tif", "uint16"), ("plain.tif", "int64")):
        assert write(tmp_path / name, image.with_data(PLANE.astype(dtype))) == ()
        with tifffile.TiffFile(tmp_path / name) as file:
            tags = file.pages[0].tags
            assert [tags[code].value for code in (271, 306, 315)] == ["JEOL", "2024:01:02 03:04:05", "E. Ruska"]
            told = {"imagej.tif": (file.imagej_metadata or {}).get("Info"), "plain.tif": tags[270].value}.get(name)
            assert (told or file.ome_metadata).count("kV = 20") == 1
        assert dict(read(tmp_path / name).header) == dict(image.header)


def test_records_of_tifffile_are_no_loss(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.stack([PLANE] * 2), metadata={"axes": "ZYX"})
    assert losses_sentence(tmp_path / "b.mrc", read(tmp_path / "a.tif")) is None
