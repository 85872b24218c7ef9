"""Every file of the formats folder reads with the shape, type, voxel size and pixels it should, or says what it is.

``formats_expected.csv`` holds a line for each. ``checked_with`` names the other reader that gave the same pixels
(their CRC-32, little-endian, C order), and whose voxel sizes were compared, when the line was written; lines without
one rest on this reader alone (colours turned grey, which no other reader does).
"""

from __future__ import annotations

import csv
import zlib
from pathlib import Path

import numpy as np
import pytest

from ruska.errors import InputError
from ruska.io import read

with (Path(__file__).parent / "formats_expected.csv").open(newline="") as table:
    EXPECTED = list(csv.DictReader(table))
FILES = {row["file"].split(":")[0] for row in EXPECTED}


def test_every_file_is_in_the_table(micrographs: Path) -> None:
    folder = micrographs / "formats"
    there = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    assert there == FILES


@pytest.mark.parametrize("row", EXPECTED, ids=[row["file"] for row in EXPECTED])
def test_file(micrographs: Path, row: dict[str, str]) -> None:
    name = f"{micrographs}/formats/{row['file']}"
    if row["error"]:
        with pytest.raises(InputError, match=row["error"]) as caught:
            read(name)
        assert caught.value.fix
        assert "cannot be read as" not in caught.value.problem
        return
    image = read(name)
    spacing = " ".join(f"{axis}={q.value:.7g}{q.unit}" for axis, q in sorted(image.spacing.items()))
    shape = "x".join(map(str, image.shape))
    assert (image.axes, shape, str(image.dtype), spacing) == (row["axes"], row["shape"], row["dtype"], row["spacing"])
    pixels = image.numpy()
    assert (pixels.shape, pixels.dtype) == (image.shape, image.dtype)
    if row["crc32"]:
        stored = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder("<"))
        assert f"{zlib.crc32(stored.tobytes()):08x}" == row["crc32"]
    box = tuple(slice(n // 3, n // 3 + max(1, n // 2)) for n in image.shape)
    np.testing.assert_array_equal(np.asarray(image.data[box]), pixels[box])
