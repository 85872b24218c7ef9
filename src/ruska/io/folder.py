"""A folder of slices or frames, one file each, taken as a stack in natural order (img2 before img10)."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import GeometryError, InputError
from ruska.image import Image
from ruska.io import ome_files, registry
from ruska.io.formats import Format
from ruska.io.lazy import LazyPixels
from ruska.io.links import Bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

_OPEN_SLICES = 4
_DIGITS = re.compile(r"(\d+)")


def members(path: Path, *, every_format: bool = False, needed: bool = True) -> list[Path]:
    """Images in ``path`` (not below it) in natural order.

    The files of the format that most of them have (the slices of one stack), or with ``every_format`` all images and
    stores (unrelated ones). Hidden files, and files whose suffix is no image's (Thumbs.db, .json, .txt), are left out.
    Raises InputError when there is none (with ``every_format``, only if one is ``needed``), when two formats are
    equally frequent in a stack, and for links that point outside the folder (see `links`).
    """
    if not every_format:
        return _members(path)[0]
    stores = [p for p in entries(path) if p.is_dir() and not p.name.startswith(".") and is_store(p)]
    found = [*_images(path, needed=needed and not stores), *stores]
    return _checked(path, sorted(found, key=natural_key))


def is_store(folder: Path) -> bool:
    """Whether a folder is an image by itself, such as an OME-Zarr store."""
    return registry.find_format(folder).name != "folder of images"


def is_image_by_name(file: Path) -> bool:
    """Whether an existing ``file`` looks like an image by its name; stores are images."""
    if file.is_dir():
        return is_store(file)
    known = registry.format_of_name(file)
    return known is not None and _is_image(file, known)


def _members(path: Path) -> tuple[list[Path], tuple[str, ...]]:
    """The images, and a note on those of other formats that are left out."""
    known = _images(path)
    counts = Counter(known.values()).most_common()
    if len(counts) > 1 and counts[0][1] == counts[1][1]:
        raise InputError(path, f"holds equally many {counts[0][0]} and {counts[1][0]} files ({counts[0][1]} each)",
                         "Keep the slices of one stack in a folder of their own, or pass --batch for unrelated "
                         "images.")  # fmt: skip
    chosen = sorted((p for p, name in known.items() if name == counts[0][0]), key=natural_key)
    others = ", ".join(f"{n} {name}" for name, n in counts[1:])
    return _checked(path, chosen), (f"left out files of other formats: {others}",) if others else ()


def _checked(path: Path, files: list[Path]) -> list[Path]:
    bounds = Bounds(path)
    for file in files:
        bounds.check(file.name)
    return files


def entries(path: Path) -> list[Path]:
    """The contents of a folder; InputError when it cannot be listed."""
    try:
        return list(path.iterdir())
    except OSError as error:
        raise InputError(path, f"cannot be listed ({error.strerror})", "Check its permissions.") from error


def _images(path: Path, *, needed: bool = True) -> dict[Path, str]:
    """The images in ``path`` and the name of each one's format; InputError for none where they are ``needed``."""
    files = [p for p in entries(path) if _may_be_image(p) and not p.name.startswith(".")]
    known = {p: found.name for p in files if (found := registry.format_of_name(p)) is not None and _is_image(p, found)}
    if not known and needed:
        raise InputError(path, f"is a folder without images ({len(files)} other files)",
                         "Give a folder of TIFF, MRC, PNG or similar files.")  # fmt: skip
    return known


def _may_be_image(file: Path) -> bool:
    """Files and dangling links: a missing slice must not be left out silently."""
    return file.is_file() or (file.is_symlink() and not file.exists())


def _is_image(file: Path, known: Format) -> bool:
    """Whether a file is a slice by its name: descriptions and archives are not, and .dat can be anything."""
    if known.name == "FIB-SEM .dat":
        Bounds(file.parent).check(file.name)
        with file.open("rb") as stream:
            return stream.read(4) == known.magic[0][1]
    return known.name not in ("TIA description", "OME companion", "zip archive")


