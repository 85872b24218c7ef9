"""Full disks, lost shares and killed processes lose no finished block, and are said in a sentence."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

import ruska
from ruska.engine import plan, store
from ruska.engine.ledger import Ledger
from ruska.errors import InputError, OutputError
from ruska.image import Image, Quantity
from ruska.io import numpy_file

VALUES = np.random.default_rng(3).normal(1000, 100, (256, 256)).astype(np.uint16)
BLOCKS = 16


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setitem(plan._PREFERRED_EDGE, 2, 64)
    monkeypatch.setitem(plan._SMALLEST_EDGE, 2, 32)


def denoised(source, target, **options):
    return ruska.denoise(source, target, method="gaussian", report=False, workers=1, **options)


def saved(folder: Path, name: str) -> Path:
    nm = {a: Quantity(4.0, "nm") for a in "YX"}
    path = folder / name
    if path.suffix == ".n5":
        path.mkdir()
        for i, rows in enumerate(np.split(VALUES, 8)):
            (path / "0").mkdir(exist_ok=True)
            head = b"\0\0\0\2" + np.array([256, 32], ">u4").tobytes()
            (path / "0" / str(i)).write_bytes(head + rows.astype(">u2").tobytes())
        (path / "attributes.json").write_text(
            '{"dimensions": [256, 256], "blockSize": [256, 32], "dataType": "uint16", "compression": {"type": "raw"}}'
        )
    else:
        options = {"chunks": (32, 256)} if path.suffix == ".zarr" else {}
        ruska.write(path, Image(VALUES, "YX", {} if path.suffix == ".npy" else nm), **options)
    return path


class Breaks:
    """A function that fails with ``error`` from its call number ``after`` on, until it is mended."""

    def __init__(self, function, error: OSError, after: int) -> None:
        self.function, self.error, self.left = function, error, after

    def __call__(self, *args, **kwargs):
        self.left -= 1
        if self.left < 0:
            raise self.error
        return self.function(*args, **kwargs)


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("where", ["block", "ledger", "result"])
def test_a_full_disk_loses_no_finished_block(tmp_path, monkeypatch, where):
    source = saved(tmp_path, "noisy.npy")
    calm = denoised(source, tmp_path / "calm.npy")
    owner, name, after = {
        "block": (store, "save_tile", 5), "ledger": (Ledger, "add", 6), "result": (numpy_file, "_stream", 0),
    }[where]  # fmt: skip
    with monkeypatch.context() as patch:
        breaks = Breaks(getattr(owner, name), FULL, after)
        patch.setattr(owner, name, breaks if owner is not Ledger else lambda *a, **k: breaks(*a, **k))
        with pytest.raises(OutputError, match="No space left on device") as caught:
            denoised(source, tmp_path / "clean.npy")
        assert "run the same" in caught.value.fix or "same command resumes" in caught.value.fix
        assert not (tmp_path / "clean.npy").exists()
        assert not list(tmp_path.rglob("*.part*"))
    again = denoised(source, tmp_path / "clean.npy")
    finished = {"block": 5, "ledger": 5, "result": BLOCKS}[where]
    assert again.record["blocks"]["resumed"] == finished
    assert (tmp_path / "clean.npy").read_bytes() == (tmp_path / "calm.npy").read_bytes()
    assert calm.record["blocks"]["resumed"] == 0


def test_the_ledger_is_not_rewritten_on_a_full_disk(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path, {})
    ledger.add("block 0")
    with ledger.file.open("ab") as file:
        file.write(b'{"key": "bl')
    monkeypatch.setattr(Path, "write_text", Breaks(None, FULL, 0))
    assert set(Ledger(tmp_path, {}).entries) == {"block 0"}
    assert ledger.file.read_bytes().endswith(b"}\n")


def test_a_read_only_target_is_said_and_nothing_is_left(tmp_path, monkeypatch):
    source = saved(tmp_path, "noisy.npy")
    read_only = OSError(errno.EROFS, os.strerror(errno.EROFS))
    monkeypatch.setattr(Path, "mkdir", Breaks(None, read_only, 0))
    with pytest.raises(OutputError, match="Read-only file system") as caught:
        denoised(source, tmp_path / "clean.npy")
    assert caught.value.fix
    assert [p.name for p in tmp_path.iterdir()] == ["noisy.npy"]


def test_a_full_disk_under_hdf5_neither_crashes_nor_leaves_a_file(tmp_path):
    """The library keeps files open that it cannot finish, and crashes at the end of the program."""
    resource = pytest.importorskip("resource")
    assert resource
    program = (
        "import resource, numpy, ruska\n"
        "from ruska.errors import OutputError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "values = numpy.random.default_rng(0).integers(0, 65535, (400, 400), numpy.uint16)\n"
        "try:\n    ruska.write('a.h5', ruska.Image(values, 'YX'))\n"
        "except OutputError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-500:]
    assert "a.h5: could not be written" in done.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("name", ["noisy.npy", "noisy.mrc", "noisy.tif", "noisy.h5", "noisy.ome.zarr", "noisy.n5"])
def test_a_share_that_is_lost_while_reading(tmp_path, name):
    """A chunk that is missing because everything is missing is no chunk of zeros."""
    source = saved(tmp_path, name)
    aside = source.with_name("elsewhere")
    denoised(source, tmp_path / "calm.npy")

    def lose(stage, done, total):
        if stage == "restoring" and done == 5:
            source.rename(aside)

    with pytest.raises(InputError, match="can no longer be read") as caught:
        denoised(source, tmp_path / "clean.npy", progress=lose)
    assert "resumes" in caught.value.fix
    aside.rename(source)
    assert denoised(source, tmp_path / "clean.npy").record["blocks"]["resumed"] == 5
    assert (tmp_path / "clean.npy").read_bytes() == (tmp_path / "calm.npy").read_bytes()


def test_a_damaged_chunk_tree_of_hdf5_is_an_input_error(tmp_path):
    source = saved(tmp_path, "noisy.h5")
    data = source.read_bytes()
    with h5py.File(source) as file:
        start = file["data"].id.get_chunk_info(0).byte_offset
    tree = data.rindex(b"TREE\1", 0, start)
    source.write_bytes(data[:tree] + b"XXXX" + data[tree + 4 :])
    with pytest.raises(InputError, match=r"dataset /data cannot be read|is damaged"):
        ruska.read(source).numpy()


@pytest.mark.slow
def test_a_killed_command_resumes_to_the_same_bytes(tmp_path):
    source = tmp_path / "noisy.npy"
    np.save(source, np.tile(VALUES, (24, 2, 2)))

    command = [sys.executable, "-m", "ruska.cli.main", "denoise", str(source), "-o", str(tmp_path / "killed.npy"),
               "--method", "tv", "--set", "iterations=10", "--set", "noise_std=0.1", "--workers", "1",
               "--no-report"]  # fmt: skip
    killed = subprocess.Popen(command)
    ledger = tmp_path / ".killed.npy.ruska-work" / "ledger.jsonl"
    while killed.poll() is None and not (ledger.exists() and ledger.read_bytes().count(b"\n") >= 4):
        time.sleep(0.01)
    killed.kill()
    assert killed.wait()
    assert not (tmp_path / "killed.npy").exists()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert "were already done by an earlier run" in done.stdout
    settings = {"iterations": 10, "noise_std": 0.1}
    ruska.denoise(source, tmp_path / "calm.npy", method="tv", settings=settings, workers=1, report=False)
    assert (tmp_path / "killed.npy").read_bytes() == (tmp_path / "calm.npy").read_bytes()
