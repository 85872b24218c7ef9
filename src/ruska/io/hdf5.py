"""HDF5: our own files, HyperSpy, EMD (Berkeley and Velox), ilastik, and any dataset that is named: ``file.h5:/raw``.

Links into other files, and datasets whose bytes lie in other files, are refused (`hdf5_links`): a file from elsewhere
must not make Ruska read what its owner can not see.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ruska.errors import InputError, OutputError
from ruska.image import NO_UNIT, Image
from ruska.image.held import Held
from ruska.io import metadata
from ruska.io.binary import First
from ruska.io.hdf5_files import PatientFile
from ruska.io.hdf5_layouts import AXISTAGS, Facts, attribute, axistags, facts_about, is_velox, title_of
from ruska.io.hdf5_limits import check_all_chunks, check_chunks, check_heaps, held_chunks
from ruska.io.hdf5_links import extent, follow, links, sources, walk
from ruska.io.hdf5_series import Series, facts_of, is_finest, series_of
from ruska.io.hdf5_texts import length_of_text
from ruska.io.lazy import LazyPixels, boxes, transposed
from ruska.io.registry import assumed_axes, to_units
from ruska.io.views import Beginning, Stacked, Unsigned

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DATA, _MASK, _RECORD = "data", "mask", "ruska"
_PREFERRED = ("data", "raw", "volume", "exported_data", "image")
_LISTED = 20
_BOX_VOXELS = 1 << 24


class Hdf5Pixels(LazyPixels):
    """One dataset. The file is opened for the time of one read."""

    def __init__(self, path: Path, dataset: Any) -> None:
        super().__init__(dataset.shape, dataset.dtype.newbyteorder("="))
        self.path, self.inner, self.chunks = path, dataset.name, dataset.chunks
        self._followed: tuple[int, ...] = ()

    def held(self) -> Held | None:
        import h5py

        try:
            with h5py.File(self.path, "r") as file:
                return held_chunks(file[self.inner])
        except (OSError, KeyError, RuntimeError, ValueError):
            return None  # reading will say what is wrong

    def read_box(self, box: tuple[slice, ...]) -> NDArray[Any]:
        import h5py

        try:
            with h5py.File(self.path, "r") as file:
                dataset = follow(self.path, file, self.inner)
                if dataset is None:
                    raise KeyError("it is no longer there")
                self._check_sources(dataset)
                check_chunks(self.path, dataset, box)
                return np.asarray(dataset[box], dtype=self.dtype)
        except FileNotFoundError:
            raise
        except (OSError, KeyError, RuntimeError, ValueError) as error:
            raise InputError(self.path, f"dataset {self.inner} cannot be read ({error})",
                             "The file is truncated or damaged: copy it again.") from error  # fmt: skip

    def _check_sources(self, dataset: Any) -> None:
        """Follow the dataset to its bytes, again whenever the file is another: it may lead elsewhere by then."""
        now = self.path.stat()
        facts = (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)
        if facts != self._followed:
            sources(self.path, dataset)
            self._followed = facts


def read(path: Path, inner: str | None) -> Image:
    """Open a dataset lazily: the one named, else the only image of the file.

    Raises InputError with the list of datasets when there are several and none is named, and for links into
    other files, complex numbers, spectra, and truncated files.
    """
    import h5py

    check_heaps(path)
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(path, f"cannot be opened as HDF5 ({str(error)[:150]})",
                         "It is truncated, or another program is writing it: copy it again.") from error  # fmt: skip
    with file:
        try:
            return _chosen(path, file, inner)
        except (RuntimeError, OSError, KeyError) as error:  # what the library finds as it walks through the file
            raise InputError(path, f"is damaged ({str(error)[:150]})", "Copy it again.") from error


def _chosen(path: Path, file: Any, inner: str | None) -> Image:
    import h5py

    notes: tuple[str, ...] = ()
    if inner is None and _is_ours(file):
        return _read_ours(path, file)
    if inner is None:
        series = series_of(path, file)
        whole = None if series is None else _whole(path, file, series)
        if whole is not None:
            return whole
        dataset, notes = _choose(path, file)
    else:
        dataset = _named(path, file, inner)
        if isinstance(dataset, h5py.Group):
            dataset, notes = _choose(path, dataset)
    _check(path, dataset)
    return _image(path, dataset, notes)


def _is_ours(file: Any) -> bool:
    import h5py

    # A link, or a dataset of another type under our name, is treated like any foreign file.
    found = [file.id.links.get_info(n).type for n in (_DATA.encode(), _RECORD.encode()) if file.id.links.exists(n)]
    return found == [h5py.h5l.TYPE_HARD] * 2 and isinstance(file[_RECORD], h5py.Dataset)


def _read_ours(path: Path, file: Any) -> Image:
    record = file[_RECORD]
    sources(path, record)
    if length_of_text(path, record) > path.stat().st_size:
        raise InputError(path, f"{record.name} is damaged: a text longer than the file", "Copy it again.")
    fields = metadata.loads(record.asstr(errors="replace")[()], path)
    _check(path, file[_DATA])
    mask = None
    if file.id.links.exists(_MASK.encode()):
        mask_dataset = follow(path, file, _MASK)
        if mask_dataset is None:
            raise InputError(path, "its mask points to nothing", "Copy it again.")
        _check(path, mask_dataset)
        mask = Hdf5Pixels(path, mask_dataset) if mask_dataset.ndim else None
    return Image(Hdf5Pixels(path, file[_DATA]), mask=mask, name=path.name, **fields)


def _named(path: Path, file: Any, inner: str) -> Any:
    """The object at ``inner``, or the Velox image of that title."""
    found = follow(path, file, inner)
    if found is not None:
        return found
    images = _candidates(path, file)
    titled = [d for d in images if title_of(d) == inner.strip("/")]
    if len(titled) == 1:
        return titled[0]
    listing = "; ".join(_describe(d) for d in images[:_LISTED]) or "no images"
    raise InputError(path, f"has no dataset '{inner}'", f"It holds: {listing}.")


def _candidates(path: Path, group: Any) -> list[Any]:
    """Datasets below ``group`` that can be images: real numbers, two or more axes, not a single column."""
    import h5py

    return [item for item in walk(path, group) if isinstance(item, h5py.Dataset) and _can_be_image(item)]


def _can_be_image(dataset: Any) -> bool:
    named = isinstance(dataset.name, str)  # bytes, where it is no Unicode: damaged
    if not named or dataset.dtype.kind not in "uifb" or len(extent(dataset)) < 2:
        return False
    parts = dataset.name.split("/")
    is_text = parts[-1] == "Metadata"  # Velox keeps its JSON as columns of bytes
    is_table = "detectorSpecific" in parts  # flat field and bad pixels of a detector's master file
    return min(_plane_shape(dataset)) > 1 and not is_text and not is_table


def _plane_shape(dataset: Any) -> tuple[int, int]:
    """Rows and columns of one plane; Velox puts them first."""
    shape = extent(dataset)[:2] if is_velox(dataset) else extent(dataset)[-2:]
    return int(shape[0]), int(shape[1])


def _describe(dataset: Any) -> str:
    title = title_of(dataset)
    shape = " x ".join(map(str, extent(dataset)))
    return f"{dataset.name} ({title}{', ' if title else ''}{shape}, {dataset.dtype})"


def _choose(path: Path, group: Any) -> tuple[Any, tuple[str, ...]]:
    """The only candidate, else the only one at the top level, else the only one of a customary name."""
    found = _candidates(path, group)
    depth = group.name.rstrip("/").count("/") + 1
    for narrowed in (
        found,
        [d for d in found if d.name.count("/") == depth],
        [d for d in found if d.name.rsplit("/", 1)[-1] in _PREFERRED],
    ):
        if len(narrowed) == 1:
            taken = narrowed[0]
            others = ", ".join(d.name for d in found if d.name != taken.name)
            return taken, (f"took dataset {taken.name}; also there: {others}",) if others else ()
    if not found:
        elsewhere = _frames_elsewhere(path, group)
        if elsewhere:
            raise InputError(path, f"keeps its frames in other files ({', '.join(elsewhere)})", "Open those files.")
        raise InputError(path, "holds no image: no dataset of real numbers with two or more axes",
                         "Spectra, complex numbers and links into other files are not read.")  # fmt: skip
    listing = "; ".join(_describe(d) for d in found[:_LISTED])
    titles = [title_of(d) for d in found]
    # of several resolutions the finest, which a thumbnail may be larger than
    best = max(range(len(found)), key=lambda i: (is_finest(found[i].name), math.prod(extent(found[i]))))
    example = titles[best] if titles[best] and titles.count(titles[best]) == 1 else found[best].name
    raise InputError(path, f"holds {len(found)} images: {listing}", f"Name one: {path.name}:{example}.")


def _frames_elsewhere(path: Path, group: Any) -> list[str]:
    """Files that hold the frames of a detector's master file (NeXus), which itself has only tables."""
    import h5py

    found: list[str] = []
    for item in walk(path, group):
        if isinstance(item, h5py.Group) and "NXdata" in str(attribute(item, "NX_class", "")):
            away = [name for name, kind, _ in links(path, item) if kind == h5py.h5l.TYPE_EXTERNAL]
            found += [item.id.links.get_val(name)[0].decode("utf-8", "replace") for name in away[:_LISTED]]
    return found[:5]


