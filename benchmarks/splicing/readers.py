"""What is damaged: sound specimens of every reader, and how each kind is cut."""

from __future__ import annotations

import gzip
import random
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tests.io import specimens as sound
from tests.io.specimens import FLAT, NM, PLANE, ROSETTA, STACK, Specimen, real, store

from benchmarks.splicing import hdf5, heads, packs, stores, tiff
from ruska.image import Image
from ruska.io import write

Damage = Callable[[Path, Path, random.Random], None]
"""Damages a file or folder in place, given another sound one of the same reader."""


@dataclass(frozen=True)
class Reader:
    """``specimens(folder, data)`` puts sound inputs into a folder, given that of real instrument files."""

    specimens: Callable[[Path, Path], list[Specimen]]
    damage: Damage


def by_bytes(change: packs.Damage) -> Damage:
    def damage(path: Path, donor: Path, rng: random.Random) -> None:
        path.write_bytes(change(path.read_bytes(), donor.read_bytes(), rng))

    return damage


# TIFF


def _tiff(folder: Path, data: Path) -> list[Specimen]:
    names = ("openncem/../webknossos_io/tiff_test.0000.tiff", "mobie_testdata/golgi-cell-labels.tif")
    return [s for s in sound.tiff(folder, data) if not s.target.endswith(("ome.tif", "zstd.tif"))] + real(
        folder, data, *names
    )


def _big_tiff(folder: Path, data: Path) -> list[Specimen]:
    """BigTIFF, OME-TIFF and ImageJ's, in tiles and strips, with pyramids."""
    import tifffile

    write(folder / "ours.ome.tif", Image(STACK, "ZYX", NM))
    write(folder / "ours.btf", Image(STACK, "ZYX", NM))
    tifffile.imwrite(folder / "big.tif", STACK, bigtiff=True, tile=(16, 16), compression="zlib", predictor=True)
    tifffile.imwrite(folder / "turned.tif", STACK, bigtiff=True, byteorder=">", ome=True)
    tifffile.imwrite(folder / "imagej.tif", STACK, imagej=True, metadata={"axes": "ZYX", "unit": "nm", "spacing": 4.0})
    with tifffile.TiffWriter(folder / "pyramid.ome.tif", bigtiff=True) as file:
        file.write(np.tile(STACK, (1, 4, 4)), subifds=1, tile=(32, 32), metadata={"axes": "ZYX"})
        file.write(np.tile(STACK, (1, 2, 2)), subfiletype=1, tile=(32, 32))
    names = ("ours.ome.tif", "ours.btf", "big.tif", "turned.tif", "imagej.tif", "pyramid.ome.tif")
    more = real(folder, data, "webknossos_io/4D_single_channel_single-channel.ome.tiff",
                f"{ROSETTA}/tiff__test_loading_image_saved_with_imageJ_stack.tif")  # fmt: skip
    return [Specimen(name, (name,)) for name in names] + more


# Files that are a header before their values


def _mrc(folder: Path, data: Path) -> list[Specimen]:
    names = ("mrc__Custom_movie.mrc", "mrc__20241021_00405_final.mrc", "mrc__ROI_Random_Scan_Sum.mrc")
    return [*sound.mrc(folder, data), *real(folder, data, *(f"{ROSETTA}/{name}" for name in names))]


def _cut_mrc(path: Path, donor: Path, rng: random.Random) -> None:
    by_bytes(heads.mdoc if path.suffix == ".mdoc" else heads.mrc)(path, donor, rng)


def _npy(folder: Path, data: Path) -> list[Specimen]:
    write(folder / "stack.npy", Image(STACK, "ZYX"))
    np.save(folder / "turned.npy", np.asfortranarray(STACK.astype(">f4")))
    np.save(folder / "colours.npy", np.stack([PLANE.astype("u1")] * 3, -1))
    return [Specimen(name, (name,)) for name in ("stack.npy", "turned.npy", "colours.npy")]


def _npz(folder: Path, data: Path) -> list[Specimen]:
    write(folder / "ours.npz", Image(STACK, "ZYX", NM, mask=STACK > 100))
    np.savez_compressed(folder / "theirs.npz", image=STACK)
    return [Specimen(name, (name,)) for name in ("ours.npz", "theirs.npz")]


def _inside_npz(name: str, body: bytes, donor: bytes, rng: random.Random) -> bytes:
    return heads.npy(body, donor, rng) if body[:6] == b"\x93NUMPY" else body


