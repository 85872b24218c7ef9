"""The domain of a corpus: ranges of its planes, pixel sizes stated for files that have none."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ruska
from ruska.cli import main as cli
from ruska.corpus import build, domain_of, show
from ruska.corpus.pixel_sizes import parse_sizes, plane_size, stated
from ruska.errors import InputError, SettingsError
from ruska.image import Image, Quantity
from ruska.physics import cell_phantom


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two micrographs without a pixel size, one with."""
    folder = tmp_path_factory.mktemp("data")
    for seed, (name, nm) in enumerate((("old/a.tif", None), ("old/b.tif", None), ("new/c.tif", 5.0))):
        (folder / name).parent.mkdir(exist_ok=True)
        spacing = {axis: Quantity(nm, "nm") for axis in "YX"} if nm else {}
        plane = (200 * cell_phantom((208, 224), seed=seed) + 20).astype(np.float32)
        ruska.write(folder / name, Image(plane, "YX", spacing))
    return sorted(folder.glob("*/*.tif"))


@pytest.fixture(scope="module")
def packed(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    build(files, folder, pixel_sizes={"a.*": 10, "*": 40, "old/*": 7})
    return folder


def test_sizes_are_those_of_the_planes_and_the_file_comes_first(packed):
    manifest = json.loads((packed / "manifest.json").read_text())
    found = {(p["source"], p["level"]): p["pixel_size_nm"] for p in manifest["planes"]}
    assert found["a.tif", 1] == 10
    assert found["a.tif", 2] == 20
    assert found["b.tif", 1] == 40
    assert found["c.tif", 2] == 10
    assert {s["name"]: s["voxel_size_nm"]["X"] for s in manifest["sources"]} == {
        "old/a.tif": 10, "old/b.tif": 40, "new/c.tif": 5}  # fmt: skip
    assert show(packed)["pixel_size"] == {"known": 6, "unknown": 0, "nm": [5, 80]}


def test_the_domain_is_that_of_the_planes(packed):
    found = domain_of(packed)
    assert found.pixel_size_nm == (5, 80)
    assert found.pixel_size_known == 1
    assert 0.03 < found.noise[0] < 0.2
    assert 3 < found.noise[1] < 12
    assert -1 < found.skewness[0] <= found.skewness[1] < 1
    assert 0 < found.detail[0] < found.detail[1] < 32


def test_sizes_can_be_stated_later(files, tmp_path):
    build(files, tmp_path)
    assert domain_of(tmp_path).pixel_size_known < 0.6
    found = domain_of(tmp_path, {"old/*": 100})
    assert found.pixel_size_nm == (5, 200)
    assert found.pixel_size_known == 1


def test_a_plane_of_an_older_corpus_knows_the_size_of_its_file():
    assert plane_size({"group": "g", "source": "a.tif:3", "level": 3, "pixel_nm": 4.0}, {}) == 12
    assert plane_size({"group": "g", "source": "a.tif:3", "level": 3, "pixel_nm": None}, {"g/a.tif": 2.0}) == 6
    assert plane_size({"group": "g", "source": "a.tif", "level": 3}, {"b*": 2.0}) is None


def test_sizes_are_typed_as_pattern_and_number(files, tmp_path, monkeypatch):
    assert parse_sizes(["fib25*=10", "a=b*=4.5 nm"]) == {"fib25*": 10, "a=b*": 4.5}
    for wrong in ("10", "=10", "a=ten", "a=0", "a=-3", "a=nan"):
        with pytest.raises(SettingsError, match="pixel"):
            parse_sizes([wrong])
    with pytest.raises(SettingsError, match="positive"):
        stated("a", {"a": -1})
    words = ["ruska", "corpus", "build", *map(str, files), "-o", str(tmp_path / "p"), "--pixel-size", "*=8"]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert show(tmp_path / "p")["pixel_size"]["nm"] == [5, 16]


def test_no_corpus_no_domain(tmp_path):
    with pytest.raises(InputError, match="holds no"):
        domain_of(tmp_path)
