"""What a Zarr store may ask for when it is read: codecs that are known, and chunks of the size that is stated."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import pickle
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numcodecs
import numpy as np
import pytest

from ruska.errors import InputError, RuskaError
from ruska.image import Image
from ruska.io import read
from ruska.io.chunked import unpack

VALUES = np.arange(4096, dtype=np.uint8).reshape(64, 64)
SECOND = {"zarr_format": 2, "shape": [64, 64], "chunks": [64, 64], "order": "C", "dtype": "|u1", "fill_value": 0,
          "compressor": None, "filters": None}  # fmt: skip
THIRD = {"zarr_format": 3, "node_type": "array", "shape": [64, 64], "data_type": "uint8", "fill_value": 0,
         "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [64, 64]}},
         "chunk_key_encoding": {"name": "default"}, "codecs": [{"name": "bytes"}], "attributes": {}}  # fmt: skip
PACKED = {
    "gzip": gzip.compress, "zlib": zlib.compress, "bzip2": bz2.compress, "xz": lzma.compress,
    "zstd": lambda data: bytes(imagecodecs.zstd_encode(data)), "blosc": lambda data: numcodecs.Blosc().encode(data),
    "lz4 block": lambda data: numcodecs.LZ4().encode(data),
}  # fmt: skip


def store(folder: Path, metadata: dict[str, Any], chunk: bytes = VALUES.tobytes()) -> Path:
    """A store of one array with one chunk."""
    second = metadata["zarr_format"] == 2
    file = folder / ("0.0" if second else "c/0/0")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(chunk)
    (folder / (".zarray" if second else "zarr.json")).write_text(json.dumps(metadata))
    return folder


def sharded(inner: list[int], codecs: list[Any], index: list[Any]) -> dict[str, Any]:
    settings = {"chunk_shape": inner, "codecs": codecs, "index_codecs": index}
    return {**THIRD, "codecs": [{"name": "sharding_indexed", "configuration": settings}]}


@pytest.mark.parametrize("kind", PACKED)
@pytest.mark.parametrize("size", [1, 4096, 1 << 20])
def test_unpacking_ends_at_the_limit(kind: str, size: int) -> None:
    data = PACKED[kind](bytes(size))
    assert unpack(kind, data, size) == bytes(size)
    assert unpack(kind, data, size + 10) == bytes(size)
    with pytest.raises(ValueError, match="a chunk may take"):
        unpack(kind, data, size - 1)
    with pytest.raises(ValueError, match=r"damaged|truncated"):
        unpack(kind, data[: len(data) // 2], size)


@pytest.mark.parametrize("kind", ["gzip", "bzip2", "xz", "zstd"])
def test_streams_of_several_parts(kind: str) -> None:
    data = PACKED[kind](b"one ") + PACKED[kind](b"two")
    assert unpack(kind, data, 7) == b"one two"
    with pytest.raises(ValueError, match="a chunk may take"):
        unpack(kind, data, 6)


def test_a_zstd_frame_that_does_not_say_its_size() -> None:
    block = lambda last: struct.pack("<I", (1 << 17) << 3 | 1 << 1 | last)[:3] + b"\0"  # noqa: E731  # a run of 128 KB
    frame = b"\x28\xb5\x2f\xfd\x00\x58" + block(0) * 100 + block(1)
    assert unpack("zstd", frame, 101 << 17) == bytes(101 << 17)
    with pytest.raises(ValueError, match="a chunk may take"):
        unpack("zstd", frame, (101 << 17) - 1)


FILTERS = {
    "delta": [numcodecs.Delta("u1")], "wider": [numcodecs.Delta("u1", "i4")], "shuffle": [numcodecs.Shuffle(4)],
    "scaled": [numcodecs.FixedScaleOffset(0, 1, "u1", "u2")], "as": [numcodecs.AsType("f8", "u1")],
    "summed": [numcodecs.CRC32(), numcodecs.Fletcher32()], "packed": [numcodecs.Zlib(), numcodecs.BZ2()],
}  # fmt: skip


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("compressor", [None, numcodecs.Zstd(), numcodecs.LZMA()])
def test_filters_that_are_read(tmp_path: Path, name: str, compressor: Any) -> None:
    codecs = [*FILTERS[name], *([compressor] if compressor else [])]
    chunk: Any = VALUES
    for codec in codecs:
        chunk = codec.encode(chunk)
    said = {**SECOND, "filters": [codec.get_config() for codec in FILTERS[name]],
            "compressor": compressor.get_config() if compressor else None}  # fmt: skip
    np.testing.assert_array_equal(read(store(tmp_path / "a.zarr", said, bytes(chunk))).numpy(), VALUES)


def test_masks_of_packed_bits(tmp_path: Path) -> None:
    codec, mask = numcodecs.PackBits(), VALUES % 3 == 0
    said = {**SECOND, "dtype": "|b1", "fill_value": False, "filters": [codec.get_config()]}
    np.testing.assert_array_equal(read(store(tmp_path / "a.zarr", said, bytes(codec.encode(mask)))).numpy(), mask)


@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("outer", ["zlib", "zstd", "bz2"])
def test_bombs_at_every_stage(tmp_path: Path, at: int, outer: str) -> None:
    """Each of three codecs in a row may be the one that unpacks to too much."""
    codecs = [numcodecs.get_codec({"id": name}) for name in ("gzip", "lzma", outer)]
    chunk: Any = VALUES.tobytes()
    for stage, codec in enumerate(codecs):
        chunk = codec.encode(bytes(2 << 20) if stage == at else chunk)
    said = {**SECOND, "filters": [c.get_config() for c in codecs[:2]], "compressor": codecs[2].get_config()}
    with pytest.raises(InputError, match="a chunk may take"):
        read(store(tmp_path / "a.zarr", said, bytes(chunk))).numpy()


REFUSED = {
    "objects": {"dtype": "|O", "fill_value": "", "filters": [{"id": "vlen-bytes"}, {"id": "pickle"}]},
    "texts": {"dtype": "<U8", "fill_value": ""}, "dates": {"dtype": "<M8[s]"}, "large": {"dtype": "|V2000000000",
    "fill_value": ""}, "fields": {"dtype": [["a", "<i4"]], "fill_value": None},
    "unknown": {"filters": [{"id": "nope"}]}, "categories": {"filters": [{"id": "categorize", "labels": ["a"],
    "dtype": "O"}]}, "to objects": {"filters": [{"id": "astype", "encode_dtype": "u1", "decode_dtype": "O"}]},
    "to large": {"filters": [{"id": "delta", "dtype": "u1", "astype": "|V100000"}]},
    "spread": {"filters": [{"id": "fixedscaleoffset", "offset": 0, "scale": [[1]] * 100, "dtype": "u1"}]},
    "no element": {"filters": [{"id": "shuffle", "elementsize": 0}]},
    "large element": {"filters": [{"id": "shuffle", "elementsize": 1 << 40}]},
    "no head": {"compressor": {"id": "lzma", "format": 3, "filters": [{"id": 33, "dict_size": 1 << 31}]}},
    "many": {"filters": [{"id": "zlib"}] * 9}, "no chunk": {"chunks": [0, 64]}, "negative": {"chunks": [-64, 64]},
    "broken number": {"chunks": [64.5, 64]}, "enormous": {"chunks": [1 << 31, 1 << 31]},
    "fill": {"fill_value": [1]}, "separator": {"dimension_separator": "../"}, "sizes": {"shape": [1 << 80, 64]},
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_arrays_that_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        read(store(tmp_path / "a.zarr", {**SECOND, **REFUSED[name]}))
    assert caught.value.fix


REFUSED_THIRD = {
    "texts": {**THIRD, "codecs": [{"name": "vlen-utf8"}]},
    "filter": {**THIRD, "codecs": [{"name": "numcodecs.delta", "configuration": {"dtype": "O"}}, {"name": "bytes"}]},
    "transformer": {**THIRD, "storage_transformers": [{"name": "x"}]},
    "no chunk": {**THIRD, "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [0, 64]}}},
    "packed index": sharded([32, 32], [{"name": "bytes"}], [{"name": "bytes"}, {"name": "gzip",
                            "configuration": {"level": 1}}]),
    "odd shard": sharded([48, 64], [{"name": "bytes"}], [{"name": "bytes"}]),
    "long index": {**sharded([1, 1], [{"name": "bytes"}], [{"name": "bytes"}]), "shape": [1 << 20, 1 << 20],
                   "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [1 << 20, 1 << 20]}}},
    "large value": {**THIRD, "data_type": {"name": "raw_bytes", "configuration": {"length_bytes": 1 << 31}},
                    "fill_value": ""},
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REFUSED_THIRD)
def test_arrays_of_zarr_3_that_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError) as caught:
        read(store(tmp_path / "a.zarr", REFUSED_THIRD[name]))
    assert caught.value.fix


@pytest.mark.parametrize("length", [1 << 50, (1 << 64) - 5])
def test_shards_that_say_a_chunk_is_longer_than_it_can_be(tmp_path: Path, length: int) -> None:
    said = sharded([32, 32], [{"name": "bytes"}], [{"name": "bytes", "configuration": {"endian": "little"}}])
    index = struct.pack("<QQ", 0, length) * 4
    with pytest.raises(InputError, match="a chunk may take"):
        read(store(tmp_path / "a.zarr", said, bytes(4096) + index)).data[:8, :8]


@pytest.mark.parametrize("metadata", [SECOND, THIRD])
def test_files_longer_than_a_chunk_are_not_read(tmp_path: Path, metadata: dict[str, Any]) -> None:
    where = store(tmp_path / "a.zarr", metadata)
    file = next(f for f in where.rglob("*") if f.is_file() and not f.name.startswith((".z", "zarr")))
    with file.open("r+b") as out:
        out.truncate(1 << 36)  # a hole
    with pytest.raises(InputError, match="a chunk may take"):
        read(where).numpy()


class Mark:
    """Makes the file that it names when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


