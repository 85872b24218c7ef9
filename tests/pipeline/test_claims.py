"""Files that claim far more than they hold: told apart at once, measured where something is, and never gone through."""

from __future__ import annotations

import itertools
import json
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from ruska.engine import ArraySource, measure_intensities
from ruska.engine.statistics import sparse
from ruska.errors import InputError
from ruska.image import Image
from ruska.image.grid import corners, place_of, places
from ruska.image.held import Held, count_held
from ruska.io import read
from ruska.pipeline import RunOptions, denoise, describe, predict_job
from ruska.pipeline.inspect import noise_report

DEEP, HERE = 1 << 38, 1000  # slices that are claimed; the chunk along them that is stored
BLOCK = np.random.default_rng(0).normal(100, 10, (64, 64, 64)).astype(np.uint8)
TO_HERE = slice(64 * HERE, 64 * HERE + 64)


def zarr2(path: Path, *, shape: Any = (DEEP, 64, 64), chunks: Any = (64, 64, 64), stored: str | None) -> None:
    path.mkdir()
    said = {"zarr_format": 2, "shape": shape, "chunks": chunks, "dtype": "|u1", "compressor": None, "fill_value": 0,
            "order": "C", "filters": None}  # fmt: skip
    (path / ".zarray").write_text(json.dumps(said))
    if stored:
        (path / stored).write_bytes(BLOCK.tobytes())


def zarr3(path: Path, *, sharded: bool, stored: bool) -> None:
    path.mkdir()
    codecs: list[Any] = [{"name": "bytes"}]
    if sharded:
        index = [{"name": "bytes", "configuration": {"endian": "little"}}]
        settings = {"chunk_shape": [64, 64, 64], "codecs": codecs, "index_codecs": index}
        codecs = [{"name": "sharding_indexed", "configuration": settings}]
    said = {"zarr_format": 3, "node_type": "array", "shape": [DEEP, 64, 64], "data_type": "uint8", "fill_value": 0,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [64, 64, 64]}}, "codecs": codecs,
            "chunk_key_encoding": {"name": "default"}, "attributes": {}}  # fmt: skip
    (path / "zarr.json").write_text(json.dumps(said))
    if stored:
        file = path / "c" / str(HERE) / "0" / "0"
        file.parent.mkdir(parents=True)
        file.write_bytes(BLOCK.tobytes() + (struct.pack("<QQ", 0, BLOCK.size) if sharded else b""))


def n5(path: Path, *, stored: bool) -> None:
    path.mkdir()
    said = {"n5": "2.0.0", "dimensions": [64, 64, DEEP], "blockSize": [64] * 3, "dataType": "uint8",
            "compression": {"type": "raw"}}  # fmt: skip
    (path / "attributes.json").write_text(json.dumps(said))
    if stored:
        file = path / "0" / "0" / str(HERE)
        file.parent.mkdir(parents=True)
        file.write_bytes(struct.pack(">HHIII", 0, 3, 64, 64, 64) + BLOCK.tobytes())


def precomputed(path: Path, *, stored: bool, sharded: bool = False) -> None:
    (path / "s0").mkdir(parents=True)
    scale: dict[str, Any] = {"key": "s0", "size": [64, 64, DEEP], "chunk_sizes": [[64] * 3], "resolution": [4, 4, 4],
                             "encoding": "raw", "voxel_offset": [0, 0, 0]}  # fmt: skip
    if sharded:
        scale["sharding"] = {"preshift_bits": 9, "minishard_bits": 6, "shard_bits": 15, "hash": "identity"}
    (path / "info").write_text(
        json.dumps({"type": "image", "data_type": "uint8", "num_channels": 1, "scales": [scale]})
    )
    if stored:
        (path / "s0" / f"0-64_0-64_{TO_HERE.start}-{TO_HERE.stop}").write_bytes(BLOCK.tobytes())


def hdf5(path: Path, *, stored: bool, chunked: bool = True) -> None:
    shape = (1 << 31, 64, 64)  # more chunks than the library can number are claimed, but not written
    with h5py.File(path, "w") as file:
        if not chunked:
            h5py.h5d.create(file.id, b"data", h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple(shape))
            return
        data = file.create_dataset("data", shape, "u1", chunks=(64, 64, 64))
        if stored:
            data[TO_HERE] = BLOCK


