"""NumPy's own files: ``.npy`` (pixels only, lazily) and ``.npz`` (pixels, mask and metadata). Nothing is unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path
from tokenize import TokenError
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from ruska.errors import InputError
from ruska.image import Image
from ruska.io import metadata
from ruska.io.archive import check_ratio
from ruska.io.binary import RawPixels
from ruska.io.lazy import bands, transposed
from ruska.io.registry import assumed_axes, not_carried

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DATA, _MASK, _RECORD = "data", "mask", "ruska"
_SMALLEST_COLOUR_IMAGE = 16  # pixels a side, below which a last axis of 3 or 4 is not taken for colours
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same image gives the same bytes


def _pixels(path: Path) -> RawPixels:
    """The array of an ``.npy`` file, which is read when it is used."""
    _check_head(path)
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, SyntaxError, TokenError) as error:  # the head is an expression of Python
        raise _refusal(path, error) from error
    mapped._mmap.close()  # nothing was read through it: it only says where the values are
    return RawPixels(path, mapped.shape, mapped.dtype, mapped.offset, "C" if mapped.flags.c_contiguous else "F")


def _check_head(path: Path) -> None:
    """InputError when the head is longer than the file: NumPy would take memory for all of it first."""
    with path.open("rb") as file:
        head = file.read(12)
    length = int.from_bytes(head[8:12] if head[6:7] > b"\1" else head[8:10], "little")
    if length > path.stat().st_size:
        raise InputError(path, f"is truncated or damaged (its head takes {length} bytes)",
                         "Copy it again, or save the array anew.")  # fmt: skip


def _refusal(path: Path, error: Exception) -> InputError:
    """The reason NumPy gives, in our words."""
    text = str(error)
    if "object" in text.lower():
        return InputError(path, "holds Python objects, which would have to be unpickled and can run any program",
                          "Save a plain array: np.save(file, array.astype('float32')).")  # fmt: skip
    return InputError(path, f"is truncated or damaged ({text[:150]})", "Copy it again, or save the array anew.")


def read(path: Path, inner: str | None) -> Image:
    """Open ``.npy`` lazily, ``.npz`` into memory; ``inner`` names one of several arrays of an ``.npz``.

    Raises InputError when it is truncated, holds Python objects, or several arrays and none is named.
    """
    with path.open("rb") as file:
        archive = file.read(2) == b"PK"
    if archive:
        return _read_archive(path, inner)
    if inner is not None:
        raise InputError(path, f"holds one array, '{inner}' cannot be picked from it", "Leave the part after ':' out.")
    return _plain(path, _pixels(path))


def _plain(path: Path, data: Any) -> Image:
    """An array of which nothing is known but its shape."""
    shape = data.shape
    colours = len(shape) == 3 and shape[2] in (3, 4) and min(shape[:2]) >= _SMALLEST_COLOUR_IMAGE
    if colours:
        return Image(transposed(data, (2, 0, 1)), "CYX", name=path.name, notes=("last axis taken as colours (C)",))
    axes, notes = assumed_axes(len(shape), path)
    return Image(data, axes, name=path.name, notes=notes)


def _read_archive(path: Path, inner: str | None) -> Image:
    with path.open("rb") as file:
        try:
            archive = np.load(file, allow_pickle=False)
        except (zipfile.BadZipFile, OSError) as error:
            raise _refusal(path, error) from error
        with archive:
            names = [name for name in archive.files if f"{name}.npy" in archive.zip.namelist()]
            if inner is None and _RECORD in names and _DATA in names:
                fields = metadata.loads(str(_member(path, archive, _RECORD)[()]), path)
                mask = _member(path, archive, _MASK) if _MASK in names else None
                return Image(_member(path, archive, _DATA), mask=mask, name=path.name, **fields)
            return _plain(path, _member(path, archive, _choose(path, names, inner)))


def _choose(path: Path, names: list[str], inner: str | None) -> str:
    listing = ", ".join(names)
    if inner is not None:
        wanted = inner.strip("/")
        if wanted not in names:
            raise InputError(path, f"has no array '{wanted}'", f"It holds: {listing}.")
        return wanted
    if not names:
        raise InputError(path, "is a zip archive without NumPy arrays", "Unpack it and give one of its files.")
    if len(names) > 1:
        raise InputError(path, f"holds {len(names)} arrays: {listing}", f"Name one: {path.name}:/{names[0]}.")
    return names[0]


def _member(path: Path, archive: Any, name: str) -> NDArray[Any]:
    check_ratio(path, archive.zip.getinfo(f"{name}.npy"))
    try:
        values = np.asarray(archive[name])
    except (ValueError, zipfile.BadZipFile, OSError, EOFError) as error:
        raise _refusal(path, error) from error
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def write(path: Path, image: Image) -> tuple[str, ...]:
    """Write ``image``, some rows at a time: ``.npy`` keeps the pixels only, ``.npz`` everything."""
    if path.name.lower().endswith(".npy"):
        with path.open("xb") as file:
            _stream(file, image.data)
        return not_carried(image, "")
    record = np.array(metadata.dumps(image))
    with zipfile.ZipFile(path, "x", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, values in ((_DATA, image.data), (_MASK, image.mask), (_RECORD, record)):
            if values is not None:
                entry = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
                with archive.open(entry, "w", force_zip64=True) as member:
                    _stream(member, values)
    return ()


def _stream(file: IO[bytes], data: Any) -> None:
    """Write an array, which may be larger than memory, in NumPy's format, C order."""
    dtype = np.dtype(data.dtype)
    head = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(map(int, data.shape))}
    np.lib.format.write_array_header_2_0(file, head)
    parts = bands(data) if len(data.shape) >= 2 else [np.asarray(data)]
    for part in parts:
        file.write(np.ascontiguousarray(part, dtype).tobytes())
