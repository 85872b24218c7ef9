"""DigitalMicrograph: shapes, calibration, several images, and what is no image. Real files: `test_real_formats`."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.io.dm_file import dm_file

from ruska.errors import InputError
from ruska.image import Image, Quantity
from ruska.io import read

PLANE = np.arange(12 * 20, dtype=np.int16).reshape(12, 20)
NM = {"units": ["nm", "nm"], "scale": [2.0, 0.5], "origin": [3.0, 0.0]}


def opened(tmp_path: Path, *images: dict[str, Any], version: int = 3, **options: Any) -> Image:
    (tmp_path / f"a.dm{version}").write_bytes(dm_file(list(images), version, **options))
    return read(tmp_path / f"a.dm{version}")


@pytest.mark.parametrize("version", [3, 4])
@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8", "i8", "u8"])
def test_every_type_with_its_calibration(tmp_path: Path, version: int, dtype: str) -> None:
    data = PLANE.astype(dtype)
    image = opened(tmp_path, {"data": data, "name": "grid", **NM}, version=version)
    assert (image.axes, image.shape, image.dtype) == ("YX", (12, 20), data.dtype)
    assert dict(image.spacing) == {"Y": Quantity(2.0, "nm"), "X": Quantity(0.5, "nm")}
    assert dict(image.origin) == {"Y": Quantity(-6.0, "nm")}
    assert image.header["dm"]["name"] == "grid"
    np.testing.assert_array_equal(image.numpy(), data)
    np.testing.assert_array_equal(np.asarray(image.data[3:5, ::4]), data[3:5, ::4])


def test_a_tiny_image_of_16_bit_numbers_is_not_taken_for_a_text(tmp_path: Path) -> None:
    data = np.array([[55296, 65535], [1, 0]], np.uint16)
    np.testing.assert_array_equal(opened(tmp_path, {"data": data}).numpy(), data)


@pytest.mark.parametrize(("unit", "axes"), [("nm", "ZYX"), ("s", "TYX"), ("deg", "QYX"), ("", "QYX")])
def test_a_stack_axis_is_named_by_its_unit(tmp_path: Path, unit: str, axes: str) -> None:
    data = np.arange(3 * 12 * 20, dtype=np.float32).reshape(3, 12, 20)
    image = opened(tmp_path, {"data": data, "units": [unit, "nm", "nm"], "scale": [2.0, 1.0, 1.0]})
    assert (image.axes, bool(image.notes)) == (axes, axes == "QYX")
    assert ("Z" in image.spacing, "T" in image.spacing) == (axes == "ZYX", axes == "TYX")
    np.testing.assert_array_equal(image.data[1:2], data[1:2])


def test_previews_are_left_out_and_several_images_are_named(tmp_path: Path) -> None:
    preview = {"kind": 23, "sizes": (2, 2), "raw": bytes(16)}
    assert opened(tmp_path, preview, {"data": PLANE}).shape == (12, 20)
    assert opened(tmp_path, {"data": PLANE[:3]}, {"data": PLANE}, previews=(0,)).shape == (12, 20)
    with pytest.raises(InputError, match="holds 2 images: 0 \\(one, 12 x 20\\); 1 \\(two, 3 x 20\\)"):
        opened(tmp_path, preview, {"data": PLANE, "name": "one"}, {"data": PLANE[:3], "name": "two"})
    for inner in ("1", "/two"):
        assert read(f"{tmp_path}/a.dm3:{inner}").shape == (3, 20)
    with pytest.raises(InputError, match="no image 'three'"):
        read(f"{tmp_path}/a.dm3:three")


@pytest.mark.parametrize(("image", "words"), [
    ({"data": PLANE, "units": ["", "eV"]}, "spectrum"),
    ({"data": PLANE, "units": ["1/nm", "1/nm"]}, "diffraction pattern"),
    ({"data": PLANE, "units": ["mrad", "mrad"]}, "diffraction pattern"),
    ({"data": PLANE[:1]}, "spectrum"),
    ({"data": PLANE, "tags": [("Meta Data", [("Format", "Spectrum image")])]}, "spectrum"),
    ({"kind": 3, "sizes": (4, 4), "raw": bytes(128)}, "complex numbers"),
    ({"kind": 23, "sizes": (4, 4), "raw": bytes(64)}, "RGB"),
    ({"kind": 77, "sizes": (4, 4), "raw": bytes(64)}, "unknown type 77"),
    ({"kind": 2, "sizes": (4, 4), "raw": bytes(63)}, "damaged: 4 x 4"),
    ({"kind": 2, "sizes": (1 << 31, 1 << 31), "raw": bytes(64)}, "damaged"),
    ({"kind": 2, "sizes": (0, 5), "raw": bytes(64)}, "damaged|spectrum"),
])  # fmt: skip
def test_what_is_no_image_says_what_it_is(tmp_path: Path, image: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        opened(tmp_path, image)
    assert caught.value.fix


def test_absurd_trees_are_refused(tmp_path: Path) -> None:
    head = struct.pack(">III", 3, 0, 1)
    deep = b"".join(struct.pack(">BBI", 1, 0, 1) + struct.pack(">BH", 20, 0) for _ in range(60))
    many = struct.pack(">BBI", 1, 0, 0xFFFFFFFF)
    for body, words in ((deep, "levels deep"), (many, "more than"), (b"", "truncated")):
        (tmp_path / "a.dm3").write_bytes(head + body)
        with pytest.raises(InputError, match=words):
            read(tmp_path / "a.dm3")
