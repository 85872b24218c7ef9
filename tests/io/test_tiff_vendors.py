"""Makers' fields that no file at hand shows: parsed from texts of their documented form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from ruska.image import Quantity
from ruska.io import read, tiff_records, tiff_vendors

WORDS = st.text("abcXYZ019 .-", min_size=1, max_size=8).map(str.strip).filter(bool)


def picture(path: Path, **options: object) -> Path:
    tifffile.imwrite(path, np.arange(20, dtype=np.uint8).reshape(4, 5), metadata=None, **options)
    return path


def sizes(path: Path) -> dict[str, float]:
    return read(path).voxel_size_nm


def test_jeol_text_beside_the_picture(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("$CM_FORMAT JEOL\n$CM_MAG 100\n$$SM_MICRON_BAR 138\n$$SM_MICRON_MARKER 100um\n")
    image = read(picture(tmp_path / "a.tif"))
    assert image.voxel_size_nm["X"] == pytest.approx(1e5 / 138)
    assert image.header["jeol"]["$CM_MAG"] == "100"


def test_hitachi_text_beside_the_picture(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("[SemImageFile]\r\nInstructName=SU8000\r\nPixelSize=4.96\r\n", encoding="utf-16")
    image = read(picture(tmp_path / "a.tif"))
    assert image.voxel_size_nm == {"Y": 4.96, "X": 4.96}
    assert image.header["hitachi"]["InstructName"] == "SU8000"


def test_unrelated_text_beside_the_picture(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("PixelSize=3\n")
    assert sizes(picture(tmp_path / "a.tif")) == {}


def test_fei_xml(tmp_path: Path) -> None:
    xml = (b'<Metadata xmlns="urn:fei"><BinaryResult><PixelSize><X unit="m">1.5e-9</X><Y unit="m">2e-9</Y></PixelSize>'
           b"</BinaryResult></Metadata>")  # fmt: skip
    path = picture(tmp_path / "a.tif", extratags=[(34680, "s", 0, xml, True)])
    assert sizes(path) == {"X": 1.5, "Y": 2.0}


def test_fei_takes_the_scan_of_the_beam() -> None:
    ini = {
        "Beam": {"Scan": "IScan"},
        "EScan": {"PixelWidth": "1e-9"},
        "IScan": {"PixelWidth": "2e-9", "PixelHeight": "3e-9"},
    }
    assert tiff_vendors.fei_pixel_size(ini) == {"Y": Quantity(3.0, "nm"), "X": Quantity(2.0, "nm")}


@given(st.dictionaries(WORDS, st.dictionaries(WORDS, WORDS, max_size=3), max_size=3))
def test_ini_comes_back(sections: dict[str, dict[str, str]]) -> None:
    assert tiff_vendors.parse_ini(tiff_vendors.ini_text(sections)) == sections


@given(
    st.lists(st.integers(0, 99).map(str), max_size=4), st.dictionaries(st.from_regex(r"\A[A-Z]{2}_[A-Z]{1,5}\Z"), WORDS)
)
def test_zeiss_block_comes_back(numbers: list[str], fields: dict[str, str]) -> None:
    block = {"": numbers, **fields}
    back = tiff_vendors.parse_zeiss(tiff_vendors.zeiss_text(block))
    assert {k: v for k, v in back.items() if k} == fields
    assert [n for n in back[""] if n] == numbers


def test_metamorph_description(tmp_path: Path) -> None:
    plane = "".join(
        f'<prop id="{name}" type="{kind}" value="{value}"/>'
        for name, kind, value in (
            ("spatial-calibration-state", "bool", "on"), ("spatial-calibration-x", "float", "0.16"),
            ("spatial-calibration-y", "float", "0.17"), ("spatial-calibration-units", "string", "um"),
        )
    )  # fmt: skip
    text = f"<MetaData><PlaneInfo>{plane}</PlaneInfo></MetaData>"
    path = picture(tmp_path / "a.tif", software="MetaSeries", description=text)
    assert sizes(path) == pytest.approx({"Y": 170.0, "X": 160.0})


def test_sizes_of_records_that_tifffile_parses() -> None:
    um = {"Y": Quantity(0.5, "um"), "X": Quantity(0.5, "um")}
    assert tiff_records.stk_pixel_size({"XCalibration": 0.5, "YCalibration": 0.5, "CalibrationUnits": "um"}) == um
    assert tiff_records.micromanager_pixel_size({"Summary": {"PixelSize_um": 0.5, "z-step_um": -2}}) == um | {
        "Z": Quantity(2.0, "um")
    }
    lsm = {"VoxelSizeX": 1e-7, "VoxelSizeY": 1e-7, "VoxelSizeZ": 3e-7, "TimeIntervall": 2.0}
    assert {a: q.value for a, q in tiff_records.lsm_pixel_size(lsm).items()} == {"X": 100, "Y": 100, "Z": 300, "T": 2.0}
    assert tiff_records.tvips_pixel_size({"PixelSizeX": 0.0, "PixelSizeY": 0.0}) == {}


def test_tvips_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block as EM-Menu writes it: nanometres, also where tifffile has made metres of them."""
    numbers = {"Version": 2, "Magic": 0xAAAAAAAA, "PixelSizeX": 0.25, "PixelSizeY": 0.5, "PhysicalPixelSizeX": 15600.0}
    blocks = []
    for fields in (tifffile.TIFF.TVIPS_HEADER_V1, tifffile.TIFF.TVIPS_HEADER_V2):
        block = np.zeros(1, np.dtype(fields).newbyteorder("<"))
        for name in set(numbers) & set(block.dtype.names):
            block[name] = numbers[name]
        blocks.append(block.tobytes())
    text = b"".join(blocks)
    path = picture(tmp_path / "a.tif", extratags=[(37706, "B", len(text), text, True)], byteorder="<")
    image = read(path)
    assert image.voxel_size_nm == {"Y": 0.5, "X": 0.25}
    assert image.header["tvips"]["PhysicalPixelSizeX"] == 15600.0
    metres = {**image.header["tvips"], "PixelSizeX": 0.25e-9, "PixelSizeY": 0.5e-9}
    monkeypatch.setattr(tifffile.TiffFile, "tvips_metadata", property(lambda file: metres))
    assert sizes(path) == pytest.approx({"Y": 0.5, "X": 0.25})


