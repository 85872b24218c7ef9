"""A file, a folder of slices or a store that changes after it was opened is found out, and nothing else is."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ruska
from ruska.errors import ChangedInputError, InputError
from ruska.image import Image
from ruska.io import stamps
from ruska.io.digest import digest_image
from ruska.io.stamps import check_unchanged

VALUES = np.random.default_rng(5).integers(0, 200, (6, 40, 48)).astype(np.uint8)


def a_file(suffix: str) -> Callable[[Path, int], Path]:
    def make(folder: Path, more: int) -> Path:
        ruska.write(folder / f"in{suffix}", Image(VALUES + np.uint8(more), "ZYX"), overwrite=True)
        return folder / f"in{suffix}"

    return make


def slices(folder: Path, more: int) -> Path:
    (folder / "in").mkdir(exist_ok=True)
    for number, plane in enumerate(VALUES):
        ruska.write(folder / "in" / f"s{number}.tif", Image(plane + np.uint8(more), "YX"), overwrite=True)
    return folder / "in"


def packed(folder: Path, more: int) -> Path:
    np.save(folder / "plain.npy", VALUES + np.uint8(more))
    with gzip.GzipFile(folder / "in.npy.gz", "wb", mtime=0) as file:
        file.write((folder / "plain.npy").read_bytes())
    return folder / "in.npy.gz"


def n5(folder: Path, more: int) -> Path:
    block = folder / "in.n5" / "raw" / "0" / "0"
    block.mkdir(parents=True, exist_ok=True)
    (folder / "in.n5" / "raw" / "attributes.json").write_text(
        '{"dimensions": [48, 40, 6], "blockSize": [48, 40, 6], "dataType": "uint8", "compression": {"type": "raw"}}'
    )
    head = np.array([0, 3, 0, 48, 0, 40, 0, 6], ">u2").tobytes()
    (block / "0").write_bytes(head + (VALUES + np.uint8(more)).tobytes())
    return folder / "in.n5"


def precomputed(folder: Path, more: int) -> Path:
    (folder / "in" / "4_4_4").mkdir(parents=True, exist_ok=True)
    (folder / "in" / "info").write_text(
        '{"@type": "neuroglancer_multiscale_volume", "type": "image", "data_type": "uint8", "num_channels": 1, "scales"'
        ': [{"key": "4_4_4", "size": [48, 40, 6], "resolution": [4, 4, 4], "chunk_sizes": [[48, 40, 6]], "encoding":'
        ' "raw", "voxel_offset": [0, 0, 0]}]}'
    )
    (folder / "in" / "4_4_4" / "0-48_0-40_0-6").write_bytes((VALUES + np.uint8(more)).tobytes())
    return folder / "in"


KINDS = {
    ".npy": a_file(".npy"), ".tif": a_file(".tif"), ".mrc": a_file(".mrc"), ".h5": a_file(".h5"),
    ".npz": a_file(".npz"), "zarr": a_file(".ome.zarr"), "slices": slices, "packed": packed, "n5": n5,
    "precomputed": precomputed,
}  # fmt: skip
FOLDERS = ("zarr", "slices", "n5", "precomputed")


def files_of(path: Path) -> list[Path]:
    """Those with pixels: the largest."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    most = max(file.stat().st_size for file in files)
    return sorted(file for file in files if file.stat().st_size == most)


def as_old(path: Path, seconds: float = 3600) -> None:
    """Give all files one old time, as if they had been written long before."""
    for file in [path, *path.rglob("*")]:
        os.utime(file, (1.7e9 - seconds, 1.7e9 - seconds))


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Callable[[Path, int], Path]:
    return KINDS[request.param]


def test_what_is_only_read_is_unchanged(kind: Callable[[Path, int], Path], tmp_path: Path) -> None:
    image = ruska.read(kind(tmp_path, 0))
    image.numpy()
    check_unchanged(image, digest=digest_image(image))
    check_unchanged(image, thorough=False)


@pytest.mark.parametrize("thorough", [True, False])
def test_rewritten(kind: Callable[[Path, int], Path], tmp_path: Path, thorough: bool) -> None:
    as_old(path := kind(tmp_path, 0))
    image = ruska.read(path)
    kind(tmp_path, 1)
    with pytest.raises(ChangedInputError, match=r"while it was open: .*modified at .*\(before: 2023") as told:
        check_unchanged(image, thorough=thorough)
    assert told.value.subject == str(path)
    assert "Wait until no program writes" in told.value.fix


def test_rewritten_with_its_time_put_back(kind: Callable[[Path, int], Path], tmp_path: Path) -> None:
    as_old(path := kind(tmp_path, 0))
    image = ruska.read(path)
    kind(tmp_path, 1)
    as_old(path)
    if path.suffix in (".npz", ".gz", ".zarr"):  # what is packed may have another size
        with pytest.raises(ChangedInputError):
            check_unchanged(image)
        return
    with pytest.raises(ChangedInputError, match=r"its content differs|size "):
        check_unchanged(image)