def _check(path: Path, dataset: Any) -> None:
    """Refuse what is no image, and datasets whose bytes are in other files."""
    import h5py

    if not isinstance(dataset, h5py.Dataset):
        raise InputError(path, f"{dataset.name} is not a dataset", "Name a dataset.")
    for part in sources(path, dataset):
        if part is not dataset:
            check_all_chunks(path, part)
    if dataset.dtype.kind not in "uifb":
        raise InputError(path, f"{dataset.name} holds values of type {dataset.dtype}, which are not grey levels",
                         "Ruska takes integers and real floating-point numbers.")  # fmt: skip


def _image(path: Path, dataset: Any, notes: tuple[str, ...]) -> Image:
    """Put what the attributes and neighbours say to the dataset."""
    facts = facts_of(path, dataset) or facts_about(path, dataset)
    pixels = _viewed(path, dataset, facts)
    if facts.order is not None:
        pixels = transposed(pixels, facts.order)
    axes, assumed = (facts.axes, ()) if facts.axes else assumed_axes(dataset.ndim, path)
    if facts.axes is None:
        facts.spacing = {a: q for a, q in facts.spacing.items() if a in axes}
        axes, assumed = _volume_if_sized(axes, facts, assumed)
    if axes.startswith("Q") and pixels.shape[0] == 1 and is_velox(dataset):
        pixels, axes = First(pixels), axes[1:]
    return Image(
        pixels, axes, facts.spacing, facts.origin, header=facts.header, name=path.name,
        notes=(*notes, *assumed, *facts.notes),
    )  # fmt: skip