@pytest.mark.parametrize(
    ("scaling", "expected"),
    [
        ('ScalingXType=1,ScalingXScale=0.5,ScalingXUnit="um",ScalingYType=1,ScalingYScale=0.25,ScalingYUnit="um"',
         {"X": 500.0, "Y": 250.0}),
        ('ScalingXType=2,ScalingXScale=1,ScalingXUnit="nm",ScalingYType=1,ScalingYScale=2,ScalingYUnit="ps"', {}),
        ('ScalingXType=1,ScalingXScale=1,ScalingXUnit="",ScalingYType=1,ScalingYScale=1,ScalingYUnit=""', {}),
        ('ScalingXType=1,ScalingXScale=x,ScalingXUnit="um",ScalingYType=1,ScalingYScale=1,ScalingYUnit="um"', {}),
    ],
)  # fmt: skip
def test_hamamatsu_description(tmp_path: Path, scaling: str, expected: dict[str, float]) -> None:
    """A streak image has wavelength and time where others have lengths: no pixel size then."""
    text = f'[Application],Date="09/02/2022",Software="HPD-TA"\r\n[Camera],CameraName="C13440"\r\n[Scaling],{scaling}'
    image = read(picture(tmp_path / "a.tif", description=text))
    assert image.voxel_size_nm == pytest.approx(expected)
    assert image.header["hamamatsu"]["Camera"] == {"CameraName": "C13440"}
