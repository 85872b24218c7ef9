"""Find the images meant by names, patterns and folders as they were typed."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ruska.errors import InputError


@dataclass(frozen=True)
class Found:
    """An image, named as `ruska.read` takes it.

    file : the file or folder, without the path inside it; None for an address.
    home : the folder that was named; None if the image was. place : its subfolder in ``home``, or ``.``.
    """

    source: str
    file: Path | None
    home: Path | None = None
    place: Path = Path()

    @classmethod
    def of(cls, word: str) -> Found:
        from ruska.io import is_url, split_inner

        return cls(word, None if is_url(word) else split_inner(word)[0])


def is_pattern(word: str) -> bool:
    """Whether ``word`` is a pattern such as ``*.tif``, which reaches Ruska from Windows shells, or in quotes."""
    found = Found.of(word)
    return found.file is not None and glob.has_magic(str(found.file)) and not os.path.lexists(found.file)


def gather(
    words: Sequence[str], task: str, *, folders: bool = False, recursive: bool = False, skip: Path | None = None
) -> tuple[list[Found], list[str]]:
    """The images that ``words`` mean, each once, in the order of the words; and a note on each kind of file left out.

    folders : a folder means each of its images, not one stack of slices. recursive : subfolders, too. skip : the folder
    of the results, which is not searched.

    Results of the same ``task`` from one of the images, and their reports, are left out: a pattern finds them when the
    same command is given again. An image in several files is kept once.

    Raises InputError for a pattern that matches nothing, and for a folder without images.
    """
    found: dict[str, Found] = {}
    for word in words:
        for one in _meant(word, folders=folders, recursive=recursive, skip=skip):
            found.setdefault(_identity(one), one)
    if not found:
        raise InputError(words[0], "holds no image, nor do the folders in it", "Give a folder of images.")
    notes: list[str] = []
    kept = _without_results(list(found.values()), task, skip, notes)
    if not kept:
        raise InputError(words[0], "holds only images that Ruska made", "Give the images themselves.")
    return _whole_images(kept, notes), notes


def _identity(one: Found) -> str:
    return one.source if one.file is None else os.path.abspath(one.source)


def _meant(word: str, *, folders: bool, recursive: bool, skip: Path | None) -> Iterator[Found]:
    one = Found.of(word)
    if one.file is not None and is_pattern(word):
        for file in _matching(one.file):
            yield Found.of(f"{file}{word[len(str(one.file)) :]}" if word.startswith(str(one.file)) else str(file))
    elif folders and one.file is not None and one.source == word and is_plain_folder(one.file):
        yield from _below(one.file, one.file, recursive=recursive, skip=skip)
    else:
        yield one


def _matching(pattern: Path) -> list[Path]:
    """The images that match; if no name is that of an image, all files that match."""
    from ruska.io.folder import is_image_by_name, natural_key

    files = [file for file in _globbed(pattern) if not is_plain_folder(file)]
    if not files:
        raise InputError(pattern, "matches no file", "Check the folder and the pattern.")
    return sorted(list(filter(is_image_by_name, files)) or files, key=lambda f: (str(f.parent), natural_key(f)))


def _globbed(pattern: Path) -> list[Path]:
    """All that matches. ``**`` does not lead through links, which may go round in circles."""
    parts = pattern.parts
    if "**" not in parts:
        return [Path(name) for name in glob.glob(str(pattern))]
    first = parts.index("**")
    root, rest = Path(*parts[:first]), [*parts[first:], *["*"] * (parts[-1] == "**")]
    roots = [Path(name) for name in glob.glob(str(root))] if glob.has_magic(str(root)) else [root]
    found = {(file, file.relative_to(each)) for each in roots for file in each.glob("/".join(rest))}
    hidden = any(part.startswith(".") for part in rest)
    return [file for file, below in found if hidden or not any(part.startswith(".") for part in below.parts)]


def _below(folder: Path, home: Path, *, recursive: bool, skip: Path | None) -> Iterator[Found]:
    """The images of a folder in natural order, then those of its subfolders."""
    from ruska.io.folder import members

    inside = _folders_in(folder, skip) if recursive else []
    place = folder.relative_to(home)
    needed = folder == home and not inside
    files = members(folder, every_format=True, needed=False)
    if needed and not files and (others := _folders_in(folder, skip)):
        raise InputError(folder, f"holds no image itself, but {_count(len(others), 'folder')}",
                         "Add --recursive for the images in these.")  # fmt: skip
    if needed and not files:
        members(folder, every_format=True)  # which says what is there instead
    yield from (Found(str(file), file, home, place) for file in files)
    for each in inside:
        yield from _below(each, home, recursive=recursive, skip=skip)


def _folders_in(folder: Path, skip: Path | None) -> list[Path]:
    """Subfolders that are not images, hidden, links or the folder of the results."""
    from ruska.io.folder import entries, natural_key

    found = [
        each for each in entries(folder)
        if not each.name.startswith(".") and not each.is_symlink() and is_plain_folder(each)
        and not (skip is not None and skip.exists() and each.samefile(skip))
    ]  # fmt: skip
    return sorted(found, key=natural_key)


def is_plain_folder(path: Path) -> bool:
    """Whether it is a folder of files rather than a store."""
    from ruska.io.folder import is_store

    return os.path.isdir(path) and not is_store(path)


def _without_results(found: list[Found], task: str, skip: Path | None, notes: list[str]) -> list[Found]:
    """Without reports, and without results of the same task from one of the other images.

    That image must be in the same folder, or anywhere in the folder that was named. For a result in ``skip``, which
    results are written to, it may be anywhere.
    """
    from ruska.pipeline.earlier import Earlier, earlier_of, inside

    made: dict[Path, Earlier] = {}
    for file in (one.file for one in found if one.file is not None):
        if (earlier := earlier_of(file)) is not None and earlier.record.get("task") == task:
            made[file] = earlier
    sources = {(_family(one), one.file.name) for one in found if one.file is not None and one.file not in made}
    anywhere = {name for _, name in sources}
    own = set()
    for one in found:
        earlier = made.get(one.file) if one.file is not None else None
        name = None if earlier is None else Path(str(inside(earlier.record, "input", "path"))).name
        if earlier is not None and ((_family(one), name) in sources or (name in anywhere and _lies_in(skip, one))):
            own |= {os.path.abspath(file) for file in earlier.files()}
    left = [one for one in found if one.file is None or not (os.path.abspath(one.file) in own or _is_report(one.file))]
    if len(left) < len(found):
        first = next(one for one in found if one not in left)
        notes.append(f"Left out {_count(len(found) - len(left), 'file')} that Ruska made from these images earlier, "
                     f"such as {first.source}.")  # fmt: skip
    return left


def _family(one: Found) -> str:
    """The folder within which results are matched to their images."""
    assert one.file is not None
    return os.path.abspath(one.home or one.file.parent)


def _lies_in(folder: Path | None, one: Found) -> bool:
    return folder is not None and Path(os.path.abspath(folder)) in Path(os.path.abspath(str(one.file))).parents


def _is_report(file: Path) -> bool:
    from ruska.pipeline.earlier import read_record
    from ruska.report.beside import RECORD, REPORT

    return any(
        file.name.endswith(suffix) and read_record(file.with_name(file.name[: -len(suffix)] + RECORD)) is not None
        for suffix in REPORT
    )


def _whole_images(found: list[Found], notes: list[str]) -> list[Found]:
    """Keep an image in several files once."""
    from ruska.io import one_image_each

    files = [one.file for one in found if one.file is not None and os.path.isfile(one.file)]
    kept = set(one_image_each(files))
    left = [one for one in found if one.file not in files or one.file in kept]
    if len(left) < len(found):
        notes.append(f"{_count(len(found) - len(left), 'file')} left out: each belongs to an image in several files, "
                     "which is restored once.")  # fmt: skip
    return left


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
