"""MRC 2014 and its older relatives (IMOD, SerialEM, CCP4 maps).

The row order of the file is kept as it is, in both directions, as IMOD and mrcfile do: programs that draw MRC
with y upwards show the result the same way round as the input. Fields of the header that Ruska does not use are
kept in ``header["mrc"]`` and written back.
"""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import InputError, OutputError
from ruska.image import Image, Quantity
from ruska.io.binary import First, RawPixels, only_image
from ruska.io.lazy import bands, transposed
from ruska.io.losses import Losses
from ruska.io.mrc_sections import MOST_BYTES, pixel_size_angstrom, read_extended
from ruska.io.registry import to_units
from ruska.io.tilts import with_beside

if TYPE_CHECKING:
    from numpy.typing import NDArray

HEADER_BYTES = 1024
_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_WIDENED = ("u1", "b1")
_UNSUPPORTED = {3: "complex 16-bit integers", 4: "complex numbers (a Fourier transform)", 16: "RGB colours",
                101: "4-bit integers"}  # fmt: skip
_IMOD_STAMP = 1146047817  # "IMOD" in bytes 152..156; bit 0 of the next word then says that mode 0 is signed
_IMOD_AT = 152 - 112  # of the stamp, inside the field extra2, which starts at byte 112
_VOLUME_SUFFIXES = (".rec", ".map")
_VOLUME_STACK = 401
_LABEL = "Written by Ruska"


@dataclass(frozen=True)
class _Layout:
    """Position and type of the voxels in a file."""

    shape: tuple[int, ...]
    stored: np.dtype[Any]
    offset: int

    @property
    def end(self) -> int:
        return self.offset + math.prod(self.shape) * self.stored.itemsize


def read(path: Path, inner: str | None) -> Image:
    """Open an MRC file lazily.

    Raises InputError when it is truncated, holds complex numbers, colours or 4-bit values, or is no MRC file.
    """
    only_image(path, inner)
    with path.open("rb") as file:
        header, layout = _parse(path, file.read(HEADER_BYTES))
        _check_size(path, path.stat().st_size, layout)
        file.seek(HEADER_BYTES)
        extended = file.read(min(layout.offset - HEADER_BYTES, MOST_BYTES))
    pixels = RawPixels(path, layout.shape, layout.stored, layout.offset)
    spare = path.stat().st_size - layout.end
    notes = [f"{spare} bytes after the last section are ignored"] if spare > 0 else []
    if HEADER_BYTES + len(extended) < layout.offset:
        extended = b""
        notes.append(f"the extended header of {layout.offset - HEADER_BYTES >> 20} MB is not kept")
    return _image(path, path.name.lower(), header, layout, pixels, extended, notes)


