"""Links in folders that hold an image: stores and folders of slices. One that leads out of the folder is refused.

A folder that comes from elsewhere may have a link in it to any file of whoever opens it, whose bytes would then show in
the result. Where a name really leads is compared, not how it gets there, so that links of every system count: symbolic
links, and junctions on Windows. A hard link is no link but a second name of a file, and cannot be told.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ruska.errors import InputError

FOLLOW = "RUSKA_FOLLOW_LINKS"
_WAY_OUT = f"If you trust it, set {FOLLOW}=1 and run the same again; else put the file itself there."
_REPARSE_POINT = getattr(stat, "FILE_ATTRIBUTE_REPARSE_POINT", 0x400)


def links_are_followed() -> bool:
    """Whether RUSKA_FOLLOW_LINKS allows links that lead out of a store or folder."""
    return os.environ.get(FOLLOW, "").strip().lower() not in ("", "0", "false", "no")


class Bounds:
    """The bounds of one folder, whose files are looked at before they are opened.

    The folder itself may be reached through links: it is where it really lies. Of each folder in it is asked once where
    it leads, of each file every time, which takes one look (``lstat``) where it is no link.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._real = os.path.realpath(root)
        self._free = links_are_followed()
        self._inside: set[str] = set()

    def check(self, name: str) -> None:
        """InputError when ``name`` (below the folder, with ``/``) leads out of it, to nothing, or to no file or folder.

        What is not there at all is no error: formats have pieces that may be missing.
        """
        if _leads_out(name):
            raise InputError(self.root, f"refers to '{name}', which is outside of it", "Copy it again from its source.")
        folder, _, last = name.rpartition("/")
        self._check_folder(folder)
        place = os.path.join(self.root, folder, last)
        try:
            found = os.lstat(place)
        except (OSError, ValueError):  # missing, or a name that the system does not allow
            return
        if _is_link(found):
            self._check_link(place)
            try:
                found = os.stat(place)
            except OSError as error:
                raise InputError(place, f"is a link to {_target(place)}, which cannot be reached ({error.strerror})",
                                 "Bring that file back, or copy the folder with what its links lead to.") \
                    from error  # fmt: skip
        if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise InputError(place, "is a pipe or a device, no file", "Put a file there, or remove it.")

    def is_inside(self, place: str | Path) -> bool:
        """Whether ``place`` really lies in the folder."""
        here, root = os.path.normcase(os.path.realpath(place)), os.path.normcase(self._real)
        return here == root or here.startswith(root.rstrip(os.sep) + os.sep)

    def _check_folder(self, folder: str) -> None:
        if folder not in self._inside:
            self._check_link(os.path.join(self.root, folder))
            self._inside.add(folder)

    def _check_link(self, place: str) -> None:
        if not self._free and not self.is_inside(place):
            link = self._first_link(place)
            raise InputError(link, f"is a link that leads out of {self.root} (to {_target(link)})",
                             f"Ruska does not follow it. {_WAY_OUT}")  # fmt: skip

    def _first_link(self, place: str) -> str:
        """The first part of ``place`` below the folder that leads out: the one to be named."""
        parts = os.path.relpath(place, self.root).split(os.sep)
        partial = (os.path.join(self.root, *parts[: n + 1]) for n in range(len(parts)))
        return next((part for part in partial if not self.is_inside(part)), place)


def _leads_out(name: str) -> bool:
    """Whether a name, without any link, is that of another place. Links being allowed does not allow this."""
    return (
        (".." in name and ".." in name.replace("\\", "/").split("/"))
        or os.path.isabs(name)
        or bool(os.path.splitdrive(name)[0])
    )


def _is_link(found: os.stat_result) -> bool:
    return stat.S_ISLNK(found.st_mode) or bool(getattr(found, "st_file_attributes", 0) & _REPARSE_POINT)


def is_link(path: str | Path) -> bool:
    """Whether ``path`` itself is a symbolic link, or a junction or the like on Windows."""
    try:
        return _is_link(os.lstat(path))
    except OSError:
        return False


def _target(link: str) -> str:
    """What a link says of where it leads; the place itself where it does not say."""
    try:
        return os.readlink(link)
    except (OSError, ValueError):
        return os.path.realpath(link)
