"""``.npy`` and ``.npz``: nothing is unpickled, larger than memory is fine, metadata come back."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from ruska.errors import InputError
from ruska.image import Image, Quantity
from ruska.io import read, write

DATA = np.arange(60, dtype=np.int16).reshape(3, 4, 5)


def test_npy_is_read_lazily_whatever_its_order(tmp_path: Path) -> None:
    for name, stored in (("c", DATA), ("fortran", np.asfortranarray(DATA)), ("big", DATA.astype(">i2"))):
        np.save(tmp_path / f"{name}.npy", stored)
        image = read(tmp_path / f"{name}.npy")
        assert not isinstance(image.data, np.ndarray)
        assert (image.axes, image.dtype) == ("QYX", np.dtype("=i2"))
        np.testing.assert_array_equal(image.data[1:, 2:4, :3], DATA[1:, 2:4, :3])


def test_what_npy_loses_is_said(tmp_path: Path) -> None:
    lost = write(tmp_path / "a.npy", Image(DATA, "ZYX", {"Z": Quantity(5, "nm")}, mask=DATA > 3))
    assert any("voxel size" in line for line in lost)
    assert any("mask" in line for line in lost)
    assert any("ZYX" in line for line in lost)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), DATA)


def test_python_objects_are_refused_not_unpickled(tmp_path: Path) -> None:
    harmful = np.array([[{}, 1]], dtype=object)
    np.save(tmp_path / "a.npy", harmful, allow_pickle=True)
    np.savez(tmp_path / "a.npz", data=harmful)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(InputError, match="unpickling"):
            read(tmp_path / name)


def test_truncated_files_say_so(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", DATA)
    (tmp_path / "a.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-5])
    np.savez(tmp_path / "a.npz", DATA)
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.npz").read_bytes()[:-50])
    for name in ("a.npy", "a.npz"):
        with pytest.raises(InputError, match="truncated"):
            read(tmp_path / name)


def test_a_line_of_numbers_is_no_image(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.arange(5.0))
    with pytest.raises(InputError, match="1 dimensions"):
        read(tmp_path / "a.npy")


def test_colours_in_the_last_axis_become_channels(tmp_path: Path) -> None:
    colours = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    np.save(tmp_path / "a.npy", colours)
    image = read(tmp_path / "a.npy")
    assert image.axes == "CYX"
    np.testing.assert_array_equal(image.numpy(), colours.transpose(2, 0, 1))


def test_npz_of_others_one_array_several_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "one.npz", whatever=DATA)
    np.testing.assert_array_equal(read(tmp_path / "one.npz").numpy(), DATA)
    np.savez(tmp_path / "two.npz", first=DATA, second=DATA + 1)
    with pytest.raises(InputError, match="first, second"):
        read(tmp_path / "two.npz")
    np.testing.assert_array_equal(read(f"{tmp_path}/two.npz:/second").numpy(), DATA + 1)
    with pytest.raises(InputError, match="first, second"):
        read(f"{tmp_path}/two.npz:/third")
    with zipfile.ZipFile(tmp_path / "none.npz", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(InputError, match="without images"):
        read(tmp_path / "none.npz")


def test_npz_of_ours_keeps_everything_and_numpy_reads_it(tmp_path: Path) -> None:
    image = Image(DATA, "ZYX", {"Z": Quantity(0.1, "um")}, meaning="counts", mask=DATA > 7, header={"x": {"k": b"\0"}})
    assert write(tmp_path / "a.npz", image) == ()
    back = read(tmp_path / "a.npz")
    assert (back.axes, back.spacing, back.meaning, back.header) == (
        image.axes, image.spacing, image.meaning, image.header)  # fmt: skip
    np.testing.assert_array_equal(back.mask, image.mask)
    with np.load(tmp_path / "a.npz") as plain:
        np.testing.assert_array_equal(plain["data"], DATA)


def test_the_same_image_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write(tmp_path / name, Image(DATA, "ZYX"))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_damaged_record_is_an_input_error(tmp_path: Path) -> None:
    for record in ("not json", "{}", '{"version": 99, "axes": "ZYX"}', '{"version": 1, "axes": "ZYX", "spacing": 3}'):
        np.savez(tmp_path / "a.npz", data=DATA, ruska=np.array(record))
        with pytest.raises(InputError, match="record"):
            read(tmp_path / "a.npz")


def test_real_npy_has_the_manifests_shape(micrographs: Path, manifest: list[dict[str, str]]) -> None:
    rows = [r for r in manifest if r["path"].endswith(".npy") and r["split"] in ("train", "val")]
    assert rows
    for row in rows:
        image = read(micrographs / row["path"])
        assert "x".join(map(str, image.shape)) == row["shape"]
        assert str(image.dtype) == row["dtype"]


def test_a_head_that_is_cut_off_says_so(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", DATA)
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data.replace(b"'shape': (3,", b"'shape': (((").replace(b"}", b" "))
    with pytest.raises(InputError, match="truncated or damaged"):
        read(tmp_path / "a.npy")


# Damage


def npy(head: str, values: bytes = b"", version: int = 1) -> bytes:
    """An ``.npy`` file with this head."""
    raw = head.encode("utf-8")
    return b"\x93NUMPY" + bytes([version, 0]) + len(raw).to_bytes(2 if version == 1 else 4, "little") + raw + values


def test_heads_of_all_versions_and_of_python_2(tmp_path: Path) -> None:
    head = "{'descr': '<i2', 'fortran_order': False, 'shape': (3L, 4L, 5L)}\n"  # NumPy warns of such, raw
    for version in (1, 2, 3):
        (tmp_path / "a.npy").write_bytes(npy(head, DATA.tobytes(), version))
        np.testing.assert_array_equal(read(tmp_path / "a.npy").numpy(), DATA)
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            archive.writestr("a.npy", npy(head, DATA.tobytes(), version))
        np.testing.assert_array_equal(read(tmp_path / "a.npz").numpy(), DATA)


@pytest.mark.parametrize(
    "head",
    [
        "", "[]", "1", "(" * 3000, "-" * 9000 + "1", "{'shape': (3, 4, 5)}", "__import__('os').getcwd()", "\0",
        "{'descr': '<i2', 'fortran_order': None, 'shape': (3, 4, 5)}",
        "{'descr': '<i2', 'fortran_order': False, 'shape': [3, 4, 5]}",
        "{'descr': '<i2', 'fortran_order': False, 'shape': (3, -4, -5)}",
        "{'descr': '<i2', 'fortran_order': False, 'shape': (3, 4, 5.0)}",
        "{'descr': '<i2', 'fortran_order': False, 'shape': (True, 4, 5)}",
        "{'descr': '<i2', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
        "{'descr': '<f999999999999', 'fortran_order': False, 'shape': (3, 4, 5)}",
        "{'descr': [], 'fortran_order': False, 'shape': (3, 4, 5)}",
        "{'descr': {'a': 1}, 'fortran_order': False, 'shape': (3, 4, 5)}",
        "{'descr': '<i2', 'fortran_order': False, 'shape': (3, 4, 5)}" + " " * 20_000,
    ],
)  # fmt: skip
def test_heads_that_are_none_are_refused_in_our_words(tmp_path: Path, head: str) -> None:
    for name in ("a.npy", "a.npz"):
        path = tmp_path / name
        if name == "a.npy":
            path.write_bytes(npy(head, DATA.tobytes()))
        else:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("a.npy", npy(head, DATA.tobytes()))
        with pytest.raises(InputError, match=f"{name}: (is truncated or damaged|holds )") as refused:
            read(path)
        assert "Error" not in refused.value.problem or "its header is not NumPy's" in refused.value.problem


def test_damage_of_every_packing_says_damaged(tmp_path: Path) -> None:
    for how in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = tmp_path / f"{how}.npz"
        with zipfile.ZipFile(path, "w", how) as archive:
            archive.writestr("a.npy", npy("{'descr': '<i2', 'fortran_order': False, 'shape': (3, 4, 5)}\n", bytes(120)))
        data = bytearray(path.read_bytes())
        data[40:46] = b"\xff" * 6
        path.write_bytes(data)
        with pytest.raises(InputError, match="truncated or damaged"):
            read(path)


def test_encrypted_and_nameless_members_say_damaged(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", data=DATA)
    sound = (tmp_path / "a.npz").read_bytes()
    directory = sound.index(b"PK\1\2")
    for at, value in ((directory + 8, b"\1\0"), (directory + 28, b"\0\0")):  # its flags; the length of its name
        (tmp_path / "a.npz").write_bytes(sound[:at] + value + sound[at + 2 :])
        with pytest.raises(InputError, match=r"a\.npz: (is truncated or damaged|is a zip|'data)"):
            read(tmp_path / "a.npz")
