"""Lengths of texts in HDF5, as the headers of three kinds of files say them, sound and damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ruska.errors import InputError
from ruska.image import Image
from ruska.io import read, write
from ruska.io.hdf5_layouts import attribute
from ruska.io.hdf5_texts import longest_text

TEXTS = {f"name{i}": "n" * (1 + 7 * i) for i in range(7)}
LAYOUTS: dict[str, dict[str, Any]] = {
    "old headers": {},
    "new headers": {"libver": "latest"},
    "a user's block before": {"userblock_size": 512},
    "new headers in order": {"libver": "latest", "track_order": True},
}


def make(path: Path, **layout: Any) -> None:
    with h5py.File(path, "w", **layout) as file:
        group = file.create_group("g", track_order=layout.get("track_order"))
        for name, text in TEXTS.items():  # added one by one, so that the header goes on elsewhere
            group.attrs[name] = text
            file.create_group(f"other {name}")
        group.attrs["number"] = 3.5


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_length_is_that_of_the_text(tmp_path: Path, layout: str) -> None:
    make(tmp_path / "a.h5", **LAYOUTS[layout])
    with h5py.File(tmp_path / "a.h5") as file:
        assert {name: longest_text(file["g"], name) for name in TEXTS} == {n: len(text) for n, text in TEXTS.items()}
        assert longest_text(file["g"], "number") is None
        assert longest_text(file["g"], "missing") is None
        assert attribute(file["g"], "name6") == TEXTS["name6"]


@pytest.mark.parametrize("layout", ["old headers", "a user's block before"])
def test_two_gigabytes_are_not_asked_for(tmp_path: Path, layout: str) -> None:
    make(tmp_path / "a.h5", **LAYOUTS[layout])
    data = (tmp_path / "a.h5").read_bytes()
    heap = (data.index(b"GCOL") - LAYOUTS[layout].get("userblock_size", 0)).to_bytes(8, "little")
    descriptor = len(TEXTS["name6"]).to_bytes(4, "little") + heap
    assert data.count(descriptor) == 1
    (tmp_path / "a.h5").write_bytes(data.replace(descriptor, (1 << 31).to_bytes(4, "little") + heap))
    with h5py.File(tmp_path / "a.h5") as file:
        assert longest_text(file["g"], "name6") == 1 << 31
        assert attribute(file["g"], "name6", "absent") == "absent"
        assert attribute(file["g"], "name5") == TEXTS["name5"]


def test_a_record_longer_than_its_file_is_damaged(tmp_path: Path) -> None:
    write(tmp_path / "a.h5", Image(np.arange(600, dtype=np.uint16).reshape(20, 30), "YX"))
    with h5py.File(tmp_path / "a.h5") as file:
        at = file["ruska"].id.get_offset()
    data = bytearray((tmp_path / "a.h5").read_bytes())
    data[at : at + 4] = (1 << 30).to_bytes(4, "little")
    (tmp_path / "a.h5").write_bytes(data)
    with pytest.raises(InputError, match="longer than the file"):
        read(tmp_path / "a.h5")
