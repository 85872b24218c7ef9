"""MRC: the standard's modes, its older dialects, and what is written back."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from ruska.errors import InputError, OutputError
from ruska.image import Image, Quantity, crop
from ruska.io import losses, read, write

RNG = np.random.default_rng(0)
VOLUME = RNG.normal(size=(4, 5, 6)).astype(np.float32)


def save(path: Path, data: np.ndarray, voxel: float = 0.0, *, volume: bool = False) -> Path:
    with mrcfile.new(path) as file:
        file.set_data(data)
        if volume:
            file.set_volume()
        elif data.ndim == 3:
            file.set_image_stack()
        file.voxel_size = voxel
    return path


def patch(path: Path, at: int, words: np.ndarray) -> None:
    raw = bytearray(path.read_bytes())
    raw[at : at + words.nbytes] = words.tobytes()
    path.write_bytes(bytes(raw))


@pytest.mark.parametrize("dtype", ["i1", "i2", "u2", "f2", "f4"])
def test_every_mode_round_trips_and_mrcfile_reads_the_same(tmp_path: Path, dtype: str) -> None:
    data = (np.abs(VOLUME) * (40 if dtype[0] in "iu" else 1)).astype(dtype)
    assert write(tmp_path / "a.mrc", Image(data, "ZYX")) == ()
    image = read(tmp_path / "a.mrc")
    assert (image.axes, image.dtype) == ("ZYX", data.dtype)
    np.testing.assert_array_equal(image.numpy(), data)
    with mrcfile.open(tmp_path / "a.mrc") as other:
        np.testing.assert_array_equal(other.data, data)
    assert mrcfile.validate(tmp_path / "a.mrc")


def test_the_summary_in_the_header_is_that_of_the_data(tmp_path: Path) -> None:
    write(tmp_path / "a.mrc", Image(VOLUME, "ZYX"))
    with mrcfile.open(tmp_path / "a.mrc") as file:
        found = [float(file.header[n]) for n in ("dmin", "dmax", "dmean", "rms")]
    np.testing.assert_allclose(found, [VOLUME.min(), VOLUME.max(), VOLUME.mean(), VOLUME.std()], rtol=1e-5)


def test_a_box_is_read_without_the_rest(tmp_path: Path) -> None:
    image = read(save(tmp_path / "a.mrc", VOLUME, volume=True))
    np.testing.assert_array_equal(image.data[1:3, 2:4, 1:5], VOLUME[1:3, 2:4, 1:5])
    assert not isinstance(image.data, np.ndarray)


def test_unsigned_bytes_become_16_bit_and_it_is_said(tmp_path: Path) -> None:
    data = np.arange(256, dtype=np.uint8).reshape(16, 16)
    lost = write(tmp_path / "a.mrc", Image(data, "YX"))
    assert any("16-bit" in line for line in lost)
    np.testing.assert_array_equal(read(tmp_path / "a.mrc").numpy(), data)


@pytest.mark.parametrize("dtype", ["i4", "u4", "f8", "i8"])
def test_types_mrc_cannot_hold_are_refused_with_the_way_out(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(OutputError, match="--dtype float32"):
        write(tmp_path / "a.mrc", Image(np.zeros((4, 4), dtype), "YX"))
    assert list(tmp_path.iterdir()) == []


def test_four_axes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="three axes"):
        write(tmp_path / "a.mrc", Image(np.zeros((2, 2, 4, 4), np.float32), "TZYX"))


def test_voxel_size_comes_back_as_the_same_float32(tmp_path: Path) -> None:
    image = read(save(tmp_path / "a.mrc", VOLUME, 1.37, volume=True))
    assert image.spacing["X"].unit == "angstrom"
    write(tmp_path / "b.mrc", image)
    with mrcfile.open(tmp_path / "a.mrc") as a, mrcfile.open(tmp_path / "b.mrc") as b:
        assert a.header.cella == b.header.cella


@pytest.mark.parametrize("voxel", [0.0, -1.0])
def test_no_voxel_size_is_unknown_not_zero(tmp_path: Path, voxel: float) -> None:
    assert dict(read(save(tmp_path / "a.mrc", VOLUME, voxel, volume=True)).spacing) == {}


def test_stacks_volumes_and_single_sections_get_their_axes(tmp_path: Path) -> None:
    assert read(save(tmp_path / "stack.mrcs", VOLUME)).axes == "QYX"
    assert read(save(tmp_path / "tomogram.rec", VOLUME)).axes == "ZYX"
    assert read(save(tmp_path / "one.mrc", VOLUME[:1], volume=True)).axes == "YX"
    with mrcfile.new(tmp_path / "volumes.mrc") as file:
        file.set_data(np.zeros((2, 3, 4, 5), np.float32))
    assert (read(tmp_path / "volumes.mrc").axes, read(tmp_path / "volumes.mrc").shape) == ("QZYX", (2, 3, 4, 5))


def test_permuted_axes_are_turned_to_zyx(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mrc", VOLUME, volume=True)
    patch(path, 64, np.array([3, 1, 2], "<i4"))  # columns are Z, rows X, sections Y
    image = read(path)
    np.testing.assert_array_equal(image.numpy(), VOLUME.transpose(2, 0, 1))
    np.testing.assert_array_equal(image.data[1:3, 0:2, 2:5], VOLUME.transpose(2, 0, 1)[1:3, 0:2, 2:5])
    assert any("YXZ" in note for note in image.notes)


def test_imod_stamp_makes_mode_0_unsigned(tmp_path: Path) -> None:
    data = np.arange(100, 200, dtype=np.uint8).reshape(10, 10)
    path = save(tmp_path / "a.st", data.view(np.int8))
    patch(path, 152, np.array([1146047817, 0], "<i4"))
    assert read(path).dtype == np.uint8
    np.testing.assert_array_equal(read(path).numpy(), data)
    patch(path, 152, np.array([1146047817, 1], "<i4"))
    assert read(path).dtype == np.int8


def test_signed_bytes_written_under_an_imod_stamp_stay_signed(tmp_path: Path) -> None:
    data = np.arange(-50, 50, dtype=np.int8).reshape(10, 10)
    path = save(tmp_path / "a.st", data)
    patch(path, 152, np.array([1146047817, 1], "<i4"))
    unsigned_flag = read(path).with_data(data)
    write(tmp_path / "b.st", unsigned_flag)
    np.testing.assert_array_equal(read(tmp_path / "b.st").numpy(), data)


def test_a_file_without_magic_is_read_when_its_size_fits(tmp_path: Path) -> None:
    path = save(tmp_path / "old.mrc", VOLUME)
    patch(path, 208, np.zeros(2, "<i4"))
    np.testing.assert_array_equal(read(path).numpy(), VOLUME)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="truncated"):
        read(path)


def test_big_endian_files_are_read_and_written_back_as_such(tmp_path: Path) -> None:
    write(tmp_path / "a.mrc", Image(VOLUME, "ZYX", header={"mrc": {"byte_order": ">"}}))
    assert (tmp_path / "a.mrc").read_bytes()[212:214] == b"\x11\x11"
    image = read(tmp_path / "a.mrc")
    np.testing.assert_array_equal(image.numpy(), VOLUME)
    assert (image.dtype, image.header["mrc"]["byte_order"]) == (np.dtype("=f4"), ">")


def test_labels_extended_header_and_start_are_written_back(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(VOLUME)
        file.set_extended_header(np.frombuffer(b"tilt" * 64, dtype="V1"))
        file.header.exttyp = b"SERI"
        file.nstart = (1, 2, 3)
        file.add_label("sample 7")
    image = read(tmp_path / "a.mrc")
    assert write(tmp_path / "b.mrc", image) == ()
    with mrcfile.open(tmp_path / "b.mrc") as file:
        assert file.extended_header.tobytes() == b"tilt" * 64
        assert file.header.exttyp.item() == b"SERI"
        assert file.nstart.tolist() == (1, 2, 3)
        labels = file.get_labels()
    assert any("sample 7" in label for label in labels)
    assert "Written by Ruska" in labels


def test_an_extended_header_of_another_stack_is_left_out_and_it_is_said(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "a.mrc") as file:
        file.set_data(VOLUME)
        file.set_extended_header(np.frombuffer(b"tilt" * 64, dtype="V1"))
    lost = write(tmp_path / "b.mrc", read(tmp_path / "a.mrc").with_data(VOLUME[:2]))
    assert any("extended" in line for line in lost)
    np.testing.assert_array_equal(read(tmp_path / "b.mrc").numpy(), VOLUME[:2])


@pytest.mark.parametrize(("mode", "what"), [(3, "complex"), (4, "complex"), (101, "4-bit"), (16, "RGB")])
def test_modes_that_are_no_grey_levels_are_named(tmp_path: Path, mode: int, what: str) -> None:
    path = save(tmp_path / "a.mrc", VOLUME)
    patch(path, 12, np.array([mode], "<i4"))
    with pytest.raises(InputError, match=what):
        read(path)


def test_a_header_of_nonsense_is_no_mrc(tmp_path: Path) -> None:
    (tmp_path / "a.mrc").write_bytes(b"\xff" * 2000)
    with pytest.raises(InputError, match="no valid MRC header"):
        read(tmp_path / "a.mrc")
    (tmp_path / "b.mrc").write_bytes(b"\x01" * 100)
    with pytest.raises(InputError, match="truncated"):
        read(tmp_path / "b.mrc")


def test_other_gzipped_files_are_not_taken_for_mrc(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"hello" * 1000))
    with pytest.raises(InputError, match="unpacks to a file that is not in a format"):
        read(tmp_path / "a.gz")
    (tmp_path / "b.mrc.gz").write_bytes(gzip.compress(save(tmp_path / "b.mrc", VOLUME).read_bytes()[:-9]))
    with pytest.raises(InputError, match="truncated"):
        read(tmp_path / "b.mrc.gz")


def test_what_mrc_does_not_hold_is_said(tmp_path: Path) -> None:
    image = Image(VOLUME, "TYX", {"T": Quantity(2.0, "s")}, meaning="counts", provenance={"seed": 1},
                  header={"tiff": {"Artist": "E. R."}}, mask=VOLUME > 0)  # fmt: skip
    lost = " ".join(losses(tmp_path / "a.mrc", image).lines)
    assert lost == " ".join(write(tmp_path / "a.mrc", image))
    for word in ("TYX", "frame interval", "counts", "record", "TIFF's artist", "mask"):
        assert word in lost


def test_real_maps_compressed_and_not(micrographs: Path, manifest: list[dict[str, str]]) -> None:
    folder = micrographs / "formats" / "mrcfile_testdata"
    plain = read(folder / "EMD-3197.map")
    assert (plain.shape, plain.axes) == ((20, 20, 20), "ZYX")
    np.testing.assert_array_equal(read(folder / "EMD-3197.map.bz2").numpy(), plain.numpy())
    np.testing.assert_array_equal(read(folder / "emd_3001.map.gz").numpy(), read(folder / "EMD-3001.map").numpy())
    rows = [r for r in manifest if r["path"].endswith(".mrc")]
    assert rows
    for row in rows:
        image = read(micrographs / row["path"])
        expected = [int(n) for n in row["shape"].split("x")]
        assert list(image.shape) == (expected[1:] if expected[0] == 1 else expected), row["path"]
        assert str(image.dtype) == row["dtype"]


def test_sizes_that_vanish_in_the_headers_float32_are_said(tmp_path: Path) -> None:
    tiny = Image(VOLUME, "ZYX", origin={"Y": Quantity(1e-60, "nm")})
    assert any("origin along Y" in line for line in write(tmp_path / "a.mrc", tiny))


def test_a_plane_is_written_in_bands_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Never whole: it may be larger than memory."""
    values = RNG.normal(0, 50, (2, 37, 24)).astype(np.float32)
    values[0, 5, 3] = np.nan
    asked = []

    class Lazy:
        shape, dtype = values.shape, values.dtype

        def __getitem__(self, box):
            asked.append(values[box].size)
            return values[box]

    monkeypatch.setattr("ruska.io.lazy.BAND", 240)
    write(tmp_path / "bands.mrc", Image(Lazy(), "ZYX"))
    assert max(asked) == 240
    with mrcfile.open(tmp_path / "bands.mrc") as file:
        np.testing.assert_array_equal(file.data, values)
        assert float(file.header.rms) == pytest.approx(np.nanstd(values), rel=1e-5)
        assert float(file.header.dmean) == pytest.approx(np.nanmean(values), rel=1e-5)


