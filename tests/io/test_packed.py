"""Packed files: unpacked within bounds, read lazily, named in errors; zipped OME-Zarr read where it is."""

from __future__ import annotations

import bz2
import gc
import gzip
import os
import pickle
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ruska.errors import InputError, ResourceError
from ruska.image import Image, Quantity
from ruska.io import packed, read, write
from ruska.io.digest import digest_image, digest_path

VALUES = np.arange(3 * 20 * 30, dtype=np.int16).reshape(3, 20, 30)
IMAGE = Image(VALUES, "ZYX", {a: Quantity(0.5, "nm") for a in "ZYX"})


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where packed files are unpacked to; nothing may be left there."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def packs(data: bytes, suffix: str) -> bytes:
    return gzip.compress(data) if suffix == ".gz" else bz2.compress(data)


@pytest.mark.parametrize("suffix", [".gz", ".bz2"])
@pytest.mark.parametrize("inside", [".mrc", ".tif", ".npy"])
def test_simple_formats(tmp_path: Path, temporary: Path, inside: str, suffix: str) -> None:
    write(tmp_path / f"a{inside}", IMAGE)
    plain = read(tmp_path / f"a{inside}")
    path = tmp_path / f"a{inside}{suffix}"
    path.write_bytes(packs((tmp_path / f"a{inside}").read_bytes(), suffix))
    image = read(path)
    assert (image.axes, image.spacing, image.name, image.path) == (plain.axes, plain.spacing, path.name, path)
    assert digest_image(image) == digest_path(path)
    np.testing.assert_array_equal(image.data[1:2, 3:7, 4:5], VALUES[1:2, 3:7, 4:5])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(image.data))[2:], VALUES[2:])
    del image
    gc.collect()
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("suffix", [".gz", ".bz2"])
def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path, temporary: Path, suffix: str) -> None:
    (tmp_path / f"zeros.tif{suffix}").write_bytes(packs(bytes(64 << 20), suffix))
    with pytest.raises(InputError, match="unpacks to a file that"):  # no image in its first piece: no more is unpacked
        read(tmp_path / f"zeros.tif{suffix}")
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_more_than_the_limit_or_the_disk(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.npy", Image(np.zeros((2000, 2000), np.uint8), "YX"))
    (tmp_path / "a.npy.gz").write_bytes(gzip.compress((tmp_path / "a.npy").read_bytes()))
    monkeypatch.setattr(packed, "ALWAYS_FINE", 1 << 20)
    with pytest.raises(InputError, match="decompression bomb"):
        read(tmp_path / "a.npy.gz")
    monkeypatch.undo()
    monkeypatch.setattr(packed, "_SPARE_DISK", 1 << 62)
    with pytest.raises(ResourceError, match="TMPDIR"):
        read(tmp_path / "a.npy.gz")
    gc.collect()


@pytest.mark.parametrize("suffix", [".gz", ".bz2"])
def test_truncated_empty_and_packed_twice(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "a.mrc", IMAGE)
    whole = packs((tmp_path / "a.mrc").read_bytes(), suffix)
    for data, words in ((whole[:-20], "cannot be unpacked"), (packs(b"", suffix), "empty after unpacking"),
                        (packs(whole, suffix), "compressed twice")):  # fmt: skip
        (tmp_path / f"b.mrc{suffix}").write_bytes(data)
        with pytest.raises(InputError, match=words) as caught:
            read(tmp_path / f"b.mrc{suffix}")
        assert f"b.mrc{suffix}" in caught.value.subject


def test_an_error_inside_names_the_packed_file(tmp_path: Path) -> None:
    write(tmp_path / "a.mrc", IMAGE)
    (tmp_path / "a.mrc.gz").write_bytes(gzip.compress((tmp_path / "a.mrc").read_bytes()[:-8]))
    with pytest.raises(InputError, match="is truncated") as caught:
        read(tmp_path / "a.mrc.gz")
    assert caught.value.subject == str(tmp_path / "a.mrc.gz")


def test_what_a_killed_process_unpacked_goes_with_the_next_one(tmp_path: Path, temporary: Path) -> None:
    write(tmp_path / "a.mrc", IMAGE)
    (tmp_path / "a.mrc.gz").write_bytes(gzip.compress((tmp_path / "a.mrc").read_bytes()))
    program = "import os, sys, ruska; image = ruska.read(sys.argv[1]); image.data[0]; os._exit(9)"
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))}
    subprocess.run([sys.executable, "-c", program, str(tmp_path / "a.mrc.gz")], env=environment, check=False)
    (left,) = temporary.iterdir()
    first, second = (read(tmp_path / "a.mrc.gz") for _ in range(2))
    assert not left.exists()
    assert len(list(temporary.iterdir())) == 1  # one lock, however many files
    del first
    gc.collect()
    np.testing.assert_array_equal(second.numpy(), VALUES)
    del second
    gc.collect()
    assert list(temporary.iterdir()) == []


# Zip archives


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return path


def test_one_image_several_none(tmp_path: Path) -> None:
    write(tmp_path / "a.mrc", IMAGE)
    data = (tmp_path / "a.mrc").read_bytes()
    one = archive(tmp_path / "one.zip", **{"readme.md": b"hello", "deep/a.mrc": data, "__MACOSX/deep/a.mrc": b"x"})
    np.testing.assert_array_equal(read(one).numpy(), VALUES)
    two = archive(tmp_path / "two.zip", **{"a.mrc": data, "b.mrc": data[:-8]})
    with pytest.raises(InputError, match=r"2 images: a.mrc, b.mrc. Name one: two.zip:a.mrc"):
        read(two)
    np.testing.assert_array_equal(read(f"{two}:a.mrc").numpy(), VALUES)
    with pytest.raises(InputError, match="truncated"):
        read(f"{two}:b.mrc")
    with pytest.raises(InputError, match=r"has no image 'c\.mrc'"):
        read(f"{two}:c.mrc")
    with pytest.raises(InputError, match="without images"):
        read(archive(tmp_path / "none.zip", **{"readme.md": b"hello"}))


