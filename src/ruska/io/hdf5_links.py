"""What an HDF5 file itself holds: its names, links, and the parts of virtual datasets.

A file can refer to other files in four ways: external links, user-defined links, datasets whose bytes are in other
files (external storage), and virtual datasets. The library follows them silently, even inside a path: a group or a part
of a virtual dataset may be such a link. So every name is resolved link by link, and every dataset is followed to its
bytes before anything else is done with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruska.errors import InputError

MOST_OBJECTS = 100_000
"""Groups and datasets that are looked at in search of an image, and links of one group."""

_DEEPEST_GROUP = 64
_LONGEST_LINK_CHAIN = 16
_MOST_NAMES = 1000  # on the way to one dataset, those in soft links included
_MOST_PARTS, _DEEPEST_PART = 100_000, 8  # of a virtual dataset; the library opens each of them anew
_MOST_NAMES_OF_PARTS = 1_000_000  # on the ways to all of them
_THIS_FILE = b"."
_NAME_IT = "Name the dataset: FILE.h5:/dataset."
_REPACK = "Ruska does not read that: copy its values into a plain dataset."


def follow(path: Path, file: Any, name: str | bytes) -> Any | None:
    """The object called ``name``, reached without ever leaving this file; None where there is none.

    Follows hard and soft links only. Raises InputError for all others, and for circular links.
    """
    return _follow(path, file, name)[0]


def _follow(path: Path, file: Any, name: str | bytes) -> tuple[Any | None, int]:
    """The object, and how many names were resolved to reach it."""
    import h5py

    here, parts, hops, steps = file["/"], _parts(name), 0, 0
    while parts:
        part = parts.pop()
        steps += 1
        if steps + len(parts) > _MOST_NAMES:
            raise InputError(path, f"'{_shown(name)[:100]}' is a path of more than {_MOST_NAMES} names", _NAME_IT)
        kind = _kind(here, part)
        if kind is None:
            return None, steps
        if kind == h5py.h5l.TYPE_HARD:
            here = here[part]
            continue
        if kind != h5py.h5l.TYPE_SOFT:
            raise _leads_out(path, here, part, kind, _shown(name))
        hops += 1
        if hops > _LONGEST_LINK_CHAIN:
            raise InputError(path, f"'{_shown(name)}' is a link that leads back to itself", "Name the dataset itself.")
        target = here.id.links.get_val(part)
        parts += _parts(target)
        here = file["/"] if target.startswith(b"/") else here
    return here, steps


def _parts(name: str | bytes) -> list[bytes]:
    """The names of a path, the last one first."""
    return [part for part in reversed(_bytes(name).split(b"/")) if part not in (b"", b".")]


def _kind(group: Any, name: bytes) -> int | None:
    """The kind of a link, None where there is none."""
    import h5py

    if not isinstance(group, h5py.Group):
        return None
    return int(group.id.links.get_info(name).type) if group.id.links.exists(name) else None


def _leads_out(path: Path, group: Any, part: bytes, kind: int, name: str) -> InputError:
    import h5py

    if kind != h5py.h5l.TYPE_EXTERNAL:
        return InputError(path, f"'{name}' is a link of a kind known only to the program that made it ({kind})",
                          "Ruska does not follow it: repack the file, e.g. with h5repack.")  # fmt: skip
    return InputError(path, f"'{name}' is a link into another file ({_shown(group.id.links.get_val(part)[0])})",
                      "Ruska does not follow it: open that file itself.")  # fmt: skip


def links(path: Path, group: Any) -> list[tuple[bytes, int, int]]:
    """Name, kind and address of every link in a group, in the order of names.

    Raises InputError when there are more than `MOST_OBJECTS`.
    """
    found: list[tuple[bytes, int, int]] = []

    def add(name: bytes, info: Any) -> bool | None:
        found.append((name, int(info.type), int(info.u) if info.type == 0 else 0))
        return True if len(found) > MOST_OBJECTS else None

    if len(group.id):  # HDF5 does not iterate over nothing
        group.id.links.iterate(add, info=True)
    if len(found) > MOST_OBJECTS:
        raise _too_many(path)
    return found


def walk(path: Path, group: Any) -> Iterator[Any]:
    """Every group and dataset below ``group`` once, through hard links only, in the order of names.

    Does not use the library's own visit, which is recursive in C: deeply nested groups would crash the program.
    Raises InputError for more than `MOST_OBJECTS`, and for groups nested unreasonably deep.
    """
    import h5py

    seen = {h5py.h5o.get_info(group.id).addr}
    opened = [(group, iter(links(path, group)))]
    while opened:
        parent, rest = opened[-1]
        name, kind, address = next(rest, (b"", -1, 0))
        if kind < 0:
            opened.pop()
        # A name with a slash, which only a forger can make, would be taken for a path and lead elsewhere.
        elif kind == h5py.h5l.TYPE_HARD and address not in seen and b"/" not in name and name != b".":
            seen.add(address)
            if len(seen) > MOST_OBJECTS:
                raise _too_many(path)
            item = parent[name]
            yield item
            if isinstance(item, h5py.Group):
                if len(opened) == _DEEPEST_GROUP:
                    raise InputError(path, f"has groups nested more than {_DEEPEST_GROUP} deep", _NAME_IT)
                opened.append((item, iter(links(path, item))))


def _too_many(path: Path) -> InputError:
    return InputError(path, f"holds more than {MOST_OBJECTS} objects to search for an image", _NAME_IT)


def extent(dataset: Any) -> tuple[int, ...]:
    """Its shape as the file states it, for display only.

    For the shape of a virtual dataset that may grow, the library would open any file that the dataset names.
    """
    plist = dataset.id.get_create_plist()
    if _is_virtual(plist) and plist.get_virtual_count():
        return tuple(plist.get_virtual_vspace(0).shape)
    return tuple(dataset.shape or ())


def sources(path: Path, dataset: Any) -> list[Any]:
    """The datasets that hold the bytes of ``dataset``: itself, or the parts of a virtual one, followed to their ends.

    Raises InputError where bytes are in another file, where a part is missing, and for parts that are too many, or
    nested too deep, to be read in sensible time.
    """
    seen = _Seen(dataset.file)
    _opened(path, dataset, (), seen)
    return list(seen.sources.values())


@dataclass
class _Seen:
    """What was found while following a dataset to its sources.

    sources : those that hold bytes, by address. virtual : how many datasets the library opens to read each of the
    others, and how many inside of one another. names : how many were looked up.
    """

    file: Any
    sources: dict[int, Any] = field(default_factory=dict)
    virtual: dict[int, tuple[int, int]] = field(default_factory=dict)
    names: int = 0


def _opened(path: Path, dataset: Any, above: tuple[int, ...], seen: _Seen) -> tuple[int, int]:
    """How many datasets the library opens to read this one, and how many inside of one another.

    above : addresses of those that this one is a part of.
    """
    import h5py

    plist, address = dataset.id.get_create_plist(), h5py.h5o.get_info(dataset.id).addr
    if plist.get_external_count():
        raise InputError(path, f"{dataset.name} keeps its bytes in another file ({_shown(plist.get_external(0)[0])})",
                         "Ruska does not follow it: repack it, e.g. with h5repack.")  # fmt: skip
    if not _is_virtual(plist):
        seen.sources[address] = dataset
        return 1, 0
    if address in above:
        raise InputError(path, f"{dataset.name} is a virtual dataset that is a part of itself", _REPACK)
    if address not in seen.virtual:
        _check_bounds(path, dataset, 0, len(above) + 1)
        total, depth = 1, 1
        for name, times in _part_names(path, dataset, plist).items():
            below, deep = _opened(path, _part(path, dataset, name, seen), (*above, address), seen)
            total, depth = total + times * below, max(depth, 1 + deep)
        _check_bounds(path, dataset, total, depth)
        seen.virtual[address] = total, depth
    return seen.virtual[address]


def _part(path: Path, dataset: Any, name: bytes, seen: _Seen) -> Any:
    import h5py

    part, names = _follow(path, seen.file, name)
    seen.names += names
    if seen.names > _MOST_NAMES_OF_PARTS:
        raise InputError(path, f"{dataset.name} is assembled from parts in too many groups", _REPACK)
    if not isinstance(part, h5py.Dataset):
        raise InputError(path, f"{dataset.name} is assembled from '{_shown(name)}', which is not a dataset in it",
                         "Copy the file again: these pixels would be read as zeros.")  # fmt: skip
    return part


def _check_bounds(path: Path, dataset: Any, parts: int, depth: int) -> None:
    if parts > _MOST_PARTS:
        raise InputError(path, f"{dataset.name} is assembled from {parts} parts, of {_MOST_PARTS} at most", _REPACK)
    if depth > _DEEPEST_PART:
        raise InputError(path, f"{dataset.name} is made of virtual datasets more than {_DEEPEST_PART} deep", _REPACK)


def _part_names(path: Path, dataset: Any, plist: Any) -> Counter[bytes]:
    """The parts of a virtual dataset, and how often each is used; InputError unless all are of this file.

    Only "." is this file. Its own name is not trusted either: the library looks for it in the folder of the environment
    variable HDF5_VDS_PREFIX, in the file's own and in the current one, where another file may be called so, by now or
    through a link. h5py and HDF5's tools write "." for the file itself. A pattern (%b) stands for any number of names,
    which the library looks up when it reads.
    """
    count = plist.get_virtual_count()
    _check_bounds(path, dataset, count, 0)
    names: Counter[bytes] = Counter()
    for i in range(count):
        file = _bytes(plist.get_virtual_filename(i))
        name = _bytes(plist.get_virtual_dsetname(i))
        if file != _THIS_FILE:
            raise InputError(path, f"{dataset.name} is assembled from other files, such as '{_shown(file)}' "
                             "(a virtual dataset)", "Ruska does not follow it: open those, or repack it.")  # fmt: skip
        if b"%" in name:
            raise InputError(path, f"{dataset.name} is assembled by a pattern of names ({_shown(name)})", _REPACK)
        names[name] += 1
    return names


def _is_virtual(plist: Any) -> bool:
    import h5py

    return bool(plist.get_layout() == h5py.h5d.VIRTUAL)


def _bytes(name: str | bytes) -> bytes:
    return name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")


def _shown(name: str | bytes) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name
