"""N5: blocks of every compression, as another program wrote them, multi-scale groups, and damaged metadata."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest

from ruska.errors import InputError
from ruska.io import read

# stores_by_tensorstore.zip was written by tensorstore 0.1.86: v = (x * 17 * 9 + y * 9 + z) % 1000 at (x, y, z)
VALUES = (np.arange(20 * 17 * 9).reshape(20, 17, 9) % 1000).astype(np.uint16).transpose(2, 1, 0)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tensorstore")
    with zipfile.ZipFile(Path(__file__).with_name("stores_by_tensorstore.zip")) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.parametrize("compression", ["raw", "gzip", "zlib", "bzip2", "xz", "zstd", "blosc"])
def test_blocks_of_another_program(stores: Path, compression: str) -> None:
    image = read(stores / f"{compression}.n5")
    assert (image.axes, image.dtype, image.voxel_size_nm) == ("ZYX", np.uint16, {"X": 4.0, "Y": 4.0, "Z": 40.0})
    np.testing.assert_array_equal(image.numpy(), VALUES)
    np.testing.assert_array_equal(image.data[2:7, 5:9, 3:17], VALUES[2:7, 5:9, 3:17])


def dataset(folder: Path, attributes: dict[str, Any] | None = None, **changes: Any) -> Path:
    folder.mkdir(parents=True)
    base = {"dimensions": [5, 4, 3], "blockSize": [5, 4, 3], "dataType": "uint8", "compression": {"type": "raw"}}
    (folder / "attributes.json").write_text(json.dumps(base | (attributes or {}) | changes))
    return folder


def block(folder: Path, packed: bytes, sizes: tuple[int, ...] = (5, 4, 3), mode: int = 0) -> None:
    (folder / "0" / "0").mkdir(parents=True, exist_ok=True)
    (folder / "0" / "0" / "0").write_bytes(struct.pack(">HH3I", mode, 3, *sizes) + packed)


def test_lz4_as_java_writes_it(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "a.n5", compression={"type": "lz4", "blockSize": 65536})
    values = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    stream = b""
    for part, token in ((values.tobytes()[:40], 0x25), (values.tobytes()[40:], 0x15)):
        packed = imagecodecs.lz4_encode(part, header=False) if token == 0x25 else part
        stream += b"LZ4Block" + struct.pack("<Biii", token, len(packed), len(part), 0) + packed
    block(folder, stream + b"LZ4Block" + struct.pack("<Biii", 0x15, 0, 0, 0))
    np.testing.assert_array_equal(read(folder).numpy(), values)


def test_missing_blocks_are_zero_and_small_ones_fit(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "a.n5", blockSize=[3, 4, 3])
    block(folder, bytes([7]) * 24, (2, 4, 3))
    values = read(folder).numpy()
    assert (values[:, :, :2] == 7).all()
    assert (values[:, :, 2:] == 0).all()


@pytest.mark.parametrize(("where", "said", "expected"), [
    ("dataset", {"pixelResolution": {"dimensions": [4, 5, 40], "unit": "nm"}}, (40.0, 5.0, 4.0)),
    ("group", {"pixelResolution": {"dimensions": [4, 5, 40], "unit": "nm"}}, (80.0, 10.0, 8.0)),
    ("group", {"resolution": [4, 5, 40], "units": ["nm", "nm", "nm"]}, (80.0, 10.0, 8.0)),
    ("dataset", {"transform": {"axes": ["z", "y", "x"], "scale": [40.0, 5.0, 4.0], "translate": [0.0, 2.0, 0.0],
                               "units": ["nm", "nm", "nm"]}}, (40.0, 5.0, 4.0)),
    ("dataset", {"resolution": [4, 5, 40]}, ()), ("group", {"pixelResolution": [4, 5, 40], "unit": "pixel"}, ()),
])  # fmt: skip
def test_voxel_sizes(tmp_path: Path, where: str, said: dict[str, Any], expected: tuple[float, ...]) -> None:
    own = said if where == "dataset" else {}
    block(dataset(tmp_path / "a.n5" / "em" / "s1", {**own, "downsamplingFactors": [2, 2, 2]}), bytes(60))
    (tmp_path / "a.n5" / "em" / "attributes.json").write_text(json.dumps({} if own else said))
    image = read(f"{tmp_path}/a.n5:/em/s1")
    assert tuple(image.voxel_size_nm[a] for a in "ZYX" if a in image.voxel_size_nm) == expected
    if not expected:  # numbers without a unit stay without
        assert [q.unit for q in image.spacing.values()] == [""] * 3
        assert image.spacing["Z"].value / image.spacing["X"].value == 10
    assert ("Y" in image.origin) == ("transform" in said)


def test_the_finest_level_is_taken_and_several_datasets_are_named(tmp_path: Path) -> None:
    for level in ("s0", "s1"):
        block(dataset(tmp_path / "a.n5" / "em" / level, dimensions=[9 if level == "s0" else 5, 4, 3]), bytes(60))
    assert read(tmp_path / "a.n5").shape == (3, 4, 9)
    block(dataset(tmp_path / "a.n5" / "labels"), bytes(60))
    with pytest.raises(InputError, match="/em/s0, /labels"):
        read(tmp_path / "a.n5")
    assert read(f"{tmp_path}/a.n5:/labels").shape == (3, 4, 5)
    for wrong, words in (("/nothing", "no dataset"), ("/../a.n5/labels", "points outside")):
        with pytest.raises(InputError, match=words):
            read(f"{tmp_path}/a.n5:{wrong}")


@pytest.mark.parametrize("changes", [
    {"dimensions": [5, 4]}, {"dimensions": [5, 4, -3]}, {"dimensions": "5"}, {"dimensions": [1 << 60, 4, 3]},
    {"blockSize": [1 << 20, 1 << 20, 3]}, {"dataType": "object"}, {"compression": {"type": "pickle"}},
    {"compression": 3}, {"dimensions": [0, 4, 3]},
])  # fmt: skip
def test_absurd_attributes(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"attributes.json is damaged") as caught:
        read(dataset(tmp_path / "a.n5", **changes))
    assert caught.value.fix


@pytest.mark.parametrize(("packed", "sizes", "mode"), [
    (bytes(59), (5, 4, 3), 0), (bytes(61), (5, 4, 3), 0), (bytes(60), (5, 4, 4), 0), (bytes(60), (5, 4, 3), 2),
    (b"", (5, 4, 3), 0), (b"", (1 << 31, 1 << 31, 1 << 31), 0),
])  # fmt: skip
def test_damaged_blocks_are_named(tmp_path: Path, packed: bytes, sizes: tuple[int, ...], mode: int) -> None:
    folder = dataset(tmp_path / "a.n5")
    block(folder, packed, sizes, mode)
    with pytest.raises(InputError, match="block 0/0/0 is damaged"):
        read(folder).numpy()


def test_a_dataset_without_its_blocks_is_an_error(tmp_path: Path) -> None:
    folder = dataset(tmp_path / "a.n5" / "em")
    (folder / "7").mkdir()
    (folder / "7" / "notes.txt").write_text("no block")
    with pytest.raises(InputError, match="none of the chunks of dataset '/em'") as caught:
        read(tmp_path / "a.n5")
    assert caught.value.fix
    block(folder, bytes(60))
    assert read(tmp_path / "a.n5").shape == (3, 4, 5)
