"""Frames, data bars and scale bars are cut off; micrographs are not."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image
import pytest
from PIL import ImageDraw, ImageFont

import ruska
from ruska.corpus.borders import trim
from ruska.corpus.planes import grey_planes
from ruska.physics import cell_phantom

FONT = ImageFont.load_default(size=18)


@pytest.fixture(scope="module")
def micrograph():
    """8 bit, with some noise, dark and bright ends in use."""
    noise = np.random.default_rng(0).normal(0, 8, (300, 400))
    return np.clip(30 + 180 * cell_phantom((300, 400), seed=0) + noise, 0, 255).astype(np.uint8)


def with_bar(micrograph, height, paper, ink, lines=False):
    whole = PIL.Image.new("L", (400, 300 + height), paper)
    whole.paste(PIL.Image.fromarray(micrograph), (0, 0))
    pen = ImageDraw.Draw(whole)
    pen.text((10, 300 + height // 2 - 10), "15.0 kV  x3,500  WD 10.0 mm  SEI", fill=ink, font=FONT)
    pen.rectangle((330, 300 + height // 2, 380, 300 + height // 2 + 4), fill=ink)
    if lines:
        pen.line((0, 300 + height // 2 + 14, 400, 300 + height // 2 + 14), fill=ink)
    return whole


def grey(picture):
    return np.asarray(picture, dtype=np.float32)


@pytest.mark.parametrize(("paper", "ink"), [(0, 255), (255, 0), (90, 255)])
@pytest.mark.parametrize("lines", [False, True])
def test_a_data_bar_is_cut_off_exactly(micrograph, paper, ink, lines):
    found = trim(grey(with_bar(micrograph, 48, paper, ink, lines)))
    assert [cut.kind for cut in found.cuts] == ["data bar"]
    np.testing.assert_array_equal(found.plane, micrograph)


def test_a_data_bar_at_the_top_is_cut_off(micrograph):
    found = trim(grey(with_bar(micrograph, 48, 0, 255))[::-1])
    assert found.cuts == (("data bar", "top", 48),)


@pytest.mark.parametrize("quality", [60, 85, 95])
def test_a_data_bar_in_a_jpeg_file_is_cut_off(micrograph, quality):
    file = io.BytesIO()
    with_bar(micrograph, 52, 0, 255).save(file, "JPEG", quality=quality)
    found = trim(grey(PIL.Image.open(file)))
    assert [cut.kind for cut in found.cuts] == ["data bar"]
    assert abs(found.cuts[0].rows - 52) <= 4  # blocks of 8 rows across the edge


@pytest.mark.parametrize("level", [0, 255, 128])
def test_a_frame_is_cut_off_exactly(micrograph, level):
    framed = np.pad(micrograph, ((3, 1), (20, 7)), constant_values=level).astype(np.float32)
    found = trim(framed)
    np.testing.assert_array_equal(found.plane, micrograph)
    assert found.rows() == {"frame": 31}
    assert {(cut.side, cut.rows) for cut in found.cuts} == {("top", 3), ("bottom", 1), ("left", 20), ("right", 7)}


def test_a_frame_around_a_data_bar_is_cut_off_with_it(micrograph):
    framed = np.pad(grey(with_bar(micrograph, 48, 0, 255)), 2, constant_values=255)
    np.testing.assert_array_equal(trim(framed).plane, micrograph)


@pytest.mark.parametrize("ink", [0, 255])
def test_rows_with_a_scale_bar_are_cut_off(micrograph, ink):
    drawn = PIL.Image.fromarray(np.clip(micrograph, 12, 243))
    pen = ImageDraw.Draw(drawn)
    pen.rectangle((20, 280, 90, 285), fill=ink)
    pen.text((35, 257), "50 nm", fill=ink, font=FONT)
    found = trim(grey(drawn))
    assert [(cut.kind, cut.side) for cut in found.cuts] == [("scale bar", "bottom")]
    assert len(found.plane) > 220
    np.testing.assert_array_equal(found.plane, np.clip(micrograph, 12, 243)[: len(found.plane)])


def test_micrographs_are_left_alone(micrograph):
    plane = micrograph.astype(np.float32)
    clipped = np.clip(plane, 0.35 * plane.max(), None)  # a flat background up to the border
    half = plane.copy()
    half[200:] = 20 + np.random.default_rng(1).normal(0, 3, (100, 400))  # an edge of the specimen, straight
    slope = np.linspace(0, 1, 300)[:, None] + np.zeros(400)
    for whole in (plane, clipped, half, slope.astype(np.float32), np.zeros((50, 50), np.float32), plane[:10, :10]):
        assert trim(whole).cuts == ()


def test_of_real_micrographs_only_what_was_drawn_is_cut(micrographs):
    """Looked at by eye: the bars of eight JPEG files, and frames one to six pixels wide."""
    known = {
        "nanocomposite_sem": ("data bar", 60), "correlation_images_er.png": ("frame", 3),
        "example_data_occlusion_example1.tiff": ("frame", 1), "example_data_occlusion_example8.tiff": ("frame", 6),
        "BSE_Image.jpg": ("frame", 1),
    }  # fmt: skip
    looked_at = bars = 0
    for group in ("nanocomposite_sem", "cem_dataset", "shale_fibsem", "plant_stem_sem", "warwick_stem", "muvis_crick"):
        for file in sorted((micrographs / "train" / group).iterdir()):
            if file.suffix not in (".tif", ".tiff", ".jpg", ".png") or "mask" in file.name:
                continue
            _, plane = next(grey_planes(ruska.read(file), 1))
            kind, rows = known.get(file.name) or known.get(group) or ("", 0)
            looked_at += 1
            bars += kind == "data bar"
            assert trim(plane).rows() == ({kind: rows} if rows else {}), file.name
    assert looked_at > 40
    assert bars == 8