def _dm(version: str) -> Callable[[Path, Path], list[Specimen]]:
    def specimens(folder: Path, data: Path) -> list[Specimen]:
        names = {
            "dm3": ("openncem/dmTest_float32_nonSquare_diffPixelSize.dm3", "etspy/BF_001.dm3",
                    f"{ROSETTA}/digitalmicrograph__Fei_HAADF-DE_location.dm3"),
            "dm4": ("openncem/dmTest_float32_nonSquare_diffPixelSize.dm4", "openncem/dmTest_3D_int16_64-65-66.dm4"),
        }  # fmt: skip
        return real(folder, data, *names[version])

    return specimens


def _ser(folder: Path, data: Path) -> list[Specimen]:
    return [*sound.ser(folder, data), *real(folder, data, f"{ROSETTA}/tia__old__16x16_STEM_BF_DF_acquire_1.ser",
                                            f"{ROSETTA}/tia__old__64x64x5_TEM_preview_1.ser")]  # fmt: skip


def _emi(folder: Path, data: Path) -> list[Specimen]:
    return [
        *sound.emi(folder, data),
        Specimen("tia__old__16x16_STEM_BF_DF_acquire_1.ser", sound.emi(folder, data)[0].parts),
    ]


# HDF5


def _sparse(found: list[Specimen]) -> list[Specimen]:
    return [Specimen(one.target, one.parts, sparse=True) for one in found]


def _hdf5(folder: Path, data: Path) -> list[Specimen]:
    import h5py

    found = sound.hdf5(folder, data)[:1]
    with h5py.File(folder / "latest.h5", "w", libver="latest") as file:
        file.create_dataset("raw/volume", data=STACK, chunks=(1, 10, 10), compression="gzip", shuffle=True)
        file["raw"].attrs["element_size_um"] = [0.05, 0.004, 0.004]
    with h5py.File(folder / "group.hspy", "w") as file:
        group = file.create_group("Experiments/shown")
        group["data"] = STACK
        for i, (name, units) in enumerate((("t", "s"), ("y", "nm"), ("x", "nm"))):
            axis = group.create_group(f"axis-{i}")
            axis.attrs.update({"name": name, "units": units, "scale": 4.0, "offset": 1.0, "size": STACK.shape[i],
                               "navigate": i == 0, "index_in_array": i})  # fmt: skip
        file.attrs.update({"file_format": "HyperSpy", "file_format_version": "3.3"})
    return _sparse([*found, *(Specimen(n, (n,)) for n in ("latest.h5", "group.hspy"))])


def _berkeley(folder: Path, data: Path) -> list[Specimen]:
    import h5py

    with h5py.File(folder / "a.emd", "w") as file:
        group = file.create_group("data/stack")
        group.attrs["emd_group_type"] = 1
        group["data"] = STACK
        for i, (name, units) in enumerate((("z", "[n_m]"), ("y", "[n_m]"), ("x", "[n_m]"))):
            axis = group.create_dataset(f"dim{i + 1}", data=np.arange(STACK.shape[i]) * 4.0)
            axis.attrs.update({"name": np.bytes_(name), "units": np.bytes_(units)})
        file.attrs.update({"version_major": 0, "version_minor": 2})
    return _sparse([Specimen("a.emd", ("a.emd",)), *real(folder, data, "openncem/emd_type1_stringDims.h5")])


def _velox(folder: Path, data: Path) -> list[Specimen]:
    return _sparse(real(folder, data, f"{ROSETTA}/emd__fei_example_tem_stack.emd"))


# Stores


def _zarr(version: int) -> Callable[[Path, Path], list[Specimen]]:
    def specimens(folder: Path, data: Path) -> list[Specimen]:
        found = [s for s in sound.zarr(folder, data) if (s.target.startswith(("b.", "v2"))) == (version == 2)]
        if version == 3:
            found += _sharded(folder)
        return found

    return specimens


def _sharded(folder: Path) -> list[Specimen]:
    import zarr
    from zarr.codecs import BytesCodec, Crc32cCodec, GzipCodec, ShardingCodec, ZstdCodec

    inner: dict[str, Any] = {"plain": [BytesCodec()], "gzip": [BytesCodec(), GzipCodec()],
                             "zstd": [BytesCodec(), ZstdCodec(), Crc32cCodec()]}  # fmt: skip
    for name, codecs in inner.items():
        packing = [ShardingCodec(chunk_shape=(1, 10, 15), codecs=codecs,
                                 index_location="start" if name == "gzip" else "end")]  # fmt: skip
        array = zarr.create(store=str(folder / f"{name}.zarr"), zarr_format=3, shape=STACK.shape, chunks=(1, 20, 30),
                            dtype=STACK.dtype, codecs=packing, dimension_names=("z", "y", "x"))  # fmt: skip
        array[:] = STACK
    return [store(folder, f"{name}.zarr") for name in inner]


