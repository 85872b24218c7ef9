"""The table of formats, and how a file or folder is recognised: by its content first, its name second.

A new format is one module beside this one, its mirrored test, and one line in `FORMATS`. A package of its own adds
one through the entry point group ``ruska.readers``, whose entries are `Format` records.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from ruska.errors import InputError
from ruska.io.archive import DAMAGED
from ruska.io.names import check_kind, is_there

if TYPE_CHECKING:
    from ruska.image import Image


class FormatModule(Protocol):
    """The functions of a format's module. A read-only format has no ``write``.

    One that cannot hold every image also has ``check_holds(path, image)``: OutputError by its type and axes alone.
    One whose images may be colour pictures has ``read_colours(path, inner)``: the same with colours as an axis C.
    One whose losses depend on the image also has ``losses(path, image, **options)``, in addition to `Format.holds`.
    """

    def read(self, path: Path, inner: str | None) -> Image:
        """Open ``path`` (``inner``: a dataset inside it) lazily; InputError when it is not a readable image."""

    def write(self, path: Path, image: Image, **options: Any) -> tuple[str, ...]:
        """Write ``image`` to ``path``, which does not exist yet; return what only shows while it is written."""


@dataclass(frozen=True)
class Format:
    """One line of the table: how a format is recognised, and the module that handles it.

    suffixes : lower case, with the dot. magic : (offset, bytes) pairs, any of which is enough.
    holds : which parts of an image it keeps, as `ruska.io.losses` names them; for formats that write.
    markers : (name of a file, words) pairs: a folder with such a file, any of the words in it, is of this format;
        no words at all mean that the file is enough.
    """

    name: str
    module: str
    suffixes: tuple[str, ...]
    magic: tuple[tuple[int, bytes], ...] = ()
    writes: bool = True
    holds: frozenset[str] = frozenset()
    markers: tuple[tuple[str, tuple[bytes, ...]], ...] = ()

    @property
    def masks(self) -> bool:
        """Whether it keeps the mask of valid pixels."""
        return "mask" in self.holds

    def load(self) -> FormatModule:
        """Import the module. Done late so that opening a TIFF does not import HDF5."""
        return cast(FormatModule, import_module(self.module))


_MRC = (".mrc", ".mrcs", ".rec", ".st", ".map", ".ali")
_TIFF = (".tif", ".tiff", ".btf", ".tf8", ".ome.tif", ".ome.tiff")
_EVERYTHING = frozenset(("spacing", "interval", "origin", "axes", "channels", "mask", "meaning", "record", "header"))
_PACKABLE = (*_MRC, *_TIFF, ".dm3", ".dm4", ".ser", ".npy", ".dat", ".bmp")
FORMATS = (
    Format("TIFF", "ruska.io.tiff", _TIFF,
           ((0, b"II*\0"), (0, b"MM\0*"), (0, b"II+\0"), (0, b"MM\0+")), holds=_EVERYTHING - {"mask"}),
    Format("EER movie", "ruska.io.tiff", (".eer",), writes=False),
    Format("MRC", "ruska.io.mrc", _MRC, ((208, b"MAP"),),
           holds=frozenset(("spacing", "interval", "origin", "axes", "header:mrc"))),
    Format("NumPy", "ruska.io.numpy_file", (".npy",), ((0, b"\x93NUMPY"),)),
    Format("NumPy archive", "ruska.io.numpy_file", (".npz",), holds=_EVERYTHING),
    Format("HDF5", "ruska.io.hdf5", (".h5", ".hdf5", ".hdf"), ((0, b"\x89HDF\r\n\x1a\n"),), holds=_EVERYTHING),
    Format("HyperSpy or EMD", "ruska.io.hdf5", (".hspy", ".emd"), writes=False),  # ours would not open in HyperSpy
    Format("OME-Zarr", "ruska.io.zarr_store", (".ome.zarr", ".zarr"), holds=_EVERYTHING,
           markers=tuple((name, ()) for name in ("zarr.json", ".zgroup", ".zarray", ".zattrs"))),
    Format("DigitalMicrograph", "ruska.io.dm", (".dm3", ".dm4"), ((0, b"\0\0\0\3"), (0, b"\0\0\0\4")), writes=False),
    Format("TIA series", "ruska.io.ser", (".ser",), ((0, b"II\x97\1"),), writes=False),
    Format("TIA description", "ruska.io.emi", (".emi",), ((0, b"JK\0\2"),), writes=False),
    Format("OME companion", "ruska.io.ome_files", (".companion.ome",), writes=False),
    Format("FIB-SEM .dat", "ruska.io.fibsem_dat", (".dat",), ((0, b"\xd3\xed\xf5\xf2"),), writes=False),
    Format("N5", "ruska.io.n5", (".n5",), writes=False,
           markers=(("attributes.json", (b'"n5"', b'"dimensions"', b'"multiscales"', b'"scales"', b'"multiScale"')),)),
    Format("neuroglancer precomputed", "ruska.io.precomputed", (".precomputed",), writes=False,
           markers=(("info", (b'"scales"',)),)),
    Format("compressed file", "ruska.io.packed", tuple(s + z for s in _PACKABLE for z in (".gz", ".bz2")),
           ((0, b"\x1f\x8b"), (0, b"BZh")), writes=False),
    Format("zip archive", "ruska.io.packed", (".zip",), ((0, b"PK\3\4"), (0, b"PK\5\6")), writes=False),
    Format("picture", "ruska.io.picture", (".png", ".jpg", ".jpeg", ".bmp"),
           ((0, b"\x89PNG"), (0, b"\xff\xd8\xff"), (0, b"BM")), holds=frozenset(("axes",))),
)  # fmt: skip
_BY_NAME = {known.name: known for known in FORMATS}
_FOLDER = Format("folder of images", "ruska.io.folder", (), writes=False)
ZARR_MARKERS = tuple(name for name, _ in _BY_NAME["OME-Zarr"].markers)
_BY_NAME_ALONE = ("MRC", "OME companion")  # MRC files older than 2000 have no magic number; the other one is XML
_HEAD = 512
_MARKER_BYTES = 1 << 20

# What people have and Ruska does not read: what it is, and the way out.
_FIJI = "Open it in Fiji (Bio-Formats) and save it as OME-TIFF."
_SEEN: tuple[tuple[str, tuple[str, ...], bytes | None, str], ...] = (
    ("a WEBKNOSSOS block (wkw)", (".wkw",), b"WKW",
     "Export the dataset as OME-Zarr or TIFF in WEBKNOSSOS."),
    ("a description of a BigDataViewer dataset", (".xml",), b"<?xml", "Give the .h5 or .n5 that lies beside it."),
    ("a SerialEM side file", (".mdoc",), None, "Give the .mrc or .st file that it belongs to."),
    ("a Zeiss CZI file", (".czi",), b"ZISRAWFILE", _FIJI),
    ("a Leica LIF file", (".lif",), None, _FIJI),
    ("a Nikon ND2 file", (".nd2",), None, _FIJI),
    ("an Olympus file", (".oib", ".oif", ".vsi", ".oir"), None, _FIJI),
    ("a Bruker EDS map", (".bcf",), None, "Export its image as TIFF in Esprit."),
    ("a set of diffraction patterns", (".blo", ".mib", ".tvips"), None, "Ruska restores images, not diffraction sets."),
    ("a spectrum", (".msa", ".emsa"), None, "Ruska restores images, not spectra."),
    ("raw bytes without a description", (".raw", ".bin"), None, "Import it in Fiji and save it as TIFF."),
)  # fmt: skip


def find_format(path: Path) -> Format:
    """Recognise an existing file or folder by its content first, its name second.

    Raises InputError when it is missing, empty, unreadable or of no known format.
    """
    if not is_there(path):
        raise InputError(path, "does not exist", "Check the name; a dataset inside a file is FILE.h5:/dataset.")
    if path.is_dir():
        return _folder_format(path)
    check_kind(path)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "Check its permissions.") from error
    if not head:
        raise InputError(path, "is empty (0 bytes)", "Copy it again from the instrument.")
    known = _by_content(head, FORMATS)
    if known is not None:
        return _BY_NAME["NumPy archive"] if known.name == "zip archive" and holds_numpy(path) else known
    named = format_of_name(path)
    if named is not None and named.name in _BY_NAME_ALONE:
        return named
    foreign = _by_content(head, plug_ins())
    if foreign is None and named in plug_ins():
        foreign = named
    if foreign is not None:
        return foreign
    raise _unknown(path, head, named)


def _folder_format(path: Path) -> Format:
    formats = (*FORMATS, *plug_ins())
    named = _by_suffix(path, (f for f in formats if f.markers))
    for known in (*((named,) if named else ()), *formats):
        if any(_marked(path / name, words) for name, words in known.markers):
            return known
    return named if named is not None and named.name == "N5" else _FOLDER  # a container may have no attributes


def _marked(marker: Path, words: tuple[bytes, ...]) -> bool:
    if not words or not marker.is_file():
        return marker.is_file()
    try:
        with marker.open("rb") as file:
            text = file.read(_MARKER_BYTES)
    except OSError:
        return False
    return any(word in text for word in words)


def _by_content(head: bytes, formats: Iterable[Format]) -> Format | None:
    for known in formats:
        if any(head[at : at + len(magic)] == magic for at, magic in known.magic):
            return known
    return None


def holds_numpy(path: Path) -> bool:
    """Whether a zip archive is NumPy's: it holds .npy files and nothing else."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except DAMAGED:
        return path.name.lower().endswith(".npz")
    return bool(names) and all(name.endswith(".npy") for name in names)