def _viewed(path: Path, dataset: Any, facts: Facts) -> Any:
    """The pixels without padding, and under the type that they are of."""
    pixels: Any = Hdf5Pixels(path, dataset)
    if facts.size is not None and facts.size != pixels.shape:
        pixels = Beginning(pixels, facts.size)
    return Unsigned(pixels) if facts.unsigned else pixels


def _whole(path: Path, file: Any, series: Series) -> Image | None:
    """All times and channels as one image; None where datasets are missing, or are of several shapes or types."""
    parts = []
    for name in series.names:
        dataset = follow(path, file, name)
        if dataset is None:
            return None
        _check(path, dataset)
        parts.append(_viewed(path, dataset, series.facts))
        if (parts[-1].shape, parts[-1].dtype) != (parts[0].shape, parts[0].dtype) or len(parts[0].shape) != 3:
            return None
    axes = "ZYX"
    if parts[0].shape[0] == 1:
        parts, axes = [First(part) for part in parts], "YX"
    lead = [(a, n) for a, n in series.lead if n > 1]
    pixels = Stacked(parts, tuple(n for _, n in lead)) if lead else parts[0]
    axes = "".join(a for a, _ in lead) + axes
    facts = series.facts
    names = series.channel_names if "C" in axes else ()
    return Image(pixels, axes, {a: q for a, q in facts.spacing.items() if a in axes},
                 {a: q for a, q in facts.origin.items() if a in axes}, channel_names=names, header=facts.header,
                 name=path.name, notes=tuple(facts.notes))  # fmt: skip


