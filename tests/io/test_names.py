"""Names that systems, terminals and Windows have their own mind about."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from ruska.errors import InputError, OutputError
from ruska.image import Image
from ruska.io import check_output, read, registry, split_inner, write
from ruska.io.names import name_problem, shown_name

PLANE = Image(np.arange(600, dtype=np.uint16).reshape(20, 30), "YX")
NAMES = ["with space.tif", "naïve µ 日本.tif", "-dash.tif", "a'b;$(x) #%d.tif", "two\nlines.tif", "é" * 100 + ".tif"]
SUFFIXES = (".tif", ".ome.tif", ".mrc", ".npy", ".npz", ".h5", ".ome.zarr", ".png")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows allows fewer names")
def test_any_name_is_written_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write(name, PLANE)
    assert read(name).name == name
    np.testing.assert_array_equal(read(tmp_path / name).numpy(), PLANE.numpy())
    assert [p.name for p in tmp_path.iterdir()] == [name]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have names in Unicode only")
def test_a_name_that_is_no_unicode_is_read_and_shown(tmp_path: Path) -> None:
    write(tmp_path / "a.tif", PLANE)
    odd = tmp_path / os.fsdecode(b"caf\xe9.tif")
    (tmp_path / "a.tif").rename(odd)
    assert read(odd).name == shown_name(odd) == "caf\N{REPLACEMENT CHARACTER}.tif"
    np.testing.assert_array_equal(read(odd).numpy(), PLANE.numpy())
    with pytest.raises(OutputError, match="not in Unicode"):
        check_output(odd, overwrite=True)


def test_names_that_are_too_long_are_told_before_the_work(tmp_path: Path) -> None:
    for name in ("x" * 300 + ".tif", "é" * 120 + ".tif"):
        with pytest.raises(OutputError, match="leave room"):
            check_output(tmp_path / name)
    with pytest.raises(InputError):
        read(tmp_path / ("x" * 300 + ".tif"))
    with pytest.raises(InputError):
        read(str(tmp_path / ("x" * 300 + ".h5:/raw")))
    with pytest.raises(InputError, match="does not exist"):
        read(tmp_path / "a\0b.tif")


def test_names_of_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = ["con.tif", "NUL", "aux.ome.zarr", "Com1.mrc", "lpt9 .tif", "a:b.tif", "what?.tif", "a|b.npy", "dot.", "end "]
    good = ["contrast.tif", "com10.tif", "nullify.mrc", "a b (1).tif", "日本.tif", "auxiliary.npy", "lpt.tif"]
    monkeypatch.setattr(sys, "platform", "win32")
    assert [name for name in bad if not name_problem(name)] == []
    assert [name for name in good if name_problem(name)] == []
    monkeypatch.setattr(sys, "platform", "linux")
    assert [name for name in (*bad, *good) if name_problem(name)] == []


@pytest.mark.parametrize(
    ("text", "file", "inner"),
    [("C:/data/a.h5", "C:/data/a.h5", None), ("C:/data/a.h5:/raw", "C:/data/a.h5", "/raw"),
     (r"D:\scans\a.ome.zarr:/0", r"D:\scans\a.ome.zarr", "/0"), (r"C:\a.zip:b.h5:/raw", r"C:\a.zip", "b.h5:/raw"),
     (r"C:\old.h5\b.tif", r"C:\old.h5\b.tif", None), (r"\\server\share\a.emd:HAADF", r"\\server\share\a.emd", "HAADF")],
)  # fmt: skip
def test_drives_are_no_datasets(text: str, file: str, inner: str | None) -> None:
    assert split_inner(text) == (Path(file), inner)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_result_is_closed_before_it_takes_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """Windows neither renames nor replaces a file that is open."""
    replace, seen = os.replace, []

    def watched(source: Path, target: Path) -> None:
        if Path(target) == tmp_path / f"a{suffix}":  # Zarr replaces chunks, too, while it writes others
            moved = (str(source), str(target))  # the lock beside them is held
            seen.append([f.path for f in psutil.Process().open_files() if f.path.startswith(moved)])
        replace(source, target)

    monkeypatch.setattr(registry.os, "replace", watched)
    for _ in range(2):  # a new one, and in place of an old one
        write(tmp_path / f"a{suffix}", PLANE, overwrite=True)
        read(tmp_path / f"a{suffix}").numpy()
    assert len(seen) >= 2
    assert not any(seen)


def test_a_store_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.ome.zarr", PLANE)
    replace = os.replace

    def refused(source: Path, target: Path) -> None:
        if ".partial" in Path(source).parent.name:
            raise PermissionError(13, "The process cannot access the file because it is being used by another process")
        replace(source, target)

    monkeypatch.setattr(registry.os, "replace", refused)
    with pytest.raises(OutputError, match="no other program has it open"):
        write(tmp_path / "a.ome.zarr", Image(PLANE.numpy() + 1, "YX"), overwrite=True)
    np.testing.assert_array_equal(read(tmp_path / "a.ome.zarr").numpy(), PLANE.numpy())
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.zarr"]
