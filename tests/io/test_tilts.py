"""Tilt angles: read from beside a stack and from its header, cut with it, and written beside the result."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from ruska.errors import OutputError
from ruska.image import Image, Quantity, crop
from ruska.io import exposure, read, tilts, write

STACK = np.random.default_rng(0).integers(0, 99, (5, 20, 24)).astype(np.int16)
ANGLES = [-60.01, -30.0, 0.0, 30.0, 59.98]


def series(path: Path, *, extended: bytes = b"") -> Path:
    """A stack as mrcfile writes it, without a pixel size."""
    with mrcfile.new(path) as file:
        file.set_data(STACK)
        file.set_image_stack()
        if extended:
            file.set_extended_header(np.frombuffer(extended, "V1"))
            file.header.exttyp = b"SERI"
    if extended:
        data = bytearray(path.read_bytes())
        struct.pack_into("<hh", data, 128, 6, 1)
        path.write_bytes(data)
    return path


def mdoc(order: range | list[int] = range(5), angles: list[object] = list(ANGLES)) -> str:  # noqa: B006
    sections = "".join(
        f"[ZValue = {z}]\nTiltAngle = {angles[z]}\nMinMaxMean = 0 1 0.5\nDefocus = -{z}.5\n\n" for z in order
    )
    return (
        f"PixelSpacing = 5.4\nImageFile = a.st\nImageSize = 24 20\nDataMode = 1\n\n[T = SerialEM: test]\n\n{sections}"
    )


def fields(path: Path, name: str) -> list[str]:
    """The values of a field, by plain text search: another reader than Ruska's."""
    return re.findall(rf"^\[?{name} = ([^\]\r\n]*)", path.read_text(), re.MULTILINE)


def test_an_mdoc_is_shown_cut_with_the_stack_and_written_beside_the_result(tmp_path: Path) -> None:
    series(tmp_path / "a.st")
    (tmp_path / "a.st.mdoc").write_text(mdoc(order=[2, 1, 0, 3, 4]))  # as a dose-symmetric series may be listed
    image = read(tmp_path / "a.st")
    found = tilts(image)
    assert found is not None
    assert (list(found.angles), found.source) == (ANGLES, "a.st.mdoc")
    assert image.spacing["X"] == Quantity(5.4, "angstrom")
    part = crop(image, {"Q": slice(1, 4), "X": slice(0, 10)})
    assert tilts(part).angles == tuple(ANGLES[1:4])  # type: ignore[union-attr]
    lost = write(tmp_path / "b.mrc", part)
    assert not any("mdoc" in line for line in lost)
    beside = tmp_path / "b.mrc.mdoc"
    assert [float(v) for v in fields(beside, "TiltAngle")] == ANGLES[1:4]
    assert fields(beside, "ZValue") == ["0", "1", "2"]
    assert fields(beside, "Defocus") == ["-1.5", "-2.5", "-3.5"]
    assert (fields(beside, "ImageFile"), fields(beside, "ImageSize")) == (["b.mrc"], ["10 20"])
    assert fields(beside, "T") == ["SerialEM: test"]
    assert not fields(beside, "MinMaxMean")  # of other pixels
    assert tilts(read(tmp_path / "b.mrc")).angles == tuple(ANGLES[1:4])  # type: ignore[union-attr]
    wide = part.with_data(part.numpy(), spacing={a: Quantity(2.7, "angstrom") for a in "YX"})
    write(tmp_path / "c.tif", wide)
    assert fields(tmp_path / "c.tif.mdoc", "PixelSpacing") == ["2.7"]
    assert tilts(read(tmp_path / "c.tif")).source == "c.tif.mdoc"  # type: ignore[union-attr]
    thick = Image(np.zeros((9, 20, 24), np.float32), "ZYX", header=image.header)
    assert any("another number of sections" in line for line in write(tmp_path / "d.mrc", thick))
    assert not (tmp_path / "d.mrc.mdoc").exists()


@pytest.mark.parametrize(("name", "beside"), [("a.st", "a.rawtlt"), ("a.mrc", "a.mrc.tlt"), ("a_ali.mrc", "a.tlt")])
def test_lists_of_angles(tmp_path: Path, name: str, beside: str) -> None:
    series(tmp_path / name)
    (tmp_path / beside).write_text("".join(f" {a:7.2f}\n" for a in ANGLES) + "\n")
    image = read(tmp_path / name)
    assert tilts(image).angles == tuple(ANGLES)  # type: ignore[union-attr]
    write(tmp_path / "out.mrc", crop(image, {"Q": slice(3, 5)}))
    kind = beside.rsplit(".")[-1]
    np.testing.assert_allclose(np.loadtxt(tmp_path / f"out.{kind}"), ANGLES[3:])
    own = (tmp_path / beside).read_bytes()
    write(tmp_path / "a.h5", crop(image, {"Q": slice(0, 2)}))  # whose list would have the name of the input's
    assert (tmp_path / beside).read_bytes() == own
    other = next(f for f in (tmp_path / f"a.h5.{kind}", tmp_path / f"a.{kind}") if f.name != beside and f.exists())
    np.testing.assert_allclose(np.loadtxt(other), ANGLES[:2])


