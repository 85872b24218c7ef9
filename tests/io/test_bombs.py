"""Files that claim or unpack to far too much, or name files elsewhere, are refused before anything happens."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import h5py
import imagecodecs
import numpy as np
import pytest
import tifffile
from numcodecs import Blosc
from tests.io.specimens import PLANE, precomputed

from ruska.errors import InputError, ResourceError
from ruska.image import Image, Quantity
from ruska.io import chunked, read, registry, write
from ruska.io.chunked import check_packed
from ruska.io.hdf5_layouts import attribute

ZEROS = bytes(8 << 20)
BOMBS = {
    "gzip": gzip.compress(ZEROS),
    "zstd": bytes(imagecodecs.zstd_encode(ZEROS)),
    "blosc": bytes(Blosc().encode(ZEROS)),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_packed_data_are_measured_before_they_are_unpacked(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(chunked, "LARGEST_CHUNK", 1 << 20)
    check_packed(kind, BOMBS[kind], len(ZEROS))
    for limit in (0, 1000, len(ZEROS) - 1):
        with pytest.raises(ValueError, match="a chunk may take"):
            check_packed(kind, BOMBS[kind], limit)


@pytest.mark.parametrize("size", [0, 100, 255, 256, 65_791, 65_792, 1 << 20])
def test_the_size_a_zstd_frame_states(size: int) -> None:
    packed = bytes(imagecodecs.zstd_encode(bytes(size)))
    assert chunked._zstd_size(packed) == size


@pytest.mark.parametrize("version", ["2", "3", "3 sharded"])
@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_in_zarr_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, version: str) -> None:
    """A chunk that holds more than a chunk is never handed to its codec."""
    import zarr

    monkeypatch.setattr(chunked, "LARGEST_CHUNK", 1 << 20)
    array = zarr.create_array(
        str(tmp_path / "a.zarr"), shape=(64, 64), dtype="u1", chunks=(32, 32), zarr_format=int(version[0]),
        shards=(64, 64) if "sharded" in version else None, compressors=_compressor(kind, version),
    )  # fmt: skip
    array[:] = 7
    assert (read(tmp_path / "a.zarr").numpy() == 7).all()
    if "sharded" in version:
        (tmp_path / "a.zarr" / "c" / "0" / "0").write_bytes(_shard([BOMBS[kind]] * 4))
    else:
        chunk = tmp_path / "a.zarr" / ("0.0" if version == "2" else "c/0/0")
        chunk.write_bytes(BOMBS[kind])
    with pytest.raises(InputError, match="a chunk may take"):
        read(tmp_path / "a.zarr").numpy()
    with pytest.raises(InputError, match="a chunk may take"):
        read(tmp_path / "a.zarr").data[:3, :3]


def _compressor(kind: str, version: str) -> Any:
    import numcodecs
    import zarr.codecs

    if version == "2":
        return {"gzip": numcodecs.GZip(), "zstd": numcodecs.Zstd(), "blosc": Blosc()}[kind]
    made = {"gzip": zarr.codecs.GzipCodec, "zstd": zarr.codecs.ZstdCodec, "blosc": zarr.codecs.BloscCodec}
    return made[kind]()


def _shard(chunks: list[bytes]) -> bytes:
    """Chunks one after the other, and the index of offsets and lengths at the end, with its checksum."""
    from google_crc32c import value as crc32c

    index, at = b"", 0
    for chunk in chunks:
        index += struct.pack("<QQ", at, len(chunk))
        at += len(chunk)
    return b"".join(chunks) + index + struct.pack("<I", crc32c(index))


def test_zarr_chunks_beyond_all_measure(tmp_path: Path) -> None:
    write(tmp_path / "a.zarr", Image(PLANE, "YX"))
    file = tmp_path / "a.zarr" / "0" / "zarr.json"
    said = json.loads(file.read_text())
    said["shape"] = said["chunk_grid"]["configuration"]["chunk_shape"] = [1 << 25, 1 << 25]
    file.write_text(json.dumps(said))
    with pytest.raises(InputError, match="smaller chunks"):
        read(tmp_path / "a.zarr")


def test_metadata_of_zarr_are_read_up_to_a_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ruska.io import checked_store

    write(tmp_path / "a.zarr", Image(PLANE, "YX"))
    read(tmp_path / "a.zarr")
    monkeypatch.setattr(checked_store, "_LONGEST", 200)
    with pytest.raises(InputError, match="metadata"):
        read(tmp_path / "a.zarr")


@pytest.mark.parametrize("trick", ["../../s.zarr/0", "/s.zarr/0", "0/../../s.zarr/0", "..\\s.zarr\\0"])
def test_levels_outside_of_a_store(tmp_path: Path, trick: str) -> None:
    for name in ("s.zarr", "a/b.zarr"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write(tmp_path / name, Image(PLANE, "YX"))
    file = tmp_path / "a" / "b.zarr" / "zarr.json"
    said = json.loads(file.read_text())
    del said["attributes"]["ruska"]
    said["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = trick
    file.write_text(json.dumps(said))
    with pytest.raises(InputError, match="finest level cannot be opened"):
        read(tmp_path / "a" / "b.zarr")


def ome_tiff(path: Path, *, other: str = "b.ome.tif", planes: int = 2, extra: str = "") -> None:
    """A file whose second plane is said to be in the file ``other``."""
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        f'UUID="urn:uuid:a">{extra}<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint16" '
        f'SizeX="30" SizeY="20" SizeC="1" SizeZ="{planes}" SizeT="1"><Channel ID="Channel:0:0"/>'
        '<TiffData IFD="0" PlaneCount="1"><UUID FileName="a.ome.tif">urn:uuid:a</UUID></TiffData>'
        f'<TiffData FirstZ="1" IFD="0" PlaneCount="1"><UUID FileName="{other}">urn:uuid:b</UUID></TiffData>'
        "</Pixels></Image></OME>"
    )
    tifffile.imwrite(path, PLANE, description=xml, metadata=None)


@pytest.mark.parametrize("other", ["../b.ome.tif", "/etc/b.ome.tif", "..\\b.ome.tif", "C:\\b.ome.tif", "x/../../b.tif"])
def test_ome_tiff_that_names_files_elsewhere(tmp_path: Path, other: str) -> None:
    (tmp_path / "a").mkdir()
    tifffile.imwrite(tmp_path / "b.ome.tif", PLANE + 5)
    ome_tiff(tmp_path / "a" / "a.ome.tif", other=other)
    with pytest.raises(InputError, match="outside of its folder") as caught:
        read(tmp_path / "a" / "a.ome.tif")
    assert caught.value.fix
    tifffile.imwrite(tmp_path / "a" / "b.ome.tif", PLANE + 5)
    ome_tiff(tmp_path / "a" / "a.ome.tif")  # a neighbour is followed
    np.testing.assert_array_equal(read(tmp_path / "a" / "a.ome.tif").numpy(), [PLANE, PLANE + 5])


def test_ome_tiff_of_absurdly_many_planes(tmp_path: Path) -> None:
    ome_tiff(tmp_path / "a.ome.tif", planes=2_000_000_000)
    with pytest.raises(InputError, match="2000000000 planes"):
        read(tmp_path / "a.ome.tif")


@pytest.mark.parametrize("rows", [1 << 16, 10])
def test_tiff_strips_that_claim_or_hold_too_much(tmp_path: Path, rows: int) -> None:
    data = zlib.compress(ZEROS)
    fields = [(256, 1 << 16 if rows > 10 else 10), (257, rows), (258, 8), (259, 8), (262, 1), (273, 134), (277, 1),
              (278, rows), (279, len(data)), (284, 1)]  # fmt: skip
    head = b"II*\0" + struct.pack("<IH", 8, len(fields))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    (tmp_path / "a.tif").write_bytes(head + entries + bytes(4) + data)
    with pytest.raises(InputError, match="bomb" if rows > 10 else "cannot be decoded"):
        read(tmp_path / "a.tif").numpy()


@pytest.mark.parametrize("claim", [(10, 10), (1 << 16, 1 << 16)])
def test_hdf5_chunks_that_claim_or_hold_too_much(tmp_path: Path, claim: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).bytes(100_000)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", claim, "u1", chunks=claim, compression="gzip")
        data.id.write_direct_chunk((0, 0), zlib.compress(noise))
    with pytest.raises(InputError, match=r"takes 100\d+ bytes, of 100|compressed chunks of 4096 MB"):
        read(tmp_path / "a.h5").numpy()


def test_an_hdf5_chunk_that_unpacks_to_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunked, "LARGEST_CHUNK", 1 << 20)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("data", (100, 100), "u1", chunks=(100, 100), compression="gzip")
        data.id.write_direct_chunk((0, 0), zlib.compress(ZEROS))
    with pytest.raises(InputError, match="cannot be unpacked"):
        read(tmp_path / "a.h5").numpy()


def test_an_hdf5_heap_that_leads_in_circles(tmp_path: Path) -> None:
    """HDF5 itself never comes back from it."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = PLANE
        file["data"].attrs["axistags"] = "some text that lies in the heap"
    data = bytearray((tmp_path / "a.h5").read_bytes())
    assert read(tmp_path / "a.h5").shape == PLANE.shape
    heap = data.index(b"GCOL\1")
    length = int.from_bytes(data[heap + 24 : heap + 32], "little")
    free = heap + 32 + -(-length // 8) * 8
    assert data[free : free + 2] == b"\0\0"
    data[free + 8 : free + 16] = bytes(8)  # free space of no bytes
    (tmp_path / "a.h5").write_bytes(data)
    with pytest.raises(InputError, match="runs in circles"):
        read(tmp_path / "a.h5")


def test_hdf5_attributes_of_absurd_length_are_left_out(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = PLANE
        file["data"].attrs["element_size_um"] = [0.5, 0.5]
    assert read(tmp_path / "a.h5").spacing == dict.fromkeys("YX", Quantity(0.5, "um"))
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file.attrs["x"] = np.zeros(1 << 18)
        assert attribute(file, "x", "left out") == "left out"


def test_numpy_heads_and_members_that_claim_too_much(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY\2\0\xff\xff\xff\xff" + bytes(100))
    with pytest.raises(InputError, match="4294967295 bytes"):
        read(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data.npy", b"\x93NUMPY")
    data = bytearray((tmp_path / "a.npz").read_bytes())
    entry = data.rindex(b"PK\1\2")
    data[entry + 24 : entry + 28] = (2 << 30).to_bytes(4, "little")
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(InputError, match="decompression bomb"):
        read(tmp_path / "a.npz")


def test_a_png_chunk_longer_than_its_file(tmp_path: Path) -> None:
    write(tmp_path / "a.png", Image(PLANE.astype(np.uint8), "YX"))
    data = bytearray((tmp_path / "a.png").read_bytes())
    assert read(tmp_path / "a.png").shape == PLANE.shape
    data[33:37] = b"\xff\xff\xff\0"
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(InputError, match="chunk of 4294967040 bytes"):
        read(tmp_path / "a.png")


def test_a_broken_png_chunk_of_a_precomputed_volume(tmp_path: Path) -> None:
    """Pillow calls it a SyntaxError."""
    volume = next(one for one in precomputed(tmp_path, tmp_path) if one.target.startswith("png"))
    part = next(p for p in volume.parts if not p.endswith("info"))
    data = (tmp_path / part).read_bytes()
    at = data.index(b"IDAT")
    short = (10).to_bytes(4, "big") + data[at : at + 14]
    checksum = zlib.crc32(data[at : at + 14]).to_bytes(4, "big")
    (tmp_path / part).write_bytes(data[: at - 4] + short + checksum + (10).to_bytes(4, "big") + b"\x99cf<" + bytes(14))
    with pytest.raises(InputError, match="broken PNG"):
        read(tmp_path / "png.precomputed").numpy()


def test_memory_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ruska.io import numpy_file

    def greedy(*_: Any) -> None:
        raise MemoryError

    write(tmp_path / "a.npy", Image(PLANE, "YX"))
    monkeypatch.setattr(numpy_file, "read", greedy)
    with pytest.raises(ResourceError, match="more memory"):
        registry.read(tmp_path / "a.npy")


def test_a_file_is_found_by_any_path_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    write(folder / "a.ome.tif", Image(np.zeros((8, 8), np.uint8), "YX"))
    paths = ["a.ome.tif", "../here/a.ome.tif", "./a.ome.tif"]
    try:
        (tmp_path / "link.tif").symlink_to(folder / "a.ome.tif")
        (tmp_path / "linked").symlink_to(folder, target_is_directory=True)
        paths += ["../link.tif", "../linked/a.ome.tif"]
    except OSError:  # Windows asks for a privilege
        pass
    monkeypatch.chdir(folder)
    for path in paths:
        assert read(path).numpy().shape == (8, 8)


def test_pages_in_files_elsewhere_are_refused_however_they_were_named(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from ruska.io.tiff_limits import check_files

    folder, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    path = folder / "a.ome.tif"
    check_files(
        path, SimpleNamespace(pages=[None, *(SimpleNamespace(file=folder / n) for n in ("a.ome.tif", "b.tif"))])
    )
    with pytest.raises(InputError, match="outside of its folder"):
        check_files(path, SimpleNamespace(pages=[SimpleNamespace(file=elsewhere / "b.tif")]))
