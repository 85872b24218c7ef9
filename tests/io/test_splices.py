"""The second mutator: it finds the joints of files, damages them the same way twice, and sees what it is to see."""

from __future__ import annotations

import json
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from benchmarks.splices import Watch, attempt
from benchmarks.splicing import hdf5, heads, packs, stores, tiff
from benchmarks.splicing.cutting import anatomy, spliced
from benchmarks.splicing.texts import damaged_json, damaged_xml, places

from ruska.errors import InputError
from ruska.image import Image
from ruska.io import numpy_file, write

STACK = np.arange(3 * 20 * 30, dtype=np.uint16).reshape(3, 20, 30)


def a_file(folder: Path, suffix: str) -> bytes:
    write(folder / f"a{suffix}", Image(STACK, "ZYX"))
    return (folder / f"a{suffix}").read_bytes()


@pytest.mark.parametrize("big", [False, True])
def test_the_walk_through_a_tiff_finds_its_tags_and_directories(tmp_path: Path, big: bool) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK, bigtiff=big, photometric="minisblack", metadata=None)
    data = (tmp_path / "a.tif").read_bytes()
    found = anatomy(tiff.walk, data)
    values = {number.read(data) for number in found.numbers}
    assert {30, 20, 16, len(data[:8])} <= values  # width, height, bits, where the first directory may be
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert {(256, tag.offset) for tag in (page.tags[256] for page in file.pages)} <= set(tiff.entries(data))


def test_walks_find_the_sizes_of_other_formats(tmp_path: Path) -> None:
    for suffix, walk in ((".mrc", heads.walk_mrc), (".npz", packs.walk_zip)):
        data = a_file(tmp_path, suffix)
        values = {number.read(data) for number in anatomy(walk, data).numbers}
        assert ({30, 20, 3} if suffix == ".mrc" else {STACK.nbytes + 128}) <= values


@pytest.mark.parametrize(("suffix", "walk"), [(".tif", tiff.walk), (".mrc", heads.walk_mrc), (".npz", packs.walk_zip),
                                              (".npy", heads.walk_npy), (".h5", hdf5.walk)])  # fmt: skip
def test_the_same_seed_gives_the_same_damage(tmp_path: Path, suffix: str, walk: object) -> None:
    data = a_file(tmp_path, suffix)
    made = [spliced(data, data, walk, random.Random(seed)) for seed in range(60)]  # type: ignore[arg-type]
    assert made == [spliced(data, data, walk, random.Random(seed)) for seed in range(60)]  # type: ignore[arg-type]
    assert sum(one != data for one in made) > 30
    assert len(set(made)) > 30


def test_damaged_json_is_json_as_a_rule(tmp_path: Path) -> None:
    text = json.dumps({"shape": [3, 20, 30], "codecs": [{"name": "bytes"}]}).encode()
    made = {damaged_json(text, text, random.Random(seed)) for seed in range(200)}
    sound = 0
    for one in made:
        try:
            json.loads(one)
            sound += 1
        except (ValueError, RecursionError):
            continue
    assert len(made) > 120
    assert sound > 0.8 * len(made)
    assert ("codecs", 0, "name") in places(json.loads(text))
    assert len({damaged_xml(b'<a x="1"><b y="2"/></a>', random.Random(seed)) for seed in range(50)}) > 30


def test_seals_of_hdf5_and_of_shards() -> None:
    assert hdf5.lookup3(b"Four score and seven years ago") == 0x17770551  # the author's own example
    assert hdf5.lookup3(b"") == 0xDEADBEEF
    shard = bytes(100) + b"\1" * 64
    sealed = stores._resealed(shard + bytes(4))
    assert stores._resealed(sealed) == sealed != shard + bytes(4)


# What counts as a fault


def test_files_left_and_words_printed_are_seen(tmp_path: Path) -> None:
    for name in ("cwd", "tmp", "here"):
        (tmp_path / name).mkdir()
    with (tmp_path / "printed").open("w+b") as printed:
        assert list(Watch(tmp_path, tmp_path / "here", printed).faults()) == []
        for folder in ("cwd", "tmp", "here"):
            watch = Watch(tmp_path, tmp_path / "here", printed)
            (tmp_path / folder / "left").touch()
            assert [kind for kind, _ in watch.faults()] == ["left files"]
        watch = Watch(tmp_path, tmp_path / "here", printed)
        printed.write(b"UserWarning: odd")
        printed.flush()
        assert list(watch.faults()) == [("printed", "UserWarning: odd")]


def test_errors_that_do_not_name_the_file_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a_file(tmp_path, ".npy")
    path = tmp_path / "a.npy"
    assert attempt(path, False, ".npz")[0] == "image"
    path.write_bytes(path.read_bytes()[:200])
    assert attempt(path, False)[0] == "refused"

    def with_error(error: Exception) -> str:
        def refuse(path: Path, inner: str | None) -> Image:
            raise error

        monkeypatch.setattr(numpy_file, "read", refuse)
        return attempt(path, False)[0]

    assert with_error(InputError(path, "is damaged")) == "refused"
    assert with_error(InputError("x", "is damaged")) == "message"
    assert with_error(MemoryError()) == "memory"
    assert with_error(ValueError("odd")) == "foreign"
    assert with_error(InputError(path, "long " * 2000)) == "message"


def test_zip_archives_keep_their_members_names(tmp_path: Path) -> None:
    data = a_file(tmp_path, ".npz")
    damage = packs.members(lambda name, body, donor, rng: body)
    readable = 0
    for seed in range(20):
        (tmp_path / "b.npz").write_bytes(damage(data, data, random.Random(seed)))
        readable += zipfile.is_zipfile(tmp_path / "b.npz")
    assert readable > 8
