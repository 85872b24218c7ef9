"""Recognising folders and files of no format of ours; readers that other packages add."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ruska.errors import InputError
from ruska.image import Image
from ruska.io import Format, find_format, formats, read
from ruska.io.formats import broken_plug_ins, format_of_name, plug_ins


@dataclass
class Entry:
    """What `importlib.metadata` gives for an entry point."""

    name: str
    target: Any

    def load(self) -> Any:
        if isinstance(self.target, Exception):
            raise self.target
        return self.target


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Entry]]:
    entries: list[Entry] = []
    monkeypatch.setattr(formats, "entry_points", lambda group: entries if group == "ruska.readers" else [])
    plug_ins.cache_clear()
    formats._broken.clear()
    yield entries
    plug_ins.cache_clear()
    formats._broken.clear()


def reader(monkeypatch: pytest.MonkeyPatch) -> Format:
    module = ModuleType("theirs")
    module.read = lambda path, inner: Image(np.full((2, 3), len(path.read_bytes())), "YX")  # type: ignore[attr-defined]
    monkeypatch.setitem(__import__("sys").modules, "theirs", module)
    return Format("Theirs", "theirs", (".czi",), ((0, b"THEIRS"),), writes=False)


def test_a_package_adds_a_format(installed: list[Entry], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"THEIRS!")
    (tmp_path / "b.czi").write_bytes(b"old")
    for name in ("a.bin", "b.czi"):
        with pytest.raises(InputError, match="which Ruska does not read"):
            read(tmp_path / name)
    installed.append(Entry("theirs", reader(monkeypatch)))
    plug_ins.cache_clear()
    assert read(tmp_path / "a.bin").numpy().max() == 7  # by its content
    assert read(tmp_path / "b.czi").numpy().max() == 3  # by its name
    assert format_of_name(tmp_path / "b.czi") is plug_ins()[0]


def test_ours_come_first(installed: list[Entry], tmp_path: Path) -> None:
    installed.append(Entry("thief", Format("Thief", "thief", (".npy",), ((0, b"\x93NUMPY"),))))
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    assert find_format(tmp_path / "a.npy").name == "NumPy"


def test_broken_plug_ins_are_left_out_and_named(installed: list[Entry], tmp_path: Path) -> None:
    installed += [Entry("a", ImportError("no such module")), Entry("b", "a string")]
    np.save(tmp_path / "a.npy", np.zeros((2, 3)))
    assert read(tmp_path / "a.npy").shape == (2, 3)
    assert plug_ins() == ()
    assert broken_plug_ins() == {"a": "ImportError: no such module", "b": "is a str, not a ruska.io.Format"}


@pytest.mark.parametrize(
    ("name", "words"), [("a.lif", "Leica"), ("a.mdoc", "SerialEM"), ("a.msa", "spectrum"), ("a.raw", "without a desc")]
)
def test_formats_that_are_known_but_not_read(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / name).write_bytes(b"whatever is in it")
    with pytest.raises(InputError, match=words) as caught:
        read(tmp_path / name)
    assert caught.value.fix


def test_folders_are_what_their_markers_say(tmp_path: Path) -> None:
    for name, marker, text, known in (
        ("a", "attributes.json", '{"n5": "2.0.0"}', "N5"), ("b", "attributes.json", '{"x": 1}', "folder of images"),
        ("c", "info", '{"scales": []}', "neuroglancer precomputed"), ("d", "info", "read me", "folder of images"),
        ("e", ".zattrs", "{}", "OME-Zarr"), ("f.n5", "other.txt", "", "N5"), ("g", "x.tif", "", "folder of images"),
        ("h.zarr", "attributes.json", '{"n5": "2"}', "N5"),
    ):  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / marker).write_text(text)
        assert find_format(tmp_path / name).name == known, name


def test_the_documentation_lists_every_format_and_says_which_are_written() -> None:
    page = (Path(__file__).parents[2] / "docs" / "formats.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    for known in formats.FORMATS:
        row = next((r for r in rows if r[0].startswith(known.name)), None)
        assert row is not None, known.name
        assert (row[4] != "no") == known.writes, known.name
        if "…" not in row[1]:
            missing = {s for s in known.suffixes if s not in row[1].replace("`", "").split()} - {".ome.tiff"}
            assert not missing, known.name