def test_a_dataset_in_a_file_in_an_archive(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["raw"], file["other"] = VALUES, VALUES + 1
    path = archive(tmp_path / "a.zip", **{"a.h5": (tmp_path / "a.h5").read_bytes()})
    np.testing.assert_array_equal(read(f"{path}:a.h5:/other").numpy(), VALUES + 1)


def test_names_that_lead_out_stay_in(tmp_path: Path, temporary: Path) -> None:
    write(tmp_path / "a.mrc", IMAGE)
    data = (tmp_path / "a.mrc").read_bytes()
    for name in ("../../out.mrc", "/out.mrc", "..\\..\\out.mrc"):
        image = read(archive(tmp_path / "a.zip", **{name: data}))
        assert [p.relative_to(temporary).parts[2:] for p in temporary.rglob("*.mrc")] == [("out.mrc",)]
        del image
        gc.collect()


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("prefix", ["", "deep/a.ome.zarr/"])
def test_zipped_stores(tmp_path: Path, version: str, prefix: str, temporary: Path) -> None:
    write(tmp_path / "a.ome.zarr", IMAGE, version=version)
    members = {f"{prefix}{p.relative_to(tmp_path / 'a.ome.zarr').as_posix()}": p.read_bytes()
               for p in (tmp_path / "a.ome.zarr").rglob("*") if p.is_file()}  # fmt: skip
    path = archive(tmp_path / "a.zip", **members)
    image = read(path)
    assert (image.axes, image.spacing) == ("ZYX", IMAGE.spacing)
    np.testing.assert_array_equal(image.numpy(), VALUES)
    np.testing.assert_array_equal(read(f"{path}:/0").numpy(), VALUES)
    assert list(temporary.iterdir()) == []
    with pytest.raises(InputError, match="no readable array or group"):
        read(f"{path}:/7")


def test_an_archive_that_claims_too_much(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", **{"zarr.json": b"{}", "c/0": bytes(100)})
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\1\2") + 24  # length unpacked of the last member, in the directory
    data[at : at + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputError, match="decompression bomb"):
        read(path)


def test_the_way_out_names_the_archive_too(tmp_path: Path) -> None:
    import h5py

    with h5py.File(tmp_path / "two.h5", "w") as file:
        for name in ("first", "second"):
            file.create_dataset(name, data=np.ones((20, 30)))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "two.h5", "two.h5")
    with pytest.raises(InputError) as caught:
        read(tmp_path / "a.zip")
    named = caught.value.fix.removeprefix("Name one: ").rstrip(".")
    assert named == "a.zip:two.h5:/first"
    assert read(tmp_path / named).shape == (20, 30)


def test_a_damaged_store_in_an_archive_says_so(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.ome.zarr/zarr.json", '{"zarr_format": 3, "node_type": "group", "attributes": {}}')
    data = (tmp_path / "a.zip").read_bytes()
    (tmp_path / "a.zip").write_bytes(data.replace(b'"attributes"', b'"attribute?"', 1))
    with pytest.raises(InputError, match="truncated or damaged"):
        read(tmp_path / "a.zip")


def test_errors_of_pixels_name_the_packed_file_and_not_the_temporary_one(tmp_path: Path) -> None:
    import tifffile

    tifffile.imwrite(tmp_path / "a.tif", VALUES[0], compression="zlib")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        at = file.pages[0].dataoffsets[0]
    data[at : at + 40] = b"\xff" * 40
    (tmp_path / "a.tif.gz").write_bytes(gzip.compress(bytes(data)))
    image = read(tmp_path / "a.tif.gz")
    with pytest.raises(InputError) as refused:
        image.numpy()
    assert str(refused.value).startswith(str(tmp_path / "a.tif.gz"))
    assert "ruska-" not in str(refused.value)


def test_errors_of_every_kind_name_the_packed_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ruska.errors import GeometryError
    from ruska.io import mrc

    def refuse(path: Path, inner: str | None) -> Image:
        raise GeometryError(path, f"{path} does not fit")

    write(tmp_path / "a.mrc", IMAGE)
    (tmp_path / "a.mrc.gz").write_bytes(gzip.compress((tmp_path / "a.mrc").read_bytes()))
    monkeypatch.setattr(mrc, "read", refuse)
    with pytest.raises(GeometryError, match=r"a\.mrc\.gz: a\.mrc does not fit") as refused:
        read(tmp_path / "a.mrc.gz")
    assert "ruska-" not in str(refused.value)


def test_archives_that_are_damaged_in_any_way_say_so(tmp_path: Path) -> None:
    write(tmp_path / "a.mrc", IMAGE)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.mrc", "a.mrc")
    sound = (tmp_path / "a.zip").read_bytes()
    directory = sound.index(b"PK\1\2")
    changes = {8: b"\1\0", 10: b"\x63\0", 28: b"\0\0", 42: b"\xff\xff\xff\xff"}
    for at, value in changes.items():  # flags, packing, length of its name, place
        damaged = sound[: directory + at] + value + sound[directory + at + len(value) :]
        (tmp_path / "a.zip").write_bytes(damaged)
        with pytest.raises(InputError) as refused:
            read(tmp_path / "a.zip")
        assert "cannot be read as" not in str(refused.value)
