"""Damaged files give an image or one of our errors: no other exception, no huge allocation, no crash."""

from __future__ import annotations

import bz2
import gzip
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tests.io.mutate import mutated
from tests.io.specimens import READERS

from ruska.errors import RuskaError
from ruska.image import Image, Quantity
from ruska.io import read, write

MUTATIONS = 200
LARGEST = 64 << 20  # no file here holds more, whatever it says
REAL = {
    "dm3": "openncem/dmTest_float32_nonSquare_diffPixelSize.dm3",
    "dm3 text": "rosettasciio_testdata/digitalmicrograph__Fei_HAADF-DE_location.dm3",
    "dm4": "openncem/dmTest_float32_nonSquare_diffPixelSize.dm4",
    "ser": "rosettasciio_testdata/tia__old__16x16x5_STEM_BF_DF_preview_2.ser",
    "ser new": "rosettasciio_testdata/tia__new__128x128-TEM_search_1.ser",
    "mrc": "rosettasciio_testdata/mrc__20241021_00405_movie.mrc",
    "map": "mrcfile_testdata/EMD-3197.map",
    "map.gz": "mrcfile_testdata/emd_3001.map.gz",
    "map.bz2": "mrcfile_testdata/EMD-3197.map.bz2",
    "zip": "rosettasciio_testdata/tiff__test_rgba16.zip",
    "tif": "rosettasciio_testdata/tiff__test_loading_image_saved_with_DM.tif",
    "tif sis": "rosettasciio_testdata/tiff__olympus_SIS.tif",
}
# Their libraries fail in their own words, which is passed on.
FOREIGN_WORDS = ("tif", "zip")


def attempt(path: Path, *, strict: bool = True, name: str | None = None) -> bool:
    """Read all of a damaged file; True when it gave an image."""

    def whole() -> None:
        image = read(name or path)
        assert image.nbytes < LARGEST
        image.numpy()

    problem = problem_of(whole)
    assert not strict or "cannot be read as" not in problem, problem
    return not problem


def problem_of(action: Callable[[], None]) -> str:
    """What one of our errors says; empty when there was none. Other exceptions pass through."""
    try:
        action()
    except RuskaError as error:
        return error.problem
    return ""


@pytest.mark.parametrize("kind", REAL)
def test_damaged_instrument_files(micrographs: Path, tmp_path: Path, kind: str) -> None:
    original = micrographs / "formats" / REAL[kind]
    data = original.read_bytes()
    path = tmp_path / original.name
    strict = not kind.startswith(FOREIGN_WORDS)
    outcomes = []
    for seed in range(MUTATIONS if len(data) < 200_000 else MUTATIONS // 2):
        path.write_bytes(mutated(data, seed))
        outcomes.append(attempt(path, strict=strict))
    assert not all(outcomes)  # else nothing was damaged


@pytest.mark.parametrize("share", [0.0, 0.001, 0.02, 0.3, 0.7, 0.999])
@pytest.mark.parametrize("kind", REAL)
def test_files_cut_short_say_so(micrographs: Path, tmp_path: Path, kind: str, share: float) -> None:
    original = micrographs / "formats" / REAL[kind]
    data = original.read_bytes()
    (tmp_path / original.name).write_bytes(data[: max(1, int(len(data) * share))])
    attempt(tmp_path / original.name, strict=not kind.startswith(FOREIGN_WORDS))


def test_damaged_fibsem_frames(micrographs: Path, tmp_path: Path) -> None:
    frame = micrographs / "formats/fibsem_dat/examples__Gemini500-7029_24-12-16_151317_0-0-0.dat"
    small = bytearray(frame.read_bytes()[: 1024 + 10 * 8 * 2 * 2])
    small[100:108] = (10).to_bytes(4, "big") + (8).to_bytes(4, "big")
    (tmp_path / "a.dat").write_bytes(small)
    assert read(tmp_path / "a.dat").shape == (2, 8, 10)
    for seed in range(MUTATIONS):
        (tmp_path / "a.dat").write_bytes(mutated(bytes(small), seed))
        attempt(tmp_path / "a.dat")


def test_damaged_descriptions(micrographs: Path, tmp_path: Path) -> None:
    name = "tia__old__16x16_STEM_BF_DF_acquire"
    folder = micrographs / "formats/rosettasciio_testdata"
    for suffix in ("_1.ser", "_2.ser"):
        shutil.copyfile(folder / f"{name}{suffix}", tmp_path / f"{name}{suffix}")
    data = (folder / f"{name}.emi").read_bytes()
    for seed in range(MUTATIONS // 2):
        (tmp_path / f"{name}.emi").write_bytes(mutated(data, seed))
        attempt(tmp_path / f"{name}.emi", name=f"{tmp_path}/{name}.emi:2")


def test_damaged_velox_files_in_a_process_of_their_own(micrographs: Path, tmp_path: Path) -> None:
    """HDF5 is a C library: when it crashes, it is not to take this process with it."""
    original = micrographs / "formats/rosettasciio_testdata/emd__fei_example_tem_stack.emd"
    data = original.read_bytes()
    for seed in range(MUTATIONS):
        (tmp_path / f"{seed:03}.emd").write_bytes(mutated(data, seed))
    program = (
        "import sys, pathlib, ruska\nfrom ruska.errors import RuskaError\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    print(path.name, flush=True)\n"
        "    try:\n        image = ruska.read(path)\n        assert image.nbytes < 1 << 26\n        image.numpy()\n"
        "    except RuskaError:\n        pass\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.stdout[-20:], done.stderr[-2000:])


# Stores of many files: one of them is damaged at a time


@pytest.mark.parametrize("reader", ["N5", "precomputed"])
def test_damaged_stores(tmp_path: Path, reader: str) -> None:
    one = next(one for one in READERS[reader](tmp_path, tmp_path) if one.target.startswith("small"))
    assert attempt(tmp_path / one.target)
    for name in one.parts:
        part = tmp_path / name
        data = part.read_bytes()
        for seed in range(MUTATIONS):
            part.write_bytes(mutated(data, seed, text=data[:1] == b"{"))
            assert "cannot be read as" not in problem_of(lambda: corner(tmp_path / one.target))
        part.write_bytes(data)


def corner(store: Path) -> None:
    """Read a little of a store, which may be as large as it says, and empty."""
    image = read(store)
    assert image.data[tuple(slice(0, min(n, 4)) for n in image.shape)].nbytes < LARGEST


def test_damaged_zipped_stores_and_packed_arrays(tmp_path: Path) -> None:
    write(tmp_path / "a.ome.zarr", Image(np.arange(600, dtype=np.uint16).reshape(20, 30), "YX",
                                         {a: Quantity(4.0, "nm") for a in "YX"}))  # fmt: skip
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for file in sorted((tmp_path / "a.ome.zarr").rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(tmp_path).as_posix())
    write(tmp_path / "a.npy", Image(np.arange(600, dtype=np.uint16).reshape(20, 30), "YX"))
    plain = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy.gz").write_bytes(gzip.compress(plain))
    (tmp_path / "a.npy.bz2").write_bytes(bz2.compress(plain))
    for name in ("a.zip", "a.npy.gz", "a.npy.bz2"):
        data = (tmp_path / name).read_bytes()
        assert attempt(tmp_path / name)
        for seed in range(MUTATIONS // 2):
            (tmp_path / name).write_bytes(mutated(data, seed))
            attempt(tmp_path / name, strict=False)
