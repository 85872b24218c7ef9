"""NumPy's own files: ``.npy`` (pixels only, lazily) and ``.npz`` (pixels, mask and metadata). Nothing is unpickled."""

from __future__ import annotations

import ast
import math
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np

from ruska.errors import InputError
from ruska.image import Image
from ruska.io import metadata
from ruska.io.archive import DAMAGED, check_ratio
from ruska.io.binary import RawPixels
from ruska.io.lazy import bands, transposed
from ruska.io.registry import assumed_axes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DATA, _MASK, _RECORD = "data", "mask", "ruska"
_SMALLEST_COLOUR_IMAGE = 16  # pixels a side, below which a last axis of 3 or 4 is not taken for colours
_LONGEST_HEAD = 10_000  # bytes, as NumPy has it
_LONG_NUMBER = re.compile(r"(?<=\d)L\b")  # of Python 2
_STEP = 1 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same image gives the same bytes


@dataclass(frozen=True)
class _Head:
    """What the head of an ``.npy`` file says of the array behind it. ``length``: bytes of the head itself."""

    dtype: np.dtype[Any]
    fortran: bool
    shape: tuple[int, ...]
    length: int

    @property
    def order(self) -> Literal["C", "F"]:
        return "F" if self.fortran else "C"

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def _pixels(path: Path) -> RawPixels:
    """The array of an ``.npy`` file, which is read when it is used."""
    with path.open("rb") as file:
        head = _head(path, file)
    end, size = head.length + head.nbytes, path.stat().st_size
    if end > size:
        raise _refusal(path, f"{size} bytes, its header says {end}")
    return RawPixels(path, head.shape, head.dtype, head.length, head.order)


def _head(path: Path, file: IO[bytes]) -> _Head:
    """Read the head at the beginning of ``file``; InputError when it is damaged or describes Python objects.

    NumPy's own function allocates by the length that the header claims, and prints its own warnings.
    """
    lead = file.read(12)
    width = 2 if lead[6:7] == b"\1" else 4
    start, length = 8 + width, int.from_bytes(lead[8 : 8 + width], "little")
    if lead[:6] != b"\x93NUMPY" or lead[6] not in (1, 2, 3) or length > _LONGEST_HEAD:
        raise _refusal(path, f"its header takes {length} bytes")
    raw = (lead[start:] + file.read(max(0, start + length - len(lead))))[:length]
    if len(raw) < length:
        raise _refusal(path, f"its header takes {length} bytes")
    text = raw.decode("utf-8" if lead[6] == 3 else "latin-1", "replace")
    try:
        fields = ast.literal_eval(_LONG_NUMBER.sub("", text.strip()))  # an expression of Python, of constants only
        dtype, fortran, shape = np.lib.format.descr_to_dtype(fields["descr"]), fields["fortran_order"], fields["shape"]
    except (
        ValueError,
        SyntaxError,
        TypeError,
        KeyError,
        IndexError,
        AttributeError,
        OverflowError,
        RecursionError,
        MemoryError,
    ) as error:  # the last when it is nested deep, whatever memory there is
        raise _refusal(path, f"its header is not NumPy's: {type(error).__name__}") from error  # fmt: skip
    whole = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
    if not whole or not isinstance(fortran, bool):
        raise _refusal(path, "its header is not NumPy's")
    if dtype.hasobject:
        raise InputError(path, "holds Python objects; unpickling them could run any program",
                         "Save a plain array: np.save(file, array.astype('float32')).")  # fmt: skip
    return _Head(dtype, fortran, shape, start + length)


def _refusal(path: Path, why: object) -> InputError:
    return InputError(path, f"is truncated or damaged ({str(why)[:150]})", "Copy it again, or save the array anew.")


def read(path: Path, inner: str | None) -> Image:
    """Open ``.npy`` lazily, ``.npz`` into memory; ``inner`` names an array in an ``.npz``.

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
    """An array of which only the shape is known."""
    shape = data.shape
    colours = len(shape) == 3 and shape[2] in (3, 4) and min(shape[:2]) >= _SMALLEST_COLOUR_IMAGE
    if colours:
        return Image(transposed(data, (2, 0, 1)), "CYX", name=path.name, notes=("last axis taken as colours (C)",))
    axes, notes = assumed_axes(len(shape), path)
    return Image(data, axes, name=path.name, notes=notes)


def _read_archive(path: Path, inner: str | None) -> Image:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            if inner is None and _RECORD in names and _DATA in names:
                fields = metadata.loads(str(_member(path, archive, _RECORD)[()]), path)
                mask = _member(path, archive, _MASK) if _MASK in names else None
                return Image(_member(path, archive, _DATA), mask=mask, name=path.name, **fields)
            return _plain(path, _member(path, archive, _choose(path, names, inner)))
    except DAMAGED as error:
        raise _refusal(path, error) from error


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


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> NDArray[Any]:
    member = archive.getinfo(f"{name}.npy")
    check_ratio(path, member)
    with archive.open(member) as stream:
        head = _head(path, stream)
        if head.length + head.nbytes > member.file_size:
            raise _refusal(path, f"'{name}' has {member.file_size} bytes, its header says {head.length + head.nbytes}")
        stored = np.empty(head.nbytes, np.uint8)
        _fill(stream, memoryview(stored), head.length)
    values = stored.view(head.dtype) if head.nbytes else np.empty(0, head.dtype)
    return values.reshape(head.shape, order=head.order).astype(head.dtype.newbyteorder("="), copy=False)


def _fill(stream: IO[bytes], out: memoryview, start: int) -> None:
    """Read the bytes from ``start`` on, piece by piece; EOFError when there are too few."""
    stream.seek(start)
    at = 0
    while at < len(out):
        piece = stream.read(min(_STEP, len(out) - at))
        if not piece:
            raise EOFError(f"{at} bytes of {len(out)}")
        out[at : at + len(piece)] = piece
        at += len(piece)


def write(path: Path, image: Image) -> tuple[str, ...]:
    """Write ``image``, some rows at a time: ``.npy`` keeps the pixels only, ``.npz`` everything."""
    if path.name.lower().endswith(".npy"):
        with path.open("xb") as file:
            _stream(file, image.data)
        return ()
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
