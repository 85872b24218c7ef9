"""One small sound file or store of every kind that a reader takes, to be damaged."""

from __future__ import annotations

import bz2
import gzip
import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ruska.image import Image, Quantity
from ruska.io import write

HERE = Path(__file__).parent
PLANE = (np.arange(600, dtype=np.uint16) * 37 % 1009).astype(np.uint16).reshape(20, 30)
STACK = np.stack([PLANE, PLANE + 1, PLANE + 2])
NM = {a: Quantity(4.0, "nm") for a in "ZYX"}
FLAT = {a: NM[a] for a in "YX"}
ROSETTA = "rosettasciio_testdata"


@dataclass(frozen=True)
class Specimen:
    """A sound input. ``target`` is what is read, ``parts`` the files of it that can be damaged, below one folder.

    sparse : the format stores only some of what it claims, so that a large claim alone is no fault.
    """

    target: str
    parts: tuple[str, ...]
    sparse: bool = False


def real(folder: Path, data: Path, *names: str) -> list[Specimen]:
    """Copies of files of ``data``, each damaged by itself."""
    for name in names:
        shutil.copyfile(data / name, folder / Path(name).name)
    return [Specimen(Path(name).name, (Path(name).name,)) for name in names]


def store(folder: Path, name: str) -> Specimen:
    """The store ``name`` in ``folder``, with all of its files."""
    files = sorted(p for p in (folder / name).rglob("*") if p.is_file())
    return Specimen(name, tuple(p.relative_to(folder).as_posix() for p in files), sparse=True)


def tiff(folder: Path, data: Path) -> list[Specimen]:
    import tifffile

    write(folder / "ours.tif", Image(STACK, "ZYX", NM))
    write(folder / "ours.ome.tif", Image(STACK, "ZYX", NM))
    made: dict[str, dict[str, Any]] = {
        "lzw": {"compression": "lzw", "predictor": True, "rowsperstrip": 4},
        "deflate": {"compression": "zlib", "tile": (16, 16)},
        "jpeg": {"compression": "jpeg", "tile": (16, 16)},
        "packbits": {"compression": "packbits"},
        "zstd": {"compression": "zstd", "bigtiff": True},
        "jpeg2000": {"compression": "jpeg2000"},
        "webp": {"compression": "webp", "photometric": "rgb"},
        "planar": {"photometric": "rgb", "planarconfig": "separate"},
    }
    for name, options in made.items():
        grey = (PLANE % 256).astype(np.uint8) if name in ("jpeg", "webp", "planar") else PLANE
        colour = {"webp": np.stack([grey] * 3, -1), "planar": np.stack([grey] * 3)}.get(name, grey)
        tifffile.imwrite(folder / f"{name}.tif", colour, **options)
    with zipfile.ZipFile(data / ROSETTA / "tiff__tiff_FEI_Helios.zip") as archive:
        member = next(m for m in archive.namelist() if m.lower().endswith((".tif", ".tiff")))
        (folder / "fei.tif").write_bytes(archive.read(member))
    names = ("fei", "ours", *made)
    makers = (
        "olympus_SIS",
        "test_loading_image_saved_with_DM",
        "test_loading_image_saved_with_imageJ_stack",
        "optical_Zeiss_AxioVision_BW",
        "optical_Zeiss_AxioVision_RGB",
    )
    return [Specimen(f"{name}.tif", (f"{name}.tif",)) for name in names] + [
        Specimen("ours.ome.tif", ("ours.ome.tif",)),
        *real(folder, data, *(f"{ROSETTA}/tiff__{name}.tif" for name in makers)),
    ]


def mrc(folder: Path, data: Path) -> list[Specimen]:
    write(folder / "ours.mrc", Image(STACK, "ZYX", NM))
    (folder / "ours.mrc.mdoc").write_text("PixelSpacing = 5.0\nImageFile = ours.mrc\n\n[ZValue = 0]\nTiltAngle = 1.5\n")
    return [
        Specimen("ours.mrc", ("ours.mrc", "ours.mrc.mdoc")),
        *real(folder, data, f"{ROSETTA}/mrc__20241021_00405_movie.mrc", "mrcfile_testdata/EMD-3197.map"),
    ]


