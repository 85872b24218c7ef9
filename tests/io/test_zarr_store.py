"""OME-Zarr: validity, pyramids, foreign stores, damaged chunks, and the sink that the engine writes to."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaozarrs
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ruska.errors import GeometryError, InputError, OutputError
from ruska.image import Image, Quantity, crop
from ruska.io import losses_sentence, read, write
from ruska.io import zarr_store as module
from ruska.io.lazy import boxes
from ruska.io.pyramid import halve
from ruska.io.zarr_store import ZarrSink, finish_store, pyramid_factors

RNG = np.random.default_rng(0)
NM = {"Z": Quantity(20.0, "nm"), "Y": Quantity(4.0, "nm"), "X": Quantity(4.0, "nm")}


@pytest.mark.parametrize("version", ["0.5", "0.4"])
@pytest.mark.parametrize(("axes", "shape"), [("YX", (600, 530)), ("CZYX", (2, 5, 520, 90)), ("ZCYX", (3, 2, 40, 50)),
                                             ("QYX", (3, 40, 50)), ("TCZYX", (2, 2, 2, 20, 30))])  # fmt: skip
def test_stores_are_valid_and_read_back_in_their_own_order(
    tmp_path: Path, version: str, axes: str, shape: tuple[int, ...]
) -> None:
    data = RNG.integers(0, 65535, shape).astype(np.uint16)
    names = tuple("ab") if "C" in axes else ()
    image = Image(data, axes, {a: q for a, q in NM.items() if a in axes}, channel_names=names)
    assert write(tmp_path / "a.ome.zarr", image, version=version) == ()
    if version == "0.5":
        yaozarrs.validate_zarr_store(str(tmp_path / "a.ome.zarr"))
    else:
        attributes = json.loads((tmp_path / "a.ome.zarr" / ".zattrs").read_text())
        assert yaozarrs.validate_ome_object(attributes, yaozarrs.v04.Image)
    back = read(tmp_path / "a.ome.zarr")
    assert (back.axes, back.spacing, back.channel_names) == (axes, image.spacing, names)
    np.testing.assert_array_equal(back.numpy(), data)
    np.testing.assert_array_equal(back.data[..., 3:17, 5:9], data[..., 3:17, 5:9])


def test_another_reader_sees_scale_unit_order_and_names(tmp_path: Path) -> None:
    data = RNG.integers(0, 255, (3, 2, 600, 40)).astype(np.uint8)
    origin = {"X": Quantity(1.0, "um")}
    write(tmp_path / "a.zarr", Image(data, "ZCYX", NM, origin, channel_names=("SE", "BSE")))
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")
    ome = group.attrs["ome"]
    first, second = ome["multiscales"][0]["datasets"][:2]
    assert [a["name"] for a in ome["multiscales"][0]["axes"]] == ["c", "z", "y", "x"]
    assert ome["multiscales"][0]["axes"][1]["unit"] == "nanometer"
    assert group["0"].shape == (2, 3, 600, 40)
    assert first["coordinateTransformations"][0]["scale"] == [1, 20, 4, 4]
    assert second["coordinateTransformations"][0]["scale"] == [1, 20, 8, 8]
    np.testing.assert_allclose(first["coordinateTransformations"][1]["translation"], [0, 0, 0, 1000])
    np.testing.assert_allclose(second["coordinateTransformations"][1]["translation"], [0, 0, 2, 1002])
    assert [c["label"] for c in ome["omero"]["channels"]] == ["SE", "BSE"]


def test_a_foreign_store_gives_size_origin_names_and_meaning(tmp_path: Path) -> None:
    """Our own record is taken away, so that only what NGFF says is left."""
    data = RNG.integers(0, 255, (2, 3, 30, 40)).astype(np.uint8)
    for version in ("0.5", "0.4"):
        path = tmp_path / f"{version}.zarr"
        image = Image(data, "CZYX", NM, {"Y": Quantity(8, "nm")}, channel_names=("a", "b"))
        write(path, image, version=version)
        file = path / ("zarr.json" if version == "0.5" else ".zattrs")
        record = json.loads(file.read_text())
        del (record["attributes"] if version == "0.5" else record)["ruska"]
        file.write_text(json.dumps(record))
        back = read(path)
        assert (back.axes, dict(back.spacing), back.channel_names) == ("CZYX", NM, ("a", "b"))
        assert back.origin["Y"] == Quantity(8, "nm")
        np.testing.assert_array_equal(back.numpy(), data)


def test_axes_in_any_order_are_turned(tmp_path: Path) -> None:
    data = RNG.integers(0, 255, (7, 6, 5)).astype(np.uint8)
    array = zarr.create_array(str(tmp_path / "a.zarr"), shape=data.shape, dtype="u1", dimension_names=["x", "y", "z"])
    array[...] = data
    image = read(tmp_path / "a.zarr")
    assert image.axes == "ZYX"
    np.testing.assert_array_equal(image.numpy(), data.transpose(2, 1, 0))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_plain_arrays_and_groups(tmp_path: Path, zarr_format: int) -> None:
    data = RNG.normal(size=(3, 8, 9)).astype(np.float32)
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=zarr_format)
    group.create_array("volumes/raw", shape=data.shape, dtype=data.dtype)[...] = data
    np.testing.assert_array_equal(read(tmp_path / "a.zarr").numpy(), data)
    group.create_array("volumes/labels", shape=data.shape, dtype="u4")
    with pytest.raises(InputError, match="/volumes/labels, /volumes/raw"):
        read(tmp_path / "a.zarr")
    np.testing.assert_array_equal(read(f"{tmp_path}/a.zarr:/volumes/raw").numpy(), data)
    for wrong in ("/volumes/none", "../../etc"):
        with pytest.raises(InputError, match="no readable array"):
            read(f"{tmp_path}/a.zarr:{wrong}")


def test_a_level_can_be_named(tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", Image(np.ones((600, 40), np.float32), "YX"))
    assert read(f"{tmp_path}/a.zarr:/1").shape == (300, 20)


@pytest.mark.parametrize("version", ["0.5", "0.4"])
@pytest.mark.parametrize("shape", [(40, 40), (3000, 1024)])
def test_a_damaged_chunk_is_an_input_error_that_names_the_store(
    tmp_path: Path, version: str, shape: tuple[int, int]
) -> None:
    data = RNG.integers(0, 65535, shape).astype(np.uint16)
    write(tmp_path / "a.zarr", Image(data, "YX"), version=version)
    folder = tmp_path / "a.zarr" / "0"
    chunk = (folder / "c" if version == "0.5" else folder) / "0" / "0"
    whole = chunk.read_bytes()
    for broken in (whole[:100], whole[:-1], b"short"):
        chunk.write_bytes(broken)
        with pytest.raises(InputError, match=r"a\.zarr.*damaged"):
            read(tmp_path / "a.zarr").numpy()
    chunk.unlink()  # legal: a chunk that was never written is all fill value
    assert not read(tmp_path / "a.zarr").data[:40, :40].any()


def test_a_flipped_bit_in_a_store_of_ours_is_found(tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", Image(RNG.normal(size=(40, 40)), "YX"))
    chunk = tmp_path / "a.zarr" / "0" / "c" / "0" / "0"
    flipped = bytearray(chunk.read_bytes())
    flipped[len(flipped) // 2] ^= 1
    chunk.write_bytes(bytes(flipped))
    with pytest.raises(InputError, match="damaged"):
        read(tmp_path / "a.zarr").numpy()


def test_damaged_or_missing_metadata_are_input_errors(tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", Image(np.ones((40, 40), np.float32), "YX"))
    shutil.copytree(tmp_path / "a.zarr", tmp_path / "b.zarr")
    shutil.rmtree(tmp_path / "a.zarr" / "0")
    (tmp_path / "b.zarr" / "zarr.json").write_text("{")
    for name in ("a.zarr", "b.zarr"):
        with pytest.raises(InputError):
            read(tmp_path / name)
    for words in ("1", "[]", '"x"', "2.5"):
        ones = np.ones((8, 9), np.uint8)
        zarr.create_array(str(tmp_path / "d.zarr"), data=ones, zarr_format=2, overwrite=True)
        (tmp_path / "d.zarr" / ".zattrs").write_text(words)
        with pytest.raises(InputError, match="attributes are not a JSON object"):
            read(tmp_path / "d.zarr")
    zarr.open_group(str(tmp_path / "e.zarr"), mode="w", zarr_format=2)
    (tmp_path / "d.zarr").rename(tmp_path / "e.zarr" / "d")
    assert read(tmp_path / "e.zarr").shape == (8, 9)  # what is only looked through may be damaged so
    for scales in ([{}], [{"datasets": []}], "x", [{"datasets": [{"path": "0"}], "axes": [{"name": "y"}]}]):
        group = zarr.open_group(str(tmp_path / "c.zarr"), mode="w")
        group.create_array("0", shape=(8, 9), dtype="u1")
        group.attrs["ome"] = {"multiscales": scales}
        with pytest.raises(InputError):
            read(tmp_path / "c.zarr")


def test_real_ome_zarr(micrographs: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(micrographs / "formats/muvis_crick/S000_000_000.ome.zarr.zip", tmp_path)
    image = read(tmp_path / "S000_000_000.ome.zarr")
    assert (image.shape, str(image.dtype)) == ((1, 1, 1, 800, 800), "uint16")
    assert image.voxel_size_nm["X"] == pytest.approx(32)
    assert image.numpy().std() > 0


# Pyramid


def test_levels_follow_the_spacing_towards_cubic_voxels() -> None:
    image = Image(np.zeros((64, 2048, 2048), np.uint8), "ZYX", NM)
    levels = [tuple(f[a] for a in "ZYX") for f in pyramid_factors(image)]
    assert levels == [(1, 1, 1), (1, 2, 2), (1, 4, 4), (2, 8, 8)]  # 20 nm in Z, 4 nm in Y
    cubic = Image(np.zeros((64, 1024, 1024), np.uint8), "ZYX")
    assert [f["Z"] for f in pyramid_factors(cubic)] == [1, 2, 4]
    frames = Image(np.zeros((64, 1024, 1024), np.uint8), "QYX")
    assert [f["Q"] for f in pyramid_factors(frames)] == [1, 1, 1]


@given(hnp.arrays(st.sampled_from([np.uint8, np.int16, np.uint16, np.float32, np.float64]),
                  hnp.array_shapes(min_dims=2, max_dims=3, max_side=7),
                  elements=st.integers(0, 100)))  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_halving_is_the_mean_of_each_cell(values: np.ndarray) -> None:
    halved = halve(values, (2,) * values.ndim)
    assert halved.dtype == values.dtype
    for place in np.ndindex(halved.shape):
        cell = values[tuple(slice(2 * i, 2 * i + 2) for i in place)].astype(np.float64)
        mean = cell.mean()
        assert halved[place] == (np.rint(mean) if values.dtype.kind in "iu" else values.dtype.type(mean))


def test_every_level_is_made_from_the_finer_one_in_small_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BOX_VOXELS", 4096)
    data = RNG.integers(0, 255, (9, 1025, 70)).astype(np.uint8)
    write(tmp_path / "a.zarr", Image(data, "ZYX"))
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")
    expected = data
    for level in ("1", "2"):
        expected = halve(expected, (2, 2, 2))
        np.testing.assert_array_equal(group[level][...], expected)


@pytest.mark.parametrize("dtype", [np.uint16, np.uint64, np.bool_])
def test_labels_are_never_averaged(tmp_path: Path, dtype: type) -> None:
    data = RNG.integers(0, 2, (600, 50)).astype(dtype) * dtype(9)
    write(tmp_path / "a.zarr", Image(data, "YX", meaning="labels"))
    coarse = zarr.open_group(str(tmp_path / "a.zarr"), mode="r")["1"][...]
    np.testing.assert_array_equal(coarse, data[::2, ::2])


def test_nan_and_extreme_values_pass_through_the_pyramid(tmp_path: Path) -> None:
    data = np.full((512, 8), np.finfo(np.float32).max, np.float32)
    data[:8] = np.nan
    write(tmp_path / "a.zarr", Image(data, "YX", channel_names=("a",)))
    np.testing.assert_array_equal(read(tmp_path / "a.zarr").numpy(), data)
    assert np.isnan(zarr.open_group(str(tmp_path / "a.zarr"), mode="r")["1"][:4]).all()


# Sink


def test_boxes_written_from_many_threads_in_any_order_then_finished(tmp_path: Path) -> None:
    data = RNG.integers(0, 255, (2, 70, 300, 290)).astype(np.uint8)
    sink = ZarrSink(tmp_path / "a.zarr", data.shape, data.dtype, "CZYX")
    assert np.prod(sink.grain) > np.prod(sink._array.chunks)  # sharded
    pieces = list(boxes(sink.shape, sink.grain, 1))
    RNG.shuffle(pieces)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda box: sink.write(tuple(box), data[tuple(box)]), pieces))
    finish_store(tmp_path / "a.zarr", Image(data, "CZYX", NM, mask=data[0] > 3))
    image = read(tmp_path / "a.zarr")
    np.testing.assert_array_equal(image.numpy(), data)
    np.testing.assert_array_equal(np.asarray(image.mask), data[0] > 3)
    yaozarrs.validate_zarr_store(str(tmp_path / "a.zarr"))


def test_a_sink_is_resumed_and_its_store_unfinished_until_finish(tmp_path: Path) -> None:
    data = RNG.normal(size=(8, 5, 6)).astype(np.float32)
    ZarrSink(tmp_path / "a.zarr", data.shape, data.dtype, "TYX", chunks=(2, 5, 6)).write(
        (slice(0, 2), slice(0, 5), slice(0, 6)), data[:2]
    )
    with pytest.raises(InputError, match="unfinished"):
        read(tmp_path / "a.zarr")
    sink = ZarrSink.open(tmp_path / "a.zarr")
    assert (sink.shape, sink.dtype, sink.axes, sink.grain) == (data.shape, data.dtype, "TYX", (2, 5, 6))
    np.testing.assert_array_equal(sink.read((slice(0, 2), slice(1, 5), slice(0, 6))), data[:2, 1:])
    sink.write((slice(2, 8), slice(0, 5), slice(0, 6)), data[2:])
    for _ in range(2):  # finishing again after an interruption does no harm
        finish_store(tmp_path / "a.zarr", Image(data, "TYX"))
    np.testing.assert_array_equal(read(tmp_path / "a.zarr").numpy(), data)


def test_boxes_that_are_not_whole_grains_are_refused(tmp_path: Path) -> None:
    sink = ZarrSink(tmp_path / "a.zarr", (10, 10), np.uint8, "YX", chunks=(4, 10))
    for rows in (slice(1, 4), slice(0, 3), slice(8, 12), slice(4, 4)):
        with pytest.raises(GeometryError, match="whole shards"):
            sink.write((rows, slice(0, 10)), np.zeros((rows.stop - rows.start, 10), np.uint8))
    with pytest.raises(GeometryError, match="shape"):
        sink.write((slice(0, 4), slice(0, 10)), np.zeros((3, 10), np.uint8))
    sink.write((slice(8, 10), slice(0, 10)), np.ones((2, 10), np.uint8))
    assert sink.read((slice(8, 10), slice(0, 1))).tolist() == [[1], [1]]


@pytest.mark.parametrize(("version", "chunks"), [("0.5", None), ("0.5", (2, 1, 3, 6)), ("0.4", (2, 1, 3, 6))])
def test_a_written_box_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version, chunks) -> None:
    """Or a power cut would leave blocks that the ledger calls finished and that are not there."""
    data = np.arange(1, 6 * 3 * 6 * 6 + 1, dtype=np.uint16).reshape(6, 3, 6, 6)
    sink = ZarrSink(tmp_path / "a.zarr", data.shape, data.dtype, "ZCYX", chunks=chunks, version=version)
    headers = ("zarr.json", ".zarray", ".zattrs")

    def files() -> set[Path]:
        level = tmp_path / "a.zarr" / "0"
        return {file for file in level.rglob("*") if file.is_file() and file.name not in headers}

    synced: set[int] = set()
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.add(os.fstat(descriptor).st_ino))
    whole = (slice(0, 3), slice(0, 6), slice(0, 6))
    for begin in (2, 4) if chunks else (0,):
        part, before = slice(begin, begin + 2 if chunks else 6), files()
        synced.clear()
        sink.write((part, *whole), data[part])
        written = {file.stat().st_ino for file in files() - before}
        assert written
        assert synced == written
        np.testing.assert_array_equal(sink.read((part, *whole)), data[part])
    sink.write((slice(0, 2 if chunks else 6), *whole), np.zeros_like(data[: 2 if chunks else 6]))  # Zarr keeps none


def test_a_sink_refuses_what_is_there_what_zarr_cannot_hold_and_the_wrong_image(tmp_path: Path) -> None:
    ZarrSink(tmp_path / "a.zarr", (10, 10), np.uint8, "YX")
    with pytest.raises(OutputError, match="exists"):
        ZarrSink(tmp_path / "a.zarr", (10, 10), np.uint8, "YX")
    with pytest.raises(OutputError, match="complex"):
        ZarrSink(tmp_path / "b.zarr", (10, 10), np.complex64, "YX")
    with pytest.raises(OutputError, match=r"0\.3"):
        ZarrSink(tmp_path / "b.zarr", (10, 10), np.uint8, "YX", version="0.3")
    with pytest.raises(OutputError, match="five axes"):
        ZarrSink(tmp_path / "b.zarr", (1, 1, 1, 1, 9, 9), np.uint8, "TCQZYX")
    with pytest.raises(GeometryError, match="made for"):
        finish_store(tmp_path / "a.zarr", Image(np.zeros((5, 5), np.uint8), "YX"))
    with pytest.raises(InputError, match="resumed"):
        ZarrSink.open(tmp_path / "none.zarr")


def test_on_a_full_disk_nothing_is_left_of_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks are written side by side: those that come after the one that fails would make the folder again."""
    from zarr.storage import LocalStore

    put, chunks = LocalStore.set, []

    async def full(self: Any, key: str, value: Any) -> None:
        if "/c/" in key:
            chunks.append(key)
            if len(chunks) == 1:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            await asyncio.sleep(0.2)
        await put(self, key, value)

    monkeypatch.setattr(LocalStore, "set", full)
    with pytest.raises(OutputError, match="No space left"):
        write(tmp_path / "a.ome.zarr", Image(np.ones((4, 64, 64), np.uint8), "ZYX"), chunks=(1, 64, 64))
    assert len(chunks) > 1
    time.sleep(0.3)
    assert list(tmp_path.iterdir()) == []


