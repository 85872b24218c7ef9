"""Reading and writing in any format: the functions that everything above `io` calls."""

from __future__ import annotations

import errno
import inspect
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import InputError, OutputError, ResourceError, RuskaError, SettingsError, did_you_mean
from ruska.image import AXES, NO_UNIT, Image, Quantity, canonical_unit, check_axes, is_length, parse_quantity
from ruska.io import tilts as tilt_files
from ruska.io.formats import FORMATS, ZARR_MARKERS, Format, find_format, format_of_name
from ruska.io.losses import Losses, unheld
from ruska.io.names import check_plain, is_there, name_problem, shown_name
from ruska.plain_text import one_line
from ruska.scratch import Scratch, put_in_place, tidy

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["FORMATS", "Format", "find_format", "format_of_name"]

_INNER = re.compile(
    r"^(?P<file>.+\.(?:h5|hdf5|hdf|hspy|emd|zarr|npz|n5|zip|dm3|dm4|emi|precomputed)):(?P<inner>[^\\]*)$", re.IGNORECASE
)
_URL = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether ``path`` is an address (https://, s3://) rather than a file. One letter before the colon is a drive."""
    return bool(_URL.match(os.fspath(path)))


def split_inner(path: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """Split ``file.h5:/data/raw`` into the file and the dataset inside it (None when not given).

    The part before the colon has a known suffix, or exists: HDF5 has many suffixes (``cell.ims:/DataSet``).
    """
    text = os.fspath(path)
    match = _INNER.match(text)
    if match is None and (":" not in text or is_url(text)):
        return Path(text), None
    if is_there(Path(text)):
        return Path(text), None
    if match is None:
        return _split_where_there(text)
    outer = _INNER.match(match["file"])
    if outer is not None and not is_there(Path(match["file"])):  # archive.zip:file.h5:/raw
        return Path(outer["file"]), f"{outer['inner']}:{match['inner']}"
    return Path(match["file"]), match["inner"]


def _split_where_there(text: str) -> tuple[Path, str | None]:
    """Split at the first colon that ends the name of a file or a Zarr store; a drive's colon does not."""
    for colon in re.finditer(":", text):
        file, inner = Path(text[: colon.start()]), text[colon.end() :]
        if "\\" not in inner and (file.is_file() or any((file / marker).is_file() for marker in ZARR_MARKERS)):
            return file, inner
    return Path(text), None


def read(
    path: str | os.PathLike[str],
    *,
    axes: str | None = None,
    voxel_size: str | Mapping[str, Quantity] | None = None,
) -> Image:
    """Open a micrograph, stack or volume; pixels are read when they are used, where the format allows.

    Parameters
    ----------
    path : a file, an OME-Zarr store, a folder of slices, ``file.h5:/dataset``, or the address of a store.
    axes : what each dimension is, e.g. ``"TYX"``; overrides what the file says. A letter more than the image has keeps
        the colours of a picture apart (``"CYX"``), or the slices that the file takes for colours (``"ZYX"``).
    voxel_size : e.g. ``"4nm"`` (all of Z, Y, X), ``"50nm,4nm,4nm"`` (Z, Y, X); overrides the file. A stack of which the
        file does not say whether it is slices or frames is slices along Z where a size for Z alone is given.

    Raises
    ------
    InputError : the file is missing, empty, truncated, of an unknown kind or not an image.
    GeometryError : ``axes`` do not fit the data.
    """
    image = _plausible(_read_url(os.fspath(path)) if is_url(path) else _read_stamped(*split_inner(path)))
    if 0 in image.shape:
        raise InputError(image.name, f"holds no pixels (shape {image.shape})", "Copy it again from the instrument.")
    if image.dtype.kind not in "uifb":
        raise InputError(image.name, f"holds values of type {image.dtype}, which are not grey levels",
                         "Ruska takes integers and real floating-point numbers.")  # fmt: skip
    if axes is not None:
        image = with_axes(_unmixed(path, image, axes), axes)
    if voxel_size is not None:
        image = _sized(image, voxel_size, axes_are_given=axes is not None)
    return image


def _unmixed(path: str | os.PathLike[str], image: Image, axes: str) -> Image:
    """``image``; if ``axes`` have one letter more, with its colours, if any, as channels."""
    file, inner = (Path(path), None) if is_url(path) else split_inner(path)
    if len(axes) != len(image.axes) + 1 or not file.is_file():
        return image
    reader = getattr(find_format(file).load(), "read_colours", None)
    if reader is None:
        return image
    apart: Image = reader(file, inner)
    if len(apart.axes) != len(axes):
        return image
    return replace(apart, path=image.path, name=image.name, stamp=image.stamp)


def _sized(image: Image, voxel_size: str | Mapping[str, Quantity], *, axes_are_given: bool) -> Image:
    """``image`` with this voxel size. A size along Z makes a stack of unknown axis slices along Z.

    One size for all of Z, Y, X does not: it may be frames. Notes say what was assumed and what is ignored.
    """
    size = parse_voxel_size(voxel_size) if isinstance(voxel_size, str) else voxel_size
    one_by_one = not isinstance(voxel_size, str) or "," in voxel_size
    notes = image.notes
    if one_by_one and "Z" in size and "Z" not in image.axes and "Q" in image.axes and not axes_are_given:
        image = with_axes(image, image.axes.replace("Q", "Z"))
        notes = (*(n for n in notes if not n.startswith(_UNKNOWN_AXES)),
                 f"a voxel size along Z was given: the axes are taken as {image.axes} "
                 "(set them with --axes)")  # fmt: skip
    ignored = [f"{q} along {a}" for a, q in size.items() if one_by_one and a not in image.axes]
    if ignored:
        notes = (
            *notes,
            f"voxel size {', '.join(ignored)} is ignored: the axes are {image.axes} (set them with --axes)",
        )
    spacing = {**image.spacing, **{a: q for a, q in size.items() if a in image.axes}}
    return replace(image, spacing=spacing, origin=_with_unit(image, spacing), notes=notes)


def _with_unit(image: Image, spacing: Mapping[str, Quantity]) -> dict[str, Quantity]:
    """The origin of ``image``, in the units of the new ``spacing`` where the file gives none for either."""
    origin = dict(image.origin)
    for axis, start in image.origin.items():
        old, new = image.spacing.get(axis), spacing.get(axis)
        if start.unit == NO_UNIT and old is not None and new is not None and new.unit != NO_UNIT:
            origin[axis] = Quantity(start.value / old.value * new.value, new.unit)
    return origin


def read_plainly(path: str | os.PathLike[str]) -> Image:
    """Like `read`, without overrides or a stamp: for files that are part of another input."""
    return _read_url(os.fspath(path)) if is_url(path) else _read_file(*split_inner(path))


def _read_stamped(file: Path, inner: str | None) -> Image:
    """A file is stamped before it is opened; for folders, only the format knows what belongs to the image."""
    from ruska.io import stamps

    find_format(file)  # says what is wrong with what cannot be read
    before = stamps.take(file) if file.is_file() else None
    image = _read_file(file, inner)
    alone = before is not None and image.path in (None, file) and not getattr(image.data, "files", ())
    return replace(image, stamp=before if alone else stamps.take(file, image))


def _plausible(image: Image) -> Image:
    """``image`` without impossible sizes, and with notes of one line each."""
    spacing = {a: q for a, q in image.spacing.items() if 0 < q.value < math.inf}
    origin = {a: q for a, q in image.origin.items() if math.isfinite(q.value)}
    lost = [f"its {word} along {a} is {q.value}: left out" for word, all_, kept in
            (("voxel size", image.spacing, spacing), ("origin", image.origin, origin))
            for a, q in all_.items() if a not in kept]  # fmt: skip
    return replace(image, spacing=spacing, origin=origin, notes=tuple(one_line(n) for n in (*image.notes, *lost)))


def _read_file(file: Path, inner: str | None) -> Image:
    known = find_format(file)
    try:
        image = known.load().read(file, inner)
    except RuskaError:
        raise
    except MemoryError as error:
        raise ResourceError(file, "needs more memory to open than there is", "The file may be damaged: copy it again, "
                            "or open it on a machine with more memory.") from error  # fmt: skip
    except Exception as error:  # a broken file can fail anywhere inside a format's library
        first_line = (str(error).splitlines() or [""])[0][:200]
        raise InputError(
            file, f"cannot be read as {known.name} ({type(error).__name__}: {first_line})",
            "The file may be truncated or damaged: copy it again, or open it in Fiji and save it anew.",
        ) from error  # fmt: skip
    elsewhere = image.path is not None and image.path.name != file.name  # the pixels are in a file beside this one
    return replace(
        image,
        path=image.path if elsewhere else file,
        name=shown_name(file) if inner is None else f"{shown_name(file)}:{inner}",
    )


def _read_url(address: str) -> Image:
    """A store on a server. It has no ``path``: what identifies it is in ``header["remote"]``."""
    from ruska.io import remote

    match = _INNER.match(address)
    return remote.read(match["file"], match["inner"]) if match else remote.read(address, None)


def with_axes(image: Image, axes: str) -> Image:
    """Return ``image`` with its dimensions renamed to ``axes``; sizes of Z and T are not exchanged."""
    axes = axes.upper().replace("S", "C")  # for samples, as tifffile has it
    if axes.endswith("YXC"):  # of a picture, as NumPy and others have it
        if not image.axes.endswith("CYX") and len(image.shape) > 2 and image.shape[-1] <= image.shape[-3]:
            image = _last_axis_first(image)
        axes = f"{axes[:-3]}CYX"
    check_axes(axes, len(image.shape), image.name)
    renamed = dict(zip(image.axes, axes, strict=True))

    def follow(sizes: Mapping[str, Quantity]) -> dict[str, Quantity]:
        fits = {a: q.unit == NO_UNIT or is_length(q.unit) == (renamed[a] in "ZYX") for a, q in sizes.items()}
        return {renamed[a]: q for a, q in sizes.items() if fits[a]}

    names = image.channel_names if renamed.get("C") == "C" else ()
    spacing = follow(image.spacing)
    depth = image.header["mrc"].get("z_angstrom") if isinstance(image.header.get("mrc"), Mapping) else None
    if renamed.get("Q") == "Z" and "Z" not in spacing and depth is not None:  # of a stack the file did not mean it so
        spacing["Z"] = Quantity(float(depth), "angstrom")
    notes = tuple(note for note in image.notes if not note.startswith(_UNKNOWN_AXES))
    return replace(
        image, axes=axes, spacing=spacing, origin=follow(image.origin), channel_names=names, notes=notes
    )  # fmt: skip


def _last_axis_first(image: Image) -> Image:
    """``image`` with its last axis before the other two of a plane."""
    from ruska.io.lazy import transposed

    order = (*range(len(image.shape) - 3), len(image.shape) - 1, len(image.shape) - 3, len(image.shape) - 2)
    return replace(image, data=transposed(image.data, order), mask=None)


_UNKNOWN_AXES = "the file does not say what"  # begins the notes of all formats on axes that are unknown
_ASSUMED_AXES = {2: "YX", 3: "QYX", 4: "TQYX", 5: "TCQYX", 6: "TCQZYX"}


def assumed_axes(ndim: int, name: object) -> tuple[str, tuple[str, ...]]:
    """Axes for an array of which only the number of dimensions is known, and a note that says so.

    Raises InputError for less than two dimensions (a line or a spectrum) and for more than six.
    """
    if ndim not in _ASSUMED_AXES:
        raise InputError(name, f"holds an array of {ndim} dimensions, an image has 2 to {len(AXES)}",
                         "Cut or reshape it first.")  # fmt: skip
    axes = _ASSUMED_AXES[ndim]
    return axes, () if ndim == 2 else (f"{_UNKNOWN_AXES} the axes are: taken as {axes} (set them with --axes)",)


def parse_voxel_size(text: str) -> dict[str, Quantity]:
    """Parse ``"4nm"`` (Z, Y and X), ``"4nm,5nm"`` (Y, X) or ``"50nm,4nm,4nm"`` (Z, Y, X)."""
    parts = [parse_quantity(part, "nm") for part in text.split(",")]
    if len(parts) > 3 or not all(is_length(part.unit) for part in parts):
        raise SettingsError(text, "is not a voxel size", "Write 4nm, or 50nm,4nm,4nm for Z,Y,X.")
    if len(parts) == 1:
        return dict.fromkeys("ZYX", parts[0])
    return dict(zip("ZYX"[-len(parts) :], parts, strict=True))


def check_output(path: str | os.PathLike[str], *, overwrite: bool = False) -> Format:
    """Return the format of ``path``, or raise OutputError now rather than after the work."""
    target = Path(path)
    if is_url(path):
        raise OutputError(path, "is a web address, but Ruska writes to disks only", "Write a file, then upload it.")
    check_name(target)
    known = format_of_name(target)
    writable = sorted({s for f in FORMATS if f.writes for s in f.suffixes})
    if known is None or not known.writes:
        raise OutputError(target, f"the suffix '{target.suffix}' is not a format Ruska writes",
                          did_you_mean(target.suffix, writable))  # fmt: skip
    if known.name == "picture" and target.suffix.lower() != ".png":
        raise OutputError(target, "Ruska writes no lossy pictures", "Use .png for a preview, .tif for data.")
    folder = target.absolute().parent
    if not folder.is_dir():
        raise OutputError(target, f"the folder {folder.name} does not exist", "Create it first.")
    if not os.access(folder, os.W_OK):
        raise OutputError(
            target, f"the folder {folder.name} cannot be written to", "Choose another, or ask for access."
        )
    check_plain(target)
    if is_there(target):
        if not overwrite:
            raise OutputError(target, "exists already",
                              "Choose another name, or pass --overwrite (in Python overwrite=True).")  # fmt: skip
        if target.is_dir() and not any((target / marker).exists() for marker in ZARR_MARKERS):
            raise OutputError(target, "is a folder that is not a Zarr store", "Ruska does not replace it.")
    return known


def check_holds(path: str | os.PathLike[str], dtype: np.dtype[Any], axes: str, shape: tuple[int, ...]) -> None:
    """OutputError when the format of ``path`` cannot hold such an image, now rather than after the work."""
    known = format_of_name(Path(path))
    check = None if known is None else getattr(known.load(), "check_holds", None)
    if check is not None:
        check(Path(path), Image(np.broadcast_to(np.zeros((), dtype), shape), axes, name=Path(path).name))


def losses(path: str | os.PathLike[str], image: Image, **options: Any) -> Losses:
    """What of ``image`` the format of ``path`` cannot hold, before it is written. Reads no pixels.

    options : the format's own, as for `write`.
    """
    known = format_of_name(Path(path))
    if known is None:
        return Losses()
    further = getattr(known.load(), "losses", None)
    lost = unheld(image, known.holds) + Losses(tilt_files.not_beside(image))
    return lost if further is None else lost + further(Path(path), image, **options)


_KEEPERS = (".tif", ".ome.tif", ".mrc", ".h5", ".ome.zarr")
_CALLED = {".tif": "a TIFF", ".ome.tif": "an OME-TIFF", ".mrc": "an MRC file", ".h5": "an HDF5 file",
           ".ome.zarr": "an OME-Zarr"}  # fmt: skip


def losses_sentence(path: str | os.PathLike[str], image: Image) -> str | None:
    """One line on what of ``image`` the file ``path`` will not hold, with the way out; None if nothing is lost.

    The record of a run does not count: it is kept beside the result.
    """
    target = Path(path)
    known, lost = format_of_name(target), losses(target, image).without_record()
    if known is None or not lost:
        return None
    said, file = [], _file_of(known, target)
    if lost.things:
        keeper = next((suffix for suffix in _KEEPERS if _keeps(suffix, target, image)), None)
        way_out = f" Write {_CALLED[keeper]} ({keeper}) to keep everything." if keeper is not None else ""
        said.append(f"The {file} cannot hold: {', '.join(lost.things)}.{way_out}")
    if lost.changes:
        said.append(f"In the {file}, {'; '.join(change.removeprefix('preview: ') for change in lost.changes)}.")
    return " ".join(said)


def _keeps(suffix: str, target: Path, image: Image) -> bool:
    other = target.with_name(f"a{suffix}")
    try:
        check_holds(other, image.dtype, image.axes, image.shape)
    except OutputError:
        return False
    return not losses(other, image).without_record().things


def _file_of(known: Format, target: Path) -> str:
    name = "PNG preview" if known.name == "picture" else known.name
    if known.name == "TIFF":
        name = "OME-TIFF" if target.name.lower().endswith((".ome.tif", ".ome.tiff")) else "TIFF"
    return name if name.endswith(("TIFF", "preview")) else f"{name} file"


def check_name(path: Path) -> None:
    """OutputError when a result cannot have this name."""
    if problem := name_problem(path.name):
        raise OutputError(path.name, problem, "Choose another name with -o.")


def write(
    path: str | os.PathLike[str],
    image: Image | ArrayLike,
    *,
    axes: str | None = None,
    voxel_size: str | Mapping[str, Quantity] | None = None,
    overwrite: bool = False,
    overwrite_beside: bool | None = None,
    before_placing: Callable[[tuple[str, ...]], None] | None = None,
    placing: Callable[[Path], None] | None = None,
    **options: Any,
) -> tuple[str, ...]:
    """Write ``image`` in the format that the suffix of ``path`` names; it appears only when it is complete.

    A plain array is treated like a file that does not state its axes: Y and X last, a stack before them; what a masked
    array masks is invalid. ``axes`` and ``voxel_size`` state or override them, as in `read`.
    Returns a line for each thing that the format could not hold. ``options`` are the format's own.
    A description of its sections (``.mdoc``, ``.tlt``, ``.rawtlt``) that came with ``image`` is written beside it, and
    replaces another one only with ``overwrite_beside`` (None: as ``overwrite``).
    ``before_placing`` is called with these lines when the file is complete but not yet under its name,
    ``placing`` with the file itself right before it gets it. Leftovers of killed runs beside ``path`` are removed.

    Raises
    ------
    OutputError : ``path`` exists (without ``overwrite``), cannot be written, or cannot hold this image.
    GeometryError : ``axes`` do not fit. SettingsError : an unknown option, or ``path`` is not a path.
    """
    if not isinstance(path, str | os.PathLike):
        raise SettingsError("path", f"is a {type(path).__name__}, expected the name of a file",
                            "The name comes first: ruska.write(path, image).")  # fmt: skip
    target = Path(path)
    image = _imaged(target, image)
    if axes is not None:
        image = with_axes(image, axes)
    if voxel_size is not None:
        image = _sized(image, voxel_size, axes_are_given=axes is not None)
    known = check_output(target, overwrite=overwrite)
    _check_options(known, options)
    beside = tilt_files.check_beside(
        target, image, overwrite=overwrite if overwrite_beside is None else overwrite_beside
    )
    lost = losses(target, image, **options).lines
    tidy(target.absolute().parent)
    try:
        with Scratch(target.absolute().parent) as folder:
            part = folder / target.name
            lost = (*lost, *_written(known, part, target, image, options))
            if before_placing is not None:
                before_placing(lost)
            tilt_files.write_beside(beside)
            if placing is not None:
                placing(part)
            put_in_place(part, target)
    except OSError as error:
        full = "requested and" in str(error)  # NumPy's words for it
        reason = os.strerror(errno.ENOSPC) if full else error.strerror or str(error)
        raise OutputError(target, f"could not be written ({reason})",
                          "Check free space and permissions, and that no other program has it open; then run "
                          "the same again.") from error  # fmt: skip
    return lost


def _check_options(known: Format, options: Mapping[str, Any]) -> None:
    """Raises SettingsError for an option that the format does not have."""
    taken = inspect.signature(known.load().write).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken):
        return
    names = [parameter.name for parameter in taken if parameter.name not in ("path", "image")]
    for name in options:
        if name not in names:
            raise SettingsError(name, f"is not an option for writing {known.name}",
                                did_you_mean(name, ["axes", "voxel_size", "overwrite", *names]))  # fmt: skip


def _imaged(target: Path, given: Image | ArrayLike) -> Image:
    """An image as it is, an array with the axes that its number of dimensions suggests; OutputError for all else."""
    if isinstance(given, Image):
        return given
    if isinstance(getattr(given, "image", None), Image):
        raise OutputError(target, f"was given a {type(given).__name__}, not an image", "Write its image: "
                          "ruska.write(path, result.image).")  # fmt: skip
    hidden = np.ma.getmaskarray(given) if isinstance(given, np.ma.MaskedArray) else None
    try:
        array = np.asarray(given)
    except ValueError as error:  # lists of unequal lengths
        raise OutputError(target, f"was not given an array ({error})", "Pass an array of numbers.") from error
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:  # the finest that files hold
        array = array.astype(np.float64)
    if array.dtype.kind not in "uifb" or array.size == 0:
        raise OutputError(target, f"was given {array.size} values of type {array.dtype}, expected real numbers",
                          "Pass an array or an image, as ruska.read returns it.")  # fmt: skip
    if array.ndim not in _ASSUMED_AXES:
        raise OutputError(target, f"was given an array of {array.ndim} dimensions, an image has 2 to {len(AXES)}",
                          "Cut or reshape it first.")  # fmt: skip
    return Image(array, _ASSUMED_AXES[array.ndim], name="array", mask=None if hidden is None else ~hidden)


def _written(known: Format, part: Path, target: Path, image: Image, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Write ``part``; errors name ``target``, which the user knows."""
    try:
        return tuple(known.load().write(part, image, **options))
    except RuskaError as error:
        if error.subject != str(part):
            raise
        raise type(error)(target, error.problem, error.fix) from error


def to_units(sizes: Mapping[str, Quantity], axis: str, unit: str) -> float | None:
    """The size along ``axis`` in ``unit``, or None where it is unknown or of another kind."""
    size = sizes.get(axis)
    if size is None or canonical_unit(size.unit) is None or is_length(size.unit) != is_length(unit):
        return None
    return size.to(unit)
