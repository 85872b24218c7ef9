"""Extended headers and .mdoc files of MRC stacks. A real FEI2 header is in ``rosettasciio_testdata``."""

from __future__ import annotations

import struct
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from ruska.image import Image, Quantity
from ruska.io import read, write

STACK = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)


def stack(path: Path, extended: bytes, kind: bytes = b"", words: tuple[int, int] = (0, 0), cell: float = 0.0) -> Path:
    with mrcfile.new(path) as made:
        made.set_data(STACK)
        made.set_extended_header(np.frombuffer(extended, "V1"))
        made.header.exttyp = kind
        made.voxel_size = cell
    data = bytearray(path.read_bytes())
    struct.pack_into("<hh", data, 128, *words)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("kind", [b"FEI1", b"FEI2"])
def test_fei_headers(tmp_path: Path, kind: bytes) -> None:
    blocks = np.zeros(3, mrcfile.dtypes.get_ext_header_dtype(kind, "<"))
    blocks["Metadata size"], blocks["Pixel size X"], blocks["Pixel size Y"] = blocks.itemsize, 1.5e-10, 1.5e-10
    blocks["Alpha tilt"], blocks["HT"], blocks["Camera name"] = (-60, 0, 60), 3e5, b"Falcon"
    image = read(stack(tmp_path / "a.mrc", blocks.tobytes(), kind))
    said = image.header["mrc"]["sections"]
    assert (said["kind"], said["tilt_deg"], said["voltage_v"]) == (kind.decode(), [-60.0, 0.0, 60.0], 3e5)
    assert said["camera"] == "Falcon"
    assert {a: q.to("angstrom") for a, q in image.spacing.items()} == pytest.approx({"Y": 1.5, "X": 1.5})
    standard = read(stack(tmp_path / "b.mrc", blocks.tobytes(), kind, cell=2.0))
    assert standard.spacing["X"].to("angstrom") == pytest.approx(2.0)  # the header proper comes first


def test_serialem_and_agard(tmp_path: Path) -> None:
    words = b"".join(struct.pack("<h4x", tilt) for tilt in (-6000, 0, 6012))
    image = read(stack(tmp_path / "a.st", words, b"SERI", (6, 1)))
    said = {"kind": "SerialEM", "tilt_deg": [-60.0, 0.0, 60.12], "bytes": 6, "number": [0, 1, 2]}
    assert image.header["mrc"]["sections"] == said
    table = np.zeros((1024, 32), np.float32)
    table[:3, 0], table[:, 11] = (-1, 0, 1), 2e-10
    image = read(stack(tmp_path / "b.st", table.tobytes(), b"", (0, 32)))
    assert image.header["mrc"]["sections"]["tilt_deg"] == [-1.0, 0.0, 1.0]
    assert image.spacing["X"].to("angstrom") == pytest.approx(2.0)


def test_they_are_written_back(tmp_path: Path) -> None:
    words = b"".join(struct.pack("<h4x", tilt) for tilt in (-6000, 0, 6012))
    image = read(stack(tmp_path / "a.st", words, b"SERI", (6, 1)))
    write(tmp_path / "b.st", image)
    assert read(tmp_path / "b.st").header["mrc"]["sections"] == image.header["mrc"]["sections"]


@pytest.mark.parametrize(("extended", "kind", "words"), [
    (b"", b"FEI1", (0, 0)), (b"\1\0\0\0" * 300, b"FEI1", (0, 0)), (b"\xff" * 900, b"FEI2", (0, 0)),
    (b"\1\2\3", b"SERI", (6, 1)), (b"\1" * 90, b"SERI", (-1, 1)), (b"\1" * 90, b"SERI", (0, 1)),
])  # fmt: skip
def test_broken_ones_are_no_error(tmp_path: Path, extended: bytes, kind: bytes, words: tuple[int, int]) -> None:
    image = read(stack(tmp_path / "a.mrc", extended, kind, words))
    np.testing.assert_array_equal(image.numpy(), STACK)
    assert not image.header["mrc"]["sections"].get("tilt_deg")


@pytest.mark.parametrize("name", ["a.st.mdoc", "a.mdoc"])
def test_mdoc_beside_the_stack(tmp_path: Path, name: str) -> None:
    text = ("PixelSpacing = 5.46\r\nVoltage = 300\r\n\r\n[T = SerialEM: Digitized on X]\r\n\r\n"
            "[ZValue = 0]\r\nTiltAngle = -60.01\r\n\r\n[ZValue = 1]\r\nTiltAngle = -58\r\n"
            "[ZValue = 2]\r\n")  # fmt: skip
    (tmp_path / name).write_text(text)
    write(tmp_path / "a.st", Image(STACK, "QYX"))
    image = read(tmp_path / "a.st")
    assert image.header["mdoc"]["global"]["Voltage"] == "300"
    assert image.header["mdoc"]["sections"][0] == {"ZValue": "0", "TiltAngle": "-60.01"}
    assert image.spacing["X"].to("angstrom") == pytest.approx(5.46)
    lost = write(tmp_path / "b.st", image)
    assert not any("mdoc" in line for line in lost)  # it is beside the result: see test_tilts
    assert read(tmp_path / "b.st").header["mdoc"]["sections"] == image.header["mdoc"]["sections"]
    write(tmp_path / "a.st", Image(STACK, "QYX", {a: Quantity(1.0, "nm") for a in "YX"}), overwrite=True)
    assert read(tmp_path / "a.st").spacing["X"].to("nm") == pytest.approx(1.0)


def test_a_broken_mdoc_is_no_error(tmp_path: Path) -> None:
    write(tmp_path / "a.st", Image(STACK, "QYX"))
    for data in (b"", bytes(range(256)), b"PixelSpacing = many\n[ZValue = \n", b"PixelSpacing = -3"):
        (tmp_path / "a.st.mdoc").write_bytes(data)
        assert read(tmp_path / "a.st").spacing == {}
