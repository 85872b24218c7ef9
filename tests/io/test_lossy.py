"""Images that were saved with loss are said to be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from ruska.io import read, write
from ruska.io.lossy import jpeg_note

GREY = np.random.default_rng(2).normal(128, 20, (64, 48)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("quality", [20, 50, 75, 90, 95, 100])
def test_the_quality_of_jpeg_is_said(tmp_path: Path, quality: int) -> None:
    Pillow.fromarray(GREY).save(tmp_path / "a.jpg", quality=quality)
    options: dict[str, Any] = {"compression": "jpeg", "compressionargs": {"level": quality}}
    tifffile.imwrite(tmp_path / "strips.tif", GREY, **options)
    tifffile.imwrite(tmp_path / "tiles.tif", np.stack([GREY] * 3, -1), tile=(16, 16), photometric="rgb", **options)
    Pillow.fromarray(GREY).save(tmp_path / "apart.tif", compression="jpeg", quality=quality)  # tables in a tag
    with tifffile.TiffFile(tmp_path / "apart.tif") as file:
        assert file.pages[0].jpegtables
    for name in ("a.jpg", "strips.tif", "tiles.tif", "apart.tif"):
        assert read(tmp_path / name).notes[0] == jpeg_note(quality), name
    assert write(tmp_path / "b.tif", read(tmp_path / "a.jpg")) == ()
    assert read(tmp_path / "b.tif").notes == ()


@pytest.mark.parametrize(("compression", "options", "said"), [
    ("jpeg2000", {"level": 60}, "lossy JPEG 2000"), ("jpeg2000", {"reversible": True}, None),
    ("webp", {"level": 50, "lossless": False}, "lossy WebP"), ("webp", {"lossless": True}, None),
    ("jpegxr", {"level": 0.7}, "JPEG XR, which may be lossy"), ("zlib", {}, None), ("jpegxl", {"lossless": True}, None),
])  # fmt: skip
def test_other_losses(tmp_path: Path, compression: str, options: dict[str, Any], said: str | None) -> None:
    pixels = np.stack([GREY] * 3, -1) if compression == "webp" else GREY
    tifffile.imwrite(tmp_path / "a.tif", pixels, compression=compression, compressionargs=options or None,
                     photometric="rgb" if compression == "webp" else "minisblack")  # fmt: skip
    notes = [note for note in read(tmp_path / "a.tif").notes if "not noise" in note]
    assert (notes == []) if said is None else (len(notes) == 1 and f"saved as {said}" in notes[0])


def test_a_jpeg_without_its_tables_is_read_or_refused_as_before(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", GREY, compression="jpeg", metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        at = file.pages[0].dataoffsets[0]
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[at : at + 40] = bytes(40)
    (tmp_path / "b.tif").write_bytes(data)
    assert read(tmp_path / "b.tif").notes == ()