# Packed


def _packed(folder: Path, data: Path) -> list[Specimen]:
    found = sound.packed(folder, data)
    plain = (folder / "a.npy").read_bytes()
    write(folder / "b.tif", Image(PLANE, "YX", FLAT))
    (folder / "b.tif.gz").write_bytes(gzip.compress((folder / "b.tif").read_bytes()))
    shutil.copyfile(folder / "EMD-3197.map.bz2", folder / "c.mrc.bz2")
    assert plain
    return [*found, Specimen("b.tif.gz", ("b.tif.gz",))]


def _inside_packed(data: bytes, donor: bytes, rng: random.Random) -> bytes:
    return _inside_any("", data, donor, rng)


def _inside_any(name: str, data: bytes, donor: bytes, rng: random.Random) -> bytes:
    if data[:6] == b"\x93NUMPY":
        return heads.npy(data, donor, rng)
    if data[:2] in (b"II", b"MM"):
        return tiff.damage(data, donor, rng)
    if data[:1] == b"{":
        from benchmarks.splicing.texts import damaged_json

        return damaged_json(data, donor, rng)
    return heads.mrc(data, donor, rng) if len(data) > 1024 else data[: len(data) // 2]


def _archive(folder: Path, data: Path) -> list[Specimen]:
    found = sound.archive(folder, data)
    write(folder / "b.mrc", Image(STACK, "ZYX", NM))
    with zipfile.ZipFile(folder / "b.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(folder / "b.mrc", "deep/b.mrc")
        archive.writestr("readme.txt", "hello")
    return [*found, Specimen("b.zip", ("b.zip",))]


def _pictures(folder: Path, data: Path) -> list[Specimen]:
    from PIL import Image as Pillow

    found = sound.picture(folder, data)
    grey = (PLANE % 256).astype(np.uint8)
    Pillow.fromarray(np.stack([grey] * 3, -1)).save(folder / "c.png")
    Pillow.fromarray(grey).convert("P").save(folder / "p.png", transparency=3)
    Pillow.fromarray(PLANE).save(folder / "deep.png")
    Pillow.fromarray(np.stack([grey] * 3, -1)).save(folder / "c.jpg", progressive=True)
    Pillow.fromarray(grey).convert("1").save(folder / "b.bmp")
    return [*found, *(Specimen(n, (n,)) for n in ("c.png", "p.png", "deep.png", "c.jpg", "b.bmp"))]


def _slices(folder: Path, data: Path) -> list[Specimen]:
    found = sound.slices(folder, data)
    (folder / "shots").mkdir()
    for i in range(3):
        write(folder / "shots" / f"{i}.png", Image((PLANE % 250 + i).astype(np.uint8), "YX"))
    return [*found, Specimen("shots", tuple(f"shots/{i}.png" for i in range(3)))]


READERS: dict[str, Reader] = {
    "TIFF": Reader(_tiff, by_bytes(tiff.damage)),
    "OME, BigTIFF, ImageJ": Reader(_big_tiff, by_bytes(tiff.damage)),
    "MRC": Reader(_mrc, _cut_mrc),
    "NPY": Reader(_npy, by_bytes(heads.npy)),
    "NPZ": Reader(_npz, by_bytes(packs.members(_inside_npz))),
    "HDF5": Reader(_hdf5, hdf5.damage),
    "Berkeley EMD": Reader(_berkeley, hdf5.damage),
    "Velox EMD": Reader(_velox, hdf5.damage),
    "DM3": Reader(_dm("dm3"), by_bytes(heads.dm)),
    "DM4": Reader(_dm("dm4"), by_bytes(heads.dm)),
    "SER": Reader(_ser, by_bytes(heads.ser)),
    "EMI": Reader(_emi, by_bytes(heads.emi)),
    "FIB-SEM": Reader(sound.fibsem, by_bytes(heads.dat)),
    "Zarr v2": Reader(_zarr(2), stores.store),
    "Zarr v3": Reader(_zarr(3), stores.store),
    "N5": Reader(sound.n5, stores.store),
    "precomputed": Reader(sound.precomputed, stores.store),
    "pictures": Reader(_pictures, by_bytes(heads.picture)),
    "gzip, bzip2": Reader(_packed, by_bytes(packs.squeezed(_inside_packed))),
    "zip": Reader(_archive, by_bytes(packs.members(_inside_any))),
    "folder": Reader(_slices, stores.slices),
}
