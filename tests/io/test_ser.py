"""TIA series and their descriptions. Real files: `test_real_formats`."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from ruska.errors import InputError
from ruska.io import read

FRAMES = np.arange(3 * 4 * 5, dtype=np.float32).reshape(3, 4, 5)


def series(path: Path, *, unit: str = "", step: float = 1.0, pixel: float = 2e-9, kind: int = 7, total: int = 3,
           valid: int = 3, data_kind: int = 0x4122) -> Path:  # fmt: skip
    """A series of version 0x220, as TIA writes it: rows from the bottom up."""
    dimension = struct.pack("<iddii", total, 0.0, step, 0, 6) + b"Number" + struct.pack("<i", len(unit)) + unit.encode()
    table = 30 + 4 + len(dimension)
    offsets, body = [], b""
    start = table + 16 * total
    for frame in FRAMES[:valid]:
        offsets.append(start + len(body))
        body += struct.pack("<ddiddihii", 1e-9, pixel, 0, 1e-9, pixel, 0, kind, 5, 4) + frame[::-1].tobytes()
    offsets += [0] * (total - valid)
    head = b"II" + struct.pack("<HHiiiiqi", 0x197, 0x220, data_kind, 0x4152, total, valid, table, 1) + dimension
    path.write_bytes(head + struct.pack(f"<{total}q", *offsets) + bytes(8 * total) + body)
    return path


def test_frames_calibration_and_row_order(tmp_path: Path) -> None:
    image = read(series(tmp_path / "a_1.ser"))
    assert (image.axes, image.dtype) == ("QYX", np.float32)
    assert image.voxel_size_nm == pytest.approx({"X": 2.0, "Y": 2.0})
    assert image.origin["X"].value == pytest.approx(1.0)
    assert image.origin["Y"].value == pytest.approx(-7.0)  # the top row, Y downwards
    np.testing.assert_array_equal(image.numpy(), FRAMES)
    np.testing.assert_array_equal(image.data[1:3, 1:3, 2:4], FRAMES[1:3, 1:3, 2:4])


def test_time_series_and_unfinished_ones(tmp_path: Path) -> None:
    timed = read(series(tmp_path / "a.ser", unit="seconds", step=0.5))
    assert (timed.axes, timed.spacing["T"].value) == ("TYX", 0.5)
    short = read(series(tmp_path / "b.ser", total=9, valid=2))
    assert short.shape == (2, 4, 5)
    assert "2 of 9" in short.notes[0]


@pytest.mark.parametrize(("options", "words"), [
    ({"data_kind": 0x4120}, "spectrum"), ({"pixel": 5e7}, "diffraction pattern"), ({"kind": 9}, "complex"),
    ({"kind": 33}, "unknown type 33"), ({"data_kind": 1}, "unknown kind"), ({"valid": 0}, "0 of 3 frames"),
])  # fmt: skip
def test_what_is_no_image_says_what_it_is(tmp_path: Path, options: dict[str, int], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read(series(tmp_path / "a.ser", **options))  # type: ignore[arg-type]
    assert caught.value.fix


def test_a_description_opens_its_series(tmp_path: Path) -> None:
    fields = b"<ObjectInfo><Data><Label>High tension</Label><Value>200</Value><Unit>kV</Unit></Data></ObjectInfo>"
    (tmp_path / "a.emi").write_bytes(b"JK\0\2" + fields)
    with pytest.raises(InputError, match="no series is beside it"):
        read(tmp_path / "a.emi")
    series(tmp_path / "a_1.ser")
    image = read(tmp_path / "a.emi")
    assert image.shape == (3, 4, 5)
    assert image.header["emi"] == {"High tension": "200 kV"}
    assert (image.name, image.path) == ("a.emi", tmp_path / "a_1.ser")  # whose digest tells a changed input
    series(tmp_path / "a_2.ser", total=1, valid=1)
    with pytest.raises(InputError, match=r"a_1.ser, a_2.ser. Name one: a.emi:1"):
        read(tmp_path / "a.emi")
    assert read(f"{tmp_path}/a.emi:2").shape == (4, 5)
    with pytest.raises(InputError, match="no series '3'"):
        read(f"{tmp_path}/a.emi:3")


def test_a_folder_of_series_and_descriptions_is_a_stack_of_the_series(tmp_path: Path) -> None:
    for number in (1, 2, 10):
        series(tmp_path / f"s{number}_1.ser", total=1, valid=1)
        (tmp_path / f"s{number}.emi").write_bytes(b"JK\0\2")
    assert read(tmp_path).shape == (3, 4, 5)


def test_a_frame_at_infinity_has_no_origin(micrographs: Path, tmp_path: Path) -> None:
    source = micrographs / "formats/rosettasciio_testdata/tia__old__16x16_STEM_BF_DF_acquire_1.ser"
    data = bytearray(source.read_bytes())
    start = struct.unpack_from("<i", data, struct.unpack_from("<i", data, 22)[0])[0]
    struct.pack_into("<d", data, start, 1e303)  # finite, and not in nanometres
    (tmp_path / "a.ser").write_bytes(data)
    assert "X" not in read(tmp_path / "a.ser").origin