def _sizes(path: Path) -> tuple[list[float], int]:
    """What mrcfile makes of the header: voxel size X, Y, Z in angstrom; and mz."""
    with mrcfile.open(path, header_only=True) as file:
        return [round(float(file.voxel_size[a]), 4) for a in "xyz"], int(file.header.mz)


@pytest.mark.parametrize("mz", [1, 4])
@pytest.mark.parametrize("z", [1.2, 70.0])
def test_voxel_size_along_z_and_mz_of_a_stack_are_kept(tmp_path: Path, mz: int, z: float) -> None:
    """The standard says mz = 1 for a stack; SerialEM and IMOD write the number of sections."""
    save(tmp_path / "a.mrc", VOLUME, 1.2)
    with mrcfile.open(tmp_path / "a.mrc", "r+") as file:
        file.header.mz, file.header.cella.z = mz, mz * z
    image = read(tmp_path / "a.mrc")
    assert image.axes == "QYX"
    write(tmp_path / "b.mrc", image)
    assert _sizes(tmp_path / "b.mrc") == ([1.2, 1.2, z], mz)
    write(tmp_path / "c.mrc", crop(image, {"Q": slice(1, 3)}))
    assert _sizes(tmp_path / "c.mrc") == ([1.2, 1.2, z], 1 if mz == 1 else 2)


def test_voxel_size_along_z_of_a_section_follows_its_pixels(tmp_path: Path) -> None:
    save(tmp_path / "a.mrc", VOLUME[0], 1.2)
    image = read(tmp_path / "a.mrc")
    write(tmp_path / "b.mrc", image)
    assert _sizes(tmp_path / "b.mrc") == ([1.2, 1.2, 1.2], 1)
    finer = dataclasses.replace(image, spacing={a: Quantity(0.6, "angstrom") for a in "YX"})
    write(tmp_path / "c.mrc", finer)
    assert _sizes(tmp_path / "c.mrc") == ([0.6, 0.6, 0.6], 1)
    write(tmp_path / "d.mrc", Image(VOLUME[0], "YX", {"Y": Quantity(4, "nm"), "X": Quantity(4, "nm")}))
    assert _sizes(tmp_path / "d.mrc") == ([40, 40, 40], 1)
    write(tmp_path / "e.mrc", Image(VOLUME[0], "YX"))
    assert _sizes(tmp_path / "e.mrc") == ([0, 0, 0], 1)
    assert dict(read(tmp_path / "e.mrc").spacing) == {}