def test_other_files_in_a_store_are_no_matter(tmp_path: Path) -> None:
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w")  # what Zarr warns of would be an error here
    group.create_array("raw", data=np.ones((4, 5), np.uint8))
    (tmp_path / "a.zarr" / "README.txt").write_text("hello")
    (tmp_path / "a.zarr" / "c").mkdir()
    assert read(tmp_path / "a.zarr").shape == (4, 5)


def test_a_damaged_index_of_a_shard_is_told_and_nothing_is_printed(tmp_path: Path) -> None:
    import google_crc32c
    from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec

    packing = [ShardingCodec(chunk_shape=(1, 10, 10), codecs=[BytesCodec(), Crc32cCodec()])]
    zarr.create(store=str(tmp_path / "a.zarr"), zarr_format=3, shape=(6, 40, 40), chunks=(1, 40, 40), dtype="u2",
                codecs=packing)[:] = np.arange(9600).reshape(6, 40, 40)  # fmt: skip
    shard = tmp_path / "a.zarr" / "c" / "0" / "0" / "0"
    data = bytearray(shard.read_bytes())
    at = len(data) - 4 - 16 * 16
    data[at : at + 16] = (2**64 - 5).to_bytes(8, "little") * 2  # a place and a length whose sum is no place
    data[-4:] = google_crc32c.value(bytes(data[at:-4])).to_bytes(4, "little")
    shard.write_bytes(data)
    program = (f"import ruska\nimage = ruska.read({str(tmp_path / 'a.zarr')!r})\n"
               "try:\n    image.numpy()\nexcept ruska.errors.InputError as error:\n    print('told')\n")  # fmt: skip
    done = subprocess.run([sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("told\n", "")


def _foreign(path: Path, zarr_format: int, separator: str) -> np.ndarray[Any, Any]:
    """A group with one array of 2 x 2 x 3 chunks, named by ``separator``."""
    data = RNG.integers(50, 200, (4, 20, 30)).astype(np.uint8)
    group = zarr.open_group(str(path), mode="w", zarr_format=zarr_format)  # type: ignore[arg-type]
    keys = {"name": "v2" if zarr_format == 2 else "default", "separator": separator}
    group.create_array("0", shape=data.shape, dtype="u1", chunks=(2, 10, 10), chunk_key_encoding=keys)[...] = data
    return data


@pytest.mark.parametrize("separator", ["/", "."])
def test_chunks_named_otherwise_than_the_metadata_say(tmp_path: Path, separator: str) -> None:
    """Zarr would find none of them, and read zeros. What the error says to set makes them readable."""
    data = _foreign(tmp_path / "a.zarr", 2, separator)
    head = tmp_path / "a.zarr" / "0" / ".zarray"
    said = json.loads(head.read_text())
    head.write_text(json.dumps(said | {"dimension_separator": "./".replace(separator, "")}))
    with pytest.raises(InputError, match=r"named like \d[./]\d[./]\d, but its metadata say \d[./]\d[./]\d") as caught:
        read(tmp_path / "a.zarr")
    assert f'"dimension_separator": "{separator}" in 0/.zarray' in str(caught.value.fix)
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "a.zarr")
    with pytest.raises(InputError, match="read as zeros"):
        read(tmp_path / "packed.zip")
    head.write_text(json.dumps(said | {"dimension_separator": separator}))
    np.testing.assert_array_equal(read(tmp_path / "a.zarr").numpy(), data)


def test_chunks_named_otherwise_in_zarr_3(tmp_path: Path) -> None:
    _foreign(tmp_path / "a.zarr", 3, ".")
    head = tmp_path / "a.zarr" / "0" / "zarr.json"
    said = json.loads(head.read_text())
    said["chunk_key_encoding"]["configuration"]["separator"] = "/"
    head.write_text(json.dumps(said))
    with pytest.raises(InputError, match=r"named like c\.\d\.\d\.\d, but its metadata say c/"):
        read(tmp_path / "a.zarr")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_store_without_any_chunk_is_an_error(tmp_path: Path, zarr_format: int) -> None:
    _foreign(tmp_path / "a.zarr", zarr_format, "/")
    files = [p for p in (tmp_path / "a.zarr" / "0").rglob("*") if p.is_file()]
    chunks = [p for p in files if p.name[-1].isdigit()]
    for chunk in chunks[1:]:
        chunk.unlink()
    assert read(tmp_path / "a.zarr").numpy().any()  # single chunks may be missing: they were never written
    chunks[0].unlink()
    with pytest.raises(InputError, match="none of the chunks") as caught:
        read(tmp_path / "a.zarr")
    assert "Copy" in str(caught.value.fix)


def test_a_store_of_ours_may_be_all_zeros(tmp_path: Path) -> None:
    """Zarr keeps no chunks of zeros: a map of labels may have none."""
    write(tmp_path / "a.zarr", Image(np.zeros((30, 40), np.uint8), "YX"))
    assert not read(tmp_path / "a.zarr").numpy().any()


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_a_scale_without_a_unit_is_kept_without_one(tmp_path: Path, version: str) -> None:
    data = RNG.integers(0, 255, (5, 30, 40)).astype(np.uint8)
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    group.create_array("0", shape=data.shape, chunks=data.shape, dtype="u1")[...] = data
    steps = [{"type": "scale", "scale": [40.0, 4.0, 4.0]}, {"type": "translation", "translation": [0.0, 8.0, 0.0]}]
    said = {"version": "0.4", "axes": [{"name": a, "type": "space"} for a in "zyx"],
            "datasets": [{"path": "0", "coordinateTransformations": steps}]}  # fmt: skip
    group.attrs["multiscales"] = [said]
    image = read(tmp_path / "a.zarr")
    assert {a: tuple(q) for a, q in image.spacing.items()} == {"Z": (40.0, ""), "Y": (4.0, ""), "X": (4.0, "")}
    assert image.voxel_size_nm == {}
    part = crop(image, {"Z": slice(2, 5)})
    assert tuple(part.origin["Z"]) == (80.0, "")
    write(tmp_path / "b.zarr", part, version=version)
    attributes = zarr.open_group(str(tmp_path / "b.zarr"), mode="r").attrs
    entry = attributes.get("ome", attributes)["multiscales"][0]
    assert not any("unit" in axis for axis in entry["axes"])
    assert entry["datasets"][0]["coordinateTransformations"][0]["scale"] == [40.0, 4.0, 4.0]
    assert entry["datasets"][0]["coordinateTransformations"][1]["translation"] == [80.0, 8.0, 0.0]
    assert read(tmp_path / "b.zarr").spacing == image.spacing
    lost = write(tmp_path / "b.tif", image)
    assert any("without a unit" in line for line in lost)
    sized = read(tmp_path / "a.zarr", voxel_size="20nm,2nm,2nm")
    assert (sized.spacing["Z"], sized.origin["Y"]) == (Quantity(20.0, "nm"), Quantity(4.0, "nm"))
    steps[0]["scale"] = [1.0, 1.0, 1.0]
    group.attrs["multiscales"] = [said]
    assert read(tmp_path / "a.zarr").spacing == {}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_colours_and_windows_of_channels_go_along(tmp_path: Path, version: str) -> None:
    group = zarr.open_group(tmp_path / "a.ome.zarr", mode="w", zarr_format=2 if version == "0.4" else 3)
    group.create_array("0", data=np.arange(2 * 20 * 33, dtype=np.uint16).reshape(2, 20, 33), chunks=(1, 20, 33))
    window = {"min": 0, "max": 65535, "start": 7, "end": 900}
    channels = [{"label": "BSE", "color": "FF0000", "active": False, "window": window}, {"label": "SE", "color": "x"}]
    axes = [{"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    ome = {"multiscales": [{"axes": axes, "datasets": [{"path": "0"}]}], "omero": {"channels": channels}}
    group.attrs.update(ome if version == "0.4" else {"ome": ome | {"version": "0.5"}})
    image = read(tmp_path / "a.ome.zarr")
    for name, made in (("b", image), ("c", crop(image, {"C": slice(0, 1)}))):
        write(tmp_path / f"{name}.ome.zarr", made)
        found = zarr.open_group(tmp_path / f"{name}.ome.zarr", mode="r").attrs["ome"]["omero"]["channels"]
        assert found[0] == channels[0]
        assert [c["label"] for c in found] == ["BSE", "SE"][: len(found)]
    write(tmp_path / "d.ome.zarr", image.with_data(image.numpy().astype(np.float32)))
    found = zarr.open_group(tmp_path / "d.ome.zarr", mode="r").attrs["ome"]["omero"]["channels"]
    assert (found[0]["color"], found[0]["window"]["start"] == 7) == ("FF0000", False)
    shown = "colours and display ranges of channels"
    for name in ("b.tif", "b.ome.tif", "b.npy"):
        assert shown in (losses_sentence(tmp_path / name, image) or "")
    assert losses_sentence(tmp_path / "e.ome.zarr", image) is None


def test_plain_arrays_may_name_axes_in_words_and_state_sizes(tmp_path: Path) -> None:
    data = RNG.integers(0, 255, (5, 30, 40)).astype(np.uint8)
    names = ["col", "row", "depth"]
    array = zarr.create_array(str(tmp_path / "a.zarr"), shape=data.shape, dtype="u1", dimension_names=names)
    array[...] = data
    array.attrs.update({"resolution": [2.0, 3.0, 50.0], "unit": "nm"})
    image = read(tmp_path / "a.zarr")
    assert (image.axes, image.voxel_size_nm) == ("ZYX", {"X": 2.0, "Y": 3.0, "Z": 50.0})
    np.testing.assert_array_equal(image.numpy(), data.transpose(2, 1, 0))