def _volume_if_sized(axes: str, facts: Facts, assumed: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    """A stack that comes with a voxel size along its first axis is a volume."""
    depth = facts.header.pop("depth", None)
    if axes != "QYX" or depth is None:
        return axes, assumed
    facts.spacing["Z"] = depth
    return "ZYX", ()


def write(path: Path, image: Image, *, compression: int = 1) -> tuple[str, ...]:
    """Write ``/data`` (chunked), ``/mask`` and the metadata as JSON in ``/ruska``, box by box.

    compression : gzip level 0 (none) to 9. Nothing of the image is lost.
    """
    import h5py

    check_holds(path, image)
    with PatientFile(path, "x+") as out:
        with h5py.File(out, "w") as file:
            data = _copy(file, _DATA, image.data, compression, out)
            if image.mask is not None:
                _copy(file, _MASK, image.mask, compression, out)
            # A dataset, because HDF5 attributes end at 64 KB.
            file.create_dataset(_RECORD, data=metadata.dumps(image), dtype=h5py.string_dtype())
            _tell_others(data, image)
        out.check()
    return ()


def check_holds(path: Path, image: Image) -> None:
    """OutputError for numbers of more than eight bytes, which other machines do not know. Reads no pixels."""
    if image.dtype.itemsize > 8:
        raise OutputError(path, f"HDF5 files of {image.dtype} are not portable", "Pass --dtype float32.")


def _tell_others(data: Any, image: Image) -> None:
    """Labels of the dimensions and the voxel size where other programs look for them.

    A size without a unit goes into the attribute that it came from, and into no other, which would give it one.
    """
    said = image.header.get("hdf5", {})
    words = said.get("labels", {}) if isinstance(said, Mapping) else {}
    words = words if isinstance(words, Mapping) else {}
    for i, axis in enumerate(image.axes):
        data.dims[i].label = str(words.get(axis, "" if axis == "Q" else axis.lower()))
    sizes = _sizes_um(image)
    if sizes is not None:
        data.attrs["element_size_um"] = sizes
    elif isinstance(said, Mapping) and "size_attribute" in said:
        bare = [image.spacing[a] for a in "ZYX" if a in image.spacing]
        if all(q.unit == NO_UNIT for q in bare) and len(bare) in (2, 3):
            name = str(said["size_attribute"])
            values = np.asarray([q.value for q in bare], np.float64)
            data.attrs[name] = axistags(image.axes, image.spacing) if name == AXISTAGS else values


def _sizes_um(image: Image) -> NDArray[np.float64] | None:
    """Z, Y, X in micrometres for other programs, where Y and X are known (Z as X in a single plane)."""
    sizes = [to_units(image.spacing, a, "um") for a in "ZYX" if a in image.axes]
    return None if None in sizes else np.asarray(sizes, np.float64)


def _copy(file: Any, name: str, values: Any, compression: int, out: PatientFile) -> Any:
    """Stream an array into a new dataset by boxes of whole chunks; OSError when ``out`` has failed."""
    if 0 in values.shape or len(values.shape) == 0:
        return file.create_dataset(name, data=np.asarray(values))
    chunks = _chunk_shape(tuple(values.shape))
    filters: Mapping[str, Any] = {"compression": compression, "shuffle": True} if compression else {}
    dataset = file.create_dataset(name, tuple(values.shape), np.dtype(values.dtype), chunks=chunks, **filters)
    for box in boxes(dataset.shape, chunks, _BOX_VOXELS):
        dataset[box] = np.asarray(values[box])
        out.check()
    return dataset


def _chunk_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """16 × 128 × 128 of the last three axes, one along the others: planes and columns both read few chunks."""
    wanted = (1,) * max(0, len(shape) - 3) + (16, 128, 128)[-min(3, len(shape)) :]
    return tuple(min(n, c) for n, c in zip(shape, wanted, strict=True))