def natural_key(path: Path) -> tuple[Any, ...]:
    """Sort key that compares runs of digits as numbers; the name itself decides between equals."""
    parts = _DIGITS.split(path.name.casefold())
    return (*((0, int(p), "") if p.isdecimal() else (1, 0, p) for p in parts if p), (2, 0, path.name))


class FolderPixels(LazyPixels):
    """Slices that are opened when needed; the last few stay open."""

    def __init__(self, files: list[Path], shape: tuple[int, int], dtype: Any) -> None:
        super().__init__((len(files), *shape), dtype)
        self.files = tuple(files)
        self.chunks = (1, *shape)
        self._slice = lru_cache(maxsize=_OPEN_SLICES)(self._open)

    def _open(self, index: int) -> Any:
        file = self.files[index]
        Bounds(file.parent).check(file.name)  # it may have become another since
        image = registry.read_plainly(file)
        if image.shape != self.shape[1:] or image.dtype != self.dtype:
            raise InputError(file, "has changed since the folder was opened", "Start again.")
        return image.data

    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        sizes = tuple(s.stop - s.start for s in box)
        out = np.empty(sizes, self.dtype)
        for place, index in enumerate(range(box[0].start, box[0].stop)):
            out[place] = np.asarray(self._slice(index)[box[1:]])
        return out


def read(path: Path, inner: str | None) -> Image:
    """Open a folder as a stack with axes QYX; all slices must have one shape and type.

    Raises InputError when there are no images, GeometryError naming the first file that does not fit.
    """
    if inner is not None:
        raise InputError(path, f"'{inner}' cannot be picked from a folder", "Give the file itself.")
    files, notes = _members(path)
    if len(files) > 1 and set(files) <= set(ome_files.members(files[0])):
        image = registry.read_plainly(files[0])
        return replace(image, notes=(*image.notes, *notes))
    first = registry.read_plainly(files[0])
    _check_plane(files[0], first.axes)
    differing = []
    for file in files[1:]:
        shape, dtype, spacing = _facts(file)
        if shape != first.shape or dtype != first.dtype:
            raise GeometryError(
                file, f"is {_say(shape, dtype)}, but {files[0].name} is {_say(first.shape, first.dtype)}",
                "Slices of a stack must match: move it elsewhere, or pass --batch for unrelated images.",
            )  # fmt: skip
        if spacing is not None and spacing != dict(first.spacing):
            differing.append(file.name)
    if differing:
        notes = (*notes, f"{len(differing)} files, such as {differing[0]}, state another pixel size than "
                 f"{files[0].name}, which is used")  # fmt: skip
    if len({_DIGITS.sub("#", file.name.casefold()) for file in files}) > 1:
        notes = (*notes, f"its files are not named like slices of one stack ({files[0].name}, {files[-1].name}): pass "
                 "--batch if they are unrelated images")  # fmt: skip
    if first.notes:
        notes = (*notes, *(f"{files[0].name}: {note}" for note in first.notes))
    pixels = FolderPixels(files, (first.shape[0], first.shape[1]), first.dtype)
    return replace(first, data=pixels, axes="QYX", mask=None, provenance={}, name=path.name, notes=notes)


def _facts(file: Path) -> tuple[tuple[int, ...], np.dtype[Any], dict[str, Any] | None]:
    """Shape, dtype and spacing of a slice; pictures need only their header, and have no spacing."""
    if registry.find_format(file).name == "picture":
        from ruska.io.picture import shape_and_dtype

        return *shape_and_dtype(file), None
    image = registry.read_plainly(file)
    _check_plane(file, image.axes)
    return image.shape, image.dtype, dict(image.spacing)


def _check_plane(file: Path, axes: str) -> None:
    if axes != "YX":
        raise GeometryError(file, f"is itself a stack (axes {axes}), not a slice of one",
                            "Open it by its own name, or pass --batch for unrelated images.")  # fmt: skip


def _say(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    return f"{' x '.join(map(str, shape))} {dtype}"
