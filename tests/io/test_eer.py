"""EER movies: no library writes them, so these are packed here by the documentation, and tifffile reads them, too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from ruska.errors import InputError
from ruska.image import Quantity
from ruska.io import exposure, read, write

FRAMES = np.random.default_rng(0).random((9, 64, 48)) < 0.05
XML = (b'<metadata><item name="sensorPixelSize.width" unit="m">7.5e-11</item>'
       b'<item name="sensorPixelSize.height" unit="m">7.5e-11</item><item name="numberOfFrames">9</item>'
       b'<item name="exposureTime" unit="s">1.8</item><item name="totalDose" unit="e/pixel">0.45</item>'
       b'</metadata>')  # fmt: skip


def packed(frame: np.ndarray, skip: int) -> bytes:
    """Runs of empty pixels in ``skip`` bits each, lowest bit first, and four bits of position after an electron."""
    most, word, length, last = (1 << skip) - 1, 0, 0, -1
    for place in (*np.flatnonzero(frame).tolist(), frame.size):
        for run, bits in [(most, skip)] * ((place - last - 1) // most) + [((place - last - 1) % most, skip), (5, 4)]:
            word |= run << length
            length += bits
        last = place
    size = -(-length // 8) + 2
    return word.to_bytes(size + size % 2, "little")


def eer(path: Path, frames: np.ndarray = FRAMES, compression: int = 65001, xml: bytes = XML) -> Path:
    skip = {65000: 8, 65001: 7, 65002: 6}[compression]
    tags = [(65001, 7, len(xml), xml, True)]
    if compression == 65002:
        tags += [(65007, 3, 1, 6, True), (65008, 3, 1, 2, True), (65009, 3, 1, 2, True)]
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for frame in frames:
            file.write(iter([packed(frame, skip)]), shape=frame.shape, dtype="bool", compression="adobe_deflate",
                       photometric="minisblack", rowsperstrip=len(frame), metadata=None, extratags=tags)  # fmt: skip
    with tifffile.TiffFile(path, mode="r+") as file:
        for page in file.pages:
            page.tags[259].overwrite(compression)  # type: ignore[union-attr]
    return path


@pytest.mark.parametrize("compression", [65000, 65001, 65002])
def test_frames_are_counts_along_t(tmp_path: Path, compression: int) -> None:
    path = eer(tmp_path / "a.eer", compression=compression)
    np.testing.assert_array_equal(tifffile.imread(path), FRAMES)
    image = read(path)
    assert (image.axes, image.dtype, image.meaning) == ("TYX", np.uint8, "counts")
    np.testing.assert_array_equal(image.numpy(), FRAMES)
    assert dict(image.spacing) == {"T": Quantity(0.2, "s"), "Y": Quantity(0.075, "nm"), "X": Quantity(0.075, "nm")}
    assert exposure(image) == {"seconds": 1.8, "frames": 9.0, "dose": 0.45, "dose_unit": "e/pixel"}
    assert any("a.eer:sum" in note for note in image.notes)


def test_sums_of_all_frames_and_of_some(tmp_path: Path) -> None:
    path = eer(tmp_path / "a.eer")
    whole = read(f"{path}:sum")
    assert (whole.axes, whole.dtype) == ("YX", np.uint16)
    np.testing.assert_array_equal(whole.numpy(), FRAMES.sum(0))
    some = read(f"{path}:4")
    assert (some.shape, some.spacing["T"].to("s")) == ((2, 64, 48), pytest.approx(0.8))
    np.testing.assert_array_equal(some.data[1:2, 3:40, 5:], FRAMES[4:8].sum(0)[None, 3:40, 5:])
    assert any("the last 1 of 9" in note for note in some.notes)
    write(tmp_path / "b.tif", some)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), some.numpy())
    for wrong in ("0", "10", "mean", "-2"):
        with pytest.raises(InputError, match="has no") as caught:
            read(f"{path}:{wrong}")
        assert "a.eer:sum" in str(caught.value.fix)


def test_broken_movies_and_descriptions(tmp_path: Path) -> None:
    wide = XML.replace(b"7.5e-11", b"1.4e-5").replace(b"1.8", b"long")  # the sensor's own pixels
    image = read(eer(tmp_path / "a.eer", FRAMES[:2], xml=wide))
    assert (image.spacing, exposure(image)) == ({}, {"frames": 9.0, "dose": 0.45, "dose_unit": "e/pixel"})
    path = eer(tmp_path / "b.eer")
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match="truncated"):
        read(path)


def test_a_gain_reference_says_that_it_divides(tmp_path: Path) -> None:
    gain = np.random.default_rng(0).normal(1, 0.1, (64, 48)).astype(np.float32)
    xml = b'<?xml version="1.0"?>' + XML
    tifffile.imwrite(tmp_path / "a.gain", gain, compression="lzw", extratags=[(65001, 7, len(xml), xml, True)])
    image = read(tmp_path / "a.gain")
    np.testing.assert_array_equal(image.numpy(), gain)
    assert any("divided by it" in note for note in image.notes)
    assert image.header["eer_gain"] == {"how": "divide"}