def numpy_file(folder: Path, data: Path) -> list[Specimen]:
    write(folder / "a.npy", Image(STACK, "ZYX"))
    write(folder / "a.npz", Image(STACK, "ZYX", NM))
    return [Specimen(name, (name,)) for name in ("a.npy", "a.npz")]


def hdf5(folder: Path, data: Path) -> list[Specimen]:
    write(folder / "ours.h5", Image(STACK, "ZYX", NM))
    found = [Specimen("ours.h5", ("ours.h5",)), *real(folder, data, "openncem/emd_type1_stringDims.h5")]
    return [Specimen(one.target, one.parts, sparse=True) for one in found]


def velox(folder: Path, data: Path) -> list[Specimen]:
    found = real(folder, data, f"{ROSETTA}/emd__fei_example_tem_stack.emd")
    return [Specimen(one.target, one.parts, sparse=True) for one in found]


def zarr(folder: Path, data: Path) -> list[Specimen]:
    """Ours of both versions of OME-Zarr, and plain arrays of others: chunks in files, and packed in several ways."""
    import zarr as library
    from zarr.codecs import BloscCodec, GzipCodec, TransposeCodec

    image = Image(STACK, "ZYX", NM)
    write(folder / "a.ome.zarr", image)
    write(folder / "b.ome.zarr", image, version="0.4")
    delta = {"id": "delta", "dtype": "<u2"}
    cut: dict[str, Any] = {"chunks": (3, 16, 30), "shape": STACK.shape, "dtype": STACK.dtype}
    made: dict[str, dict[str, Any]] = {
        "v2_blosc": {"zarr_format": 2, "order": "F", "dimension_separator": "."},
        "v2_zlib": {"zarr_format": 2, "compressor": {"id": "zlib", "level": 1}, "filters": [delta]},
        "v3_blosc": {"zarr_format": 3, "codecs": [TransposeCodec(order=(2, 1, 0)), *_bytes(BloscCodec())]},
        "v3_gzip": {"zarr_format": 3, "codecs": _bytes(GzipCodec())},
    }  # fmt: skip
    for name, options in made.items():
        library.create(store=str(folder / f"{name}.zarr"), **cut, **options)[:] = STACK
    return [store(folder, name) for name in ("a.ome.zarr", "b.ome.zarr", *(f"{name}.zarr" for name in made))]


def _bytes(packing: Any) -> list[Any]:
    from zarr.codecs import BytesCodec

    return [BytesCodec(), packing]


def dm(folder: Path, data: Path) -> list[Specimen]:
    names = (f"{ROSETTA}/digitalmicrograph__Fei_HAADF-DE_location.dm3",
             "openncem/dmTest_float32_nonSquare_diffPixelSize.dm3",
             "openncem/dmTest_float32_nonSquare_diffPixelSize.dm4")  # fmt: skip
    return real(folder, data, *names)


def ser(folder: Path, data: Path) -> list[Specimen]:
    names = ("tia__old__16x16x5_STEM_BF_DF_preview_2.ser", "tia__new__128x128-TEM_search_1.ser",
             "tia__old__64x64_TEM_images_acquire_1.ser")  # fmt: skip
    return real(folder, data, *(f"{ROSETTA}/{name}" for name in names))


def emi(folder: Path, data: Path) -> list[Specimen]:
    name = "tia__old__16x16_STEM_BF_DF_acquire"
    for suffix in (".emi", "_1.ser", "_2.ser"):
        shutil.copyfile(data / ROSETTA / f"{name}{suffix}", folder / f"{name}{suffix}")
    return [Specimen(f"{name}.emi:2", (f"{name}.emi",))]


def fibsem(folder: Path, data: Path) -> list[Specimen]:
    frame = data / "fibsem_dat/examples__Gemini500-7029_24-12-16_151317_0-0-0.dat"
    small = bytearray(frame.read_bytes()[: 1024 + 10 * 8 * 2 * 2])
    small[100:108] = (10).to_bytes(4, "big") + (8).to_bytes(4, "big")
    (folder / "a.dat").write_bytes(small)
    return [Specimen("a.dat", ("a.dat",))]