RECORD = {"version": 1, "axes": "YX", "spacing": {}, "origin": {}, "meaning": "grey", "channel_names": [],
          "header": {}, "provenance": {}}  # fmt: skip


def group(folder: Path, mask: dict[str, Any], chunk: bytes, consolidated: dict[str, Any] | None = None) -> Path:
    """A store with our record, an image and a mask."""
    store(folder / "0", SECOND)
    store(folder / "ruska_mask", mask, chunk)
    (folder / ".zgroup").write_text('{"zarr_format": 2}')
    scales = [{"version": "0.4", "axes": [{"name": a, "type": "space"} for a in "yx"], "datasets": [{"path": "0"}]}]
    attributes = {"multiscales": scales, "ruska": RECORD}
    (folder / ".zattrs").write_text(json.dumps(attributes))
    if consolidated is not None:
        parts = {".zgroup": {"zarr_format": 2}, ".zattrs": attributes, "0/.zarray": SECOND, **consolidated}
        said = {"zarr_consolidated_format": 1, "metadata": parts}
        (folder / ".zmetadata").write_text(json.dumps(said))
    return folder


OBJECTS = {**SECOND, **REFUSED["objects"]}
BOOL = {**SECOND, "dtype": "|b1", "fill_value": False}


@pytest.mark.parametrize("consolidated", [None, {"ruska_mask/.zarray": BOOL}, {"ruska_mask/.zarray": OBJECTS}])
@pytest.mark.parametrize("own", [OBJECTS, BOOL])
def test_no_mask_runs_code(tmp_path: Path, own: dict[str, Any], consolidated: dict[str, Any] | None) -> None:
    """Whichever of two descriptions Zarr goes by."""
    mark = tmp_path / "ran"
    chunk = pickle.dumps(Mark(mark)).ljust(4096, b"\0")
    try:
        image = read(group(tmp_path / "a.zarr", own, chunk, consolidated))
        np.asarray(image.mask)
    except RuskaError:
        pass
    assert not mark.exists()


@pytest.mark.parametrize("mask", [SECOND, {**BOOL, "shape": [32, 64]}, {**BOOL, "shape": [1 << 40, 64, 64],
                                  "chunks": [64, 64, 64]}])  # fmt: skip
def test_masks_that_fit_no_image(tmp_path: Path, mask: dict[str, Any]) -> None:
    with pytest.raises(RuskaError, match="mask"):
        read(group(tmp_path / "a.zarr", mask, VALUES.tobytes()))


def test_a_mask_covers_its_image() -> None:
    Image(VALUES, "YX", mask=np.ones((1, 64), bool))
    with pytest.raises(RuskaError, match="mask"):
        Image(VALUES, "YX", mask=np.ones((64, 65), bool))