def virtual(path: Path) -> None:
    layout = h5py.VirtualLayout((DEEP, 64, 64), "u1")
    layout[TO_HERE] = h5py.VirtualSource(".", "part", BLOCK.shape)
    with h5py.File(path, "w") as file:
        file["part"] = BLOCK
        file.create_virtual_dataset("data", layout)


FULL: dict[str, Callable[[Path], None]] = {
    "a.zarr": lambda p: zarr2(p, stored=f"{HERE}.0.0"), "c.zarr": lambda p: zarr3(p, sharded=False, stored=True),
    "s.zarr": lambda p: zarr3(p, sharded=True, stored=True), "a.n5": lambda p: n5(p, stored=True),
    "a.precomputed": lambda p: precomputed(p, stored=True), "a.h5": lambda p: hdf5(p, stored=True), "v.h5": virtual,
}  # fmt: skip
EMPTY: dict[str, Callable[[Path], None]] = {
    "a.h5": lambda p: hdf5(p, stored=False), "b.h5": lambda p: hdf5(p, stored=False, chunked=False),
}  # fmt: skip
NO_CHUNKS: dict[str, Callable[[Path], None]] = {
    "a.zarr": lambda p: zarr2(p, stored=None), "s.zarr": lambda p: zarr3(p, sharded=True, stored=False),
    "plane.zarr": lambda p: zarr2(p, shape=[1 << 31] * 2, chunks=[64, 64], stored=None),
    "tiny.zarr": lambda p: zarr2(p, shape=[1 << 31] * 2, chunks=[1, 1], stored=None),
    "six.zarr": lambda p: zarr2(p, shape=[1 << 40] * 6, chunks=[8] * 6, stored=None),
    "a.n5": lambda p: n5(p, stored=False), "a.precomputed": lambda p: precomputed(p, stored=False),
    "s.precomputed": lambda p: precomputed(p, stored=False, sharded=True),
}  # fmt: skip


def within_bounds(work: Callable[[], Any]) -> Any:
    """Do it; nothing that lists what is claimed would end in this time and memory."""
    tracemalloc.start()
    started = time.perf_counter()
    try:
        return work()
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < 200 << 20
        assert time.perf_counter() - started < 30  # far below a second without the tracing, on an idle machine


@pytest.mark.parametrize("name", FULL)
def test_what_is_there_is_measured(tmp_path: Path, name: str) -> None:
    FULL[name](tmp_path / name)
    image = read(f"{tmp_path / name}{':/data' if name == 'v.h5' else ''}")
    found = within_bounds(lambda: describe(image))
    assert found["shape"] == list(image.shape)
    assert found["job"] is None
    assert found["statistics"]["maximum"] == BLOCK.max()
    assert "stores 1 of their" in found["reason"] or name == "a.h5"  # which keeps two chunks where one is in two
    assert found["reason"] in found["notes"]


@pytest.mark.parametrize("name", EMPTY)
def test_files_that_hold_nothing(tmp_path: Path, name: str) -> None:
    EMPTY[name](tmp_path / name)
    image = read(tmp_path / name)
    found = within_bounds(lambda: describe(image))
    assert "none of" in found["reason"]
    assert found["statistics"]["minimum"] == found["statistics"]["maximum"] == 0
    assert json.loads(json.dumps(found)) == found


@pytest.mark.parametrize("name", NO_CHUNKS)
def test_a_store_without_chunks_is_refused_at_once(tmp_path: Path, name: str) -> None:
    NO_CHUNKS[name](tmp_path / name)
    with pytest.raises(InputError, match="none of the chunks") as caught:
        within_bounds(lambda: read(tmp_path / name))
    assert caught.value.fix


@pytest.mark.parametrize("name", ["a.zarr", "a.h5", "a.n5"])
def test_nothing_is_begun_on_a_claim(tmp_path: Path, name: str) -> None:
    FULL[name](tmp_path / name)
    image = read(tmp_path / name)
    target = tmp_path / "out.tif"
    for work in (lambda: predict_job(image, target), lambda: denoise(image, target, method="median"),
                 lambda: denoise(image, method="median"), lambda: noise_report(image, tmp_path / "noise")):  # fmt: skip
        with pytest.raises(InputError, match="is nearly empty") as caught:
            within_bounds(work)
        assert caught.value.fix
    assert not target.exists()