def n5(folder: Path, data: Path) -> list[Specimen]:
    """Containers by tensorstore, and a small one of ours whose voxel size is said."""
    with zipfile.ZipFile(HERE / "stores_by_tensorstore.zip") as archive:
        archive.extractall(folder)
    dataset = folder / "small.n5" / "raw"
    (dataset / "0" / "0").mkdir(parents=True)
    size = {"dimensions": [4.0, 4.0, 40.0], "unit": "nm"}
    attributes = {"dimensions": [9, 8, 4], "blockSize": [9, 8, 4], "dataType": "uint16",
                  "compression": {"type": "gzip"}, "pixelResolution": size}  # fmt: skip
    (dataset / "attributes.json").write_text(json.dumps(attributes))
    head = b"\0\0\0\3" + np.array([9, 8, 4], ">u4").tobytes()
    block = np.arange(4 * 8 * 9, dtype=">u2").tobytes()
    (dataset / "0" / "0" / "0").write_bytes(head + gzip.compress(block))
    return [store(folder, p.name) for p in sorted(folder.glob("*.n5"))]


def precomputed(folder: Path, data: Path) -> list[Specimen]:
    """Volumes by tensorstore, plain and sharded, and a small one of ours of one packed chunk."""
    with zipfile.ZipFile(HERE / "stores_by_tensorstore.zip") as archive:
        archive.extractall(folder)
    volume = folder / "small.precomputed"
    (volume / "4").mkdir(parents=True)
    scale = {"key": "4", "size": [9, 8, 4], "resolution": [4, 4, 40], "voxel_offset": [1, 0, 0],
             "chunk_sizes": [[16, 16, 8]], "encoding": "raw"}  # fmt: skip
    info = {"type": "image", "data_type": "uint8", "num_channels": 1, "scales": [scale]}
    (volume / "info").write_text(json.dumps(info))
    (volume / "4" / "1-10_0-8_0-4.gz").write_bytes(gzip.compress(bytes(9 * 8 * 4)))
    return [store(folder, p.name) for p in sorted(folder.glob("*.precomputed"))]


def packed(folder: Path, data: Path) -> list[Specimen]:
    write(folder / "a.npy", Image(PLANE, "YX"))
    plain = (folder / "a.npy").read_bytes()
    (folder / "a.npy.gz").write_bytes(gzip.compress(plain))
    (folder / "a.npy.bz2").write_bytes(bz2.compress(plain))
    found = [Specimen("a.npy.gz", ("a.npy.gz",)), Specimen("a.npy.bz2", ("a.npy.bz2",))]
    return found + real(folder, data, "mrcfile_testdata/EMD-3197.map.bz2")


def archive(folder: Path, data: Path) -> list[Specimen]:
    """A zipped picture and a zipped store."""
    write(folder / "a.ome.zarr", Image(PLANE, "YX", FLAT))
    with zipfile.ZipFile(folder / "store.zip", "w") as packed_store:
        for file in sorted((folder / "a.ome.zarr").rglob("*")):
            if file.is_file():
                packed_store.write(file, file.relative_to(folder).as_posix())
    shutil.rmtree(folder / "a.ome.zarr")
    return [Specimen("store.zip", ("store.zip",), sparse=True), *real(folder, data, f"{ROSETTA}/tiff__test_rgba16.zip")]


def picture(folder: Path, data: Path) -> list[Specimen]:
    from PIL import Image as Pillow

    shown = Pillow.fromarray((PLANE % 256).astype(np.uint8))
    for suffix in ("png", "jpg", "bmp"):
        shown.save(folder / f"a.{suffix}")
    return [Specimen(f"a.{suffix}", (f"a.{suffix}",)) for suffix in ("png", "jpg", "bmp")]


def slices(folder: Path, data: Path) -> list[Specimen]:
    (folder / "stack").mkdir()
    for i, plane in enumerate(STACK):
        write(folder / "stack" / f"slice{i}.tif", Image(plane, "YX", FLAT))
    return [Specimen("stack", tuple(f"stack/slice{i}.tif" for i in range(3)))]


READERS: dict[str, Callable[[Path, Path], list[Specimen]]] = {
    "TIFF": tiff, "MRC": mrc, "NumPy": numpy_file, "HDF5": hdf5, "Velox EMD": velox, "OME-Zarr": zarr, "DM": dm,
    "SER": ser, "EMI": emi, "FIB-SEM dat": fibsem, "N5": n5, "precomputed": precomputed, "gzip and bzip2": packed,
    "zip": archive, "picture": picture, "folder": slices,
}  # fmt: skip
"""By reader: what puts its specimens into an empty folder, given the folder of real instrument files."""
