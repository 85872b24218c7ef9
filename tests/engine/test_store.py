"""Stores of blocks: what is written is read, in any box, and a half-written file counts as nothing."""

from __future__ import annotations

import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ruska.engine import BlockStore
from ruska.engine.store import load_tile, save_tile
from ruska.errors import InputError


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_box_reads_what_the_blocks_wrote(tmp_path_factory, data):
    shape = tuple(data.draw(st.integers(1, 20)) for _ in range(3))
    grain = tuple(data.draw(st.integers(1, n)) for n in shape)
    store = BlockStore(tmp_path_factory.mktemp("store"), shape, np.int16, grain)
    values = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    for corner in np.ndindex(*(-(-n // g) for n, g in zip(shape, grain, strict=True))):
        box = tuple(slice(i * g, min((i + 1) * g, n)) for i, g, n in zip(corner, grain, shape, strict=True))
        store.write(box, values[box])
    starts = [data.draw(st.integers(0, n - 1)) for n in shape]
    box = tuple(slice(s, data.draw(st.integers(s + 1, n))) for s, n in zip(starts, shape, strict=True))
    np.testing.assert_array_equal(store.read(box), values[box])


def test_a_write_that_was_cut_short_leaves_nothing(tmp_path, monkeypatch):
    store = BlockStore(tmp_path, (8, 8), np.float32, (8, 8))

    def dies(file, *args, **kwargs):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", dies)
    with pytest.raises(OSError, match="disk full"):
        store.write((slice(0, 8), slice(0, 8)), np.ones((8, 8)))
    assert not list(tmp_path.iterdir())
    with pytest.raises(InputError, match="gone"):
        store.read((slice(0, 8), slice(0, 8)))


def test_partial_grains_are_refused(tmp_path):
    store = BlockStore(tmp_path, (8, 8), np.float32, (4, 4))
    with pytest.raises(AssertionError, match="whole grains"):
        store.write((slice(0, 3), slice(0, 4)), np.ones((3, 4)))


@pytest.mark.parametrize("left", [0, 5, 60, 128, 200, 128 + 8 * 8 * 4 - 1])
def test_a_block_that_became_shorter_is_told_and_does_not_end_the_program(left, tmp_path):
    store = BlockStore(tmp_path / ".a.tif.ruska-work" / "blocks", (8, 8), np.float32, (8, 8))
    store.write((slice(0, 8), slice(0, 8)), np.ones((8, 8)))
    (file,) = store.folder.iterdir()
    with file.open("rb+") as out:
        out.truncate(left)
    with pytest.raises(InputError, match=r"damaged .* delete \.a\.tif\.ruska-work"):
        store.read((slice(0, 8), slice(0, 8)))


def test_nothing_of_a_block_is_mapped(tmp_path, monkeypatch):
    """A mapped file on a share that goes away ends the program."""
    import mmap

    def refuse(*args, **kwargs):
        raise AssertionError("mapped")

    monkeypatch.setattr(mmap, "mmap", refuse)
    values = np.arange(4 * 6 * 8.0).reshape(4, 6, 8)
    save_tile(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(load_tile(tmp_path / "a.npy"), values)
    np.testing.assert_array_equal(
        load_tile(tmp_path / "a.npy", (slice(1, 3), slice(2, 5), slice(4, 7))), values[1:3, 2:5, 4:7]
    )


def test_a_tile_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor)))
    save_tile(tmp_path / "a.npy", np.ones((3, 4), np.float32))
    found = (tmp_path / "a.npy").stat()
    assert [(file.st_ino, file.st_size) for file in synced] == [(found.st_ino, found.st_size)]