def _parse(path: Path, head: bytes) -> tuple[Any, _Layout]:
    """Return the header record and where the voxels are; InputError when no byte order makes sense of it."""
    from mrcfile.dtypes import HEADER_DTYPE

    if len(head) < HEADER_BYTES:
        raise InputError(path, f"is truncated: {len(head)} bytes, an MRC header has {HEADER_BYTES}", "Copy it again.")
    for order in "<>":
        header = np.frombuffer(head, HEADER_DTYPE.newbyteorder(order))[0]
        sizes = [int(header[n]) for n in ("nz", "ny", "nx")]
        mode, extra = int(header["mode"]), int(header["nsymbt"])
        if min(sizes) > 0 and max(sizes) < 1 << 24 and extra >= 0 and (mode in _MODES or mode in _UNSUPPORTED):
            break
    else:
        raise InputError(path, "has no valid MRC header: no byte order gives positive sizes and a known mode",
                         "Was the file copied whole? Is it MRC at all?")  # fmt: skip
    if mode in _UNSUPPORTED:
        raise InputError(path, f"holds {_UNSUPPORTED[mode]} (MRC mode {mode})",
                         "Ruska takes real grey levels: convert it, e.g. with IMOD's newstack -mode 2.")  # fmt: skip
    kind = "u1" if mode == 0 and _imod_unsigned(header, order) else _MODES[mode]
    depth = int(header["mz"])
    if int(header["ispg"]) >= _VOLUME_STACK and depth > 0 and sizes[0] % depth == 0:
        sizes[:1] = [sizes[0] // depth, depth]
    return header, _Layout(tuple(sizes), np.dtype(order + kind), HEADER_BYTES + extra)


def _imod_unsigned(header: Any, order: str) -> bool:
    """Whether IMOD or SerialEM wrote bytes 0..255 under mode 0: its stamp is there and says they are not signed."""
    stamp, flags = np.frombuffer(header["extra2"].tobytes(), order + "i4", 2, _IMOD_AT)
    return int(stamp) == _IMOD_STAMP and not int(flags) & 1


def _check_size(path: Path, size: int, layout: _Layout) -> None:
    if size < layout.end:
        shape = " x ".join(map(str, layout.shape))
        raise InputError(path, f"is truncated: {size} bytes, its header ({shape}, {layout.stored}) needs {layout.end}",
                         "Copy it again from the instrument.")  # fmt: skip


def _image(
    path: Path, name: str, header: Any, layout: _Layout, pixels: Any, extended: bytes, notes: list[str]
) -> Image:
    """Add axes and sizes to the voxels, and keep the rest of the header."""
    space, order = int(header["ispg"]), _storage_order(header)
    shape = layout.shape
    if len(shape) == 3 and shape[0] > 1 and order != "ZYX":
        pixels = transposed(pixels, tuple(order.index(a) for a in "ZYX"))
        notes.append(f"sections, rows and columns were stored as {order}; turned to ZYX")
    axes = _axes(name, len(shape), shape[0], space)
    if axes == "YX" and len(shape) == 3:
        pixels = First(pixels)
    spacing, origin = {}, {}
    sections = _sections(header, extended, shape)
    for letter in (a for a in axes if a in "ZYX"):
        low = letter.lower()
        size = _voxel_size(header, low)
        if size is not None:
            spacing[letter] = Quantity(size, "angstrom")
        start = float(header["origin"][low])
        if start and math.isfinite(start):
            origin[letter] = Quantity(start, "angstrom")
    kept = {"mrc": {**_keep(header, extended), "sections": sections}}
    image = Image(pixels, axes, spacing, origin, header=kept, name=path.name, notes=tuple(notes))
    image = with_beside(image, path)
    if not {"Y", "X"} & set(spacing):
        said = pixel_size_angstrom(sections, image.header.get("mdoc", {}))
        image = replace(image, spacing=spacing | {a: Quantity(v, "angstrom") for a, v in said.items()})
    return image


def _voxel_size(header: Any, low: str) -> float | None:
    """Along x, y or z, in angstrom; None where the header does not say."""
    cell, steps = float(header["cella"][low]), int(header[f"m{low}"])
    return cell / steps if steps > 0 and math.isfinite(cell) and cell > 0 else None


def _sections(header: Any, extended: bytes, shape: tuple[int, ...]) -> dict[str, Any]:
    """The content of the extended header; a broken one is not an error."""
    try:
        return read_extended(header, extended, _byte_order(header), math.prod(shape[:-2]))
    except (ValueError, IndexError, TypeError, KeyError):
        return {}


def _byte_order(header: Any) -> str:
    return "<" if header.dtype["nx"].newbyteorder("<") == header.dtype["nx"] else ">"


def _axes(name: str, ndim: int, sections: int, space_group: int) -> str:
    """Axes for a stack of ``sections``: a volume if its space group or name says so, else a stack."""
    if ndim == 4:
        return "QZYX"
    if sections == 1:
        return "YX"
    return "ZYX" if space_group >= 1 or name.endswith(_VOLUME_SUFFIXES) else "QYX"


def _storage_order(header: Any) -> str:
    """What sections, rows and columns are, from mapc, mapr, maps; garbage in old files means the usual order."""
    numbers = [int(header[n]) for n in ("maps", "mapr", "mapc")]
    return "".join(" XYZ"[n] for n in numbers) if sorted(numbers) == [1, 2, 3] else "ZYX"


def _keep(header: Any, extended: bytes) -> dict[str, Any]:
    """Fields that are written back, as JSON values."""
    used = max(0, min(10, int(header["nlabl"])))
    order = _storage_order(header)
    turned = [order.index(a) for a in "ZYX"]
    sizes = [int(header[n]) for n in ("nz", "ny", "nx")]
    starts = [int(header[f"n{a}start"]) for a in "zyx"]
    steps = {f"{a}_angstrom": step for a in "zx" if (step := _voxel_size(header, a)) is not None}
    return steps | {
        "mz": int(header["mz"]),
        "byte_order": _byte_order(header),
        "shape": [sizes[i] for i in turned],
        "mode": int(header["mode"]),
        "start": [starts[i] for i in turned],
        "space_group": int(header["ispg"]),
        "cell_angles": [float(header["cellb"][n]) for n in ("alpha", "beta", "gamma")],
        "version": int(header["nversion"]),
        "extended_type": header["exttyp"].decode("latin-1"),
        "extended": base64.b64encode(extended).decode("ascii"),
        "extra": [base64.b64encode(header[n].tobytes()).decode("ascii") for n in ("extra1", "extra2")],
        "labels": [label.decode("latin-1") for label in header["label"][:used].tolist()],
    }


def write(path: Path, image: Image) -> tuple[str, ...]:
    """Write ``image``, some rows at a time. `losses` tells what it cannot hold.

    8-bit unsigned values become 16-bit (MRC's bytes are signed). Raises OutputError as `check_holds`.
    """
    check_holds(path, image)
    mode = _mode_for(image)
    kept = image.header.get("mrc", {})
    same_stack = _is_same_stack(image, kept)
    order = kept.get("byte_order", "<")
    header = _new_header(image, mode, order, kept, same_stack)
    extended = _extended(kept, same_stack, image)
    header["nsymbt"] = len(extended)
    stored = np.dtype(order + _MODES[mode])
    with path.open("xb") as file:
        file.write(header.tobytes())
        file.write(extended)
        summary = _Summary()
        for band in bands(image.data):
            summary.add(band)
            band.astype(stored).tofile(file)
        summary.fill(header)
        file.seek(0)
        file.write(header.tobytes())
    return ()


def _is_same_stack(image: Image, kept: Any) -> bool:
    return list(kept.get("shape", ())) == [math.prod(image.shape[:-2]), *image.shape[-2:]]


def check_holds(path: Path, image: Image) -> None:
    """OutputError for other types than 8/16-bit integers, float16 and float32, and for more than three axes.

    Of more than three axes, all but the last three may have a length of 1. Reads no pixels.
    """
    if _kind(image) not in (*_WIDENED, *_MODES.values()):
        raise OutputError(path, f"MRC cannot hold {image.dtype}",
                          "Pass --dtype float32, or write .ome.zarr, .tif or .h5.")  # fmt: skip
    if math.prod(image.shape[:-3]) > 1:
        raise OutputError(path, f"MRC holds three axes, the image has {image.axes}",
                          "Write .ome.zarr, .ome.tif or .h5, or choose one T or C with --roi.")  # fmt: skip


def _kind(image: Image) -> str:
    return f"{image.dtype.kind}{image.dtype.itemsize}"


def _mode_for(image: Image) -> int:
    """MRC mode that holds the image's values exactly."""
    if _kind(image) in _WIDENED:
        return 6
    return next(mode for mode, kind in _MODES.items() if kind == _kind(image))


def _new_header(image: Image, mode: int, order: str, kept: Any, same_stack: bool) -> Any:
    """Header for ``image``: geometry from the image, everything else as it was read."""
    from mrcfile.dtypes import HEADER_DTYPE

    header = np.zeros(1, HEADER_DTYPE.newbyteorder(order))[0]
    nx, ny, nz = image.shape[-1], image.shape[-2], math.prod(image.shape[:-2])
    header["nx"], header["ny"], header["nz"], header["mode"] = nx, ny, nz, mode
    volume = "Z" in image.axes
    header["mx"], header["my"], header["mz"] = nx, ny, nz if volume else _stack_mz(kept, nz)
    origin = {a: to_units(image.origin, a, "angstrom") or 0.0 for a in "ZYX"}
    for axis in "ZYX":
        step = to_units(image.spacing, axis, "angstrom")
        if axis == "Z" and not volume:
            step = _section_depth(kept, to_units(image.spacing, "X", "angstrom"))
        low = axis.lower()
        header["cella"][low] = 0.0 if step is None else step * int(header[f"m{low}"])
        header["origin"][low] = origin[axis]
    header["mapc"], header["mapr"], header["maps"] = 1, 2, 3
    for name, angle in zip(("alpha", "beta", "gamma"), kept.get("cell_angles", (90.0,) * 3), strict=True):
        header["cellb"][name] = angle
    header["ispg"] = _space_group(image, kept)
    if same_stack:  # a crop moves the origin; the start indices of the original would contradict it
        for axis, start in zip("zyx", kept.get("start", (0, 0, 0)), strict=True):
            header[f"n{axis}start"] = start
    header["map"], header["machst"] = b"MAP ", (0x44, 0x44, 0, 0) if order == "<" else (0x11, 0x11, 0, 0)
    header["nversion"] = kept.get("version") or 20141
    header["exttyp"] = kept.get("extended_type", "").encode("latin-1")
    for name, text in zip(("extra1", "extra2"), kept.get("extra", ()), strict=False):
        header[name] = np.void(base64.b64decode(text))
    _mark_signed_bytes(header, order, mode)
    _put_labels(header, list(kept.get("labels", ())))
    return header


def _space_group(image: Image, kept: Any) -> int:
    group = int(kept.get("space_group", 1))
    return (group if 1 <= group < _VOLUME_STACK else 1) if "Z" in image.axes else 0


def _stack_mz(kept: Any, sections: int) -> int:
    """``mz`` of a stack: 1 by the standard, or the number of sections if the input has that (SerialEM, IMOD)."""
    mz = int(kept.get("mz", 1))
    shape = kept.get("shape") or (0,)
    return sections if mz == shape[0] else max(1, mz)


def _section_depth(kept: Any, pixel: float | None) -> float | None:
    """Voxel size along Z, in angstrom, of what has no axis Z: a micrograph, a tilt series, frames.

    By custom it is that of a pixel, and 0 stops other programs. Where the file said something else, that is kept.
    """
    z, x = kept.get("z_angstrom"), kept.get("x_angstrom")
    own = z is not None and (x is None or not math.isclose(z, x, rel_tol=1e-4))
    return float(z) if own else pixel


def _mark_signed_bytes(header: Any, order: str, mode: int) -> None:
    """Where an IMOD stamp says what mode 0 means, make it say signed, which is what we write."""
    words = np.frombuffer(header["extra2"].tobytes(), order + "i4").copy()
    if mode == 0 and words[_IMOD_AT // 4] == _IMOD_STAMP:
        words[_IMOD_AT // 4 + 1] |= 1
        header["extra2"] = np.void(words.tobytes())


def _put_labels(header: Any, labels: list[str]) -> None:
    """Write up to ten labels, Ruska's last; if all ten are taken, it replaces the last."""
    if _LABEL not in labels:
        labels = [*labels[:9], _LABEL]
    header["nlabl"] = len(labels)
    for i, label in enumerate(labels):
        header["label"][i] = label.encode("latin-1", "replace")[:80]


def _extended(kept: Any, same_stack: bool, image: Image) -> bytes:
    """The extended header, reduced to the remaining sections if its layout is known."""
    whole = base64.b64decode(kept.get("extended", ""))
    if same_stack:
        return whole
    sections, pixel = kept.get("sections", {}), to_units(image.spacing, "X", "angstrom")
    numbers, length = sections.get("number", ()), int(sections.get("bytes", 0))
    as_before = pixel is None or math.isclose(pixel, kept.get("x_angstrom", pixel), rel_tol=1e-4)
    if not as_before or len(numbers) != math.prod(image.shape[:-2]):
        return b""
    return b"".join(whole[i * length : (i + 1) * length] for i in numbers)


class _Summary:
    """Minimum, maximum, mean and standard deviation of the values, band by band."""

    def __init__(self) -> None:
        self.low, self.high, self.count, self.mean, self.squares = math.inf, -math.inf, 0, 0.0, 0.0

    def add(self, band: NDArray[Any]) -> None:
        """Merge a band's moments into the running ones (Chan et al. 1979), skipping NaN and infinity."""
        values = band.ravel() if band.dtype.kind != "f" else band[np.isfinite(band)]
        if not values.size:
            return
        mean = float(values.mean(dtype=np.float64))
        spread = float(values.var(dtype=np.float64)) * values.size
        total, shift = self.count + values.size, mean - self.mean
        self.squares += spread + shift * shift * self.count * values.size / total
        self.mean += shift * values.size / total
        self.count = total
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))

    def fill(self, header: Any) -> None:
        """Write the statistics into the header; without a finite value, the standard's marks for "unknown"."""
        if not self.count:
            header["dmin"], header["dmax"], header["dmean"], header["rms"] = 0, -1, -2, -1
            return
        with np.errstate(over="ignore"):
            header["dmin"], header["dmax"], header["dmean"] = self.low, self.high, self.mean
            header["rms"] = math.sqrt(self.squares / self.count)


def _fits(angstrom: float | None) -> bool:
    """Whether a size is known and neither overflows nor vanishes in the header's float32."""
    limits = np.finfo(np.float32)
    return angstrom is not None and (angstrom == 0 or float(limits.tiny) <= abs(angstrom) <= float(limits.max))


def losses(path: Path, image: Image) -> Losses:
    """Sizes that MRC cannot express, header fields that do not fit this stack, and what will read back differently."""
    things, changes = [], []
    kept = image.header.get("mrc", {})
    back = _axes(path.name.lower(), 3, math.prod(image.shape[:-2]), _space_group(image, kept))
    if back != image.axes:
        changes.append(f"axes {image.axes} read back as {back}")
    for word, sizes in (("voxel size", image.spacing), ("origin", image.origin)):
        unheld_axes = [a for a in sizes if a not in back or a not in "ZYX" or not _fits(to_units(sizes, a, "angstrom"))]
        if word == "voxel size" and "T" in unheld_axes:
            unheld_axes.remove("T")
            things.append("frame interval")
        if unheld_axes:
            things.append(f"{word} along {', '.join(unheld_axes)}")
    if kept.get("extended") and not _extended(kept, _is_same_stack(image, kept), image):
        things.append("extended MRC header (it describes the sections of the original stack)")
    if len(kept.get("labels", ())) == 10 and _LABEL not in kept["labels"]:
        things.append("the last of ten MRC labels (replaced by Ruska's)")
    if _kind(image) in _WIDENED:
        changes.append(f"{image.dtype} values are stored as 16-bit integers (MRC's bytes are signed)")
    return Losses(tuple(things), tuple(changes))