def test_a_region_of_a_claim_is_restored(tmp_path: Path) -> None:
    FULL["a.zarr"](tmp_path / "a.zarr")
    image, region = read(tmp_path / "a.zarr"), {"Q": slice(TO_HERE.start, TO_HERE.start + 2)}
    result = denoise(image, method="median", roi=region)
    alone = denoise(Image(BLOCK[:2], "QYX"), method="median")
    np.testing.assert_array_equal(result.image.numpy(), alone.image.numpy())
    assert describe(image, "median", options=RunOptions(roi=region))["job"]["blocks"] == 1
    with pytest.raises(InputError, match="--roi Q=64000:64064"):
        denoise(image, method="median", roi={"Q": slice(0, 1 << 37)})


def test_a_small_store_of_zeros_is_no_claim(tmp_path: Path) -> None:
    zarr2(tmp_path / "a.zarr", shape=[128, 64, 64], stored="1.0.0")
    (tmp_path / "a.zarr" / "1.0.0").write_bytes(bytes(BLOCK.size))
    assert describe(read(tmp_path / "a.zarr"), "median")["job"] is not None


class Deep:
    """A source of so many planes that no list of them fits into memory."""

    def __init__(self, held: Held | None = None) -> None:
        self.shape, self.dtype, self.axes, self.chunks = (1 << 45, 64, 64), np.dtype(np.uint8), "ZYX", (1, 64, 64)
        self.seen, self._held = 0, held

    def held(self) -> Held | None:
        return self._held

    def read(self, box: tuple[slice, ...]) -> Any:
        out = np.ones(tuple(s.stop - s.start for s in box), self.dtype)
        self.seen += out.size
        return out


def test_statistics_look_at_a_bounded_part(monkeypatch: pytest.MonkeyPatch) -> None:
    from ruska.engine import statistics

    monkeypatch.setattr(statistics, "_FULL_VOXELS", 1 << 24)
    source = Deep()
    found = within_bounds(lambda: measure_intensities(source))
    assert 1 << 23 <= source.seen <= 1 << 24
    assert found.looked_at == source.seen / (1 << 57)


def test_small_chunks_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of one voxel take as long as others."""
    from ruska.engine import statistics

    monkeypatch.setattr(statistics, "_FULL_CHUNKS", 1 << 14)
    array = np.zeros((1 << 12, 1 << 12), np.uint8)
    source = ArraySource(array, "YX")
    monkeypatch.setattr(ArraySource, "chunks", (1, 1))
    boxes = statistics._Boxes.over(source)
    assert max(len(range(*b.indices(1 << 12))) for box in boxes for b in box) <= 1 << 12
    assert len(boxes) * 4096 <= 1 << 14


@pytest.mark.parametrize(("count", "complete", "expected"), [(0, True, True), (1, True, True), (3, True, False),
                         (0, False, False)])  # fmt: skip
def test_which_arrays_are_sparse(count: int, complete: bool, expected: bool) -> None:
    assert Held(count, 2000, complete).is_sparse is expected
    assert (sparse(Deep(Held(count, 2000, complete))) is not None) is expected


def test_counting_ends_once_an_array_is_not_sparse() -> None:
    looked_at = itertools.count()
    found = count_held((10_000, 1), (1, 1), ((next(looked_at), 0) for _ in itertools.count()))
    assert not found.complete
    assert next(looked_at) < 20
    assert count_held((40_000, 10), (1, 4), [(0, 0), None, (2, 2), (0, 3)]).count == 2


def test_places_in_grids_of_any_size() -> None:
    shape, step = (3, 5, 4), (2, 5, 3)
    assert list(corners(shape, step)) == list(itertools.product(range(0, 3, 2), range(0, 5, 5), range(0, 4, 3)))
    assert list(places(shape)) == [place_of(i, shape) for i in range(60)] == list(np.ndindex(*shape))
    assert next(corners((1 << 70,) * 3, (1,) * 3)) == (0, 0, 0)
    assert place_of((1 << 140) + 5, (1 << 70,) * 3) == (1, 0, 5)
    assert list(places(())) == [()]
