"""Names for results: of one image, and of many so that no two share a file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from unicodedata import normalize

from ruska.errors import OutputError

_MOST_NAMED = 5
_MARKS = {"denoise": "denoised", "deblur": "deblurred"}


@dataclass(frozen=True)
class Named:
    """An image and the name of its result.

    usual : the name when this image is restored alone. whole : files beside it begin with its whole name.
    """

    file: Path
    usual: str
    output: str
    whole: bool = False


def named_apart(files: Sequence[Path], samples: int = 0, task: str | None = None) -> list[Named]:
    """A name for the result of each of ``files``, whose results go into one folder. Names end as ``task`` says.

    The usual one (``img.tif`` for ``img.tif``, or for ``img.tif.gz`` alone), unless two images share it: then the image
    of that very name gets it, or else the first in alphabetical order, and the others add a
    suffix to their whole name (``img.tif.gz.tif``). Where records, reports or ``samples`` would have one name, they
    begin with the whole name of the result (``a.mrc.record.json`` and ``a.tif.record.json``).

    Upper and lower case, and composed and decomposed letters, count as the same, because some disks do not distinguish
    them. The order of ``files`` does not matter. Raises OutputError when two would still share a file.
    """
    found = _outputs(files, task)
    while shared := _sharing(found, samples):
        if all(one.whole for one in shared):
            names = ", ".join(one.file.name for one in shared[:_MOST_NAMED])
            raise OutputError(shared[0].file.parent, f"holds {names}, whose results would share a file",
                              "Keep them in folders of their own.")  # fmt: skip
        found = [replace(one, whole=True) if one in shared else one for one in found]
    return found


def _outputs(files: Sequence[Path], task: str | None) -> list[Named]:
    from ruska.report import Beside

    usual = {file: default_output(str(file), task).name for file in files}
    plain = {file: default_output(str(file)).name for file in files}
    ordered = sorted(files, key=lambda file: file.name)
    owner: dict[str, Path] = {}
    for file in sorted(ordered, key=lambda file: plain[file] != file.name):
        owner.setdefault(name_key(usual[file]), file)
    taken = {name_key(name) for file in files for name in (usual[file], file.name)}
    other: dict[Path, str] = {}
    for file in ordered:
        if owner[name_key(usual[file])] is not file:
            other[file] = _free(file.name + _mark(task), Beside(Path(usual[file])).suffix, taken)
            taken.add(name_key(other[file]))
    return [Named(file, usual[file], other.get(file, usual[file])) for file in files]


def _free(name: str, suffix: str, taken: set[str]) -> str:
    """``name`` with ``suffix``, and a number if that is taken."""
    wanted, number = name + suffix, 2
    while name_key(wanted) in taken:
        wanted, number = f"{name}.{number}{suffix}", number + 1
    return wanted


def _sharing(found: Sequence[Named], samples: int) -> list[Named]:
    """Those that would overwrite another image: results may go into the folder of the images."""
    written = [_files(one, samples) for one in found]
    count = Counter(key for keys in written for key in keys)
    images = {name_key(one.file.name) for one in found}
    return [
        one
        for one, keys in zip(found, written, strict=True)
        if any(count[key] > 1 for key in keys) or keys & (images - {name_key(one.file.name)})
    ]


def _files(one: Named, samples: int) -> set[str]:
    """All files that would be written for an image."""
    from ruska.pipeline.samples import companions
    from ruska.report import Beside

    names = Beside(Path(one.output), one.whole)
    return {name_key(file.name) for file in (names.target, names.record, *names.reports, *companions(names, samples))}


def name_key(name: str) -> str:
    """A key that is equal for names that some disks do not distinguish."""
    return normalize("NFC", normalize("NFD", name).casefold())


def default_output(file: str, task: str | None = None) -> Path:
    """Beside the input (in the current folder, if that is on a server), in its format if Ruska writes it, else TIFF.

    Its name ends as the task says; without one it is the input's own.
    """
    from ruska.io import is_url, split_inner
    from ruska.io.registry import format_of_name

    path, _ = split_inner(file)
    path = Path(path.name.partition("?")[0]) if is_url(file) else with_its_name(path)
    known = format_of_name(path)
    suffix, stem = ".tif", path.name if path.is_dir() else path.stem
    if known is not None:
        found = max((s for s in known.suffixes if path.name.lower().endswith(s)), key=len)
        stem = path.name[: -len(found)]
        if known.writes and known.name != "picture":
            suffix = path.name[-len(found) :]
    return path.with_name(stem + _mark(task) + suffix)


def named_folder(folder: Path, task: str) -> Path:
    """Where the results of a folder of images go, unless told otherwise."""
    folder = with_its_name(folder)
    return folder.with_name(folder.name + _mark(task))


def with_its_name(path: Path) -> Path:
    """``.`` and ``..`` as the folder that they are."""
    return path if path.name not in ("", "..") else Path(os.path.abspath(path))


def _mark(task: str | None) -> str:
    return "" if task is None else f"_{_MARKS.get(task, task)}"


def said(found: Sequence[Named]) -> str | None:
    """One line about unusual names; None if there are none."""
    renamed = [f"{one.file.name} -> {one.output}" for one in found if one.output != one.usual]
    whole = [one.output for one in found if one.whole]
    parts = [_some(renamed)] if renamed else []
    parts += [f"records and reports under whole names: {_some(whole)}"] if whole else []
    return f"Named apart: {'; '.join(parts)}." if parts else None


def _some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join([*names[:_MOST_NAMED], *([f"and {more} more"] if more > 0 else [])])
