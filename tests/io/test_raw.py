"""Boxes of raw arrays, and what happens when the file becomes shorter while it is read."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.io.specimens import READERS

from ruska.errors import InputError
from ruska.image import Image
from ruska.io import raw, read, write
from ruska.io.binary import RawPixels

SIDES = st.lists(st.integers(1, 9), min_size=1, max_size=5)


@settings(max_examples=150, deadline=None)
@given(sides=SIDES, dtype=st.sampled_from(["u1", "<u2", ">u2", ">f4", "<f8"]), order=st.sampled_from("CF"),
       span=st.sampled_from([1, 64, 1 << 20]), gap=st.sampled_from([0, 16, 1 << 14]), data=st.data())  # fmt: skip
def test_a_box_is_what_indexing_gives(
    sides: list[int], dtype: str, order: Any, span: int, gap: int, data: st.DataObject
) -> None:
    whole = np.arange(np.prod(sides)).reshape(sides).astype(dtype)
    bounds = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in sides]
    box = tuple(slice(low, high) for low, high in bounds)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(raw, "_SPAN", span)
        patch.setattr(raw, "_GAP", gap)
        path = Path(folder) / "a.raw"
        path.write_bytes(b"head!" + whole.tobytes(order))
        found = RawPixels(path, tuple(sides), np.dtype(dtype), 5, order).read_box(box)
        np.testing.assert_array_equal(found, whole[box])
        assert found.dtype == whole.dtype.newbyteorder("=")
        assert found.flags.writeable


@pytest.mark.parametrize(("gap", "reads"), [(8, 1), (7, 6)], ids=["read over", "too wide"])
def test_runs_with_a_narrow_gap_between_them_are_read_at_once(tmp_path, monkeypatch, gap, reads):
    (tmp_path / "a.raw").write_bytes(bytes(range(60)))
    asked, once = [], raw._read
    monkeypatch.setattr(raw, "_GAP", gap)
    monkeypatch.setattr(raw, "_read", lambda *given: (asked.append(1), once(*given))[1])
    found = raw.read_raw(tmp_path / "a.raw", 0, (6, 10), np.uint8, (slice(0, 6), slice(4, 6)))
    np.testing.assert_array_equal(found, np.arange(60).reshape(6, 10)[:, 4:6])
    assert len(asked) == reads


def test_an_end_too_early_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(100))
    for box in ((slice(0, 4), slice(0, 13)), (slice(0, 4), slice(2, 5))):
        assert raw.read_raw(tmp_path / "a.raw", 0, (4, 13), "<u1", box).shape == (4, box[1].stop - box[1].start)
        with pytest.raises(InputError, match="became shorter"):
            raw.read_raw(tmp_path / "a.raw", 60, (4, 13), "<u1", box)


@pytest.mark.parametrize("kind", ["MRC", "NumPy", "DM", "SER", "FIB-SEM dat", "TIFF"])
def test_pixels_are_never_mapped(micrographs: Path, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = [read(tmp_path / one.target) for one in READERS[kind](tmp_path, micrographs / "formats")]

    def forbidden(*_: Any, **__: Any) -> None:
        raise AssertionError("a mapped file that is cut short ends the program")

    monkeypatch.setattr(np, "memmap", forbidden)
    monkeypatch.setattr(mmap, "mmap", forbidden)
    for image in images:
        assert image.numpy().shape == image.shape


CUT_SHORT = """
import os, sys
from ruska.cli import main as cli
from ruska.engine.ledger import Ledger
from ruska.io import raw

add, begin, planned = Ledger.add, raw._read, []

def noted(self, key, **facts):
    add(self, key, **facts)
    planned.append(key)

def cut(path, file, start, out):
    if planned:  # the file is open, and its first bytes are about to be read
        os.truncate(path, 3000)
    begin(path, file, start, out)

Ledger.add, raw._read = noted, cut
cli.main()
"""


def test_a_file_cut_short_during_the_run_is_one_line(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(1000, 100, (200, 300)).astype(np.float32)
    write(tmp_path / "a.mrc", Image(values, "YX"))
    out = tmp_path / "out.npy"
    words = ["denoise", str(tmp_path / "a.mrc"), "-o", str(out), "--method", "gaussian", "--no-report", "--json"]
    done = subprocess.run([sys.executable, "-c", CUT_SHORT, *words], capture_output=True, text=True)
    assert done.returncode == 3, (done.returncode, done.stderr)
    assert len(done.stderr.strip().splitlines()) == 1
    assert "a.mrc" in done.stderr
    assert "became shorter while it was open" in done.stderr
    assert not out.exists()


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_a_file_cut_short_between_two_reads_says_so(tmp_path: Path, suffix: str) -> None:
    source = tmp_path / f"a{suffix}"
    write(source, Image(np.ones((200, 300), np.float32), "YX"))
    image = read(source)
    assert image.data[:10].sum() == 3000
    os.truncate(source, 3000)
    with pytest.raises(InputError, match="became shorter"):
        image.numpy()
