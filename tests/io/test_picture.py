"""Pictures: every mode of Pillow's that instruments save, bombs, truncation, and honest previews."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from ruska.errors import InputError, OutputError
from ruska.image import Image, Quantity
from ruska.io import read, write
from ruska.io.picture import shape_and_dtype

GREY = np.random.default_rng(0).integers(0, 256, (20, 30)).astype(np.uint8)
COLOURS = np.random.default_rng(1).integers(0, 256, (20, 30, 3)).astype(np.uint8)


def chunk(name: bytes, body: bytes) -> bytes:
    """One chunk of a PNG file."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_grey_is_read_as_it_is(tmp_path: Path, suffix: str) -> None:
    Pillow.fromarray(GREY).save(tmp_path / f"a{suffix}")
    image = read(tmp_path / f"a{suffix}")
    assert (image.axes, image.notes, dict(image.spacing)) == ("YX", (), {})
    np.testing.assert_array_equal(image.numpy(), GREY)


def test_16_bits_stay_16_bits(tmp_path: Path) -> None:
    values = GREY.astype(np.uint16) * 257 - 1
    Pillow.fromarray(values).save(tmp_path / "a.png")
    image = read(tmp_path / "a.png")
    assert image.dtype == np.uint16
    np.testing.assert_array_equal(image.numpy(), values)


def test_colours_become_grey_and_it_is_said(tmp_path: Path) -> None:
    Pillow.fromarray(COLOURS).save(tmp_path / "a.png")
    image = read(tmp_path / "a.png")
    np.testing.assert_allclose(image.numpy(), COLOURS @ [0.299, 0.587, 0.114], atol=0.51)
    assert "colours" in image.notes[0]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_equal_channels_are_taken_as_they_are(tmp_path: Path, mode: str) -> None:
    Pillow.fromarray(GREY).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png").numpy(), GREY)
    assert read(tmp_path / "a.png").notes


def test_one_bit_is_black_and_white(tmp_path: Path) -> None:
    Pillow.fromarray(GREY > 127).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read(tmp_path / "a.png").numpy(), np.where(GREY > 127, 255, 0))


def test_16_bit_colours_are_noted(tmp_path: Path) -> None:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(b"\0" + b"\x10\x00\x20\x00\x30\x00" * 2))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + rows + chunk(b"IEND", b""))
    assert any("16-bit colours" in note for note in read(tmp_path / "a.png").notes)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp"])
def test_truncated_pictures_are_input_errors(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    Pillow.fromarray(GREY).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(InputError, match=f"a{suffix}"):
        read(path)


def test_a_decompression_bomb_is_refused(tmp_path: Path) -> None:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(b"\0" * 100))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + head + rows + chunk(b"IEND", b""))
    with pytest.raises(InputError, match="too large"):
        read(tmp_path / "a.png")


def test_the_head_tells_shape_and_type(tmp_path: Path) -> None:
    for name, values in (("a", GREY), ("b", GREY.astype(np.uint16)), ("c", COLOURS)):
        Pillow.fromarray(values).save(tmp_path / f"{name}.png")
        image = read(tmp_path / f"{name}.png")
        assert shape_and_dtype(tmp_path / f"{name}.png") == (image.shape, image.dtype)


def test_8_bit_previews_are_not_stretched(tmp_path: Path) -> None:
    lost = write(tmp_path / "a.png", Image(GREY, "YX", {"X": Quantity(4, "nm")}, header={"tiff": {"Artist": "E. R."}}))
    np.testing.assert_array_equal(read(tmp_path / "a.png").numpy(), GREY)
    assert any("voxel size" in line for line in lost)
    assert any("TIFF's artist" in line for line in lost)


def test_other_previews_are_stretched_and_it_is_said(tmp_path: Path) -> None:
    values = np.linspace(-5, 5, 10_000).reshape(100, 100).astype(np.float32)
    values[0, 0], values[-1, -1], values[50, 50] = -1e9, 1e9, np.nan
    (line,) = write(tmp_path / "a.png", Image(values, "YX"))
    assert "stretched" in line
    shown = read(tmp_path / "a.png").numpy()
    assert (shown.min(), shown.max()) == (0, 255)
    assert np.unique(shown).size > 250  # two hot pixels do not swallow the contrast
    write(tmp_path / "flat.png", Image(np.full((4, 4), np.nan), "YX"))
    assert not read(tmp_path / "flat.png").numpy().any()


def test_a_stack_shows_its_middle_plane_and_it_is_said(tmp_path: Path) -> None:
    stack = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 4), np.uint8)
    (line,) = write(tmp_path / "a.png", Image(stack, "ZCYX"))
    assert "Z=2, C=0" in line
    assert (read(tmp_path / "a.png").numpy() == 2).all()


@pytest.mark.parametrize("name", ["a.jpg", "a.bmp"])
def test_nothing_but_png_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"\.png"):
        write(tmp_path / name, Image(GREY, "YX"))


def test_all_real_pictures_have_the_manifests_shape(micrographs: Path, manifest: list[dict[str, str]]) -> None:
    rows = [r for r in manifest if r["path"].endswith((".png", ".jpg")) and r["split"] in ("train", "val")]
    assert len(rows) > 50
    for row in rows:
        image = read(micrographs / row["path"])
        assert list(image.shape) == [int(n) for n in row["shape"].split("x")][:2], row["path"]
        assert str(image.dtype) == row["dtype"], row["path"]


def test_a_text_in_a_png_that_unpacks_to_much_is_refused_in_our_words(tmp_path: Path) -> None:
    import zlib

    Pillow.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    body = b"zTXtComment\0\0" + zlib.compress(bytes(80 << 20))
    chunk = len(body[4:]).to_bytes(4, "big") + body + zlib.crc32(body).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data[:33] + chunk + data[33:])
    with pytest.raises(InputError, match="cannot be read as a picture"):
        read(tmp_path / "a.png")
