"""Neuroglancer precomputed: plain and sharded volumes as another program wrote them, and damaged metadata."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ruska.errors import InputError
from ruska.io import read
from ruska.io.precomputed_shards import morton

VALUES = (np.arange(20 * 17 * 9).reshape(20, 17, 9) % 1000).astype(np.uint16).transpose(2, 1, 0)


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Volumes written by tensorstore 0.1.86; see `test_n5`."""
    folder = tmp_path_factory.mktemp("tensorstore")
    with zipfile.ZipFile(Path(__file__).with_name("stores_by_tensorstore.zip")) as archive:
        archive.extractall(folder)
    return folder


@pytest.mark.parametrize("name", ["plain", "murmur", "identity", "png"])
def test_volumes_of_another_program(stores: Path, name: str) -> None:
    image = read(stores / f"{name}.precomputed")
    assert (image.axes, image.dtype, image.voxel_size_nm) == ("ZYX", np.uint16, {"X": 4.0, "Y": 4.0, "Z": 40.0})
    assert {a: q.value for a, q in image.origin.items()} == {"X": 20.0, "Z": -120.0}
    np.testing.assert_array_equal(image.numpy(), VALUES)
    np.testing.assert_array_equal(image.data[2:7, 5:9, 3:17], VALUES[2:7, 5:9, 3:17])
    assert read(f"{stores}/{name}.precomputed:4_4_40").shape == VALUES.shape
    with pytest.raises(InputError, match="no scale '8'"):
        read(f"{stores}/{name}.precomputed:8")


def test_a_shard_cut_short_says_so(stores: Path, tmp_path: Path) -> None:
    for source in (stores / "murmur.precomputed").rglob("*"):
        if source.is_file():
            target = tmp_path / "a.precomputed" / source.relative_to(stores / "murmur.precomputed")
            target.parent.mkdir(parents=True, exist_ok=True)
            data = source.read_bytes()
            target.write_bytes(data[: len(data) // 2] if source.suffix == ".shard" else data)
    with pytest.raises(InputError, match=r"chunk .* is damaged"):
        read(tmp_path / "a.precomputed").numpy()


def test_chunks_are_numbered_by_their_bits_in_turn() -> None:
    grid = (4, 2, 8)
    codes = {(x, y, z): morton((x, y, z), grid) for x in range(4) for y in range(2) for z in range(8)}
    assert sorted(codes.values()) == list(range(64))
    assert (codes[1, 0, 0], codes[0, 1, 0], codes[0, 0, 1], codes[2, 0, 0]) == (1, 2, 4, 8)


def volume(folder: Path, scale: dict[str, Any], **info: Any) -> Path:
    base = {"key": "a", "size": [4, 4, 4], "resolution": [4, 4, 4], "chunk_sizes": [[4, 4, 4]], "encoding": "raw"}
    folder.mkdir()
    (folder / "a").mkdir()
    (folder / "info").write_text(json.dumps({"data_type": "uint8", "num_channels": 1, "scales": [base | scale]} | info))
    return folder


def test_channels_labels_and_missing_chunks(tmp_path: Path) -> None:
    path = volume(tmp_path / "v.precomputed", {}, num_channels=2, type="segmentation")
    with pytest.raises(InputError, match="none of the chunks of scale 'a'"):
        read(path)
    (path / "a" / "0-4_0-4_0-4").write_bytes(bytes(range(128)))
    image = read(path)
    assert (image.axes, image.shape, image.meaning) == ("CZYX", (2, 4, 4, 4), "labels")
    np.testing.assert_array_equal(image.numpy().ravel(), np.arange(128))
    path = volume(tmp_path / "w.precomputed", {"size": [8, 4, 4]})
    (path / "a" / "4-8_0-4_0-4").write_bytes(bytes([7]) * 64)
    values = read(path).numpy()
    assert (values[..., 4:] == 7).all()
    assert not values[..., :4].any()  # a chunk that is missing beside one that is there


@pytest.mark.parametrize(("scale", "info"), [
    ({"key": "../../etc"}, {}), ({"key": "C:/x"}, {}), ({"size": [4, 4]}, {}), ({"size": [4, 4, 0]}, {}),
    ({"chunk_sizes": [[1 << 20, 1 << 20, 1 << 20]]}, {}), ({"chunk_sizes": []}, {}), ({"encoding": "compresso"}, {}),
    ({"encoding": "compressed_segmentation"}, {}), ({}, {"data_type": "object"}), ({}, {"num_channels": -1}),
    ({"sharding": {"hash": "md5", "preshift_bits": 0, "minishard_bits": 0, "shard_bits": 0}}, {}),
    ({"sharding": {"hash": "identity", "preshift_bits": 0, "minishard_bits": 60, "shard_bits": 0}}, {}),
    ({"resolution": [4, 4]}, {}), ({"resolution": "4"}, {}),
])  # fmt: skip
def test_absurd_metadata(tmp_path: Path, scale: dict[str, Any], info: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="info file is damaged or unusual") as caught:
        read(volume(tmp_path / "v.precomputed", scale, **info))
    assert caught.value.fix


def test_no_volume_and_wrong_chunks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no volume"):
        read(volume(tmp_path / "v.precomputed", {}, scales=[]))
    path = volume(tmp_path / "w.precomputed", {})
    (path / "a" / "0-4_0-4_0-4").write_bytes(bytes(63))
    with pytest.raises(InputError, match="chunk 0, 0, 0"):
        read(path).numpy()
    (path / "a" / "0-4_0-4_0-4").write_bytes(bytes(1 << 20))
    with pytest.raises(InputError, match="1048576 bytes"):
        read(path).numpy()
