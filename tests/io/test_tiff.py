"""TIFF: what others wrote is read as they meant it, what Ruska writes comes back as it was."""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ruska.errors import InputError, OutputError, SettingsError
from ruska.image import Image, Quantity, crop
from ruska.io import losses_sentence, read, tiff_pixels, write
from ruska.io.cache import ArrayCache
from ruska.io.grey import luminance

RANDOM = np.random.default_rng(7)
FORMATS, WEBKNOSSOS = "formats/rosettasciio_testdata", "formats/webknossos_io"


def nm(image: Image) -> dict[str, float]:
    return {a: round(v, 4) for a, v in image.voxel_size_nm.items()}


def assert_same(back: Image, image: Image) -> None:
    """Everything but the mask, exactly."""
    assert back.dtype == image.dtype
    assert back.axes == image.axes
    np.testing.assert_array_equal(back.numpy(), image.numpy())
    for word in ("spacing", "origin", "header", "provenance"):
        assert dict(getattr(back, word)) == dict(getattr(image, word)), word
    assert back.channel_names == image.channel_names
    assert back.meaning == image.meaning


# Real files


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_tiff_of_the_manifest_has_its_shape_and_type(
    split: str, micrographs: Path, manifest: list[dict[str, str]]
) -> None:
    rows = [r for r in manifest if r["split"] == split and r["path"].lower().endswith((".tif", ".tiff"))]
    assert rows
    for row in rows:
        image = read(micrographs / row["path"])
        expected = tuple(int(n) for n in row["shape"].split("x"))
        if len(expected) == 3 and expected[2] == 3:  # colours become grey
            expected = expected[:2]
            assert any("grey" in note for note in image.notes)
        assert (image.shape, image.dtype.name) == (expected, row["dtype"]), row["path"]
        corner = tuple(slice(0, min(n, 9)) for n in image.shape)
        np.testing.assert_array_equal(image.data[corner], image.numpy()[corner])


# Pixel sizes as the tags say them: X and Y in nm.
#   Zeiss: "Image Pixel Size = 593.3 nm"; TESCAN: PixelSizeX=2.5012e-6 (m); FEI: PixelWidth=3.3724e-006 (m), and for the
#   navigation camera HFW 0.202732 m over 768 pixels; SIS block 2.3928e-11 m; TVIPS block 1.42080 nm;
#   Digital Micrograph: 65009 and 65010 in micrometres; ImageJ: resolution 5.928571 per micron; cylindra 1.052 nm.
KNOWN_SIZES = [
    ("formats/odemis/dataio__test__zeiss_example_sem.tif", {"Y": 593.3, "X": 593.3}),
    ("formats/odemis/dataio__test__tescan_example_sem1.tif", {"Y": 2501.2, "X": 2501.2}),
    ("formats/odemis/dataio__test__jeol_example_sem.tif", {}),
    (f"{FORMATS}/tiff__tiff_FEI_Helios.zip/FEI-Helios-Ebeam-16bits.tif", {"Y": 3372.4, "X": 3372.4}),
    (f"{FORMATS}/tiff__tiff_FEI_Helios.zip/FEI-Helios-navcam.tif", {"Y": 263973.9583, "X": 263973.9583}),
    (f"{FORMATS}/tiff__tiff_FEI_Helios.zip/FEI-Helios-navcam-with-no-IRBeam-bad-floats.tif", {}),
    (f"{FORMATS}/tiff__TVIPS_bin4.zip/TVIPS_bin4.tif", {"Y": 1.4208, "X": 1.4208}),
    (f"{FORMATS}/tiff__olympus_SIS.tif", {"Y": 0.0239, "X": 0.0239}),
    (f"{FORMATS}/tiff__test_loading_image_saved_with_DM.tif", {"Y": 168.6747, "X": 168.6747}),
    (f"{FORMATS}/tiff__test_loading_image_saved_with_DM_stack.tif", {"Y": 1686.74, "X": 168.674}),
    (f"{FORMATS}/tiff__test_loading_image_saved_with_imageJ.tif", {"Y": 168.6747, "X": 168.6747}),
    (f"{FORMATS}/tiff__test_loading_image_saved_with_imageJ_stack.tif", {"Z": 2500.0, "Y": 168.6747, "X": 168.6747}),
    (f"{FORMATS}/tiff__test_loading_image_saved_with_imageJ_no_scale.tif", {}),
    (f"{FORMATS}/tiff__optical_Zeiss_AxioVision_RGB.tif", {}),
    ("formats/cylindra_cryoet/13pf_MT.tif", {"Z": 1.052, "Y": 1.052, "X": 1.052}),
    ("formats/webknossos_io/tiff_test.0000.tiff", {}),
]


