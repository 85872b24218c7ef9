"""Janelia FIB-SEM frames of every kind of header; a real one is in `test_real_formats`."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from ruska.errors import InputError
from ruska.io import read


def frame(path: Path, channels: int = 2, version: int = 9, *, eight_bit: bool = False) -> np.ndarray:
    """Write 6 x 7 pixels; return them as (channels, 6, 7)."""
    data = np.arange(channels * 42).reshape(channels, 6, 7).astype("u1" if eight_bit else "i2") - (
        0 if eight_bit else 9
    )
    head = bytearray(1024)
    struct.pack_into(">IHH", head, 0, 0xD3EDF5F2, version, 1)
    head[32], head[33] = channels, eight_bit
    struct.pack_into(">II", head, 100, 7, 6)
    head[151:155] = bytes([1] * channels + [0] * (4 - channels))
    head[380:386], head[390:393] = b"InLens", b"ESB"
    struct.pack_into(">d" if version <= 2 else ">f", head, 416 if version <= 2 else 464, 8.0)
    path.write_bytes(bytes(head) + data.transpose(1, 2, 0).astype(data.dtype.newbyteorder(">")).tobytes())
    return data


@pytest.mark.parametrize("version", [1, 2, 6, 8, 9])
@pytest.mark.parametrize("eight_bit", [False, True])
def test_versions_and_depths(tmp_path: Path, version: int, eight_bit: bool) -> None:
    data = frame(tmp_path / "a.dat", version=version, eight_bit=eight_bit)
    image = read(tmp_path / "a.dat")
    assert (image.axes, image.channel_names, image.dtype) == ("CYX", ("InLens", "ESB"), data.dtype)
    assert image.voxel_size_nm == {"Y": 8.0, "X": 8.0}
    np.testing.assert_array_equal(image.numpy(), data)
    np.testing.assert_array_equal(image.data[1:2, 2:5, 1:3], data[1:2, 2:5, 1:3])


def test_one_channel_is_a_plain_image_and_a_folder_a_stack(tmp_path: Path) -> None:
    data = frame(tmp_path / "a1.dat", 1)
    frame(tmp_path / "a2.dat", 1)
    (tmp_path / "log.dat").write_text("no frame")
    np.testing.assert_array_equal(read(tmp_path / "a1.dat").numpy(), data[0])
    assert read(tmp_path).shape == (2, 6, 7)


def test_absurd_headers(tmp_path: Path) -> None:
    frame(tmp_path / "a.dat")
    good = (tmp_path / "a.dat").read_bytes()
    for at, value, words in ((32, b"\x09", "9 channels"), (100, b"\xff" * 8, "truncated"), (100, bytes(8), "damaged"),
                             (4, b"\0\0", "version 0")):  # fmt: skip
        (tmp_path / "a.dat").write_bytes(good[:at] + value + good[at + len(value) :])
        with pytest.raises(InputError, match=words):
            read(tmp_path / "a.dat")
    (tmp_path / "a.dat").write_bytes(good[:-1])
    with pytest.raises(InputError, match="truncated"):
        read(tmp_path / "a.dat")