def test_what_stands_beside_a_result_is_not_replaced_unasked(tmp_path: Path) -> None:
    series(tmp_path / "a.st")
    (tmp_path / "a.st.mdoc").write_text(mdoc())
    (tmp_path / "b.mrc.mdoc").write_text("of another")
    image = read(tmp_path / "a.st")
    with pytest.raises(OutputError, match=r"b.mrc.mdoc: exists already"):
        write(tmp_path / "b.mrc", image)
    assert (tmp_path / "b.mrc.mdoc").read_text() == "of another"
    assert not (tmp_path / "b.mrc").exists()
    write(tmp_path / "b.mrc", image, overwrite=True)
    assert len(fields(tmp_path / "b.mrc.mdoc", "TiltAngle")) == 5


def test_the_extended_header_of_some_sections_is_written(tmp_path: Path) -> None:
    words = b"".join(struct.pack("<h4x", round(100 * a)) for a in ANGLES) + bytes(994)  # SerialEM pads to 1024
    image = read(series(tmp_path / "a.st", extended=words))
    assert tilts(image).angles == pytest.approx(ANGLES)  # type: ignore[union-attr]
    write(tmp_path / "b.st", crop(image, {"Q": slice(2, 5), "Y": slice(0, 9)}))
    with mrcfile.open(tmp_path / "b.st") as file:
        extended = file.extended_header.tobytes()
        assert file.data.shape == (3, 9, 24)
    assert [struct.unpack_from("<h", extended, 6 * i)[0] / 100 for i in range(3)] == pytest.approx(ANGLES[2:])
    assert tilts(read(tmp_path / "b.st")).angles == pytest.approx(ANGLES[2:])  # type: ignore[union-attr]


@pytest.mark.parametrize(("name", "text", "words"), [
    ("a.st.mdoc", "", "describes no sections"), ("a.st.mdoc", "\0\1\2 = ]", "describes no sections"),
    ("a.st.mdoc", mdoc(range(3)), "describes 3 sections, the stack has 5"),
    ("a.st.mdoc", mdoc(angles=[-60, "nan", 0, "many", 60]), "no tilt angle for section 1, 3"),
    ("a.st.mdoc", mdoc([0, 0, 0, 0, 0]), "ZValues"),
    ("a.rawtlt", "1\n2\n", "2 angles for 5 sections"), ("a.rawtlt", "1\n2\nthree\n4\n5", "no angle in line 3"),
    ("a.rawtlt", "", "no angles"), ("a.rawtlt", "1\n2\n3\n4\n4000\n", "no angle in line 5"),
])  # fmt: skip
def test_what_is_broken_is_said(tmp_path: Path, name: str, text: str, words: str) -> None:
    series(tmp_path / "a.st")
    (tmp_path / name).write_text(text)
    image = read(tmp_path / "a.st")
    np.testing.assert_array_equal(image.numpy(), STACK)
    assert any(words in note for note in image.notes), image.notes
    write(tmp_path / "b.st", image)


def test_a_reconstruction_beside_its_series_has_no_angles(tmp_path: Path) -> None:
    with mrcfile.new(tmp_path / "a.rec") as file:
        file.set_data(STACK)
    (tmp_path / "a.mdoc").write_text(mdoc(range(3)))
    (tmp_path / "a.tlt").write_text("1\n2\n3\n")
    image = read(tmp_path / "a.rec")
    assert (tilts(image), image.notes) == (None, ())


@pytest.mark.parametrize("header", [
    {"mdoc": []}, {"mdoc": {"sections": [{}] * 5}}, {"mdoc": {"sections": "abcde", "file": 3}},
    {"tlt": {"sections": 5}}, {"rawtlt": {"sections": ["a"] * 5}}, {"mrc": []},
    {"mrc": {"sections": {"tilt_deg": 4}}}, {"eer": {"totalDose": []}},
    {"tlt": {"sections": [1, 2, 3, 4, 5], "file": []}},
])  # fmt: skip
def test_a_header_from_anywhere_does_no_harm(tmp_path: Path, header: dict[str, object]) -> None:
    write(tmp_path / "a.h5", Image(STACK, "QYX", header=header))
    image = read(tmp_path / "a.h5")
    found = tilts(image)
    assert found is None or found.angles == (1, 2, 3, 4, 5)
    assert exposure(image) is None
    write(tmp_path / "b.h5", crop(image, {"Q": slice(1, 3)}))