@pytest.fixture(scope="session")
def instrument_file(micrographs: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Path of a file in the data folder; members of zip archives are unpacked first."""

    def find(name: str) -> Path:
        archive, found, member = name.partition(".zip/")
        if not found:
            return micrographs / name
        folder = tmp_path_factory.mktemp("unzipped")
        with zipfile.ZipFile(micrographs / f"{archive}.zip") as packed:
            return Path(packed.extract(member, folder))

    return find


@pytest.mark.parametrize(("name", "sizes"), KNOWN_SIZES, ids=[name.rpartition("/")[2] for name, _ in KNOWN_SIZES])
def test_pixel_size_of_instrument_files(name: str, sizes: dict[str, float], instrument_file: Any) -> None:
    assert nm(read(instrument_file(name))) == pytest.approx(sizes, rel=1e-6)


@pytest.mark.parametrize(("name", "axes", "shape", "dtype"), [
    (f"{WEBKNOSSOS}/4D_multi_channel_z_series_multi-channel-z-series.ome.tif", "CZYX", (3, 5, 167, 439), "int8"),
    (f"{WEBKNOSSOS}/4D_single_channel_single-channel.ome.tiff", "YX", (167, 439), "int8"),
    ("formats/odemis/dataio__test__jeol_example_sem.tif", "YX", (960, 1280), "uint8"),
    (f"{FORMATS}/tiff__test_rgba16.zip/test_rgba16.tif", "QYX", (3, 128, 128), "uint16"),
    (f"{FORMATS}/tiff__test_loading_image_saved_with_DM_stack.tif", "TYX", (2, 68, 68), "float32"),
    (f"{FORMATS}/tiff__olympus_SIS.tif", "YX", (101, 112), "uint16"),
])  # fmt: skip
def test_axes_of_instrument_files(
    name: str, axes: str, shape: tuple[int, ...], dtype: str, instrument_file: Any
) -> None:
    image = read(instrument_file(name))
    assert (image.axes, image.shape, image.dtype.name) == (axes, shape, dtype)
    assert np.ptp(image.numpy().astype(float)) > 0


@pytest.mark.parametrize("name", [
    "formats/odemis/dataio__test__zeiss_example_sem.tif",
    "formats/odemis/dataio__test__tescan_example_sem1.tif",
    f"{FORMATS}/tiff__tiff_FEI_Helios.zip/FEI-Helios-Ebeam-8bits.tif",
    f"{FORMATS}/tiff__test_loading_image_saved_with_DM.tif",
    f"{FORMATS}/tiff__test_loading_image_saved_with_imageJ_stack.tif",
    "formats/webknossos_io/4D_multi_channel_z_series_multi-channel-z-series.ome.tif",
])  # fmt: skip
@pytest.mark.parametrize("suffix", [".tif", ".ome.tif"])
def test_instrument_header_survives_writing(name: str, suffix: str, instrument_file: Any, tmp_path: Path) -> None:
    image = read(instrument_file(name))
    assert image.header
    write(tmp_path / f"out{suffix}", image)
    assert_same(read(tmp_path / f"out{suffix}"), image)


@pytest.mark.parametrize(("name", "tag"), [
    ("formats/odemis/dataio__test__zeiss_example_sem.tif", "CZ_SEM"),
    (f"{FORMATS}/tiff__tiff_FEI_Helios.zip/FEI-Helios-Ebeam-16bits.tif", "FEI_HELIOS"),
])  # fmt: skip
def test_makers_tags_are_written_again_unless_the_pixel_size_changed(
    name: str, tag: str, instrument_file: Any, tmp_path: Path
) -> None:
    original = instrument_file(name)
    image = read(original)
    write(tmp_path / "same.tif", image)
    write(tmp_path / "finer.tif", image.with_data(image.data, spacing={a: Quantity(1.5, "nm") for a in "YX"}))
    with tifffile.TiffFile(original) as before, tifffile.TiffFile(tmp_path / "same.tif") as after:
        assert after.pages[0].tags[tag].value == before.pages[0].tags[tag].value
    with tifffile.TiffFile(tmp_path / "finer.tif") as after:
        assert tag not in after.pages[0].tags


# Round trip

UNITS = ["nm", "um", "angstrom", "pm", "mm"]
DTYPES = ["bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
          "float16", "float32", "float64"]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(min_size=1, max_size=5), part, max_size=3),
    max_leaves=6,
)  # fmt: skip
SIZES = st.builds(Quantity, st.floats(1e-6, 1e6), st.sampled_from(UNITS))
PLACES = st.builds(Quantity, st.floats(-1e6, 1e6), st.sampled_from(UNITS))


@st.composite
def images(draw: st.DrawFn) -> Image:
    lead = "".join(draw(st.permutations(draw(st.lists(st.sampled_from("TCQZ"), unique=True)))))
    axes = f"{lead}YX"
    shape = tuple(draw(st.integers(1, 4)) for _ in axes)
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    values = RANDOM.integers(0, 256, math.prod(shape) * dtype.itemsize, dtype=np.uint8)
    if dtype == np.bool_:
        data = (values > 127).reshape(shape)
    elif dtype.kind == "f":
        data = (values[: math.prod(shape)] - 100.5).astype(dtype).reshape(shape)
    else:
        data = values.view(dtype).reshape(shape)
    spacing = {a: draw(SIZES) for a in axes if a in "QZYX" and draw(st.booleans())}
    if "T" in axes and draw(st.booleans()):
        spacing["T"] = Quantity(draw(st.floats(1e-6, 1e6)), draw(st.sampled_from(["s", "ms", "min"])))
    origin = {a: draw(PLACES) for a in axes if a in "ZYX" and draw(st.booleans())}
    channels = dict(zip(axes, shape, strict=True)).get("C", 0)
    names = (
        tuple(draw(st.lists(st.text(max_size=5), min_size=channels, max_size=channels))) if draw(st.booleans()) else ()
    )
    return Image(
        data=data, axes=axes, spacing=spacing, origin=origin, channel_names=names,
        meaning=draw(st.sampled_from(["counts", "grey", "normalised", "labels"])),
        header=draw(st.dictionaries(st.sampled_from(["tiff", "mrc", "fei", "zeiss", "imagej"]), JSON, max_size=2)),
        provenance=draw(st.dictionaries(st.text(max_size=4), JSON, max_size=2)),
    )  # fmt: skip


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    image=images(), suffix=st.sampled_from([".tif", ".ome.tiff"]), codec=st.sampled_from([None, "zlib", "zstd", "lzw"])
)
def test_what_is_written_comes_back(image: Image, suffix: str, codec: str | None, tmp_path: Path) -> None:
    path = tmp_path / f"image{suffix}"
    lost = write(path, image, overwrite=True, compression=codec)
    assert not any("not kept" in line for line in lost)
    assert_same(read(path), image)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(image=images(), suffix=st.sampled_from([".tif", ".ome.tif"]), data=st.data())
def test_a_box_is_that_part_of_the_whole(image: Image, suffix: str, data: st.DataObject, tmp_path: Path) -> None:
    write(tmp_path / f"image{suffix}", image, overwrite=True)
    box = []
    for n in image.shape:
        start = data.draw(st.integers(0, n - 1))
        box.append(slice(start, data.draw(st.integers(start, n))))
    part = read(tmp_path / f"image{suffix}").data[tuple(box)]
    np.testing.assert_array_equal(part, image.numpy()[tuple(box)])


def test_the_mask_is_the_one_thing_lost(tmp_path: Path) -> None:
    pixels = np.zeros((4, 5), np.uint8)
    lost = write(tmp_path / "a.tif", Image(pixels, "YX", mask=pixels == 0))
    assert lost == ("mask of valid pixels not kept",)
    assert read(tmp_path / "a.tif").mask is None


def test_lazy_source_is_streamed_plane_by_plane(tmp_path: Path) -> None:
    asked = []

    class Planes:
        shape, dtype = (3, 2, 8, 9), np.dtype(np.uint16)

        def __getitem__(self, box: tuple[slice, ...]) -> np.ndarray:
            asked.append(tuple(s.stop - s.start for s in box))
            return np.full(asked[-1], 10 * box[0].start + box[1].start, np.uint16)

    write(tmp_path / "a.tif", Image(Planes(), "CZYX"))
    assert set(asked) == {(1, 1, 8, 9)}
    assert len(asked) == 6
    assert read(tmp_path / "a.tif").numpy()[:, :, 0, 0].tolist() == [[0, 1], [10, 11], [20, 21]]


# What other programs find in our files


def stack_image(dtype: str = "uint16", axes: str = "CZYX") -> Image:
    shape = tuple({"T": 2, "C": 2, "Q": 4, "Z": 3, "Y": 8, "X": 9}[a] for a in axes)
    pixels = np.arange(math.prod(shape)).reshape(shape).astype(dtype)
    spacing = {"Z": Quantity(50.0, "nm"), "Y": Quantity(4.123456789, "nm"), "X": Quantity(4.2, "nm")}
    return Image(
        pixels, axes, spacing={a: q for a, q in spacing.items() if a in axes},
        origin={"X": Quantity(-21.0, "nm"), "Y": Quantity(100.0, "nm")},
        channel_names=("BSE", "SE µ&<") if "C" in axes else (),
    )  # fmt: skip


def test_imagej_fields(tmp_path: Path) -> None:
    image = stack_image()
    write(tmp_path / "a.tif", image)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        found = file.imagej_metadata
        assert file.series[0].axes == "ZCYX"
        np.testing.assert_array_equal(file.asarray(), image.numpy().swapaxes(0, 1))
        x, y = (file.pages[0].tags[f"{a}Resolution"].value for a in "XY")
    assert (found["slices"], found["channels"], found["unit"], found["spacing"]) == (3, 2, "nm", 50.0)
    assert x[0] / x[1] == pytest.approx(1 / 4.2, rel=1e-9)
    assert y[0] / y[1] == pytest.approx(1 / 4.123456789, rel=1e-9)
    assert found["xorigin"] == pytest.approx(5.0)
    assert found["Labels"] == ["BSE", "SE µ&<"] * 3


def test_ome_fields(tmp_path: Path) -> None:
    image = stack_image("int16")
    write(tmp_path / "a.tif", image)  # ImageJ has no int16
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.series[0].kind == "ome"
        assert file.series[0].axes == "CZYX"
        np.testing.assert_array_equal(file.asarray(), image.numpy())
        root = ElementTree.fromstring(file.ome_metadata)
    space = {"o": root.tag[1:].partition("}")[0]}
    pixels = root.find(".//o:Pixels", space)
    assert pixels.get("Type") == "int16"
    assert float(pixels.get("PhysicalSizeY")) == 4.123456789
    assert (pixels.get("PhysicalSizeZ"), pixels.get("PhysicalSizeZUnit")) == ("50.0", "nm")
    assert [c.get("Name") for c in pixels.findall("o:Channel", space)] == ["BSE", "SE µ&<"]
    planes = pixels.findall("o:Plane", space)
    assert [float(p.get("PositionX")) for p in planes] == [-21.0] * 6


def test_ome_xml_stays_well_formed(tmp_path: Path) -> None:
    image = Image(np.ones((2, 3, 4), np.uint8), "CYX", channel_names=("a\0b", "c\x1f"), name="n\x02")
    write(tmp_path / "a.ome.tif", image)
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as file:
        names = [e.get("Name") for e in ElementTree.fromstring(file.ome_metadata).iter() if e.tag.endswith("Channel")]
    assert names == ["a?b", "c?"]
    assert_same(read(tmp_path / "a.ome.tif"), image)


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif"])
@pytest.mark.parametrize("axes", ["CZYX", "ZCYX", "TCZYX", "ZYX", "YX"])
def test_standard_fields_alone_say_the_same(axes: str, suffix: str, tmp_path: Path) -> None:
    """A file that lost our private tag, as when another program saves it, keeps all that its standard fields hold."""
    image = stack_image(axes=axes)
    write(tmp_path / f"a{suffix}", image)
    with tifffile.TiffFile(tmp_path / f"a{suffix}", mode="r+") as file:
        tag = file.pages[0].tags[65450]
        file.filehandle.seek(tag.offset)
        file.filehandle.write(np.array(65451, file.byteorder + "u2").tobytes())
    back = read(tmp_path / f"a{suffix}")
    order = tuple(image.axes.index(a) for a in back.axes)
    np.testing.assert_array_equal(back.numpy(), image.numpy().transpose(order))
    for axis, size in image.spacing.items():
        assert back.spacing[axis].to("nm") == pytest.approx(size.value, rel=1e-9)
    for axis, place in image.origin.items():
        assert back.origin[axis].to("nm") == pytest.approx(place.value, rel=1e-9)
    assert back.channel_names == image.channel_names


def test_a_pixel_size_that_another_program_changed_counts(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", stack_image(axes="ZYX"))
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as file:
        file.pages[0].tags["XResolution"].overwrite((1, 8))
    back = read(tmp_path / "a.tif")
    assert back.spacing["X"] == Quantity(8.0, "nm")
    assert back.spacing["Y"] == Quantity(4.123456789, "nm")


@pytest.mark.parametrize(("dtype", "name", "kind"), [
    ("uint8", "a.tif", "imagej"), ("uint16", "a.ome.tif", "ome"), ("uint32", "a.tif", "ome"),
    ("int64", "a.tif", "generic"), ("float16", "a.ome.tiff", "generic"),
])  # fmt: skip
def test_flavour_follows_name_and_type(dtype: str, name: str, kind: str, tmp_path: Path) -> None:
    lost = write(tmp_path / name, Image(np.ones((2, 3, 4), dtype), "QYX"))
    with tifffile.TiffFile(tmp_path / name) as file:
        assert file.series[0].kind == kind
    assert bool(lost) == (kind == "generic" and ".ome." in name)


def test_large_images_become_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ruska.io.tiff_write.CLASSIC_BYTES", 1000)
    image = stack_image(axes="ZYX")
    small = image.with_data(image.numpy()[:2])
    write(tmp_path / "small.tif", small)
    write(tmp_path / "large.tif", image.with_data(np.tile(image.numpy(), (1, 3, 1))))
    with tifffile.TiffFile(tmp_path / "small.tif") as file:
        assert (file.is_bigtiff, file.is_imagej) == (False, True)
    with tifffile.TiffFile(tmp_path / "large.tif") as file:
        assert (file.is_bigtiff, file.is_ome) == (True, True)
    assert_same(read(tmp_path / "small.tif"), small)


def test_options_are_checked(tmp_path: Path) -> None:
    image = Image(np.ones((3, 4), np.int64), "YX")
    with pytest.raises(SettingsError, match="zstd"):
        write(tmp_path / "a.tif", image, compression="zst")
    with pytest.raises(SettingsError, match="imagej"):
        write(tmp_path / "a.tif", image, flavour="image")
    for flavour in ("imagej", "ome"):
        with pytest.raises(OutputError, match="int64"):
            write(tmp_path / "a.tif", image, flavour=flavour)
    assert list(tmp_path.iterdir()) == []


# Files of other writers

WRITERS = {
    "big endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
    "tiled": {"tile": (16, 32)},
    "tiled deflate": {"tile": (32, 16), "compression": "zlib", "predictor": True},
    "LZW strips": {"compression": "lzw", "rowsperstrip": 7},
    "zstd": {"compression": "zstd"},
    "strips": {"rowsperstrip": 5},
    "big endian tiles": {"byteorder": ">", "tile": (16, 16), "compression": "lzma"},
    "ImageJ": {"imagej": True},
}


@pytest.mark.parametrize("options", WRITERS.values(), ids=WRITERS.keys())
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_layouts_of_other_writers(options: dict[str, Any], dtype: str, tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 200, (3, 50, 71)).astype(dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, photometric="minisblack", **options)
    image = read(path)
    np.testing.assert_array_equal(image.numpy(), pixels)
    np.testing.assert_array_equal(image.data[1:3, 13:40, 5:66], pixels[1:3, 13:40, 5:66])
    assert image.dtype == np.dtype(dtype)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint32", "int32", "uint64", "int64", "float16", "float64", "bool"])
def test_every_data_type_of_other_writers(dtype: str, tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 2 if dtype == "bool" else 100, (20, 31)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    image = read(tmp_path / "a.tif")
    assert image.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(image.numpy(), pixels)


def test_twelve_bit_values_are_unpacked(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 4096, (8, 16)).astype(np.uint16)
    bits = "".join(f"{v:012b}" for v in pixels.ravel())
    packed = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pixels, rowsperstrip=8, metadata=None)
    with tifffile.TiffFile(path, mode="r+") as file:
        file.filehandle.seek(file.pages[0].dataoffsets[0])
        file.filehandle.write(packed)
        file.pages[0].tags["BitsPerSample"].overwrite(12)
        file.pages[0].tags["StripByteCounts"].overwrite(len(packed))
    np.testing.assert_array_equal(read(path).numpy(), pixels)


def test_ome_singletons_go_and_order_stays(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 255, (1, 3, 1, 8, 9)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata={
        "axes": "TCZYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "Å", "PhysicalSizeY": 2.0,
        "Channel": {"Name": ["a", "b", "c"]},
    })  # fmt: skip
    image = read(tmp_path / "a.ome.tif")
    assert image.axes == "CYX"
    assert dict(image.spacing) == {"Y": Quantity(2.0, "um"), "X": Quantity(0.5, "angstrom")}
    assert image.channel_names == ("a", "b", "c")
    np.testing.assert_array_equal(image.numpy(), pixels[0, :, 0])


def test_ome_in_several_files(tmp_path: Path) -> None:
    """The master file names the others by UUID; planes come from each."""
    planes = RANDOM.integers(0, 255, (2, 8, 9)).astype(np.uint8)
    names = ("first.ome.tif", "second.ome.tif")
    blocks = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="{name}">urn:uuid:{z}</UUID></TiffData>'
        for z, name in enumerate(names)
    )
    for z, name in enumerate(names):
        xml = (
            f'<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{z}"><Image ID="Image:0">'
            '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" '
            'SizeX="9" SizeY="8" SizeZ="2" SizeC="1" SizeT="1">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{blocks}</Pixels></Image></OME>'
        )
        tifffile.imwrite(tmp_path / name, planes[z], description=xml, metadata=None)
    image = read(tmp_path / names[0])
    assert image.axes == "ZYX"
    assert any("1 other file" in note for note in image.notes)
    np.testing.assert_array_equal(image.numpy(), planes)


def test_largest_series_is_taken_and_pyramid_levels_are_no_series(tmp_path: Path) -> None:
    small, large = np.ones((9, 9), np.uint8), RANDOM.integers(0, 99, (64, 64)).astype(np.uint8)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(small)
        file.write(large, subifds=1)
        file.write(large[::2, ::2], subfiletype=1)
    image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.numpy(), large)
    assert any("2 image series: took number 2" in note for note in image.notes)
    with pytest.raises(InputError, match="holds 2 images, of which Ruska reads the largest: '1' cannot be picked"):
        read(f"{tmp_path}/a.tif:1")


def test_five_channels_and_samples(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 99, (12, 13, 5)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "contig.tif", pixels, photometric="minisblack", planarconfig="contig")
    tifffile.imwrite(tmp_path / "separate.tif", np.moveaxis(pixels, -1, 0), photometric="minisblack",
                     planarconfig="separate", tile=(16, 16), compression="zlib")  # fmt: skip
    for name in ("contig.tif", "separate.tif"):
        image = read(tmp_path / name)
        assert (image.axes, image.shape) == ("CYX", (5, 12, 13))
        np.testing.assert_array_equal(image.numpy(), np.moveaxis(pixels, -1, 0))
        np.testing.assert_array_equal(image.data[1:4, 2:5, 6:11], np.moveaxis(pixels, -1, 0)[1:4, 2:5, 6:11])


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("samples", [3, 4])
def test_colours_become_grey(planar: str, samples: int, tmp_path: Path) -> None:
    rgb = RANDOM.integers(0, 65535, (12, 13, samples)).astype(np.uint16)
    stored = rgb if planar == "contig" else np.moveaxis(rgb, -1, 0)
    extra = {"extrasamples": ["unassalpha"]} if samples == 4 else {}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, metadata=None, **extra)
    image = read(tmp_path / "a.tif")
    expected = np.rint((rgb[..., :3].astype(np.int64) * (299, 587, 114)).sum(-1) / 1000)  # ties as they are
    np.testing.assert_array_equal(image.numpy(), expected)
    assert any("grey" in note for note in image.notes)
    assert any("alpha" in note for note in image.notes) == (samples == 4)


def test_three_equal_channels_are_one(tmp_path: Path) -> None:
    grey = RANDOM.integers(0, 255, (12, 13)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", np.stack([grey] * 3, -1), photometric="rgb")
    image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.numpy(), grey)
    assert image.notes == ("three equal colour channels read as one",)


@given(st.integers(0, 2**16 - 1), st.sampled_from(["uint16", "float32", "float64", "int32"]))
def test_grey_of_equal_channels_is_that_channel(value: int, dtype: str) -> None:
    rgb = np.full((1, 3), value / 7 if "float" in dtype else value, dtype)
    assert luminance(rgb)[0] == rgb[0, 0]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32"])
def test_grey_of_ties_is_the_even_one(dtype: str) -> None:
    """In linear algebra it depends on the machine, and on where the pixels lie."""
    rgb = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, (40_000, 3)).astype(dtype)
    sums = rgb.astype(np.int64) @ np.array([299, 587, 114])
    ties = sums % 1000 == 500
    assert ties.sum() > 20
    whole, rest = np.divmod(sums, 1000)
    expected = whole + (rest > 500) + (ties & (whole % 2 == 1))
    np.testing.assert_array_equal(luminance(rgb), expected)


def test_palettes(tmp_path: Path) -> None:
    index = RANDOM.integers(0, 256, (12, 13)).astype(np.uint8)
    colours = RANDOM.integers(0, 65536, (3, 256)).astype(np.uint16)
    ramp = np.stack([np.arange(255, -1, -1, dtype=np.uint16) * 257] * 3)
    tifffile.imwrite(tmp_path / "colours.tif", index, photometric="palette", colormap=colours)
    tifffile.imwrite(tmp_path / "ramp.tif", index, photometric="palette", colormap=ramp)
    grey = np.array([299, 587, 114]) @ colours.astype(np.int64) / 1000
    np.testing.assert_array_equal(
        read(tmp_path / "colours.tif").numpy(), np.rint(grey * (255 / 65535)).astype(np.uint8)[index]
    )
    np.testing.assert_array_equal(read(tmp_path / "ramp.tif").numpy(), index)


def test_a_palette_of_the_wrong_size_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    colours = RANDOM.integers(0, 65536, (3, 256)).astype(np.uint16)
    tifffile.imwrite(path, np.full((12, 13), 200, np.uint8), photometric="palette", colormap=colours)
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags["ColorMap"]
    for count in (3, 30, 192):
        data = bytearray(path.read_bytes())
        data[tag.offset + 4 : tag.offset + 8] = count.to_bytes(4, "little")
        (tmp_path / "b.tif").write_bytes(data)
        with pytest.raises(InputError, match="palette"):
            read(tmp_path / "b.tif").numpy()


@pytest.mark.parametrize(("dpi", "size"), [(72, {}), (300, {}), (25.4e6 / 4, {"Y": 4.0, "X": 4.0})])
def test_screen_resolution_is_no_pixel_size(dpi: float, size: dict[str, float], tmp_path: Path) -> None:
    pixels = np.ones((5, 6), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, resolution=(dpi, dpi), resolutionunit="INCH", metadata=None)
    assert nm(read(tmp_path / "a.tif")) == pytest.approx(size)


@pytest.mark.parametrize("unit", ["micron", "\\u00B5m", "\\u03bcm", "um"])
def test_imagej_units(unit: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((2, 3, 5, 6), np.uint8), imagej=True, resolution=(4.0, 2.0),
                     metadata={"axes": "TZYX", "unit": unit, "spacing": 0.75, "finterval": 1.25})  # fmt: skip
    image = read(tmp_path / "a.tif")
    assert dict(image.spacing) == {
        "T": Quantity(1.25, "s"), "Z": Quantity(0.75, "um"), "Y": Quantity(0.5, "um"), "X": Quantity(0.25, "um"),
    }  # fmt: skip


@pytest.mark.parametrize("count", [3, 4])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "tile": (16, 16)}, {"bigtiff": True}])
@pytest.mark.parametrize("axes", ["ZYX", "CYX", "TYX", "TZYX", "ZCYX"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_stack_that_tifffile_takes_for_a_colour_picture(
    axes: str, options: dict[str, Any], dtype: str, count: int, tmp_path: Path
) -> None:
    """Three or four slices in one page, as samples of its pixels; the description has the axes."""
    pixels = RANDOM.integers(0, 255, (*(2,) * (len(axes) - 3), count, 20, 33)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, metadata={"axes": axes}, **options)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].samplesperpixel == count
    image = read(tmp_path / "a.tif")
    assert (image.axes, image.shape, image.notes) == (axes, pixels.shape, ())
    np.testing.assert_array_equal(image.numpy(), pixels)
    box = (*(slice(1, 2) for _ in axes[:-2]), slice(3, 9), slice(15, 33))
    np.testing.assert_array_equal(image.data[box], pixels[box])
    write(tmp_path / "b.tif", image)
    np.testing.assert_array_equal(read(tmp_path / "b.tif").numpy(), pixels)


def test_stack_axes_without_names(tmp_path: Path) -> None:
    """As tifffile writes an array of four or five dimensions: they stay apart, and ``--axes`` names them."""
    for count, axes in ((2, "TQYX"), (3, "TCQYX")):
        pixels = RANDOM.integers(0, 255, (*range(2, 2 + count), 20, 33)).astype(np.uint8)
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
        image = read(tmp_path / "a.tif")
        assert (image.axes, len(image.notes)) == (axes, 1)
        assert axes in image.notes[0]
        np.testing.assert_array_equal(image.numpy(), pixels)
    named = read(tmp_path / "a.tif", axes="CTZYX")
    assert (named.axes, named.notes) == ("CTZYX", ())
    np.testing.assert_array_equal(named.numpy(), pixels)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_samples_of_colour_pictures_are_no_stack(tmp_path: Path) -> None:
    pictures = RANDOM.integers(0, 255, (3, 3, 20, 33)).astype(np.uint8)  # three pages of three colours
    tifffile.imwrite(tmp_path / "a.tif", pictures, photometric="rgb", planarconfig="separate", metadata=None)
    image = read(tmp_path / "a.tif")
    assert image.shape == (3, 20, 33)
    np.testing.assert_array_equal(image.numpy(), luminance(np.moveaxis(pictures, 1, -1)))
    tifffile.imwrite(tmp_path / "b.tif", np.moveaxis(pictures[0], 0, -1), photometric="rgb", metadata={"axes": "YXC"})
    image = read(tmp_path / "b.tif")
    assert image.axes == "CYX"  # the file itself says that these are channels
    np.testing.assert_array_equal(image.numpy(), pictures[0])


@pytest.mark.parametrize(("fields", "kept"), [
    ({"spacing": 3.0}, 3.0), ({"spacing": 2.5, "unit": "pixels"}, 2.5), ({"spacing": 1.0}, None), ({}, None),
    ({"spacing": 3.0, "unit": "parsec"}, None), ({"spacing": float("nan")}, None),
])  # fmt: skip
def test_slices_whose_distance_imagej_has_in_pixels(fields: dict[str, Any], kept: float | None, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((3, 5, 6), np.uint8), imagej=True, metadata={"axes": "ZYX", **fields})
    image = read(tmp_path / "a.tif")
    assert {a: (q.value, q.unit) for a, q in image.spacing.items()} == (
        {"Z": (kept, ""), "Y": (1.0, ""), "X": (1.0, "")} if kept else {}
    )
    assert write(tmp_path / "b.tif", image) == ()
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert (file.imagej_metadata.get("spacing"), file.imagej_metadata.get("unit")) == (kept, None)
    assert ("voxel size" in (losses_sentence(tmp_path / "b.mrc", image) or "")) == bool(kept)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_cut_stack_in_one_page_is_truncated(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 20, 33), np.uint8), metadata={"axes": "ZYX"})
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "b.tif").write_bytes(whole[: -20 * 33])
    with pytest.raises(InputError, match="truncated"):
        read(tmp_path / "b.tif").numpy()


@pytest.mark.parametrize(("units", "expected"), [
    ({"unit": "nm", "zunit": "um"}, {"Z": (0.75, "um"), "Y": (0.5, "nm"), "X": (0.25, "nm")}),
    ({"unit": "nm", "zunit": "\\u00B5m"}, {"Z": (0.75, "um"), "Y": (0.5, "nm"), "X": (0.25, "nm")}),
    ({"unit": "um", "yunit": "nm"}, {"Z": (0.75, "um"), "Y": (0.5, "nm"), "X": (0.25, "um")}),
    ({"unit": "\\u00C5", "yunit": "\\u00C5", "zunit": "nm"},
     {"Z": (0.75, "nm"), "Y": (0.5, "angstrom"), "X": (0.25, "angstrom")}),
    ({"unit": "um", "zunit": "sec"}, {"Y": (0.5, "um"), "X": (0.25, "um")}),
    ({"unit": "pixel", "zunit": "um"}, {"Z": (0.75, "um")}),
    ({"unit": "inch", "zunit": "um"}, {"Z": (0.75, "um")}),
    ({"unit": "inch"}, {}),
])  # fmt: skip
def test_imagej_gives_each_axis_its_own_unit(
    units: dict[str, str], expected: dict[str, tuple[float, str]], tmp_path: Path
) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((3, 5, 6), np.uint8), imagej=True, resolution=(4.0, 2.0),
                     metadata={"axes": "ZYX", "spacing": 0.75, "zorigin": 2.0, **units})  # fmt: skip
    image = read(tmp_path / "a.tif")
    assert dict(image.spacing) == {a: Quantity(*size) for a, size in expected.items()}
    if "Z" in expected:
        assert image.origin["Z"] == Quantity(-1.5, expected["Z"][1])
    write(tmp_path / "b.tif", image)
    back = read(tmp_path / "b.tif")
    assert dict(back.spacing) == dict(image.spacing)
    if set(expected) != set("ZYX"):
        return
    with tifffile.TiffFile(tmp_path / "b.tif") as file:  # in one unit, for programs that know no other
        told = file.imagej_metadata
    nanometres = {"nm": 1.0, "micron": 1e3, "angstrom": 0.1}[told["unit"]]
    assert told["spacing"] * nanometres == pytest.approx(image.spacing["Z"].to("nm"))
    assert "zunit" not in told


def test_words_where_imagej_has_numbers_are_passed_over(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((3, 5, 6), np.uint8), imagej=True, resolution=(4.0, 2.0),
                     metadata={"axes": "ZYX", "unit": "nm", "spacing": "far", "xorigin": "left"})  # fmt: skip
    image = read(tmp_path / "a.tif")
    assert dict(image.spacing) == {"Y": Quantity(0.5, "nm"), "X": Quantity(0.25, "nm")}
    assert not image.origin


@pytest.mark.parametrize("target", ["b.tif", "b.ome.tif", "plain"])
@pytest.mark.parametrize("shape", [(20, 33), (3, 20, 33)])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_a_tiff_is_shown_like_the_one_it_came_from(
    photometric: str, orientation: int, shape: tuple[int, ...], target: str, tmp_path: Path
) -> None:
    pixels = RANDOM.integers(0, 255, shape).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric,
                     extratags=[(274, "H", 1, orientation, False)])  # fmt: skip
    image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.numpy(), pixels)
    assert any("0 is white" in note for note in image.notes) == (photometric == "miniswhite")
    assert any("asks to be shown" in note for note in image.notes) == (orientation != 1)
    flavour = "plain" if target == "plain" else "auto"
    write(tmp_path / "b.tif", image, flavour=flavour)
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        np.testing.assert_array_equal(file.asarray(), pixels)
        for page in file.pages:
            assert page.aspage().photometric.name.lower() == photometric
            assert page.aspage().tags.valueof(274, 1) == orientation
    back = read(tmp_path / "b.tif")
    assert_same(back, image)
    shown = ["orientation"] * (orientation != 1) + ["white for 0"] * (photometric == "miniswhite")
    said = f"The MRC file cannot hold: TIFF's {', '.join(shown)}." if shown else ""
    for found in (image, back):  # a file of ours says it no less
        assert (losses_sentence(tmp_path / "b.mrc", found) or "").startswith(said)
        assert sum("kept as stored" in note for note in found.notes) == len(shown)


def test_words_where_a_tiff_says_how_it_is_shown_are_passed_over(tmp_path: Path) -> None:
    header = {"tiff": {"Orientation": ["up"], "PhotometricInterpretation": 7}}
    image = Image(np.ones((3, 20, 33), np.uint8), "ZYX", header=header)
    write(tmp_path / "a.tif", image)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.pages[0].photometric.name == "MINISBLACK"
        assert 274 not in file.pages[0].tags
    assert_same(read(tmp_path / "a.tif"), image)


def shown(dtype: str = "uint16", shape: tuple[int, ...] = (2, 3, 20, 33)) -> tuple[Any, dict[str, Any]]:
    """A Z stack of channels, and all that ImageJ tells of how it is shown."""
    pixels = RANDOM.integers(0, 255, shape).astype(dtype)
    slices, channels = shape[:2]
    fields = {
        "Labels": [f"c:{c + 1}/3 - BSE\nz {z}" for z in range(slices) for c in range(channels)],
        "LUTs": [RANDOM.integers(0, 256, (3, 256)).astype(np.uint8) for _ in range(channels)],
        "Ranges": [float(n) for n in range(2 * channels)],
        "ROI": b"Iout\0\xe4\1\0", "Overlays": [b"Iout1", b"Iout2"], "mode": "composite", "min": 3.0, "max": 200.5,
        "Properties": {"UniqueName": "true", "CurrentLUT": "fire"}, "Info": "kept\nbefore",
    }  # fmt: skip
    return pixels, fields


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_how_imagej_shows_a_stack_goes_from_file_to_file(dtype: str, tmp_path: Path) -> None:
    pixels, fields = shown(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, imagej=True, metadata={"axes": "ZCYX", **fields})
    image = read(tmp_path / "a.tif")
    for source, target in (("a.tif", "b.tif"), ("b.tif", "c.tif")):
        assert write(tmp_path / target, read(tmp_path / source)) == ()
        with tifffile.TiffFile(tmp_path / target) as file:
            found = file.imagej_metadata
            np.testing.assert_array_equal(file.asarray(), pixels)
        assert {k: found[k] for k in ("Labels", "ROI", "Overlays", "mode", "min", "max", "Properties", "Info")} == {
            k: v for k, v in fields.items() if k not in ("LUTs", "Ranges")
        }
        assert list(found["Ranges"]) == fields["Ranges"]
        np.testing.assert_array_equal(found["LUTs"], fields["LUTs"])
        assert_same(read(tmp_path / target), image)


@pytest.mark.parametrize(("change", "gone"), [
    (lambda image: image.with_data(image.numpy()[..., :10]), ["region of interest", "overlay"]),
    (lambda image: image.with_data(image.numpy()[:1]), ["slice labels", "region of interest", "overlay"]),
    (lambda image: image.with_data(image.numpy()[:, :2], channel_names=()),
     ["slice labels", "colours", "display ranges", "region of interest", "overlay", "display mode"]),
    (lambda image: image.with_data(image.numpy().astype(np.float32)), ["display ranges", "display range"]),
    (lambda image: replace(image, channel_names=("a", "b", "c")), ["slice labels"]),
])  # fmt: skip
def test_what_imagej_showed_and_does_not_hold_any_more_is_said(change: Any, gone: list[str], tmp_path: Path) -> None:
    pixels, fields = shown()
    tifffile.imwrite(tmp_path / "a.tif", pixels, imagej=True, metadata={"axes": "ZCYX", **fields})
    image = change(read(tmp_path / "a.tif"))
    (said,) = write(tmp_path / "b.tif", image)
    words = said.removeprefix("ImageJ's ").removesuffix(" not kept").split(", ")
    assert sorted(words) == sorted(gone)
    keys = {"slice labels": "Labels", "colours": "LUTs", "display ranges": "Ranges", "display range": "min",
            "region of interest": "ROI", "overlay": "Overlays", "display mode": "mode"}  # fmt: skip
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        found = file.imagej_metadata
        np.testing.assert_array_equal(file.asarray(), image.numpy().squeeze())
    for what, key in keys.items():
        if what not in gone:
            assert key in found
        elif key == "Labels":
            assert set(found.get("Labels", [])) <= set(image.channel_names)
        else:
            assert found.get(key) in (None, "grayscale")  # which is what tifffile takes where nothing is said


@pytest.mark.parametrize("fields", [
    {"Labels": [1, 2], "LUTs": [[1], [2, 3]], "Ranges": ["low", 2], "ROI": "xyz", "Overlays": [3], "mode": "dark",
     "Properties": {"a": 1}, "min": "low", "max": None, "pixels": 3, "images": "two", "Info": 7},
    {"LUTs": "red", "Ranges": [1.0], "Overlays": {"a": "b"}, "Properties": ["a"], "pixels": [1]},
])  # fmt: skip
def test_damaged_fields_of_imagej_are_passed_over(fields: dict[str, Any], tmp_path: Path) -> None:
    image = Image(np.ones((2, 20, 33), np.uint8), "ZYX", header={"imagej": fields})
    assert all("not kept" in said for said in write(tmp_path / "a.tif", image))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert not {"Labels", "LUTs", "Ranges", "ROI", "Overlays", "Properties", "min"} & set(file.imagej_metadata)
    assert_same(read(tmp_path / "a.tif"), image)


OME = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def full_ome(schema: str = OME, images: int = 1) -> str:
    """OME-XML of a Z stack (2, 2, 20, 33) of channels, with what microscopes write beside the pixels."""
    planes = "".join(f'<Plane TheZ="{z}" TheC="{c}" TheT="0" DeltaT="{z}.5" PositionX="7" PositionXUnit="µm"/>'
                     for z in range(2) for c in range(2))  # fmt: skip
    image = f"""<Image ID="Image:0" Name="cell 7"><AcquisitionDate>2024-01-01T10:00:00</AcquisitionDate>
<Description>Ångström &amp; more</Description><InstrumentRef ID="Instrument:0"/>
<Pixels ID="Pixels:9" DimensionOrder="XYCZT" Type="uint16" SizeX="33" SizeY="20" SizeZ="2" SizeC="2" SizeT="1"
SignificantBits="12" PhysicalSizeX="4" PhysicalSizeXUnit="nm" PhysicalSizeY="4" PhysicalSizeYUnit="nm">
<Channel ID="Channel:0:0" Name="BSE" Color="-1" SamplesPerPixel="1"><DetectorSettings ID="Detector:0" Gain="3"/>
</Channel>
<Channel ID="Channel:0:1" Name="SE" SamplesPerPixel="1"/><TiffData/>{planes}</Pixels>
<ROIRef ID="ROI:0"/><AnnotationRef ID="Annotation:0"/></Image>"""
    return f"""<?xml version="1.0" encoding="UTF-8"?><OME xmlns="{schema}" UUID="urn:uuid:0" Creator="maker">
<Instrument ID="Instrument:0"><Microscope Model="Model7"/><Detector ID="Detector:0"/></Instrument>
<StructuredAnnotations><XMLAnnotation ID="Annotation:0"><Value><a:b xmlns:a="urn:maker">kV=5</a:b></Value>
</XMLAnnotation></StructuredAnnotations>{image * images}
<ROI ID="ROI:0"><Union><Rectangle ID="Shape:0" X="1" Y="2" Width="3" Height="4"/></Union></ROI></OME>"""


def full_ome_file(path: Path, xml: str) -> NDArray[np.uint16]:
    pixels = RANDOM.integers(0, 4096, (2, 2, 20, 33)).astype(np.uint16)
    tifffile.imwrite(path, pixels, description=xml.encode(), metadata=None, photometric="minisblack")
    return pixels


def test_ome_xml_beyond_the_pixels_goes_from_ome_to_ome(tmp_path: Path) -> None:
    pixels = full_ome_file(tmp_path / "a.ome.tif", full_ome())
    image = read(tmp_path / "a.ome.tif")
    assert image.axes == "ZCYX"
    for source, target in (("a.ome.tif", "b.ome.tif"), ("b.ome.tif", "c.ome.tif")):
        assert write(tmp_path / target, read(tmp_path / source)) == ()
        with tifffile.TiffFile(tmp_path / target) as file:
            assert (file.series[0].kind, file.series[0].axes) == ("ome", "ZCYX")
            np.testing.assert_array_equal(file.asarray(), pixels)
            root = ElementTree.fromstring(file.ome_metadata)
        space = {"o": OME}
        assert [e.tag.rpartition("}")[2] for e in root] == ["Instrument", "StructuredAnnotations", "Image", "ROI"]
        assert root.find("o:Instrument/o:Microscope", space).get("Model") == "Model7"
        assert root.find("o:Image/o:AcquisitionDate", space).text == "2024-01-01T10:00:00"
        assert root.find("o:Image/o:Description", space).text == "Ångström & more"
        assert root.find(".//{urn:maker}b").text == "kV=5"
        assert root.find("o:Image", space).get("Name") == "cell 7"
        assert root.get("UUID") != "urn:uuid:0"  # which is another file's
        found = root.find("o:Image/o:Pixels", space)
        assert (found.get("ID"), found.get("SignificantBits"), found.get("PhysicalSizeX")) == ("Pixels:9", "12", "4.0")
        assert [c.get("Name") for c in found.findall("o:Channel", space)] == ["BSE", "SE"]
        assert found.find("o:Channel/o:DetectorSettings", space).get("Gain") == "3"
        planes = found.findall("o:Plane", space)
        assert [(p.get("TheZ"), p.get("DeltaT"), float(p.get("PositionX"))) for p in planes] == [
            ("0", "0.5", 7.0), ("0", "0.5", 7.0), ("1", "1.5", 7.0), ("1", "1.5", 7.0)]  # fmt: skip
        assert root.find("o:ROI", space) is not None
        back = read(tmp_path / target)
        assert_same(back, image)
    without = read(tmp_path / "b.ome.tif")  # what other programs say counts, as before
    tifffile.tiffcomment(tmp_path / "b.ome.tif", full_ome().replace('PhysicalSizeX="4"', 'PhysicalSizeX="8"').encode())
    assert read(tmp_path / "b.ome.tif").spacing["X"].value == 2 * without.spacing["X"].value


def test_positions_of_planes(tmp_path: Path) -> None:
    """A stage that moves from plane to plane: its positions are kept, or said to be lost."""
    moved = full_ome().replace('TheZ="1" TheC="0" TheT="0"', 'TheZ="1" TheC="0" TheT="0" PositionY="2.5"')
    full_ome_file(tmp_path / "a.ome.tif", moved)
    image = read(tmp_path / "a.ome.tif")
    assert write(tmp_path / "b.ome.tif", image) == ()
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as file:
        planes = ElementTree.fromstring(file.ome_metadata).findall(f".//{{{OME}}}Plane")
    found = {(p.get("TheZ"), p.get("TheC")): (float(p.get("PositionX")), p.get("PositionY")) for p in planes}
    assert found == {("0", "0"): (7, None), ("0", "1"): (7, None), ("1", "0"): (7, "2.5"), ("1", "1"): (7, None)}
    part = crop(image, {"Y": slice(0, 9)})
    assert "OME-XML's positions of planes not kept" in write(tmp_path / "c.ome.tif", part)
    assert "positions of planes" in losses_sentence(tmp_path / "c.tif", image)


@pytest.mark.parametrize(("change", "gone"), [
    (lambda image: image.with_data(image.numpy()[:, :, :10]), {"regions of interest"}),
    (lambda image: image.with_data(image.numpy()[:1]), {"regions of interest", "times of planes"}),
    (lambda image: image.with_data(image.numpy()[:, :1], channel_names=()),
     {"regions of interest", "times of planes", "channels"}),
])  # fmt: skip
def test_what_ome_xml_says_of_other_pixels_is_left_out_and_said(change: Any, gone: set[str], tmp_path: Path) -> None:
    full_ome_file(tmp_path / "a.ome.tif", full_ome())
    image = change(read(tmp_path / "a.ome.tif"))
    said = write(tmp_path / "b.ome.tif", image)
    assert set(said) == {f"OME-XML's {what} not kept" for what in gone}
    with tifffile.TiffFile(tmp_path / "b.ome.tif") as file:
        np.testing.assert_array_equal(file.asarray().squeeze(), image.numpy().squeeze())
        text = file.ome_metadata
    assert "Model7" in text
    assert "ROI" not in text
    assert ("DeltaT" in text) == ("times of planes" not in gone)
    assert ("DetectorSettings" in text) == ("channels" not in gone)


@pytest.mark.parametrize("xml", [
    full_ome(images=2), "<OME", full_ome(OME.replace("2016-06", "2013-06"), images=2),
    '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
])  # fmt: skip
def test_ome_xml_that_cannot_go_along_is_said(xml: str, tmp_path: Path) -> None:
    image = Image(np.ones((2, 20, 33), np.uint16), "ZYX", header={"ome_xml": xml})
    (said,) = write(tmp_path / "a.ome.tif", image)
    assert "OME-XML" in said
    assert "not kept" in said
    assert_same(read(tmp_path / "a.ome.tif"), image)


SIGNED = {"cf": 0, "c0": -32768.0, "c1": 1.0, "vunit": "Gray Value"}


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "rowsperstrip": 8}])
def test_signed_values_that_imagej_keeps_as_unsigned_ones(options: dict[str, Any], tmp_path: Path) -> None:
    values = RANDOM.integers(-32768, 32768, (3, 20, 33)).astype(np.int16)
    stored = (values.astype(np.int32) + 32768).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stored, imagej=True, **options,
                     metadata={"axes": "ZYX", "min": 31000.0, "max": 34000.0, **SIGNED})  # fmt: skip
    image = read(tmp_path / "a.tif")
    assert image.dtype == np.int16
    np.testing.assert_array_equal(image.numpy(), values)
    np.testing.assert_array_equal(image.data[1:2, 3:9, 15:33], values[1:2, 3:9, 15:33])
    assert any("calibration" in note and "int16" in note for note in image.notes)
    assert not {"cf", "c0", "c1"} & set(image.header["imagej"])
    assert (image.header["imagej"]["min"], image.header["imagej"]["max"]) == (31000.0 - 32768, 34000.0 - 32768)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(image.data))[:], values)
    for name in ("b.tif", "b.ome.tif"):
        assert write(tmp_path / name, image) == ("ImageJ's display range not kept",)
        np.testing.assert_array_equal(tifffile.imread(tmp_path / name), values)
        assert_same(read(tmp_path / name), image)
    fields = SIGNED | {"vunit": "HU"}
    tifffile.imwrite(tmp_path / "d.tif", stored[0], description=stored_description(fields), metadata=None)
    assert write(tmp_path / "e.tif", read(tmp_path / "d.tif")) == ("ImageJ's unit of the grey levels not kept",)
    tifffile.imwrite(tmp_path / "c.tif", values[0], description=stored_description(SIGNED), metadata=None)
    image = read(tmp_path / "c.tif")  # signed in the file as well: these are the values
    np.testing.assert_array_equal(image.numpy(), values[0])
    assert image.notes == ()


def stored_description(fields: dict[str, Any]) -> str:
    return "".join(f"{key}={value}\n" for key, value in ({"ImageJ": "1.53t"} | fields).items())


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("fields", [
    {"cf": 0, "c0": 255.0, "c1": -1.0, "vunit": "inverted"},
    {"cf": 2, "c0": 1.5, "c1": -0.25, "c2": 1e-3, "c3": 1e-7, "vunit": "\\u00B5A"},
    {"cf": 21, "vunit": "Uncalibrated OD"},
])  # fmt: skip
def test_calibrations_go_from_imagej_to_imagej(fields: dict[str, Any], dtype: str, tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 255, (20, 33)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, description=stored_description(fields), metadata=None)
    image = read(tmp_path / "a.tif")
    assert any("calibration" in note and "as stored" in note for note in image.notes)
    np.testing.assert_array_equal(image.numpy(), pixels)
    assert write(tmp_path / "b.tif", image) == ()
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        found = file.imagej_metadata
        np.testing.assert_array_equal(file.asarray(), pixels)
    assert {key: found.get(key) for key in fields} == fields
    assert_same(read(tmp_path / "b.tif"), image)
    floats = replace(image, data=image.numpy().astype(np.float32))  # which ImageJ does not calibrate
    for each, name in ((floats, "c.tif"), (image, "c.ome.tif")):
        assert any("calibration" in said for said in write(tmp_path / name, each))
        with tifffile.TiffFile(tmp_path / name) as file:
            assert "cf=" not in file.pages[0].description


@pytest.mark.parametrize("fields", [
    {}, {"cf": 20}, {"cf": 0, "c0": 1.0}, {"cf": "zero", "c0": 1.0, "c1": 1.0}, {"cf": 0, "c0": "low", "c1": 1.0},
    {"cf": 0, "c0": "nan", "c1": 1.0},
])  # fmt: skip
def test_no_calibration_where_imagej_has_none(fields: dict[str, Any], tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 255, (20, 33)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, description=stored_description(fields), metadata=None)
    image = read(tmp_path / "a.tif")
    assert image.notes == ()
    assert write(tmp_path / "b.tif", image) == ()
    with tifffile.TiffFile(tmp_path / "b.tif") as file:
        assert "cf=" not in file.pages[0].description


# Laziness


@pytest.mark.parametrize(
    "options", [{"tile": (32, 32), "compression": "zlib"}, {"rowsperstrip": 32, "compression": "lzw"}]
)
def test_a_box_decodes_only_its_segments_and_only_once(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = RANDOM.integers(0, 255, (10, 256, 256)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", **options)
    image = read(tmp_path / "a.tif")
    decoded = []
    real = tiff_pixels.read_segment
    monkeypatch.setattr(tiff_pixels, "read_segment", lambda s, p, i: decoded.append((p, i)) or real(s, p, i))
    box = (slice(3, 5), slice(40, 60), slice(70, 90))
    for _ in range(2):
        np.testing.assert_array_equal(image.data[box], pixels[box])
    assert len(decoded) == 2
    image.data[3:5, 40:70, 70:90]  # a halo that reaches into the next row of tiles or the next strip
    assert len(decoded) == 4


def test_uncompressed_pages_read_little(tmp_path: Path) -> None:
    """A crop of a sparse 4.4 GB ImageJ stack in one run of planes: cheap, and right at its far end."""
    path = tmp_path / "a.tif"
    planes, side = 550, 2000
    tifffile.imwrite(path, np.zeros((1, 4), np.uint16), metadata=None, byteorder=">", description=(
        f"ImageJ=1.53t\nimages={planes}\nslices={planes}\nloop=false\n".ljust(200)))  # fmt: skip
    with tifffile.TiffFile(path, mode="r+") as file:
        page = file.pages[0]
        start = page.dataoffsets[0]
        for tag, value in (("ImageWidth", side), ("ImageLength", side), ("RowsPerStrip", side),
                           ("StripByteCounts", side * side * 2)):  # fmt: skip
            page.tags[tag].overwrite(value)
    size = planes * side * side * 2
    assert size > 1 << 32
    try:
        with path.open("r+b") as raw:
            raw.truncate(start + size)
            raw.seek(start + size - 2)
            raw.write(b"\x12\x34")
    except OSError:
        pytest.skip("the disk has no room for a sparse file")
    image = read(path)
    assert (image.axes, image.shape) == ("ZYX", (planes, side, side))
    assert image.data[planes - 1 :, side - 2 :, side - 2 :].ravel().tolist() == [0, 0, 0, 0x1234]
    path.unlink()


def test_threads_share_decoded_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = RANDOM.integers(0, 255, (256, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", pixels, tile=(64, 64), compression="zlib")
    image = read(tmp_path / "a.tif")
    decoded = []
    real = tiff_pixels.read_segment
    monkeypatch.setattr(tiff_pixels, "read_segment", lambda s, p, i: decoded.append(i) or real(s, p, i))
    with ThreadPoolExecutor(8) as pool:
        for whole in pool.map(lambda _: image.numpy(), range(16)):
            np.testing.assert_array_equal(whole, pixels)
    assert sorted(decoded) == list(range(16))


def test_cache_is_bounded_and_keeps_the_latest() -> None:
    cache, made = ArrayCache(limit=250), []

    def make(key: int) -> np.ndarray:
        made.append(key)
        return np.full(100, key, np.uint8)

    for key in (0, 1, 2, 2, 1, 0):
        assert cache.get((0, key), lambda k=key: make(k))[0] == key
    assert made == [0, 1, 2, 0]
    huge = cache.get((1, 0), lambda: np.zeros(1000, np.uint8))
    assert cache.get((1, 0), lambda: pytest.fail("decoded again")) is huge


def test_no_file_stays_open_and_pixels_can_be_pickled(tmp_path: Path) -> None:
    pixels = RANDOM.integers(0, 255, (3, 20, 20)).astype(np.uint8)
    write(tmp_path / "a.tif", Image(pixels, "CYX"), compression="zlib")
    image = read(tmp_path / "a.tif")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(image.data))[:], pixels)
    image.data[0:1, 0:5, 0:5]
    if os.path.isdir("/proc/self/fd"):
        held = [os.path.realpath(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")]
        assert str(tmp_path / "a.tif") not in held
    (tmp_path / "a.tif").unlink()
    with pytest.raises(InputError, match=r"a\.tif"):
        image.data[1:2, 0:5, 0:5]


# Damage


def damaged_inputs() -> dict[str, Any]:
    stack = np.arange(3 * 40 * 50, dtype=np.uint16).reshape(3, 40, 50)
    return {
        "plain": lambda p: tifffile.imwrite(p, stack, photometric="minisblack"),
        "pages": lambda p: [tifffile.imwrite(p, s, append=True, metadata=None) for s in stack],
        "compressed": lambda p: tifffile.imwrite(p, stack, photometric="minisblack", compression="zlib"),
        "tiled": lambda p: tifffile.imwrite(p, stack, photometric="minisblack", tile=(16, 16), bigtiff=True),
        "imagej": lambda p: tifffile.imwrite(p, stack, imagej=True),
        "ome": lambda p: tifffile.imwrite(p, stack, ome=True, photometric="minisblack"),
        "ruska": lambda p: write(p, Image(stack, "ZYX")),
        "ruska plain": lambda p: write(p, Image(stack.astype(np.int64), "ZYX")),
    }


@pytest.mark.parametrize("kind", damaged_inputs())
def test_truncated_at_any_length(kind: str, tmp_path: Path) -> None:
    path, cut = tmp_path / "whole.tif", tmp_path / "cut.tif"
    damaged_inputs()[kind](path)
    whole = path.read_bytes()
    expected = read(path).numpy()
    used = np.flatnonzero(np.frombuffer(whole, np.uint8))[-1]  # padding at the end may go
    lengths = {1, 7, 8, 9, 16, 17, *np.linspace(10, int(used), 60, dtype=int).tolist()}
    refused = []
    for length in sorted(lengths):
        cut.write_bytes(whole[:length])
        try:
            found = read(cut).numpy()
        except InputError:
            refused.append(length)
            continue
        # The last bytes may be room that the writer reserved and nothing refers to.
        assert length > used - 32
        np.testing.assert_array_equal(found, expected)
    assert len(refused) >= len(lengths) - 2


def test_corrupt_data_is_found_when_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, RANDOM.integers(0, 9, (4, 64, 64)).astype(np.uint8), photometric="minisblack", compression="zlib"
    )
    with tifffile.TiffFile(path) as file:
        at = file.pages[2].dataoffsets[0]
    with path.open("r+b") as raw:
        raw.seek(at)
        raw.write(b"\xff" * 40)
    image = read(path)
    assert image.data[0:2].shape == (2, 64, 64)
    with pytest.raises(InputError, match=r"a\.tif: plane 2 cannot be decoded"):
        image.numpy()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_never_raise_anything_but_input_errors(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "whole.tif"
    if not path.exists():
        write(path, Image(np.arange(600, dtype=np.uint16).reshape(3, 10, 20), "ZYX"), compression="zlib")
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    broken = tmp_path / "broken.tif"
    broken.write_bytes(bytes(whole))
    with contextlib.suppress(InputError):
        image = read(broken)
        if image.nbytes < 1 << 26:  # a size with a flipped bit may be beyond memory
            assert image.numpy().shape == image.shape


def test_text_with_the_wrong_name(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_text("not a picture")
    with pytest.raises(InputError, match="not TIFF inside"):
        read(tmp_path / "a.tif")


def test_no_pages(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(b"II*\0" + bytes(4))
    with pytest.raises(InputError, match="holds no image"):
        read(tmp_path / "a.tif")


def test_complex_values_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", np.ones((4, 5), np.complex64))
    with pytest.raises(InputError, match="complex64"):
        read(tmp_path / "a.tif")


def test_a_damaged_record_of_ours_is_named(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", Image(np.ones((4, 5), np.uint8), "YX"))
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole.replace(b'{"image"', b'{"imgae"'))
    with pytest.raises(InputError, match="Ruska record is damaged"):
        read(tmp_path / "a.tif")


def test_what_tifffile_says_of_odd_tags_becomes_a_note(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((20, 30), np.uint8), metadata=None)
    assert read(path).notes == ()
    data = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags["Software"]
    data[tag.offset + 2 : tag.offset + 4] = b"\x63\0"  # of a type that does not exist
    path.write_bytes(data)
    (note,) = read(path).notes
    assert "tifffile" in note
    assert "305" in note