def _unknown(path: Path, head: bytes, named: Format | None) -> InputError:
    name = path.name.lower()
    for what, suffixes, magic, way_out in _SEEN:
        if (magic is not None and head.startswith(magic)) or name.endswith(suffixes):
            return InputError(path, f"is {what}, which Ruska does not read", way_out)
    known_names = ", ".join(dict.fromkeys(f.name for f in (*FORMATS, *plug_ins())))
    claim = f"is not {named.name} inside, although its name says so" if named else "is not in a format Ruska knows"
    return InputError(path, claim, f"Ruska reads {known_names}. Was the file copied whole?")


def format_of_name(path: Path) -> Format | None:
    """The format that the suffix of ``path`` stands for, or None."""
    return _by_suffix(path, FORMATS) or _by_suffix(path, plug_ins())


def _by_suffix(path: Path, formats: Iterable[Format]) -> Format | None:
    name = path.name.lower()
    matches = [(len(s), f) for f in formats for s in f.suffixes if name.endswith(s)]
    return max(matches, key=lambda m: m[0])[1] if matches else None


@cache
def plug_ins() -> tuple[Format, ...]:
    """Formats that installed packages add. They are tried after Ruska's own, and a broken one is left out."""
    found = []
    for entry in sorted(entry_points(group="ruska.readers"), key=lambda e: e.name):
        try:
            loaded = entry.load()
        except Exception as error:  # someone else's package: reading our own formats must go on
            _broken[entry.name] = f"{type(error).__name__}: {error}"
            continue
        if isinstance(loaded, Format):
            found.append(loaded)
        else:
            _broken[entry.name] = f"is a {type(loaded).__name__}, not a ruska.io.Format"
    return tuple(found)


_broken: dict[str, str] = {}


def broken_plug_ins() -> dict[str, str]:
    """Name of each plug-in that could not be used, and why."""
    plug_ins()
    return dict(_broken)