def test_cut_short_and_grown(kind: Callable[[Path, int], Path], tmp_path: Path) -> None:
    file = files_of(path := kind(tmp_path, 0))[-1]
    size, whole = file.stat().st_size, file.read_bytes()
    for now in (size - 7, size + 2):
        image = ruska.read(path)
        os.truncate(file, now)
        with pytest.raises(ChangedInputError, match=f"size {size} -> {now} bytes"):
            check_unchanged(image)
        file.write_bytes(whole)


def test_gone_is_told_as_that(kind: Callable[[Path, int], Path], tmp_path: Path) -> None:
    image = ruska.read(path := kind(tmp_path, 0))
    for file in files_of(path):
        file.unlink()
    with pytest.raises(InputError, match=r"can no longer be read .* deleted or moved") as told:
        check_unchanged(image)
    assert not isinstance(told.value, ChangedInputError)  # it may come back: finished blocks stay


@pytest.mark.parametrize("name", FOLDERS)
def test_a_file_that_is_added(name: str, tmp_path: Path) -> None:
    image = ruska.read(path := KINDS[name](tmp_path, 0))
    beside = files_of(path)[0]
    shutil.copy(beside, beside.with_name("9.tif" if name == "slices" else "9"))
    with pytest.raises(ChangedInputError, match=r"files -> \d+, such as .*9"):
        check_unchanged(image)


def test_what_is_no_part_of_an_image_may_change(tmp_path: Path) -> None:
    """Notes beside slices, hidden files, other arrays of a store, and what a run writes beside its output."""
    folder, store = slices(tmp_path, 0), n5(tmp_path, 0)
    (folder / "notes.txt").write_text("a")
    (folder / ".hidden.tif").write_text("a")
    images = ruska.read(folder), ruska.read(f"{store}:/raw")
    before = [digest_image(ruska.read(path)) for path in (folder, f"{store}:/raw")]
    (folder / "notes.txt").write_text("longer")
    (folder / ".hidden.tif").write_text("longer")
    shutil.copytree(store / "raw", store / "other")
    for mark in ("", "_std", "_sample1"):
        shutil.copy(folder / "s0.tif", folder / f"out{mark}.tif")
    for image in images:
        check_unchanged(image, ours=folder / "out.tif")
    with pytest.raises(ChangedInputError, match="files"):
        check_unchanged(images[0])
    for mark in ("", "_std", "_sample1"):
        (folder / f"out{mark}.tif").unlink()
    assert [digest_image(ruska.read(path)) for path in (folder, f"{store}:/raw")] == before


def test_other_times_of_the_same_content(tmp_path: Path) -> None:
    """A copy in its place, a hard link, other permissions: the content decides, wherever it differs."""
    large = np.zeros((64, 512, 512), np.uint8)  # of which samples are read only
    np.save(tmp_path / "in.npy", large)
    as_old(tmp_path / "in.npy")
    image = ruska.read(tmp_path / "in.npy")
    digest = digest_image(image)
    shutil.copy2(tmp_path / "in.npy", tmp_path / "copy.npy")
    os.replace(tmp_path / "copy.npy", tmp_path / "in.npy")
    check_unchanged(image, digest=digest)
    large[31, 200, 200:210] = 1
    np.save(tmp_path / "copy.npy", large)
    as_old(tmp_path / "copy.npy")
    os.replace(tmp_path / "copy.npy", tmp_path / "in.npy")
    with pytest.raises(ChangedInputError, match="its content differs"):
        check_unchanged(image, digest=digest)


def test_rewritten_within_one_tick_of_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither time nor inode tell then, nor the samples, of a file that had just been written when it was opened."""
    monkeypatch.setattr(stamps, "_place", lambda found: (0, 0, 0))
    large = np.zeros((64, 512, 512), np.uint8)
    np.save(tmp_path / "in.npy", large)
    image = ruska.read(tmp_path / "in.npy")
    digest, time = digest_image(image), (tmp_path / "in.npy").stat().st_mtime_ns
    check_unchanged(image, digest=digest)
    large[31, 200, 200:210] = 1
    np.save(tmp_path / "in.npy", large)
    os.utime(tmp_path / "in.npy", ns=(time, time))
    with pytest.raises(ChangedInputError, match="its content differs"):
        check_unchanged(image, digest=digest)


def test_of_very_many_files_a_part_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamps, "_MOST_FILES", 3)
    image = ruska.read(path := slices(tmp_path, 0))
    assert image.stamp is not None
    assert (len(image.stamp.files), image.stamp.count) == (3, 6)
    check_unchanged(image)
    shutil.copy(path / "s0.tif", path / "s6.tif")
    with pytest.raises(ChangedInputError, match="6 files -> 7"):
        check_unchanged(image)


def test_pixels_in_memory_are_not_the_files(tmp_path: Path) -> None:
    image = ruska.read(KINDS[".npy"](tmp_path, 0))
    mine, lazy = image.with_data(image.numpy()), image.with_data(image.data)
    KINDS[".npy"](tmp_path, 1)
    check_unchanged(mine)
    check_unchanged(Image(VALUES, "ZYX"))
    with pytest.raises(ChangedInputError):
        check_unchanged(lazy)
