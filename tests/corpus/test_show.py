"""A corpus says what is in it: numbers and small pictures, of what was kept and what was left out."""

from __future__ import annotations

import json
import sys

import numpy as np
import PIL.Image
import pytest

import ruska
from ruska.cli import main as cli
from ruska.corpus import build, show
from ruska.corpus.contact import EDGE, Tile, small, write_sheet
from ruska.corpus.statistics import statistics
from ruska.errors import InputError, OutputError
from ruska.image import Image, Quantity
from ruska.physics import cell_phantom


def pixels(file):
    with PIL.Image.open(file) as picture:
        return np.asarray(picture)


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """One micrograph with its pixel size and a frame, one without either, and a mask."""
    folder = tmp_path_factory.mktemp("data")
    plane = (200 * cell_phantom((208, 240), seed=0) + 20).astype(np.float32)
    spacing = {axis: Quantity(4.0, "nm") for axis in "YX"}
    for name, values, known in (
        ("a/framed.tif", np.pad(plane, 5), spacing),
        ("b/plain.tif", plane[::-1, :200].copy(), {}),
        ("b/mask.tif", (plane > 100).astype(np.uint8), {}),
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        ruska.write(folder / name, Image(values, "YX", known))
    report = build(sorted(folder.glob("*/*.tif")), folder / "packed")
    return folder / "packed", report


def test_what_is_packed_is_what_is_left_without_the_frame(packed):
    folder, report = packed
    first = json.loads((folder / "manifest.json").read_text())["planes"][0]
    assert first["shape"] == [208, 240]
    assert first["cut"] == {"frame": 20}
    assert report.statistics["cut"] == {"frame": report.statistics["groups"]["a"]["planes"]}


def test_statistics_add_up(packed):
    folder, report = packed
    found = json.loads((folder / "statistics.json").read_text())
    assert found["planes"] == report.planes == sum(level["planes"] for level in found["levels"].values())
    assert found["pixels"] == report.pixels == sum(group["pixels"] for group in found["groups"].values())
    assert found["pixel_size"]["known"] == found["groups"]["a"]["planes"]
    assert found["pixel_size"]["unknown"] == found["groups"]["b"]["planes"]
    assert found["pixel_size"]["nm"][0] == pytest.approx(4)
    assert found["refused"] == {"a mask or a drawing": 1}
    assert [plane["source"] for plane in found["left_out"]] == ["mask.tif"]


def test_pixel_sizes_are_those_of_the_scale_that_is_kept():
    plane = {"group": "g", "shape": [10, 20], "noise": 0.1, "pixel_nm": 4.0}
    found = statistics([{**plane, "level": 1}, {**plane, "level": 6, "noise": 0.02}])
    assert found["pixel_size"] == {"known": 2, "unknown": 0, "nm": [4, 24]}
    assert found["levels"][6] == {"planes": 1, "pixels": 200, "noise": {"median": 0.02, "largest": 0.02}}


def test_the_sheet_shows_every_plane_and_what_was_left_out(packed, tmp_path):
    folder, report = packed
    made = pixels(folder / "contact.png")
    show(folder, tmp_path / "again.png")
    again = pixels(tmp_path / "again.png")
    assert len(made) > len(again)  # what was left out is known to the first only
    red = (made[..., 0] > 150) & (made[..., 1] < 60)
    assert red.any()
    for sheet in (made, again):
        row = sheet[20 : 20 + EDGE]
        pictures = (row.std((0, 2)) > 10).sum() / EDGE
        assert pictures > 0.5 * report.planes


def test_a_small_picture_is_the_plane_in_grey():
    plane = np.zeros((400, 200), np.float32)
    plane[:200] = 7
    picture = small(plane)
    assert picture.shape == (100, 50)
    assert (picture[:50] == 255).all()
    assert (picture[50:] == 0).all()
    assert small(np.full((5, 5), np.nan)).shape == (5, 5)


def test_many_tiles_are_thinned_out(tmp_path, monkeypatch):
    monkeypatch.setattr("ruska.corpus.contact._MOST", 3)
    shades = [Tile(np.full((9, 9), shade, np.uint8), ("name", "1/1")) for shade in range(0, 250, 10)]
    write_sheet(tmp_path / "many.png", shades, "many")
    write_sheet(tmp_path / "most.png", [shades[0], shades[12], shades[24]], "most")
    many, most = (pixels(tmp_path / f"{name}.png")[20:] for name in ("many", "most"))
    np.testing.assert_array_equal(many, most)


def test_the_command_prints_the_numbers(packed, tmp_path, monkeypatch, capsys):
    def run(*words):
        monkeypatch.setattr(sys, "argv", ["ruska", "corpus", "show", *map(str, words)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        return stop.value.code or 0

    folder, report = packed
    assert run(folder, "-o", tmp_path / "sheet.png") == 0
    said = capsys.readouterr().out
    assert f"known of {report.statistics['pixel_size']['known']} planes" in said
    assert "frame" in said
    assert (tmp_path / "sheet.png").exists()
    assert run(folder, "--json") == 0
    assert json.loads(capsys.readouterr().out)["planes"] == report.planes
    assert run(tmp_path) == 3


def test_what_is_no_corpus_is_one_line(packed, tmp_path):
    with pytest.raises(InputError, match="manifest"):
        show(tmp_path)
    (tmp_path / "manifest.json").write_text('{"planes": [{}]}')
    with pytest.raises(InputError, match="not a corpus"):
        show(tmp_path)
    with pytest.raises(OutputError, match="PNG"):
        show(packed[0], tmp_path / "nowhere" / "sheet.png")
